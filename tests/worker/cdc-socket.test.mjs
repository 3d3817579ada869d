// The change feed over WebSockets that hibernate.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertContinuous, assertProblem, useWorker, workerWith } from "./support/object.mjs";
import { connect, refusal } from "./support/socket.mjs";
import { stream } from "./support/sse.mjs";
import { bearer, hs256 } from "./support/tokens.mjs";

const using = useWorker();
const { object } = using;

async function written(count = 6) {
  const it = object();
  await it.import("a", Array.from({ length: count }, (_, n) => ({ id: `d${n}`, n })));
  return it;
}

/** The object leaves memory, its sockets stay. */
const hibernate = (it) => using.worker.evict(it.name, { webSockets: "hibernate" });

test("a socket gets what is there, then what is written, in frames with a cursor", async () => {
  const it = await written();
  const feed = await connect(it);
  assert.deepEqual(await feed.received(6), await it.events());
  const [{ cursor, events }] = feed.frames;
  assert.deepEqual(cursor, { sequence: 6, timestamp: events.at(-1).timestamp });
  const started = Date.now();
  await it.insert("a", { id: "late" });
  await feed.received(7);
  assert.ok(Date.now() - started < 5_000);
  assertContinuous(feed.events);
  await feed.close();
});

test("a socket of an object that was never written gets its first event", async () => {
  const it = object();
  const feed = await connect(it);
  await it.insert("a", { id: "first" });
  assertContinuous(await feed.received(1));
  await feed.close();
});

test("over hibernation nothing is lost and nothing repeated, and a message or a write wakes the object", async () => {
  const it = await written();
  const feed = await connect(it);
  await feed.received(6);
  for (let round = 0; round < 5; round++) {
    await hibernate(it);
    await it.insert("a", { id: `write${round}` });
    await feed.received(7 + round);
  }
  assert.equal(feed.closed, undefined);
  const slow = await connect(it, {}, { acknowledge: false });
  await slow.received(11);
  await hibernate(it);
  slow.acknowledge();
  await it.insert("a", { id: "more" });
  await slow.received(12);
  await feed.received(12);
  await sleep(100);
  assertContinuous(feed.events);
  assertContinuous(slow.events);
  assert.deepEqual([feed.events.length, slow.events.length], [12, 12]);
  await Promise.all([feed.close(), slow.close()]);
});

test("at most a window is on its way unacknowledged, also over hibernation, and writes do not wait for it", { timeout: 60_000 }, async () => {
  const it = object();
  const slow = await connect(it, {}, { acknowledge: false });
  const quick = await connect(it);
  const text = "x".repeat(100_000);
  for (let n = 0; n < 30; n++) await it.ok("PUT", it.doc("large", `${n}`), { text });
  assertContinuous(await quick.received(30));
  // As many as leave no room for a whole frame.
  await slow.until(({ events }) => events.length >= 7);
  await hibernate(it);
  await it.insert("a", { id: "x" });
  await sleep(300);
  const sum = (frames) => frames.reduce((bytes, frame) => bytes + frame.bytes, 0);
  assert.ok(sum(slow.frames) <= 1024 * 1024, `${sum(slow.frames)} bytes on their way`);
  assert.ok(slow.frames.every((frame) => frame.bytes <= 256 * 1024 + 1_000));
  slow.acknowledges = true;
  slow.acknowledge();
  await slow.received(31);
  assertContinuous(slow.events);
  assert.deepEqual(slow.events, await it.events());
  await Promise.all([slow.close(), quick.close()]);
});

test("one event that is larger than the window goes alone", async () => {
  const it = object();
  await it.put("a", "x", { text: "x".repeat(900_000) });
  await it.put("a", "x", { text: "y".repeat(900_000) });
  await it.insert("a", { id: "small" });
  const feed = await connect(it);
  assertContinuous(await feed.received(3));
  assert.ok(feed.frames.some((frame) => frame.bytes > 1024 * 1024 && frame.events.length === 1));
  await feed.close();
});

test("filters, formats, cursors and consumers hold for sockets", async () => {
  const it = await written();
  await it.call("PUT", "/cdc/consumers/search", { sequence: 4 });
  const consumer = await connect(it, { consumer: "search" });
  assertContinuous(await consumer.received(2), 5);
  const filtered = await connect(it, { collections: "b", operations: "INSERT", format: "cloudevents", documents: false });
  await it.insert("b", { id: "x" });
  await it.patch("b", "x", { n: 1 });
  await it.insert("b", { id: "y" });
  const events = await filtered.received(2);
  assert.deepEqual(events.map(({ subject, sequence, data }) => [subject, Number(sequence), data]), [["x", 7, {}], ["y", 9, {}]]);
  const resumed = await connect(it, { after: -1 }, { headers: { "last-event-id": "8" } });
  assertContinuous(await resumed.received(1), 9);
  await Promise.all([consumer, filtered, resumed].map((feed) => feed.close()));
});

test("a client learns its position behind what it did not ask for", async () => {
  const it = object();
  const feed = await connect(it, { collections: "none" });
  await it.import("a", Array.from({ length: 2_500 }, (_, n) => ({ id: `d${n}` })));
  await feed.until(({ frames }) => frames.length > 0);
  assert.deepEqual(feed.events, []);
  assert.ok(feed.frames.at(-1).cursor.sequence >= 1_000);
  await feed.close();
});

test("bad messages close the socket with a code and a reason, and others go on", async () => {
  const it = await written();
  const other = await connect(it);
  const closes = async (code, send) => {
    const feed = await connect(it, {}, { acknowledge: false });
    await feed.received(6);
    await send(feed);
    await feed.until(({ closed }) => closed);
    assert.equal(feed.closed.code, code, JSON.stringify(feed.closed));
    assert.ok(feed.closed.reason.length > 10);
  };
  await closes(1003, (feed) => feed.send(new Uint8Array([1, 2, 3])));
  for (const text of ["", "{", "[1]", '{"ack":"1"}', '{"ack":1,"more":2}']) await closes(1007, (feed) => feed.send(text));
  await closes(1008, (feed) => feed.acknowledge(7));
  await closes(1009, (feed) => feed.send(" ".repeat(5_000)));
  await closes(1008, (feed) => {
    for (let n = 0; n < 200; n++) feed.acknowledge(0);
  });
  await it.insert("a", { id: "new" });
  assertContinuous(await other.received(7));
  await other.close();
});

test("a ping is answered without the object, and is no message", async () => {
  const it = await written();
  const feed = await connect(it);
  await feed.received(6);
  for (let n = 0; n < 100; n++) feed.send("ping");
  await feed.until(({ pongs }) => pongs === 100);
  await hibernate(it);
  feed.send("ping");
  await feed.until(({ pongs }) => pongs === 101);
  assert.equal(feed.closed, undefined);
  await feed.close();
});

test("what cannot be served is refused before there is a socket", async () => {
  const it = await written();
  for (const params of [{ after: "x" }, { format: "xml" }, { unknown: 1 }]) assertProblem(await refusal(it, params), 400);
  assertProblem(await refusal(it, {}, { "last-event-id": "x" }), 400);
  assertProblem(await refusal(it, { after: 7 }), 412);
  assertProblem(await refusal(it, { consumer: "none" }), 404);
  const collections = Array.from({ length: 60 }, (_, n) => `c${n}${"x".repeat(50)}`).join(",");
  assertProblem(await refusal(it, { collections }), 422);
});

test("two hundred sockets sleep and are each told of the next commit", { timeout: 60_000 }, async () => {
  const it = await written(1);
  // One after the other: workerd does not let an object go whose sockets were opened at the same time.
  const feeds = [];
  for (let n = 0; n < 200; n++) feeds.push(await connect(it, { after: "now" }));
  await hibernate(it);
  await it.insert("a", { id: "new" });
  for (const feed of feeds) assertContinuous(await feed.received(1), 2);
  await Promise.all(feeds.map((feed) => feed.close()));
  await it.insert("a", { id: "alone" });
});

test("with tokens a socket and a stream open for who may read, and for nobody else", async () => {
  const secret = "a secret of more than thirty-two bytes";
  const { it } = await workerWith({ vars: { AUTH_MODE: undefined, AUTH_SECRET: secret } });
  const headers = (...roles) => bearer(hs256(secret, { roles, objects: [it.name] }));
  assert.equal((await it.insert("a", { id: "x" }, headers("writer"))).status, 201);
  const feed = await connect(it, {}, { headers: headers("reader") });
  assertContinuous(await feed.received(1));
  const events = await stream(it, {}, headers("reader"));
  assertContinuous(await events.events(1));
  await it.insert("a", { id: "y" }, headers("writer"));
  assertContinuous(await feed.received(2));
  await Promise.all([feed.close(), events.close()]);
  assertProblem(await refusal(it), 401);
  assertProblem(await refusal(it, {}, headers("auditor")), 403);
  assertProblem(await stream(it), 401);
});
