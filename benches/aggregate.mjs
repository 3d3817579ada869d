// P3: aggregates over 1,000,000 sealed documents in one object, over the same SQL on a table of typed columns in a Durable
// Object's SQLite; and the rows that ours reads. Both answer over HTTP; the empty object shows how much of that is the way.
// What both answer is compared before anything is timed. In memory: the objects have been asked before; after a wake: each
// round finds new instances over the same storage.
import { counted, median } from "./lib/figures.mjs";
import { assertForm, settled } from "./lib/objects.mjs";
import { alternate, withWorkers } from "./lib/workers.mjs";

const rounds = 15;
const warmRounds = 3;
const documents = 1_000_000;
const chunk = 65_536;
const mostRowsRead = 40;
const leastFaster = 5;

const name = "bench/aggregate";
const object = `/v1/${name}`;
const collection = `${object}/collections/events`;

const kinds = ["view", "click", "search", "cart", "order", "payment", "refund", "return", "review", "login"];
const cities = Array.from({ length: 50 }, (_, number) => `city-${String(number).padStart(2, "0")}`);

/** Numbers from 0 to 1 that are the same each time (mulberry32). */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The documents as NDJSON, a chunk at a time. */
function* chunks() {
  const next = random(3);
  const one = (seq) => ({
    id: `e-${String(seq).padStart(7, "0")}`,
    seq,
    ts: 1_767_225_600_000 + seq * 250 + Math.floor(next() * 200),
    kind: kinds[Math.floor(next() ** 2 * kinds.length)],
    amount: Math.floor(next() * 100_000) / 100,
    city: cities[Math.floor(next() * cities.length)],
    count: Math.floor(next() * 100),
  });
  for (let start = 0; start < documents; start += chunk) {
    const length = Math.min(chunk, documents - start);
    yield { length, text: Array.from({ length }, (_, position) => JSON.stringify(one(start + position))).join("\n") };
  }
}

const ofKinds = { groupBy: ["kind"], aggregates: [{ as: "n", fn: "count" }, { as: "total", fn: "sum", column: "amount" }, { as: "mean", fn: "avg", column: "count" }], orderBy: [{ column: "kind", direction: "asc" }] };
const sqlOfKinds = (where) => `SELECT kind, count(*) n, sum(amount) total, avg(count) mean FROM events ${where} GROUP BY kind ORDER BY kind`;

/** Each in both languages. The documents are in the order of `seq`, not in that of `amount`. */
const queries = [
  { what: "count, sum and avg of 10 groups", query: ofKinds, sql: sqlOfKinds("") },
  { what: "the same of a tenth, by a range of a column in order", query: { ...ofKinds, where: { seq: { gte: 400_000, lt: 500_000 } } }, sql: sqlOfKinds("WHERE seq >= 400000 AND seq < 500000"), index: "seq" },
  { what: "the same of a tenth, by a range of a column in no order", query: { ...ofKinds, where: { amount: { gte: 200, lt: 300 } } }, sql: sqlOfKinds("WHERE amount >= 200 AND amount < 300") },
  {
    what: "count, min and max of all",
    query: { aggregates: [{ as: "n", fn: "count" }, { as: "least", fn: "min", column: "seq" }, { as: "most", fn: "max", column: "amount" }] },
    sql: "SELECT count(*) n, min(seq) least, max(amount) most FROM events",
  },
];

async function fill({ ours, typed }) {
  for (const { length, text } of chunks()) {
    for (const [client, path] of [[ours.client, `${collection}/import?mode=insert`], [typed.client, `${object}/import`]]) {
      const { imported } = JSON.parse((await client.ok("POST", path, text, "application/x-ndjson")).body);
      if (imported !== length) throw new Error(`${imported} of ${length} documents were imported`);
    }
  }
  await settled(ours.client, object);
  await assertForm(ours.client, collection, "segment", documents);
}

const oursAsked = ({ client }, query) => client.ok("POST", `${collection}/query`, JSON.stringify(query));
const typedAsked = ({ client }, sql) => client.ok("POST", `${object}/sql`, JSON.stringify({ sql }));
const rowsRead = ({ headers }) => Number(headers["thermocline-rows-read"]);

/** Sums of fractions may differ in their last digits, by the order in which they were added. */
const isClose = (left, right) => left === right || (typeof left === "number" && Math.abs(left - right) <= 1e-12 * Math.abs(right));

function assertEqual(what, ours, typed) {
  const isSame = ours.length === typed.length && typed.every((row, position) => Object.entries(row).every(([column, value]) => isClose(ours[position][column], value)));
  if (!isSame) throw new Error(`${what}: ${JSON.stringify(ours)} is not ${JSON.stringify(typed)}`);
}

/** Asks both, compares their answers, and tells the rows read and what else our answer says. */
async function compared({ ours, typed }, { what, query, sql }) {
  const [our, their] = [await oursAsked(ours, query), await typedAsked(typed, sql)];
  const { rows, stats } = JSON.parse(our.body);
  const answer = JSON.parse(their.body);
  assertEqual(what, rows, answer);
  return { rowsRead: rowsRead(our), typedRowsRead: rowsRead(their), stats };
}

async function timed(ask) {
  const started = performance.now();
  await ask();
  return performance.now() - started;
}

/** Medians of the milliseconds that each takes; `prepare` comes before each round and is not counted. */
async function times({ ours, typed, empty }, { query, sql }, prepare = () => undefined) {
  const measured = (worker, ask) => async () => {
    await prepare(worker);
    return timed(ask);
  };
  const measures = {
    ours: measured(ours, () => oursAsked(ours, query)),
    typed: measured(typed, () => typedAsked(typed, sql)),
    empty: measured(empty, () => oursAsked(empty, query)),
  };
  await alternate(warmRounds, measures);
  const all = await alternate(rounds, measures);
  return Object.fromEntries(Object.entries(all).map(([of, each]) => [of, median(each)]));
}

function addTime(figures, what, { ours, typed, empty }, found) {
  const note = `${counted(ours, 1)} ms, SQLite ${counted(typed, 1)}, the empty object ${counted(empty, 1)}`;
  const { stats, ...read } = found;
  const details = { rounds, oursMs: ours, sqliteMs: typed, emptyMs: empty, ...read, segmentsScanned: stats.segmentsScanned, segmentsPruned: stats.segmentsPruned, bytesDecoded: stats.bytesDecoded };
  figures.add({ figure: "P3", what, value: typed / ours, unit: "x", goal: leastFaster, atLeast: true, note, ...details });
}

const addRead = (figures, what, { rowsRead: value, typedRowsRead }) =>
  figures.add({ figure: "P3", what, value, unit: "rows", goal: mostRowsRead, note: `SQLite ${counted(typedRowsRead)}`, typedRowsRead });

/** The next request finds a new instance over the same storage. */
const evict = ({ worker }) => worker.evict(name);

async function measure(figures, workers) {
  for (const asked of queries) {
    await evict(workers.ours);
    await evict(workers.typed);
    const woken = await compared(workers, asked);
    const again = await compared(workers, asked);
    addTime(figures, asked.what, await times(workers, asked), again);
    addRead(figures, "rows read by it, in memory", again);
    addRead(figures, "rows read by it, after a wake", woken);
    addTime(figures, "the same after a wake", await times(workers, asked, evict), woken);
  }
  for (const asked of queries.filter(({ index }) => index)) {
    await typedAsked(workers.typed, `CREATE INDEX events_${asked.index} ON events (${asked.index})`);
    const found = await compared(workers, asked);
    const { ours, typed, empty } = await times(workers, asked);
    const note = `${counted(ours, 1)} ms, SQLite ${counted(typed, 1)}, the empty object ${counted(empty, 1)}`;
    const what = `a tenth, by the range of ${asked.index}; SQLite has an index of it`;
    figures.add({ figure: "P3", what, value: typed / ours, unit: "x", note, rounds, oursMs: ours, sqliteMs: typed, emptyMs: empty, typedRowsRead: found.typedRowsRead });
  }
}

export async function aggregate(figures, script) {
  await withWorkers(["oursArchivingLate", "typed", "empty"], script, async ({ oursArchivingLate: ours, typed, empty }) => {
    await fill({ ours, typed });
    await measure(figures, { ours, typed, empty });
  });
}
