// Cached reads: a miss, then hits, never what a write through the worker has changed, never another object's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startWorker } from "./support/miniflare.mjs";
import { ObjectClient, assertProblem, eventually, useWorker } from "./support/object.mjs";

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

test("headers between the Worker and the object leave it by no way", async () => {
  const it = await warmed();
  for (const [method, headers] of [["GET", { "if-none-match": '"99"' }], ["GET", { "if-none-match": '"1"' }], ["HEAD", {}], ["GET", {}]]) {
    const answer = await it.call(method, `${it.doc("films", "a")}?consistency=cached`, undefined, headers);
    assert.ok([200, 304].includes(answer.status), `${answer.status}`);
    const internal = [...answer.headers.keys()].filter((name) => /^thermocline-(?!cache$|request-id$|rows-read$|rows-written$|sequence$)/.test(name));
    assert.deepEqual(internal, [], `${method} ${JSON.stringify(headers)}`);
  }
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

test("that a document is not there is cached until one is made, however that is done", async () => {
  for (const make of [
    (it) => it.put("films", "none", {}),
    (it) => it.insert("films", { id: "none" }),
    (it) => it.batch([{ op: "insert", collection: "films", doc: { id: "none" } }]),
    (it) => it.batch([{ op: "insert", collection: "films", doc: { id: "none" } }, { op: "insert", collection: "films", doc: {} }]),
    (it) => it.import("films", [{ id: "none" }]),
  ]) {
    const it = await warmed();
    const first = await cached(it, "none");
    const second = await cached(it, "none");
    for (const answer of [first, second]) assertProblem(answer, 404, { tier: /^hot$/ });
    assert.deepEqual([how(first), how(second)], ["miss", "hit"]);
    assert.deepEqual({ ...second.body, instance: undefined }, { ...first.body, instance: undefined });
    assert.notEqual(second.body.instance, first.body.instance);
    assertProblem(await cached(it, "none", { "min-sequence": "3" }), 412);
    await make(it);
    assert.equal((await cached(it, "none")).status, 200);
  }
});

test("that a document is not there is believed for some seconds only", async () => {
  const it = await warmed();
  await cached(it, "none");
  assert.equal(how(await cached(it, "none")), "hit");
  await eventually("it is asked for again", async () => how(await cached(it, "none")) === "miss", 8_000);
});

test("an object that was never written is never cached", async () => {
  const it = object();
  for (let read = 0; read < 2; read++) {
    const answer = await cached(it);
    assertProblem(answer, 404);
    assert.equal(how(answer), null);
  }
});

test("DELETE /cache makes later cached reads miss, of this object only", async () => {
  const [it, other] = [await warmed(), await warmed()];
  for (const [query, prefix] of [["", ""], ["?prefix=document/films/", "document/films/"], ["?prefix=document%2Ffilms%2Fb", "document/films/b"]]) {
    await cached(it);
    assert.equal(how(await cached(it)), "hit");
    const answer = await it.ok("DELETE", `/cache${query}`);
    assert.deepEqual([answer.body.prefix, Number.isInteger(answer.body.generation)], [prefix, true]);
    assert.equal(answer.headers.get("thermocline-rows-written"), "1");
    assert.equal(how(await cached(it)), "miss");
    await it.evict();
    assert.equal(how(await cached(it)), "hit", "the generation is not the instance's");
  }
  assert.equal(how(await cached(other)), "hit");
});

test("what is no drop of the cache is refused, and drops nothing", async () => {
  const it = await warmed();
  for (const [method, path, status] of [
    ["GET", "/cache", 405], ["POST", "/cache", 405], ["DELETE", "/cache/films", 404], ["DELETE", "/cache?prefix=films/", 400],
    ["DELETE", "/cache?prefix=document%00", 400], ["DELETE", `/cache?prefix=document/${"x".repeat(1_016)}`, 400],
    ["DELETE", "/cache?prefix=a&prefix=a", 400], ["DELETE", "/cache?key=a", 400], ["DELETE", "/cache?prefix=%ff", 400],
  ]) {
    assertProblem(await it.call(method, path), status);
    assert.equal(how(await cached(it)), "hit", `${method} ${path}`);
  }
});

test("batches and imports that are refused leave everything in the cache", async () => {
  const it = await warmed();
  for (const refused of [
    await it.batch([{ op: "update", collection: "films", id: "no", doc: {} }, { op: "delete", collection: "films", id: "a" }]),
    await it.batch([{ op: "no" }]),
    await it.import("films", [{ id: "a" }], { mode: "no" }),
    await it.call("DELETE", "/collections/none"),
    await it.insert("films", { id: "a" }),
  ]) {
    assert.ok(refused.status >= 400, refused.text);
    assert.equal(how(await cached(it)), "hit", refused.text);
  }
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
