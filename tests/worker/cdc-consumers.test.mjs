// Named consumers of the change feed: positions that are acknowledged.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, assertProblem, useWorker } from "./support/object.mjs";
import { stream } from "./support/sse.mjs";

const { object } = useWorker();

async function written(count = 6) {
  const it = object();
  await it.import("a", Array.from({ length: count }, (_, n) => ({ id: `d${n}`, n })));
  return it;
}

const acknowledge = (it, name, sequence) => it.call("PUT", `/cdc/consumers/${name}`, { sequence });

test("a position is acknowledged, kept over an eviction, read from and forgotten", async () => {
  const it = await written();
  const made = await acknowledge(it, "search", 2);
  assert.equal(made.status, 201);
  const { acknowledgedAt, ...rest } = made.body;
  assert.deepEqual(rest, { name: "search", sequence: 2, pending: 4, lagged: false, oldestSequence: 1 });
  assert.match(acknowledgedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  await it.evict();
  assertContinuous((await it.changes({ consumer: "search" })).body.events, 3);
  const moved = await acknowledge(it, "search", 6);
  assert.deepEqual([moved.status, moved.body.pending], [200, 0]);
  assert.deepEqual((await it.changes({ consumer: "search" })).body.events, []);
  await acknowledge(it, "other", 0);
  const { items } = (await it.ok("GET", "/cdc/consumers")).body;
  assert.deepEqual(items.map(({ name, sequence }) => [name, sequence]), [["other", 0], ["search", 6]]);
  assert.equal((await it.call("DELETE", "/cdc/consumers/other")).status, 204);
  for (const method of ["GET", "DELETE"]) assertProblem(await it.call(method, "/cdc/consumers/other"), 404);
  assertProblem(await it.changes({ consumer: "other" }), 404);
});

test("an acknowledgement is one row written, and none when nothing changes", async () => {
  const it = await written();
  await acknowledge(it, "search", 1);
  const cost = async (sequence) => Number((await acknowledge(it, "search", sequence)).headers.get("thermocline-rows-written"));
  assert.deepEqual([await cost(2), await cost(6), await cost(6)], [1, 1, 0]);
});

test("going back is allowed while the events are there; going ahead is not", async () => {
  const it = await written();
  await acknowledge(it, "search", 6);
  assert.equal((await acknowledge(it, "search", 1)).status, 200);
  assertContinuous((await it.changes({ consumer: "search" })).body.events, 2);
  assertProblem(await acknowledge(it, "search", 7), 422, { pointers: ["/sequence"] });
  assert.equal((await it.call("GET", "/cdc/consumers/search")).body.sequence, 1, "a refused one changes nothing");
});

test("a stream begins after what its consumer has acknowledged", async () => {
  const it = await written();
  await acknowledge(it, "search", 4);
  const feed = await stream(it, { consumer: "search" });
  assertContinuous(await feed.events(2), 5);
  await feed.close();
});

test("bad names, bodies, methods and too many consumers are refused", async () => {
  const it = await written(1);
  for (const name of ["a b", "a:b", "x".repeat(129), "%ff"]) assertProblem(await acknowledge(it, encodeURIComponent(name), 1), 400);
  for (const body of ["", "{", "1"]) assertProblem(await it.call("PUT", "/cdc/consumers/a", body), body === "1" ? 422 : 400);
  for (const body of [{}, { sequence: -1 }, { sequence: 1.5 }, { sequence: "1" }, { sequence: 1, more: 1 }, []]) {
    assertProblem(await it.call("PUT", "/cdc/consumers/a", body), 422);
  }
  assertProblem(await it.call("PUT", "/cdc/consumers/a", "sequence=1", { "content-type": "text/plain" }), 415);
  for (const [method, path] of [["POST", "/cdc/consumers"], ["PATCH", "/cdc/consumers/a"], ["DELETE", "/cdc/consumers"]]) {
    assertProblem(await it.call(method, path, {}), 405);
  }
  assertProblem(await it.changes({ consumer: "a", after: 1 }), 400);
  assert.deepEqual((await it.ok("GET", "/cdc/consumers")).body.items, []);
  for (let n = 0; n < 100; n++) assert.equal((await acknowledge(it, `c${n}`, 0)).status, 201);
  assertProblem(await acknowledge(it, "c100", 0), 409);
  assert.equal((await acknowledge(it, "c99", 1)).status, 200, "those that are there go on");
  assert.equal((await it.ok("GET", "/cdc/consumers")).body.items.length, 100);
});

test("an object never written may have a consumer at its start", async () => {
  const it = object();
  assert.deepEqual((await it.ok("GET", "/cdc/consumers")).body, { items: [] });
  assert.equal((await acknowledge(it, "early", 0)).status, 201);
  await it.insert("a", { id: "first" });
  assertContinuous((await it.changes({ consumer: "early" })).body.events, 1);
});
