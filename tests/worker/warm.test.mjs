// Cached reads: a miss, then hits, never what a write through the worker has changed, never another object's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startWorker } from "./support/miniflare.mjs";
import { ObjectClient, assertProblem, useWorker } from "./support/object.mjs";

const { object } = useWorker();
const cached = (it, id = "a", headers) => it.get("films", id, { consistency: "cached", ...(headers && { headers }) });
const how = (answer) => answer.headers.get("thermocline-cache");

/** An object with documents a and b, the first of them in the cache. */
async function warmed() {
  const it = object();
  await it.batch([{ op: "insert", collection: "films", doc: { id: "a", n: 1 } }, { op: "insert", collection: "films", doc: { id: "b", n: 1 } }]);
  assert.equal(how(await cached(it)), "miss");
  assert.equal(how(await cached(it)), "hit");
  return it;
}

test("a first cached read misses, the next ones hit and answer the same", async () => {
  const it = object();
  await it.put("films", "a", '{"id":"a","n":1.0,"big":9007199254740993}');
  const miss = await cached(it);
  const hit = await cached(it);
  assert.deepEqual([how(miss), how(hit)], ["miss", "hit"]);
  assert.equal(hit.text, miss.text);
  for (const header of ["etag", "content-type", "thermocline-sequence"]) assert.equal(hit.headers.get(header), miss.headers.get(header), header);
  assert.equal(hit.headers.get("etag"), '"1"');
  assert.deepEqual([hit.headers.get("thermocline-rows-read"), hit.headers.get("thermocline-rows-written")], ["0", "0"]);
  assert.equal(hit.headers.get("thermocline-cache-generation"), null, "internals stay inside");
  assert.equal(miss.headers.get("thermocline-cache-generation"), null);
});

test("strong reads, the default, never come from the cache", async () => {
  const it = await warmed();
  for (const params of [{}, { consistency: "strong" }]) {
    const answer = await it.get("films", "a", params);
    assert.equal(how(answer), null);
    assert.ok(Number(answer.headers.get("thermocline-rows-read")) >= 1);
  }
  assertProblem(await it.get("films", "a", { consistency: "eventual" }), 400);
});

for (const [what, write, expected] of [
  ["a PUT", (it) => it.put("films", "a", { n: 2 }), 2],
  ["a PATCH", (it) => it.patch("films", "a", { n: 2 }), 2],
  ["a batch of one", (it) => it.batch([{ op: "update", collection: "films", id: "a", doc: { n: 2 } }]), 2],
  ["a batch", (it) => it.batch([{ op: "update", collection: "films", id: "a", doc: { n: 2 } }, { op: "insert", collection: "others", doc: {} }]), 2],
  ["an import of one", (it) => it.import("films", [{ id: "a", n: 2 }], { mode: "upsert" }), 2],
  ["an import", (it) => it.import("films", [{ id: "a", n: 2 }, { id: "c" }], { mode: "upsert" }), 2],
  ["a DELETE", (it) => it.remove("films", "a"), undefined],
  ["a batch that deletes", (it) => it.batch([{ op: "delete", collection: "films", id: "a" }]), undefined],
  ["a drop of the collection", (it) => it.call("DELETE", "/collections/films"), undefined],
  ["a delete and an insert", async (it) => { await it.remove("films", "a"); return it.insert("films", { id: "a", n: 2 }); }, 2],
  ["a drop and an insert", async (it) => { await it.call("DELETE", "/collections/films"); return it.insert("films", { id: "a", n: 2 }); }, 2],
]) {
  test(`after ${what} the next cached read is of now`, async () => {
    const it = await warmed();
    assert.ok((await write(it)).status < 300);
    const answer = await cached(it);
    if (expected === undefined) return assertProblem(answer, 404);
    assert.equal(answer.body.n, expected);
    assert.equal((await cached(it)).body.n, expected);
  });
}

test("a refused write takes nothing out of the cache", async () => {
  const it = await warmed();
  assertProblem(await it.put("films", "a", { n: 2 }, { "if-match": '"99"' }), 412);
  const answer = await cached(it);
  assert.deepEqual([how(answer), answer.body.n], ["hit", 1]);
});

test("a write of one document leaves the others in the cache", async () => {
  const it = await warmed();
  await cached(it, "b");
  await it.put("films", "a", { n: 2 });
  assert.equal(how(await cached(it, "b")), "hit");
});

test("a cached read after each of many writes is never old", async () => {
  const it = await warmed();
  for (let n = 2; n < 30; n++) {
    await (n % 5 === 0 ? it.batch([{ op: "update", collection: "films", id: "a", doc: { n } }, { op: "update", collection: "films", id: "b", doc: { n } }]) : it.put("films", "a", { n }));
    if (n % 7 === 0) await it.evict();
    assert.equal((await cached(it)).body.n, n);
    if (n % 3 === 0) assert.equal((await cached(it)).body.n, n);
  }
});

test("Min-Sequence passes over an entry that is older than it", async () => {
  const it = await warmed();
  await it.put("films", "other", {});
  const fresh = await cached(it, "a", { "min-sequence": "3" });
  assert.deepEqual([fresh.status, how(fresh)], [200, "miss"]);
  assert.equal(how(await cached(it, "a", { "min-sequence": "3" })), "hit");
  assertProblem(await cached(it, "a", { "min-sequence": "4" }), 412);
  assertProblem(await cached(it, "a", { "min-sequence": "x" }), 400);
});

test("what is not there is not cached", async () => {
  const it = await warmed();
  for (let n = 0; n < 2; n++) assertProblem(await cached(it, "none"), 404);
  await it.insert("films", { id: "none" });
  assert.equal((await cached(it, "none")).status, 200);
});

test("If-None-Match is answered 304 for the version that is current", async () => {
  const it = await warmed();
  assert.equal((await cached(it, "a", { "if-none-match": '"1"' })).status, 304);
  await it.put("films", "a", { n: 2 });
  assert.equal((await cached(it, "a", { "if-none-match": '"1"' })).status, 200);
});

test("a document of more than 1 MB is answered and not cached", async () => {
  const it = object();
  await it.ok("PUT", it.doc("films", "a"), { x: "x".repeat(1_010_000) });
  for (let n = 0; n < 2; n++) assert.equal((await cached(it)).status, 200);
  assert.notEqual(how(await cached(it)), "hit");
});

test("objects, collections and documents never see each other's entries, whatever their names", async () => {
  const names = ["demo/x", "demo/x.1", "other/x", "demo/1", "demo/document", "demo/generation"];
  const ids = ["a", "a/b", "a%2Fb", "A", "é", "a?b", "a#b", "generation", "document/a", "1"];
  for (const name of names) {
    const it = object(name);
    for (const collection of ["films", "document", "generation"]) for (const id of ids) await it.put(collection, id, { of: `${name} ${collection} ${id}` });
  }
  for (let round = 0; round < 2; round++) {
    for (const name of names) {
      for (const collection of ["films", "document", "generation"]) {
        for (const id of ids) {
          const { body } = await object(name).get(collection, id, { consistency: "cached" });
          assert.equal(body.of, `${name} ${collection} ${id}`);
        }
      }
    }
  }
});

test("with performance.queryCaching false every cached read is the object's", async () => {
  const worker = await startWorker({ scriptPath: process.env.THERMOCLINE_SCRIPT, vars: { STORAGE_CONFIG: { performance: { queryCaching: false } } } });
  try {
    const it = new ObjectClient(() => worker, "demo/1");
    await it.put("films", "a", { n: 1 });
    for (let read = 0; read < 3; read++) {
      const answer = await cached(it);
      assert.deepEqual([answer.status, how(answer)], [200, "miss"]);
      assert.equal(answer.headers.get("thermocline-cache-generation"), null, "internals stay inside");
      assert.ok(Number(answer.headers.get("thermocline-rows-read")) >= 1);
    }
  } finally {
    await worker.dispose();
  }
});
