// One collection in its forms: rows, and segments that batches make and the alarm seals and merges. What is read is the
// same in all of them; what is written is counted by the runtime.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, assertEqualLists, assertProblem, eventually, useWorker } from "./support/object.mjs";

const hot = { sealRows: 50, sealMinAgeMs: 0 };
const using = useWorker({ vars: { STORAGE_CONFIG: { hot, snapshots: { flushDelayMs: 86_400_000, maxPendingBytes: 1_073_741_824 } } } });

const document = (number) => ({ id: `d${String(number).padStart(5, "0")}`, city: ["Bern", "Köln", "Oslo"][number % 3], n: number, nested: { deep: [number, null] } });
const documents = (from, count) => Array.from({ length: count }, (_, position) => document(from + position));
const rowsWritten = (answer) => Number(answer.headers.get("thermocline-rows-written"));
const rowsRead = (answer) => Number(answer.headers.get("thermocline-rows-read"));
const forms = async (it, collection = "docs") => (await it.ok("GET", `/collections/${collection}`)).body.forms;
const insertAll = (list) => list.map((doc) => ({ op: "insert", collection: "docs", doc }));

test("a batch goes straight to a segment: two rows written, whatever its size", async () => {
  const it = using.object();
  await it.put("docs", "first", {});
  await it.batch(insertAll(documents(0, 64)));
  for (const [from, count] of [[100, 64], [1_000, 100], [2_000, 5_000]]) {
    const answer = await it.batch(insertAll(documents(from, count)));
    assert.equal(answer.status, 200, answer.text);
    assert.equal(rowsWritten(answer), 2, `a batch of ${count}`);
  }
  assert.deepEqual(await forms(it), { row: 1, segment: 5_228, cold: 0 });
  assert.deepEqual((await it.get("docs", "d02345")).body, document(2_345));
  const events = await it.events();
  assertContinuous(events);
  assert.deepEqual(events.at(-1).after, document(6_999));
});

test("what is below the size of a batch stays in rows, and is sealed by the alarm", async () => {
  const it = using.object();
  for (let from = 0; from < 120; from += 60) await it.batch(insertAll(documents(from, 60)));
  await eventually("sealing", async () => (await forms(it)).segment === 120);
  assertEqualLists(await it.rows("docs"), documents(0, 120));
  assert.equal((await it.insert("docs", document(7))).status, 409);
});

test("a sealed document is changed and deleted like any other", async () => {
  const it = using.object();
  await it.import("docs", documents(0, 200));
  assert.deepEqual(await forms(it), { row: 0, segment: 200, cold: 0 });
  await it.put("docs", "other", {});
  const patched = await it.patch("docs", "d00005", { city: "Rom" });
  assert.deepEqual(patched.body, { ...document(5), city: "Rom" });
  assert.equal(rowsWritten(patched), 3);
  const removed = await it.remove("docs", "d00006");
  assert.equal(removed.status, 204);
  assert.equal(rowsWritten(removed), 2);
  assert.equal((await it.get("docs", "d00006")).status, 404);
  assert.deepEqual(await forms(it), { row: 2, segment: 198, cold: 0 });
  const [update, remove] = (await it.events({ after: 201 }));
  assert.deepEqual([update.operation, update.before, update.after], ["UPDATE", document(5), patched.body]);
  assert.deepEqual([remove.operation, remove.before], ["DELETE", document(6)]);
  const again = await it.insert("docs", document(6));
  assert.equal(again.status, 201);
  await it.evict();
  assert.deepEqual((await it.get("docs", "d00005")).body, patched.body);
  assert.deepEqual((await it.get("docs", "d00006")).body, document(6));
});

test("many segments are merged into few, and nothing changes", async () => {
  const it = using.object();
  const expected = new Map();
  for (let batch = 0; batch < 12; batch++) {
    // Every other batch writes over half of the one before.
    const list = documents(batch * 50, 100).map((doc) => ({ ...doc, batch }));
    await it.batch(list.map((doc) => ({ op: "upsert", collection: "docs", doc })));
    for (const doc of list) expected.set(doc.id, doc);
  }
  const all = [...expected.values()];
  assertEqualLists(await it.rows("docs"), all);
  await eventually("merging", async () => (await it.ok("POST", "/collections/docs/query", { aggregates: [{ as: "n", fn: "count" }], where: { n: { gte: 0 } } })).body.stats.segmentsScanned < 6);
  assertEqualLists(await it.rows("docs"), all);
  await it.evict();
  assertEqualLists(await it.rows("docs"), all);
  const state = new Map();
  for (const event of await it.events()) state.set(event.documentId, event.after);
  assertEqualLists([...state.values()].sort((left, right) => (left.id < right.id ? -1 : 1)), all, "the feed");
});

test("a dropped collection's events are told from its segments", async () => {
  const it = using.object();
  await it.import("docs", documents(0, 300));
  await it.put("docs", "row", { n: 1 });
  assert.equal((await it.call("DELETE", "/collections/docs")).status, 204);
  await it.import("docs", documents(0, 70));
  const events = await it.events();
  assertContinuous(events);
  const deletes = events.filter((event) => event.operation === "DELETE");
  assert.deepEqual(deletes.map((event) => event.documentId), [...documents(0, 300).map((doc) => doc.id), "row"]);
  assert.deepEqual(deletes[123].before, document(123));
  assertEqualLists(await it.rows("docs"), documents(0, 70));
});

test("an index is declared, used in rows and segments, and costs a row each", async () => {
  const it = using.object();
  const declared = await it.ok("PUT", "/collections/docs", { indexes: [["city", "n"], ["nested.deep"]], columnar: { threshold: 5_000 } });
  assert.deepEqual(declared.body.indexes, [["city", "n"], ["nested.deep"]]);
  assert.deepEqual(declared.body.columnar, { threshold: 5_000 });
  await it.put("docs", "zero", {});
  assert.equal(rowsWritten(await it.insert("docs", document(1))), 4, "the document, its event, and an entry an index");
  for (let from = 2; from < 602; from += 60) await it.batch(insertAll(documents(from, 60)));
  await it.import("docs", documents(10_000, 3_000));
  assert.equal((await forms(it)).row, 602);
  const where = { city: { eq: "Köln" }, n: { between: [100, 120] } };
  const answer = await it.ok("POST", "/collections/docs/query", { where });
  assert.deepEqual(answer.body.rows.map((row) => row.n), [100, 103, 106, 109, 112, 115, 118]);
  assert.ok(rowsRead(answer) < 60, `${rowsRead(answer)} rows read`);
  const none = await it.ok("POST", "/collections/docs/query", { where: { city: { eq: "Aarau" } } });
  assert.deepEqual(none.body.rows, []);
  assert.equal(none.body.stats.segmentsScanned, 0, "the segment's filter excludes it");
});

test("indexes and thresholds that cannot be are refused", async () => {
  const it = using.object();
  const declare = (body) => it.call("PUT", "/collections/docs", body);
  assertProblem(await declare({ indexes: [[]] }), 422, { pointers: ["/indexes/0"] });
  assertProblem(await declare({ indexes: [["a"], ["b", "b"]] }), 422, { pointers: ["/indexes/1/1"] });
  assertProblem(await declare({ columnar: { threshold: 0 } }), 422, { pointers: ["/columnar/threshold"] });
  assert.equal((await declare({ indexes: "city" })).status, 422);
  for (const array of [[], [5_000], [5_000, 0]]) {
    assertProblem(await declare({ columnar: array }), 422, { pointers: ["/columnar"] });
    assertProblem(await declare({ retention: array }), 422, { pointers: ["/retention"] });
  }
  assert.equal((await declare({ columnar: { threshold: 1.5 } })).status, 422);
  assert.deepEqual((await it.ok("GET", "/collections")).body.items, []);
});
