// Erasing an object: its rows, its files and what is cached of it, and nothing of its neighbours.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ObjectClient, assertProblem, useWorker } from "./support/object.mjs";
import { connect } from "./support/socket.mjs";
import { keysUnder } from "./support/table.mjs";

const using = useWorker();
const { object } = using;

/** Two objects whose names begin alike, each with rows, segments, files and a cached document. */
async function neighbours() {
  const one = object();
  const other = new ObjectClient(() => using.worker, `${one.name}0`);
  for (const it of [one, other]) {
    await it.import("films", Array.from({ length: 200 }, (_, n) => ({ id: `f${n}`, secret: `${it.name} ${n}` })));
    await it.put("films", "a", { secret: it.name });
    await it.ok("POST", "/snapshots", { type: "full" });
    await it.put("films", "b", { secret: it.name });
    for (let time = 0; time < 2; time += 1) await it.get("films", "a", { consistency: "cached" });
    assert.equal((await it.get("films", "a", { consistency: "cached" })).headers.get("thermocline-cache"), "hit");
  }
  return { one, other };
}

test("an object is erased and its neighbour is not", async () => {
  const { one, other } = await neighbours();
  const bucket = await using.worker.bucket();
  const before = { one: await keysUnder(bucket, `iceberg/${one.name}/`), other: await keysUnder(bucket, `iceberg/${other.name}/`) };
  assert.ok(before.one.length > 5);
  const last = (await one.syncState()).lastHotSequence;

  const erased = await one.call("DELETE", "");
  assert.equal(erased.status, 200, erased.text);
  assert.deepEqual({ ...erased.body, erasedAt: undefined }, { state: "done", sequence: last, objectsDeleted: before.one.length, erasedAt: undefined, erasedBy: "anyone" });

  assert.deepEqual(await keysUnder(bucket, `iceberg/${one.name}/`), []);
  assert.deepEqual(await keysUnder(bucket, `iceberg/${other.name}/`), before.other);
  assertProblem(await one.get("films", "a"), 404);
  assertProblem(await one.get("films", "a", { consistency: "cached" }), 404);
  assertProblem(await one.changes({ after: 0 }), 410);
  assert.deepEqual((await one.ok("GET", "/collections")).body.items, []);
  assert.deepEqual((await one.ok("GET", "/snapshots")).body.items, []);
  const tables = await using.worker.fetch(`/iceberg/v1/namespaces/${one.name.replace("/", "%1F")}/tables`);
  assert.deepEqual((await tables.json()).identifiers ?? [], []);
  assert.equal((await other.get("films", "a", { consistency: "cached" })).body.secret, other.name);
  assert.equal((await other.rows("films")).length, 202);
});

test("an erased object is written again, and goes on after its last sequence", async () => {
  const { one } = await neighbours();
  const last = (await one.syncState()).lastHotSequence;
  await one.ok("DELETE", "");
  const again = await one.put("films", "a", { title: "Solaris" });
  assert.equal(again.status, 201);
  assert.equal(again.headers.get("thermocline-sequence"), `${last + 1}`);
  await one.sync();
  await one.evict();
  assert.deepEqual(await one.rows("films", { tiers: ["cold"] }), [{ title: "Solaris", id: "a" }]);
  assert.deepEqual((await one.events({ after: last })).map(({ sequence, operation }) => [sequence, operation]), [[last + 1, "INSERT"]]);
});

test("those who follow the feed are told, and erasing twice is erasing once", async () => {
  const { one } = await neighbours();
  const feed = await connect(one, { after: "now" });
  const first = await one.ok("DELETE", "");
  const { code, reason } = (await feed.until(({ closed }) => closed)).closed;
  assert.equal(code, 4410, reason);
  assert.match(reason, /erased/);
  const second = await one.ok("DELETE", "");
  assert.deepEqual(second.body, first.body);
  const noted = (await one.ok("GET", "/access?action=DELETE%20object")).body.items;
  assert.deepEqual(noted.map(({ status, principal }) => [status, principal]), [[200, null], [200, null]]);
});

test("a wrong request erases nothing", async () => {
  const { one } = await neighbours();
  assertProblem(await one.call("DELETE", "?force=true"), 400);
  assert.equal((await one.get("films", "a")).status, 200);
});
