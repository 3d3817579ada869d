// GET /metrics in workerd: figures grow by exactly what was done, the Worker adds those of its cache, and both forms agree.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, useWorker } from "./support/object.mjs";
import { Faults } from "./support/flaky-bucket.mjs";

const faults = new Faults();
// No archiving by itself, so that nothing is done but what a test asks for.
const quiet = { snapshots: { flushDelayMs: 86_400_000 } };
const using = useWorker({ faults, vars: { STORAGE_CONFIG: quiet } });

const metrics = async (it) => (await it.ok("GET", "/metrics")).body;
const cached = (it, id) => it.get("films", id, { consistency: "cached" });

test("rows grow by what the answers say", async () => {
  const it = using.object();
  await it.put("films", "a", { n: 1 });
  const before = await metrics(it);
  assert.ok(Math.abs(Date.parse(before.since) - Date.now()) < 60_000 && Date.parse(before.until) >= Date.parse(before.since));
  const own = (await metrics(it)).hot.rowsRead - before.hot.rowsRead;
  const answers = [await it.put("films", "b", { n: 1 }), await it.get("films", "b"), await it.patch("films", "b", { n: 2 })];
  const after = await metrics(it);
  const told = (header) => answers.reduce((sum, answer) => sum + Number(answer.headers.get(header)), 0);
  assert.equal(after.hot.rowsWritten - before.hot.rowsWritten, told("thermocline-rows-written"));
  assert.equal(after.hot.rowsRead - before.hot.rowsRead, told("thermocline-rows-read") + 2 * own);
  assert.ok(own <= 20, `${own} rows read by the figures themselves`);
  assert.deepEqual([after.hot.errors, after.hot.latencyMs, after.hot.indexBytes, after.hot.pendingChanges], [0, null, null, 3]);
  assert.ok(Math.abs(after.cost.rowsWrittenUsd - after.hot.rowsWritten / 1e6) < 1e-12);
});

test("calls of the bucket are those that it got, failures too, and take time", async () => {
  const it = using.object();
  await it.put("films", "a", { n: 1 });
  await metrics(it);
  const calls = { ...faults.calls };
  await it.sync();
  await it.ok("POST", "/collections/films/query", { tiers: ["cold"] });
  const { cold, cost } = await metrics(it);
  const grown = (name) => (faults.calls[name] ?? 0) - (calls[name] ?? 0);
  assert.deepEqual([cold.calls.put.calls, cold.calls.get.calls], [grown("put"), grown("get")]);
  assert.deepEqual([cost.classA, cost.classB], [grown("put"), grown("get")]);
  assert.ok(cold.uploads >= 9 && cold.downloads >= 1 && cold.bytesIn > 1_000 && cold.bytesOut > 100);
  assert.ok(cold.objects === 2 && cold.bytes > 100, "a file of documents and one of changes");
  const { average, p50, p90, p99, max } = cold.calls.put.latencyMs;
  assert.ok(average <= max && p50 <= p90 && p90 <= p99 && p99 <= max, JSON.stringify(cold.calls.put));
  // A file that nobody has read yet.
  await it.put("films", "b", { n: 2 });
  await it.sync();
  faults.status = 500;
  try {
    await it.query("films", { tiers: ["cold"] });
  } finally {
    faults.status = 0;
  }
  assert.equal((await metrics(it)).cold.calls.get.failures, 4, "one, and three tries more");
});

test("hits and misses of the cache are the Worker's, object by object", async () => {
  const [it, other] = [using.object(), using.object()];
  await it.put("films", "a", { n: 1 });
  const before = (await metrics(it)).warm;
  assert.deepEqual([before.hits, before.misses, before.hitRate], [0, 0, null]);
  for (let read = 0; read < 4; read++) await cached(it, "a");
  const { hits, misses, hitRate, keysWritten, operations, bytesRead, tooOld, ageMsTotal, ageMsMax } = (await metrics(it)).warm;
  assert.deepEqual([hits, misses, hitRate, keysWritten, tooOld], [3, 1, 0.75, 1, 0]);
  assert.equal(bytesRead, 3 * '{"id":"a","n":1}'.length);
  assert.ok(ageMsMax <= ageMsTotal && ageMsTotal <= 3 * ageMsMax && ageMsMax < 60_000, `${ageMsTotal} ${ageMsMax}`);
  // A read that misses looks for the generation and writes two entries; one that hits looks for two.
  assert.equal(operations - before.operations, 3 + 3 * 2);
  assert.equal((await metrics(other)).warm.hits, 0);
});

test("counts are this instance's, and what is stored is told by the next one, too", async () => {
  const it = using.object();
  await it.put("films", "a", { n: 1 });
  const before = await metrics(it);
  assert.ok(before.hot.rowsWritten >= 2);
  await it.evict();
  const after = await metrics(it);
  assert.deepEqual([after.hot.rowsWritten, after.hot.pendingChanges, after.hot.collections], [0, 1, 1]);
  assert.ok(Date.parse(after.since) >= Date.parse(before.since));
});

test("Prometheus gets text that says the same", async () => {
  const it = using.object();
  await it.put("films", "a", { n: 1 });
  await cached(it, "a");
  await cached(it, "a");
  const json = await metrics(it);
  const answer = await it.ok("GET", "/metrics", undefined, { accept: "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1" });
  assert.equal(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const samples = new Map();
  for (const line of answer.text.trimEnd().split("\n").filter((line) => !line.startsWith("#"))) {
    const [, name, labels, value] = line.match(/^(\w+)\{([^}]*)\} ([-+.\deE]+)$/) ?? assert.fail(line);
    assert.ok(!samples.has(name + labels), line);
    samples.set(`${name}{${labels}}`, Number(value));
  }
  const sample = (name) => samples.get(`thermocline_${name}{object="${it.name}"}`);
  assert.equal(sample("rows_written_total"), json.hot.rowsWritten);
  assert.equal(sample("database_bytes"), json.hot.databaseBytes);
  assert.deepEqual([sample("cache_hits_total"), sample("cache_misses_total")], [json.warm.hits, json.warm.misses]);
  assert.deepEqual([sample("cache_age_ms_total"), sample("file_cache_hits_total")], [json.warm.ageMsTotal, json.fileCache.hits]);
  assert.ok(samples.size > 100);
});

test("what is no request for figures is refused", async () => {
  const it = using.object();
  assertProblem(await it.call("GET", "/metrics?x=1"), 400);
  const refused = await it.call("POST", "/metrics", {});
  assertProblem(refused, 405);
  assert.equal(refused.headers.get("allow"), "GET, HEAD");
  assert.equal((await it.worker.fetch(`/v1/${it.name}/metrics`, { method: "HEAD" })).status, 200);
});
