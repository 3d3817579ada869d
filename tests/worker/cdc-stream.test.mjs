// The change feed as server-sent events: replay, live, resuming, and readers that are slow, gone or too many.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertContinuous, assertProblem, eventually, useWorker } from "./support/object.mjs";
import { stream } from "./support/sse.mjs";

const { object } = useWorker();

/** An object with `count` events. */
async function written(count = 6) {
  const it = object();
  await it.import("a", Array.from({ length: count }, (_, n) => ({ id: `d${n}`, n })));
  return it;
}

const bare = ({ streamId, streamEvent, ...event }) => event;

test("a stream replays what is there, then tells what is written", async () => {
  const it = await written();
  const feed = await stream(it);
  assert.equal(feed.response.headers.get("content-type"), "text/event-stream");
  assert.equal(feed.response.headers.get("cache-control"), "no-store");
  assert.equal((await feed.next()).retry, "1000");
  const replayed = await feed.events(6);
  assert.deepEqual(replayed.map(bare), await it.events());
  assert.deepEqual(replayed.map(({ streamId, streamEvent }) => [streamId, streamEvent]), replayed.map(({ sequence }) => [`${sequence}`, "message"]));
  const started = Date.now();
  await it.insert("a", { id: "late" });
  const [live] = await feed.events(1);
  assert.deepEqual([live.sequence, live.documentId], [7, "late"]);
  assert.ok(Date.now() - started < 5_000);
  await it.batch([{ op: "delete", collection: "a", id: "late" }, { op: "insert", collection: "b", doc: { id: "x" } }]);
  assert.deepEqual((await feed.events(2)).map(({ sequence, operation }) => [sequence, operation]), [[8, "DELETE"], [9, "INSERT"]]);
  await feed.close();
});

test("Last-Event-ID goes on where a stream ended, over an eviction and over what the address says", async () => {
  const it = await written(10);
  const first = await stream(it, { after: -1 });
  await first.events(4);
  await first.close();
  await it.evict();
  const second = await stream(it, { after: -1 }, { "last-event-id": first.lastId });
  const rest = await second.events(6);
  assertContinuous(rest, 5);
  await second.close();
  for (const id of ["x", "-1", "1.5"]) assertProblem(await stream(it, {}, { "last-event-id": id }), 400);
  assertProblem(await stream(it, {}, { "last-event-id": "11" }), 412);
  const fromNow = await stream(it, { after: "now" }, { "last-event-id": "" });
  await it.insert("a", { id: "new" });
  assertContinuous(await fromNow.events(1), 11);
  await fromNow.close();
});

test("filters and formats hold for streams, and the id goes past what was filtered", async () => {
  const it = await written(4);
  const feed = await stream(it, { collections: "b", format: "cloudevents", documents: false, after: 2 });
  await it.insert("b", { id: "x" });
  const [event] = await feed.events(1);
  assert.deepEqual([event.specversion, event.collection, event.streamId, event.data], ["1.0", "b", "5", {}]);
  await it.insert("a", { id: "unseen" });
  // The next heartbeat tells the position.
  const message = await feed.next();
  assert.deepEqual([message.id, message.data], ["6", undefined]);
  await feed.close();
  const debezium = await stream(it, { format: "debezium", operations: "INSERT", limit: 2 });
  assert.deepEqual((await debezium.events(6)).map(({ op, source }) => [op, source.pos]), [1, 2, 3, 4, 5, 6].map((pos) => ["c", pos]));
  await debezium.close();
  assertProblem(await stream(it, { format: "xml" }), 400);
  assertProblem(await stream(it, { unknown: 1 }), 400);
});

test("a stream that has nothing to tell says that it is alive", { timeout: 60_000 }, async () => {
  const it = await written(1);
  const feed = await stream(it, { after: "now" });
  assert.equal((await feed.next()).retry, "1000");
  const started = Date.now();
  assert.equal((await feed.next()).comment, "");
  const elapsed = Date.now() - started;
  assert.ok(elapsed > 10_000 && elapsed < 25_000, `${elapsed} ms`);
  await it.insert("a", { id: "new" });
  assertContinuous(await feed.events(1), 2);
  await feed.close();
});

test("a client that does not read costs a page: writes go on, others read, and it misses nothing", { timeout: 60_000 }, async () => {
  const it = await written(1);
  const slow = await stream(it);
  const quick = await stream(it);
  const text = "x".repeat(200_000);
  for (let n = 0; n < 40; n++) await it.ok("PUT", it.doc("large", `${n}`), { text });
  assertContinuous(await quick.events(41));
  await quick.close();
  assert.equal((await it.get("large", "39")).status, 200);
  assertContinuous(await slow.events(41));
  await slow.close();
});

test("at most 100 streams an object: one more is 429, and a client that goes frees its place", { timeout: 90_000 }, async () => {
  const it = await written(1);
  const feeds = await Promise.all(Array.from({ length: 100 }, () => stream(it)));
  const refused = await stream(it);
  assertProblem(refused, 429, { retryable: true });
  assert.ok(Number(refused.headers.get("retry-after")) > 0);
  assert.equal((await it.changes()).status, 200, "pages are no streams");
  await Promise.all(feeds.slice(0, 50).map((feed) => feed.close()));
  // That they have gone is noticed by the next write to each.
  await it.insert("a", { id: "new" });
  const again = await eventually("a free place", async () => {
    const opened = await stream(it);
    return opened.status === 429 ? undefined : opened;
  }, 40_000);
  assertContinuous(await again.events(2));
  assertContinuous(await feeds[99].events(2));
  await Promise.all([again, ...feeds.slice(50)].map((feed) => feed.close()));
});

test("a hundred streams are all told of each commit", async () => {
  const it = await written(1);
  const feeds = await Promise.all(Array.from({ length: 100 }, () => stream(it, { after: "now" })));
  for (let n = 0; n < 5; n++) await it.insert("a", { id: `new${n}` });
  for (const feed of feeds) assertContinuous(await feed.events(5), 2);
  await Promise.all(feeds.map((feed) => feed.close()));
  await sleep(0);
});
