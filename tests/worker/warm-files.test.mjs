// Files of tables read through the cache, in workerd over its R2: fewer calls of the bucket, shared loads, no other's data.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertEqualLists, eventually, useWorker } from "./support/object.mjs";
import { Faults } from "./support/flaky-bucket.mjs";

const faults = new Faults();
const hot = { sealRows: 50, sealMinAgeMs: 0, evictAboveBytes: 1 };
const using = useWorker({ faults, vars: { STORAGE_CONFIG: { hot, snapshots: { flushDelayMs: 50, publishIntervalMs: 0 } } } });

const document = (of, n) => ({ id: `d${String(n).padStart(5, "0")}`, of, n });
const documents = (of, count) => Array.from({ length: count }, (_, n) => document(of, n));
const figures = async (it) => (await it.ok("GET", "/metrics")).body;

/** An object whose documents, 120 of them, are evicted, and which is at rest. */
async function evicted() {
  const it = using.object();
  for (let from = 0; from < 120; from += 60) {
    await it.batch(documents(it.name, 120).slice(from, from + 60).map((doc) => ({ op: "insert", collection: "docs", doc })));
  }
  await eventually("eviction", async () => (await it.ok("GET", "/collections/docs")).body.forms.cold === 120, 30_000);
  await eventually("rest", async () => {
    const before = faults.total;
    await new Promise((done) => setTimeout(done, 300));
    return faults.total === before;
  });
  return it;
}

test("what one instance has read the next one finds in the cache", async () => {
  const it = await evicted();
  assertEqualLists(await it.rows("docs"), documents(it.name, 120));
  await it.evict();
  const gets = faults.calls.get ?? 0;
  assertEqualLists(await it.rows("docs"), documents(it.name, 120));
  assert.deepEqual((await it.get("docs", "d00007")).body, document(it.name, 7));
  assert.equal((faults.calls.get ?? 0) - gets, 0, "calls of the bucket");
  const { fileCache, cold } = await figures(it);
  assert.ok(fileCache.hits >= 1 && fileCache.hitRate === 1 && fileCache.bytesRead > 100, JSON.stringify(fileCache));
  assert.equal(cold.calls.get.calls, 0);
});

test("concurrent reads of one object share their loads", async () => {
  const it = await evicted();
  await it.evict();
  const gets = faults.calls.get ?? 0;
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => it.get("docs", document(it.name, n).id)));
  answers.forEach((answer, n) => assert.deepEqual(answer.body, document(it.name, n)));
  const { fileCache } = await figures(it);
  assert.ok((faults.calls.get ?? 0) - gets <= 3, `${faults.calls.get - gets} calls of the bucket for 20 reads of one file`);
  assert.ok(fileCache.joined >= 1, JSON.stringify(fileCache));
});

test("a reader who goes away takes no other's load along", async () => {
  const it = await evicted();
  for (let round = 0; round < 5; round++) {
    await it.evict();
    const leaving = new AbortController();
    const path = `${it.path}/collections/docs/docs/d00001`;
    const left = it.worker.fetch(path, { signal: leaving.signal }).then((answer) => answer.text()).catch(() => "gone");
    const others = Array.from({ length: 8 }, (_, n) => it.get("docs", document(it.name, n).id));
    leaving.abort();
    (await Promise.all(others)).forEach((answer, n) => assert.deepEqual(answer.body, document(it.name, n)));
    await left;
  }
});

test("two tenants read side by side and each gets its own", async () => {
  const both = [await evicted(), await evicted()];
  for (let round = 0; round < 3; round++) {
    await Promise.all(both.map(async (it) => {
      assertEqualLists(await it.rows("docs"), documents(it.name, 120));
      for (let read = 0; read < 2; read++) {
        assert.deepEqual((await it.get("docs", "d00003", { consistency: "cached" })).body, document(it.name, 3));
      }
      await it.evict();
    }));
  }
});
