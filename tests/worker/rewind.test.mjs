// An object whose storage was rewound (point-in-time recovery) finds a bucket that is further than itself.
import assert from "node:assert/strict";
import { cpSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { eventually, useWorker } from "./support/object.mjs";
import { assertSame, assertWhole, tableOf } from "./support/table.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: { snapshots: { flushDelayMs: 600_000, publishIntervalMs: 50 }, cold: { icebergKeepSnapshots: 2 } } } });

/** The object's SQLite file with what belongs to it. */
const filesOf = (path) => readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)));

async function save(it) {
  const path = await using.worker.sqlitePath(it.name);
  await using.worker.crash();
  for (const name of filesOf(path)) cpSync(join(dirname(path), name), join(using.worker.persist, `saved-${name}`));
  await using.worker.restart();
}

async function rewind(it) {
  const path = await using.worker.sqlitePath(it.name);
  await using.worker.crash();
  for (const name of filesOf(path)) rmSync(join(dirname(path), name));
  const saved = readdirSync(using.worker.persist).filter((name) => name.startsWith(`saved-${basename(path)}`));
  for (const name of saved) cpSync(join(using.worker.persist, name), join(dirname(path), name.slice("saved-".length)));
  await using.worker.restart();
}

for (const commitsLost of [1, 3]) {
  test(`rewound by ${commitsLost} commits, it archives its present state over the bucket's and destroys nothing that is reached`, async () => {
    const it = using.object();
    await it.batch([{ op: "insert", collection: "films", doc: { id: "kept", n: 1 } }]);
    await it.sync();
    await save(it);
    for (let n = 0; n < commitsLost; n++) {
      await it.put("films", `lost-${n}`, { text: "x" });
      await it.sync();
    }
    const further = await tableOf(it, "films");
    assert.equal(further.version, 1 + commitsLost);
    await rewind(it);
    assert.deepEqual((await it.rows("films")).map((row) => row.id), ["kept"]);
    await it.put("films", "new", { other: 1.5 });
    await it.sync();
    // Snapshots that the lost commits expired are gone for good; the current one is not.
    const current = { current: true };
    const now = await assertWhole(it, "films", current);
    assert.ok(now.version > further.version, `version ${now.version} follows ${further.version}`);
    await assertSame(it, "films");
    // And it goes on from there.
    for (let n = 0; n < 3; n++) {
      await it.put("films", `more-${n}`, {});
      await it.sync();
      assert.equal((await assertWhole(it, "films", current)).version, now.version + n + 1);
      await assertWhole(it, "films__changes", current);
    }
    await assertSame(it, "films");
    await assertWhole(it, "films");
  });
}

test("a table whose version hint is gone is published again", async () => {
  const it = using.object();
  await it.put("films", "a", {});
  await it.sync();
  const bucket = await using.worker.bucket();
  await bucket.delete(`iceberg/${it.name}/films/metadata/version-hint.text`);
  await it.put("films", "b", {});
  await it.sync();
  await eventually("the hint", async () => (await tableOf(it, "films"))?.version === 2);
  await assertSame(it, "films");
});

test("a version hint that somebody else moved does not stop the object", async () => {
  const it = using.object();
  await it.put("films", "a", {});
  await it.sync();
  const bucket = await using.worker.bucket();
  for (const text of ["1", "0", "nonsense", ""]) {
    await bucket.put(`iceberg/${it.name}/films/metadata/version-hint.text`, text);
    await it.put("films", `b${text}`, {});
    await it.sync();
    await assertSame(it, "films");
  }
});
