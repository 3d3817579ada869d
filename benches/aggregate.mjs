// P3: aggregates over 1,000,000 sealed documents in one object, over the same SQL on a table of typed columns in a Durable
// Object's SQLite; and the rows that ours reads. Both answer over HTTP; the empty object shows how much of that is the way.
// What both answer is compared before anything is timed. In memory: the objects have been asked the same before. From
// storage: an instance that has looked at no column yet. After a wake: each round finds new instances over the same
// storage, which read what the object is first; that comes last, because instances that are gone stay in the isolate's
// memory for a while.
import { counted, median } from "./lib/figures.mjs";
import { assertForm, settled } from "./lib/objects.mjs";
import { alternate, withWorkers } from "./lib/workers.mjs";

const rounds = 15;
const warmRounds = 5;
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

/** Each in both languages. A tenth is a range of a column: the documents are in the order of `seq`, not in that of `amount`. */
const queries = [
  { what: "10 groups", query: ofKinds, sql: sqlOfKinds("") },
  { what: "10 groups of a tenth, in order", query: { ...ofKinds, where: { seq: { gte: 400_000, lt: 500_000 } } }, sql: sqlOfKinds("WHERE seq >= 400000 AND seq < 500000"), index: "seq" },
  { what: "10 groups of a tenth, in no order", query: { ...ofKinds, where: { amount: { gte: 200, lt: 300 } } }, sql: sqlOfKinds("WHERE amount >= 200 AND amount < 300") },
  {
    what: "count, min and max",
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

/** Asks both and compares their answers. */
async function compare({ ours, typed }, { what, query, sql }) {
  const [our, their] = [await oursAsked(ours, query), await typedAsked(typed, sql)];
  assertEqual(what, JSON.parse(our.body).rows, JSON.parse(their.body));
}

/** Rows read by both, and what else our answer says of the work. */
async function work({ ours, typed }, { query, sql }) {
  const our = await oursAsked(ours, query);
  const { segmentsScanned, segmentsPruned, bytesDecoded } = JSON.parse(our.body).stats;
  return { rowsRead: rowsRead(our), sqliteRowsRead: rowsRead(await typedAsked(typed, sql)), segmentsScanned, segmentsPruned, bytesDecoded };
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

function addTime(figures, what, { ours, typed, empty }, more, goal) {
  const note = `${counted(ours, 1)} ms, SQLite ${counted(typed, 1)}, the empty object ${counted(empty, 1)}`;
  figures.add({ figure: "P3", what, value: typed / ours, unit: "x", goal, atLeast: true, note, rounds, oursMs: ours, sqliteMs: typed, emptyMs: empty, ...more });
}

function addRead(figures, what, { rowsRead: value, sqliteRowsRead, wakingRowsRead }) {
  const ofWaking = wakingRowsRead === undefined ? "" : `${counted(wakingRowsRead)} of them by waking; `;
  const note = `${ofWaking}SQLite ${counted(sqliteRowsRead)}`;
  figures.add({ figure: "P3", what, value, unit: "rows", goal: mostRowsRead, note, sqliteRowsRead, wakingRowsRead });
}

/** The next request finds a new instance over the same storage. */
const evict = ({ worker }) => worker.evict(name);

async function inMemory(figures, workers) {
  for (const asked of queries) {
    await compare(workers, asked);
    const medians = await times(workers, asked);
    const found = await work(workers, asked);
    addTime(figures, `${asked.what}, in memory`, medians, found, leastFaster);
    addRead(figures, `rows read: ${asked.what}, in memory`, found);
  }
}

async function fromStorage(figures, workers) {
  const { ours, typed } = workers;
  const evictBoth = () => Promise.all([evict(ours), evict(typed)]);
  for (const asked of queries) {
    await evictBoth();
    const waking = rowsRead(await ours.client.ok("GET", object));
    const found = await work(workers, asked);
    addRead(figures, `rows read: ${asked.what}, from storage`, found);
    await evictBoth();
    const woken = await work(workers, asked);
    addRead(figures, `rows read: ${asked.what}, after a wake`, { ...woken, wakingRowsRead: waking });
    addTime(figures, `${asked.what}, after a wake`, await times(workers, asked, evict), { ...woken, wakingRowsRead: waking }, leastFaster);
  }
}

/** SQLite's index takes another way; ours has none. */
async function withIndex(figures, workers) {
  for (const asked of queries.filter(({ index }) => index)) {
    await typedAsked(workers.typed, `CREATE INDEX events_${asked.index} ON events (${asked.index})`);
    await compare(workers, asked);
    addTime(figures, `${asked.what}, SQLite by its index`, await times(workers, asked), await work(workers, asked));
    await typedAsked(workers.typed, `DROP INDEX events_${asked.index}`);
  }
}

export async function aggregate(figures, script) {
  await withWorkers(["oursArchivingLate", "typed", "empty"], script, async ({ oursArchivingLate: ours, typed, empty }) => {
    const workers = { ours, typed, empty };
    await fill(workers);
    await inMemory(figures, workers);
    await withIndex(figures, workers);
    await fromStorage(figures, workers);
  });
}
