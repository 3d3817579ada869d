// Tables over many commits: cold equals hot whatever happens to the documents, old snapshots go, dropped collections live on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertEqualLists, assertProblem, eventually, useWorker } from "./support/object.mjs";
import { assertSame, assertWhole, documentsIn, keysUnder, reachable, sequencesIn, tableOf } from "./support/table.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: { cold: { icebergKeepSnapshots: 2, orphanMinAgeMs: 0 } } } });
const { object } = using;
const many = (count, make = (n) => ({ id: `d${`${n}`.padStart(4, "0")}`, n, title: `title ${n}`, nested: { n } })) => Array.from({ length: count }, (_, n) => make(n));

test("cold equals hot after each round of inserts, updates, deletes and changes of shape; versions are counted up", async () => {
  const it = object();
  const rounds = [
    () => it.import("films", many(300)),
    () => it.batch(many(40).map(({ id }) => ({ op: "update", collection: "films", id, doc: { n: null, title: 7, extra: [1.5] } }))),
    () => it.batch(many(20, (n) => ({ op: "delete", collection: "films", id: `d${`${n * 3}`.padStart(4, "0")}` }))),
    () => it.batch([{ op: "insert", collection: "others", doc: { id: "x", N: 1, n: 1.5, _seq: 1 } }, { op: "update", collection: "films", id: "d0100", doc: { title: "new" } }]),
    () => it.import("films", many(400, (n) => ({ id: `e${n}`, n: n % 2 ? n + 0.5 : `${n}`, title: n % 3 === 0 })), { mode: "upsert" }),
    () => it.batch(many(300, (n) => ({ op: "upsert", collection: "films", doc: { id: `d${`${n}`.padStart(4, "0")}`, n } }))),
  ];
  for (const [position, round] of rounds.entries()) {
    assert.ok((await round()).status < 300);
    await it.sync();
    await assertSame(it, "films", "others");
    const { version, metadata } = await assertWhole(it, "films");
    assert.equal(version, position + 1);
    assert.ok(metadata.snapshots.length <= 2, "snapshots beyond icebergKeepSnapshots are expired");
    assert.equal(metadata["last-sequence-number"], position + 1);
    await assertWhole(it, "films__changes");
    await assertWhole(it, "others");
  }
  assertEqualLists(await sequencesIn(it, "films"), (await it.events({ collections: "films", documents: false })).map((event) => event.sequence));
});

test("old snapshots' files are deleted, and nothing that the metadata reaches is", async () => {
  const it = object();
  const bucket = await using.worker.bucket();
  for (let round = 0; round < 6; round++) {
    await it.put("films", `d${round % 2}`, { round });
    await it.sync();
    await assertWhole(it, "films");
  }
  const table = await tableOf(it, "films");
  assert.equal(table.metadata.snapshots.length, 2);
  const kept = await reachable(bucket, table);
  await eventually("what nothing reaches is gone", async () => {
    const stray = (await keysUnder(bucket, `${table.path}/`)).filter((key) => !kept.has(key));
    return stray.length === 0;
  });
  const versions = (await keysUnder(bucket, `${table.path}/metadata/v`)).filter((key) => key.endsWith(".json")).map((key) => Number(/v(\d+)\.metadata/.exec(key)[1])).sort((left, right) => left - right);
  assert.deepEqual(versions, [4, 5, 6]);
});

test("a dropped collection is empty cold, and one made again goes on with its table and field ids", async () => {
  const it = object();
  await it.import("films", many(20));
  await it.sync();
  const first = await tableOf(it, "films");
  await it.ok("DELETE", "/collections/films");
  await it.sync();
  const dropped = await assertWhole(it, "films");
  assert.deepEqual([dropped.version, dropped.metadata.snapshots.at(-1).summary.operation, dropped.metadata.snapshots.at(-1).summary["total-records"]], [2, "delete", "0"]);
  assert.deepEqual(await it.rows("films", { tiers: ["cold"] }), []);
  assert.deepEqual(await documentsIn(it, "films"), []);
  assertProblem(await it.get("films", "d0001", { tiers: "cold" }), 404);
  await it.put("films", "again", { title: "again", fresh: true });
  await it.sync();
  const again = await assertWhole(it, "films");
  assert.deepEqual([again.version, again.metadata["table-uuid"]], [3, first.metadata["table-uuid"]]);
  const idOf = ({ metadata }, name) => metadata.schemas.find((schema) => schema["schema-id"] === metadata["current-schema-id"]).fields.find((field) => field.name === name)?.id;
  assert.equal(idOf(again, "title"), idOf(first, "title"));
  assert.ok(idOf(again, "fresh") > idOf(first, "nested"), "a new column has a new id");
  await assertSame(it, "films");
});

test("a collection that came and went between two archivings leaves its changes only", async () => {
  const it = object();
  await it.put("kept", "x", {});
  await it.import("gone", many(5));
  await it.ok("DELETE", "/collections/gone");
  await it.sync();
  assert.deepEqual(await sequencesIn(it, "gone"), Array.from({ length: 10 }, (_, n) => n + 2));
  assert.deepEqual(await it.rows("gone", { tiers: ["cold"] }), []);
  await assertSame(it, "kept");
});

test("several collections of one object each have their tables, and only those that changed move on", async () => {
  const it = object();
  await it.batch(["a", "b", "c"].map((collection) => ({ op: "insert", collection, doc: { id: "x" } })));
  await it.sync();
  await it.patch("b", "x", { n: 1 });
  await it.sync();
  assert.deepEqual(await Promise.all(["a", "b", "c"].map(async (name) => (await tableOf(it, name)).version)), [1, 2, 1]);
  await assertSame(it, "a", "b", "c");
});
