// Exports in workerd, over HTTP: streamed, whole or visibly broken off, with an object that answers whatever the client does.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { assertEqualLists, assertProblem, eventually, exact, useWorker } from "./support/object.mjs";
import { keysUnder } from "./support/table.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: { snapshots: { flushDelayMs: 50, publishIntervalMs: 0 }, hot: { sealMinAgeMs: 0 } } } });
// Through rows, for what a batch makes at once stays as long as the log refers to it.
const hot = { evictAboveBytes: 1, directBatch: 65_536, sealRows: 1_000, sealMinAgeMs: 0 };
const evicting = useWorker({ vars: { STORAGE_CONFIG: { hot, snapshots: { flushDelayMs: 50, publishIntervalMs: 0 } } } });

/** Text of a kind that a file does not make small. */
const noise = (seed, length) => {
  let [state, text] = [(seed + 1) * 2654435761, ""];
  while (text.length < length) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    text += state.toString(36);
  }
  return text.slice(0, length);
};
const document = (number, bytes = 40) => ({ id: `d${String(number).padStart(6, "0")}`, n: number, city: ["Bern", "Köln", "Oslo"][number % 3], text: noise(number, bytes) });
const documents = (from, count, bytes) => Array.from({ length: count }, (_, position) => document(from + position, bytes));
const byId = (left, right) => (left.id < right.id ? -1 : 1);

const path = (it, params = {}) => `${it.path}/collections/docs/export${Object.keys(params).length ? `?${new URLSearchParams(params)}` : ""}`;
const begin = (it, params, init = {}) => it.worker.fetch(path(it, params), { timeoutMs: 120_000, ...init });

/** All lines of an export, as documents in the order of ids. */
async function exported(it, params) {
  const answer = await begin(it, params);
  const text = await answer.text();
  assert.equal(answer.status, 200, text.slice(0, 500));
  assert.ok(text === "" || text.endsWith("\n"), "every line is ended");
  return text.split("\n").slice(0, -1).map((line) => JSON.parse(line)).sort(byId);
}

/** Imports documents, and waits until all of them are evicted. */
async function evict(it, some) {
  await it.import("docs", some);
  const forms = async () => (await it.ok("GET", "/collections/docs")).body.forms;
  await eventually("eviction", async () => Object.entries(await forms()).every(([form, count]) => form === "cold" || count === 0), 60_000);
}

/** An object with more than all buffers between it and a client hold: 60 MB. */
async function large() {
  const it = using.object();
  for (let from = 0; from < 40_000; from += 10_000) await it.ok("POST", "/collections/docs/import", documents(from, 10_000, 1_450).map((one) => JSON.stringify(one)).join("\n"), { "content-type": "application/x-ndjson" });
  return it;
}

test("50,000 documents come back as they were imported, in a stream without a length", async () => {
  const it = using.object();
  const all = documents(0, 50_000, 100);
  assert.equal((await it.import("docs", all)).body.imported, 50_000);
  const answer = await begin(it);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "application/x-ndjson");
  assert.equal(answer.headers.get("content-length"), null);
  assert.equal(answer.headers.get("thermocline-sequence"), "50000");
  assert.ok(Number(answer.headers.get("thermocline-rows-read")) < 500, `the head costs ${answer.headers.get("thermocline-rows-read")} rows`);
  let [chunks, text] = [0, ""];
  const decoder = new TextDecoder();
  for await (const chunk of answer.body) {
    chunks++;
    text += decoder.decode(chunk, { stream: true });
  }
  assert.ok(chunks > 10, `${chunks} chunks`);
  assertEqualLists(text.trimEnd().split("\n").map((line) => JSON.parse(line)).sort(byId), all);
  const other = using.object();
  assert.equal((await other.import("docs", text)).body.imported, 50_000, "what is exported can be imported");
});

test("an export is of the moment it began in, however slowly it is read, and waits for its reader", async () => {
  const it = await large();
  const answers = [await begin(it), await begin(it)];
  const readers = answers.map((answer) => answer.body.pipeThrough(new TextDecoderStream()).getReader());
  let text = (await readers[0].read()).value;
  await readers[1].read();
  await sleep(1_000);
  const refused = await it.call("GET", "/collections/docs/export");
  assertProblem(refused, 503, { detail: /at most 2 exports/ });
  assert.ok(refused.headers.get("retry-after"));
  for (let round = 0; round < 5; round++) {
    await it.batch(documents(round * 8_000, 2_000).map(({ id }) => ({ op: "delete", collection: "docs", id })));
    await it.batch(documents(40_000 + round * 100, 100).map((doc) => ({ op: "insert", collection: "docs", doc })));
    await it.put("docs", `d${String(round * 8_000 + 3_000).padStart(6, "0")}`, { changed: round });
    await it.sync();
  }
  for (let part; !(part = await readers[0].read()).done;) text += part.value;
  assertEqualLists(text.trimEnd().split("\n").map((line) => JSON.parse(line)).sort(byId), documents(0, 40_000, 1_450));
  assert.equal((await exported(it)).length, 30_500, "the other reader is still there");
  await readers[1].cancel();
});

test("a client that goes away leaves an object that answers and takes further exports", async () => {
  const it = await large();
  const kept = await begin(it);
  for (let round = 0; round < 6; round++) {
    const gone = new AbortController();
    const answer = await begin(it, {}, { signal: gone.signal });
    assert.equal(answer.status, 200, `round ${round}`);
    if (round % 2) await answer.body.getReader().read();
    if (round > 3) await sleep(1_000);
    gone.abort();
    assert.equal((await it.put("docs", `new${round}`, { round })).status, 201);
    // The one place beside that of `kept` is free again long before anybody would take an idle one.
    await eventually("an end", async () => (await begin(it, {}, { method: "HEAD" })).status === 200, 10_000);
  }
  await kept.body.cancel();
  assert.equal((await exported(it)).length, 40_006);
});

test("evicted documents are exported, and a file that is lost breaks the answer off", async () => {
  const it = evicting.object();
  const bucket = await it.worker.bucket();
  const files = () => keysUnder(bucket, `iceberg/${it.name}/docs/data/`);
  for (const from of [0, 4_000]) await evict(it, documents(from, 4_000, 400));
  assertEqualLists(await exported(it), documents(0, 8_000, 400));
  const keys = await files();
  assert.ok(keys.length > 1, `${keys.length} files`);
  await bucket.delete([keys.sort().at(-1)]);
  const answer = await begin(it);
  assert.equal(answer.status, 200, "what comes first is there");
  // workerd's own server ends a chunked answer as if it were whole, others break the connection off.
  let text = "";
  for await (const part of answer.body.pipeThrough(new TextDecoderStream())) text += part;
  const lines = text.split("\n");
  assert.ok(lines.length > 100 && lines.length < 8_000, `${lines.length} lines came before the end`);
  assert.match(lines.at(-1), /^\{"type":"about:blank".*"tier":"cold"/);
  assert.throws(() => JSON.parse(lines.at(-1)), SyntaxError, "a part must not look like the whole");
  await eventually("a line of the log", () => it.worker.logs.some((line) => line.includes("a body breaks off")));
  await bucket.delete(keys);
  assertProblem(await it.call("GET", "/collections/docs/export"), 500, { tier: /^cold$/ });
  assert.equal((await it.put("docs", "new", { n: 1 })).status, 201, "the object goes on");
});

test("moments of the past are exported as they were, also after a restart of the object", async () => {
  const it = using.object();
  const moments = [];
  const now = new Map();
  for (let step = 0; step < 8; step++) {
    for (const doc of documents(step * 50, 100)) {
      const changed = { ...doc, step };
      now.set(doc.id, changed);
    }
    await it.import("docs", [...now.values()], { mode: "upsert" });
    now.delete(`d${String(step).padStart(6, "0")}`);
    await it.remove("docs", `d${String(step).padStart(6, "0")}`);
    await sleep(5);
    moments.push({ time: Date.now(), expected: [...now.values()].sort(byId) });
    await sleep(5);
    if (step % 3 === 2) await it.sync();
  }
  for (let round = 0; round < 2; round++) {
    for (const { time, expected } of moments) {
      assertEqualLists(await exported(it, { asOf: time }), expected);
      assertEqualLists(await exported(it, { asOf: new Date(time).toISOString() }), expected);
    }
    await it.sync();
    await it.evict();
  }
});

test("the text of numbers and all that JSON can say is kept, one line a document", async () => {
  for (const it of [using.object(), evicting.object()]) {
    const isEvicting = it.worker === evicting.object().worker;
    const lines = Array.from({ length: 1_100 }, (_, n) => `{"id":"x${String(n).padStart(4, "0")}","a":1.0,"b":9007199254740993,"c":1e2,"d":-0.0,"e":10.50,"n":${n},"t":"\u2028 é \\n","o":{"deep":[1.10,null]}}`);
    assert.equal((await it.import("docs", lines.join("\n"))).body.imported, 1_100);
    await it.ok("PUT", it.doc("docs", "y"), '{\n  "b": 1.00,\r\n\t"list": [1,\n2]\n}');
    if (isEvicting) await eventually("eviction", async () => (await it.ok("GET", "/collections/docs")).body.forms.cold >= 1_000, 30_000);
    const text = await (await begin(it)).text();
    const found = text.trimEnd().split("\n").map(exact).sort(byId);
    assert.deepEqual(found, [...lines, '{"id":"y","b":1.00,"list":[1,2]}'].map(exact));
  }
});

test("what is no export is refused, and what is not there is empty", async () => {
  const it = using.object();
  assert.deepEqual(await exported(it), [], "an object that was never written");
  await it.import("docs", documents(0, 10));
  assert.deepEqual((await it.call("GET", "/collections/never/export")).text, "");
  const refused = (query, init = "GET") => it.call(init, `/collections/docs/export${query}`);
  assertProblem(await refused("?asOf=yesterday"), 400, { detail: /RFC 3339/ });
  assertProblem(await refused(`?asOf=${Date.now() + 60_000}`), 422, { detail: /present/ });
  assertProblem(await refused("?limit=5"), 400, { detail: /asOf/ });
  assertProblem(await it.call("GET", "/collections/No/export"), 400);
  for (const method of ["PUT", "PATCH", "DELETE"]) {
    const answer = await refused("", method);
    assertProblem(answer, 405);
    assert.equal(answer.headers.get("allow"), "GET, HEAD, POST");
  }
  const head = await refused("", "HEAD");
  assert.deepEqual([head.status, head.text, head.headers.get("content-length")], [200, "", null]);
  assert.equal((await exported(it)).length, 10);
});
