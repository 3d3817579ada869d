// The change feed: pages, filters, waiting readers, what an event tells.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertContinuous, assertProblem, useWorker } from "./support/object.mjs";

const { object } = useWorker();

/** Six events over two collections, in three transactions. */
async function written() {
  const it = object();
  await it.batch([{ op: "insert", collection: "a", doc: { id: "1", n: 1, s: "x" } }, { op: "insert", collection: "b", doc: { id: "1" } }, { op: "insert", collection: "a", doc: { id: "2" } }]);
  await it.patch("a", "1", { n: 2, s: null, more: [1] });
  await it.batch([{ op: "delete", collection: "b", id: "1" }, { op: "upsert", collection: "a", doc: { id: "2", n: 3 } }]);
  return it;
}

test("an event tells what was done to which document, when, and both images", async () => {
  const it = object();
  const from = Date.now();
  await it.insert("a", { id: "x", n: 1, s: "x", same: { deep: 1 } });
  await it.patch("a", "x", { n: 2, s: null, more: [1] });
  await it.remove("a", "x");
  const { status, body, headers } = await it.changes();
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/json");
  const [inserted, updated, deleted] = body.events;
  const first = { id: "x", n: 1, s: "x", same: { deep: 1 } };
  const second = { id: "x", n: 2, same: { deep: 1 }, more: [1] };
  const pick = ({ operation, collection, documentId, sequence }) => [operation, collection, documentId, sequence];
  assert.deepEqual(body.events.map(pick), [["INSERT", "a", "x", 1], ["UPDATE", "a", "x", 2], ["DELETE", "a", "x", 3]]);
  assert.deepEqual([inserted.before, inserted.after, inserted.changedFields], [undefined, first, undefined]);
  assert.deepEqual([updated.before, updated.after], [first, second]);
  assert.deepEqual([...updated.changedFields].sort(), ["more", "n", "s"]);
  assert.deepEqual([deleted.before, deleted.after, deleted.changedFields], [second, undefined, undefined]);
  for (const event of body.events) {
    assert.match(event.id, /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.ok(event.timestamp >= from && event.timestamp <= Date.now(), "Unix ms");
  }
  assert.deepEqual(body.cursor, { sequence: 3, timestamp: deleted.timestamp });
  assert.equal(body.hasMore, false);
});

test("reading twice gives the same events, ids and all, and other objects' events have other ids", async () => {
  const it = await written();
  const other = await written();
  const first = (await it.changes()).text;
  assert.equal((await it.changes()).text, first);
  await it.evict();
  assert.equal((await it.changes()).text, first);
  const ids = [...(await it.events()), ...(await other.events())].map((event) => event.id);
  assert.equal(new Set(ids).size, 12);
});

test("pages of any size make the same feed, and a cursor goes on where the page ended", async () => {
  const it = await written();
  const whole = await it.events();
  assertContinuous(whole);
  for (const limit of [1, 2, 5, 6, 1_000]) assert.deepEqual(await it.events({ limit }), whole, `limit ${limit}`);
  const { body } = await it.changes({ limit: 4 });
  assert.deepEqual([body.events.length, body.cursor.sequence, body.hasMore], [4, 4, true]);
  const exactly = (await it.changes({ limit: 6 })).body;
  assert.equal(exactly.hasMore, false);
  const past = (await it.changes({ after: 6 })).body;
  assert.deepEqual([past.events, past.cursor.sequence, past.hasMore], [[], 6, false]);
  assert.deepEqual((await it.changes({ after: 0 })).body.events, (await it.changes({ after: -1 })).body.events);
});

test("filters by collection and operation leave out the others, and the cursor still goes past them", async () => {
  const it = await written();
  const found = async (params) => (await it.events(params)).map((event) => event.sequence);
  assert.deepEqual(await found({ collections: "b" }), [2, 5]);
  assert.deepEqual(await found({ collections: "a,b" }), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(await found({ operations: "DELETE" }), [5]);
  assert.deepEqual(await found({ operations: "INSERT,DELETE", collections: "b" }), [2, 5]);
  assert.deepEqual(await found({ collections: "none" }), []);
  const { body } = await it.changes({ collections: "none" });
  assert.deepEqual([body.cursor.sequence, body.hasMore], [6, false]);
});

test("documents=false leaves the images out and nothing else", async () => {
  const it = await written();
  const bare = await it.events({ documents: false });
  const full = await it.events();
  assert.deepEqual(bare, full.map(({ before, after, ...rest }) => rest));
});

test("after=now starts behind the last event", async () => {
  const it = await written();
  const { body } = await it.changes({ after: "now" });
  assert.deepEqual([body.events, body.cursor.sequence, body.hasMore], [[], 6, false]);
  await it.insert("a", { id: "new" });
  assert.deepEqual((await it.events({ after: body.cursor.sequence })).map((event) => event.documentId), ["new"]);
});

test("a waiting reader gets an event as soon as it is written", async () => {
  const it = await written();
  const started = Date.now();
  const waiting = it.changes({ after: "now", waitMs: 20_000 });
  await sleep(300);
  await it.insert("a", { id: "late" });
  const { body } = await waiting;
  assert.deepEqual(body.events.map((event) => event.documentId), ["late"]);
  assert.ok(Date.now() - started < 10_000);
});

test("a waiting reader of an object never written gets its first event", async () => {
  const it = object();
  const waiting = it.changes({ waitMs: 20_000 });
  await sleep(200);
  await it.insert("a", { id: "first" });
  assert.deepEqual((await waiting).body.events.map((event) => event.sequence), [1]);
});

test("a reader that waits in vain gets an empty page after its time", async () => {
  const it = await written();
  const started = Date.now();
  const { body } = await it.changes({ after: 6, waitMs: 400 });
  const elapsed = Date.now() - started;
  assert.deepEqual([body.events, body.cursor.sequence], [[], 6]);
  assert.ok(elapsed >= 350 && elapsed < 5_000, `${elapsed} ms`);
});

test("many readers wait at once while the object goes on answering", async () => {
  const it = await written();
  const waiting = Array.from({ length: 20 }, () => it.changes({ after: 6, waitMs: 20_000 }));
  assert.equal((await it.get("a", "1")).status, 200);
  await it.insert("a", { id: "new" });
  for (const { body } of await Promise.all(waiting)) assert.deepEqual(body.events.map((event) => event.sequence), [7]);
});

test("X-Correlation-Id rides in the events of its request", async () => {
  const it = object();
  const headers = { "x-correlation-id": "order-7" };
  await it.insert("a", { id: "1" }, headers);
  await it.batch([{ op: "insert", collection: "a", doc: { id: "2" } }, { op: "insert", collection: "b", doc: {} }], headers);
  await it.import("a", [{ id: "3" }], { headers });
  await it.patch("a", "1", { n: 1 }, headers);
  await it.remove("a", "1", headers);
  await it.put("a", "9", {});
  assert.deepEqual((await it.events()).map((event) => event.correlationId), [...Array(6).fill("order-7"), undefined]);
  assertProblem(await it.insert("a", {}, { "x-correlation-id": "x".repeat(129) }), 400);
});

test("a write that changes nothing is an event like any other", async () => {
  const it = object();
  await it.put("a", "x", { n: 1 });
  await it.put("a", "x", { n: 1 });
  await it.patch("a", "x", {});
  const events = await it.events();
  assert.deepEqual(events.map((event) => event.operation), ["INSERT", "UPDATE", "UPDATE"]);
  assert.deepEqual(events[1].changedFields, []);
});

test("a page of large documents ends early and loses nothing", async () => {
  const it = object();
  for (let n = 0; n < 12; n++) await it.ok("PUT", it.doc("a", `${n}`), { x: "x".repeat(1_000_000) });
  const { body, text } = await it.changes();
  assert.ok(body.events.length >= 1 && body.events.length < 12 && body.hasMore, `${body.events.length} events of 1 MB, hasMore ${body.hasMore}`);
  assert.ok(text.length < 20_000_000);
  assertContinuous(await it.events());
  assertContinuous(await it.events({ documents: false }));
});

test("parameters that are none are 400, and a position not reached yet is 412", async () => {
  const it = await written();
  for (const query of ["after=x", "after=-2", "after=1.5", "limit=0", "limit=1001", "waitMs=-1", "waitMs=30001", "collections=A", "operations=insert", "documents=1", "unknown=1", "after=1&after=2", "%ff=1"]) {
    assertProblem(await it.call("GET", `/cdc?${query}`), 400);
  }
  assertProblem(await it.changes({ after: 7 }), 412);
});
