// Archiving: the alarm alone and /sync, what lies in the bucket then, and that cold answers as hot did.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertEqualLists, assertProblem, eventually, useWorker } from "./support/object.mjs";
import { assertSame, keysUnder, sequencesIn, tableOf } from "./support/table.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: { snapshots: { flushDelayMs: 100, publishIntervalMs: 100 } } } });
const { object } = using;
const many = (count, make = (n) => ({ id: `d${`${n}`.padStart(4, "0")}`, n, title: `title ${n}`, nested: { n } })) => Array.from({ length: count }, (_, n) => make(n));
const archived = (it) => eventually("the alarm archives everything", async () => {
  const state = await it.syncState();
  return state.pendingChanges === 0 && state;
});

test("the alarm alone archives what is pending, change after change", async () => {
  const it = object();
  await it.import("films", many(100));
  assert.ok((await it.syncState()).pendingChanges > 0, "a flush starts only some time after the change");
  const state = await archived(it);
  assert.deepEqual([state.lastHotSequence, state.lastColdSequence, state.docId], [100, 100, it.name.split("/")[1]]);
  assert.ok(Math.abs(state.lastSyncTimestamp - Date.now()) < 60_000);
  await assertSame(it, "films");
  await it.patch("films", "d0005", { n: -5 });
  await it.remove("films", "d0006");
  assert.equal((await archived(it)).lastColdSequence, 102);
  await assertSame(it, "films");
});

test("the alarm goes on after an eviction and after a restart with changes pending", async () => {
  const it = object();
  await it.import("films", many(10));
  await it.evict();
  assert.equal((await archived(it)).lastColdSequence, 10);
  await it.put("films", "late", {});
  await using.worker.crash();
  await using.worker.restart();
  // Nobody asks the object anything: its alarm must fire by itself.
  const bucket = await using.worker.bucket();
  await eventually("the table moves on", async () => {
    const hint = await bucket.get(`iceberg/${it.name}/films/metadata/version-hint.text`);
    return Number(await hint.text()) === 2;
  });
  assert.equal((await archived(it)).lastColdSequence, 11);
  await assertSame(it, "films");
});

test("what lies in the bucket is a table of the Iceberg spec, version 2, under the keys of the contract", async () => {
  const it = object();
  await it.import("films", many(10));
  await it.sync();
  const bucket = await using.worker.bucket();
  const now = new Date();
  const month = `year=${now.getUTCFullYear()}/month=${`${now.getUTCMonth() + 1}`.padStart(2, "0")}`;
  const keys = await keysUnder(bucket, `iceberg/${it.name}/`);
  for (const collection of ["films", "films__changes"]) {
    const under = keys.filter((key) => key.startsWith(`iceberg/${it.name}/${collection}/`)).map((key) => key.slice(`iceberg/${it.name}/${collection}/`.length));
    const uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    const known = [new RegExp(`^data/${month}/${uuid}-\\d+\\.parquet$`), new RegExp(`^metadata/${uuid}-m\\d+\\.avro$`), new RegExp(`^metadata/snap-\\d+-${uuid}\\.avro$`), /^metadata\/v\d+\.metadata\.json$/, /^metadata\/version-hint\.text$/];
    for (const pattern of known) assert.equal(under.filter((key) => pattern.test(key)).length, 1, `${pattern} of ${under}`);
    assert.equal(under.length, known.length, `${under}`);

    const { version, metadata } = await tableOf(it, collection);
    assert.equal(version, 1);
    assert.equal(metadata["format-version"], 2);
    assert.equal(metadata.location, `s3://cold/iceberg/${it.name}/${collection}`);
    const [spec] = metadata["partition-specs"];
    const schema = metadata.schemas.find((each) => each["schema-id"] === metadata["current-schema-id"]);
    const source = schema.fields.find((field) => field.id === spec.fields[0]["source-id"]);
    assert.deepEqual([spec.fields.length, spec.fields[0].transform], [1, "month"]);
    assert.equal(source.type, "timestamptz");
    assert.equal(metadata.snapshots.length, 1);
    assert.equal(metadata.refs.main["snapshot-id"], metadata["current-snapshot-id"]);
    assert.equal(metadata.snapshots[0].summary["thermocline.sequence"], "10");
    if (collection === "films") {
      const ids = Object.fromEntries(schema.fields.map((field) => [field.name, field.id]));
      assert.deepEqual(ids, { id: 1, _seq: 2, _ts: 3, _extra: 4, n: 5, title: 6, nested: 7 });
      assert.deepEqual(schema["identifier-field-ids"], [1]);
    }
  }
  for (const key of keys) {
    const head = await bucket.head(key);
    assert.deepEqual([head.customMetadata.doType, `${head.customMetadata.doType}/${head.customMetadata.doId}`, head.customMetadata.version], ["demo", it.name, "10"], key);
  }
});

test("POST /sync archives at once and says what it did; a second one has nothing to do", async () => {
  const it = object();
  await it.import("films", many(50));
  const { success, changesSynced, bytesWritten, duration, newCursor, error } = await it.sync();
  assert.deepEqual([success, changesSynced, newCursor, error], [true, 50, 50, undefined]);
  assert.ok(bytesWritten > 1_000 && duration >= 0);
  const bucket = await using.worker.bucket();
  const before = await Promise.all((await keysUnder(bucket, `iceberg/${it.name}/`)).map(async (key) => (await bucket.head(key)).etag));
  for (const options of [{}, { force: false }, { force: true }, { targetTier: "cold", batchSize: 10 }]) {
    const again = await it.sync(options);
    assert.deepEqual([again.changesSynced, again.newCursor], [0, 50], JSON.stringify(options));
  }
  const after = await Promise.all((await keysUnder(bucket, `iceberg/${it.name}/`)).map(async (key) => (await bucket.head(key)).etag));
  assert.deepEqual(after, before);
  assertProblem(await it.call("POST", "/sync", { targetTier: "warm" }), 422, { pointers: ["/targetTier"] });
  assertProblem(await it.call("POST", "/sync", { batchSize: 0 }), 422, { pointers: ["/batchSize"] });
  assertProblem(await it.call("POST", "/sync", { forse: true }), 422, { pointers: ["/forse"] });
});

test("many calls of /sync at once, and writes meanwhile, commit each change once", async () => {
  const it = object();
  await it.import("films", many(100));
  const writing = (async () => { for (let n = 0; n < 30; n++) await it.put("films", `w${n}`, { n }); })();
  const results = await Promise.all(Array.from({ length: 5 }, () => it.sync()));
  for (const result of results) assert.ok(result.success && result.newCursor >= 100);
  await writing;
  await it.sync();
  await assertSame(it, "films");
  const changes = await sequencesIn(it, "films");
  assertEqualLists(changes, Array.from({ length: 130 }, (_, n) => n + 1));
});
