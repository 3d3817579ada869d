// Killed in the middle of archiving, at every moment: nothing acknowledged is lost, no row is lost or doubled.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertContinuous, assertEqualLists, eventually, useWorker } from "./support/object.mjs";
import { assertSame, assertWhole, sequencesIn } from "./support/table.mjs";

/** Archiving by /sync alone, or by the alarm soon after a change. */
const config = (flushDelayMs) => ({ STORAGE_CONFIG: { snapshots: { flushDelayMs, publishIntervalMs: 50 }, cold: { icebergKeepSnapshots: 3 } } });
const byCall = config(600_000);
const byAlarm = config(20);
const using = useWorker({ vars: byCall });
const { object } = using;
const kills = 12;
const evictions = 6;
const documentsEach = 70;

/** What must be there: the documents that were acknowledged. */
class Model {
  documents = new Map();
  sequence = 0;

  async round(it, number) {
    const fresh = Array.from({ length: documentsEach }, (_, n) => ({ id: `r${number}-${n}`, round: number, n, text: "x".repeat(50) }));
    const imported = await it.import("films", fresh);
    assert.equal(imported.body.imported, documentsEach, imported.text);
    for (const document of fresh) this.documents.set(document.id, document);
    const ids = [...this.documents.keys()];
    const changed = ids.filter((_, position) => position % 7 === number % 7).slice(0, 35);
    const operations = changed.map((id, position) => (position % 3 ? { op: "update", collection: "films", id, doc: { changedIn: number } } : { op: "delete", collection: "films", id }));
    operations.push({ op: "upsert", collection: "marks", doc: { id: `${number}` } });
    const { body } = await it.ok("POST", "/batch", { operations });
    for (const { op, collection, id } of operations) {
      if (collection !== "films") continue;
      if (op === "delete") this.documents.delete(id);
      else this.documents.set(id, { ...this.documents.get(id), changedIn: number });
    }
    this.sequence = body.lastSequence;
  }
}

/** Everything that was acknowledged is there, in every tier, and nothing twice. */
async function assertIntact(it, model) {
  assertEqualLists(await it.rows("films"), [...model.documents.values()].sort((left, right) => (left.id < right.id ? -1 : 1)), "acknowledged documents");
  assertContinuous(await it.events({ documents: false }));
  await assertSame(it, "films", "marks");
  for (const collection of ["films", "marks", "films__changes", "marks__changes"]) await assertWhole(it, collection);
  const archived = [...await sequencesIn(it, "films"), ...await sequencesIn(it, "marks")].sort((left, right) => left - right);
  assertEqualLists(archived, Array.from({ length: (await it.syncState()).lastHotSequence }, (_, n) => n + 1), "archived events");
}

/** How far archiving was when workerd was killed, by the object's own tables. */
async function phase(path) {
  if (!existsSync(path)) return "nothing yet";
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const row = database.prepare("SELECT committed FROM cold_plan").get();
    return row === undefined ? "no plan" : row.committed ? "committed" : "planned";
  } catch {
    return "no plan";
  } finally {
    database.close();
  }
}

/** How long a flush takes that need not wait for the last one's pointers. */
async function timeOfSync(it) {
  await sleep(1_000);
  const started = performance.now();
  await it.sync();
  return performance.now() - started;
}

test(`killed ${kills} times in the middle of archiving, by /sync and by the alarm in turns`, async (context) => {
  const it = object();
  const model = new Model();
  await model.round(it, 1);
  await it.sync();
  await model.round(it, 2);
  const whole = await timeOfSync(it);
  const path = await using.worker.sqlitePath(it.name);
  const phases = {};
  for (let kill = 1; kill <= kills; kill++) {
    const alarm = kill % 2 === 0;
    await model.round(it, kill + 2);
    const archiving = alarm ? sleep(20) : it.sync().catch(() => {});
    await sleep((whole * kill) / kills);
    await using.worker.crash();
    await archiving;
    const found = `${alarm ? "alarm" : "sync"}, ${await phase(path)}`;
    phases[found] = (phases[found] ?? 0) + 1;
    await using.worker.restart({ vars: alarm ? byCall : byAlarm });
    if (alarm) await it.sync();
    else await eventually("the alarm archives what is left", async () => (await it.syncState()).pendingChanges === 0, 20_000);
    assert.equal((await it.syncState()).lastHotSequence, model.sequence, "what was acknowledged");
    if (kill === kills) await assertIntact(it, model);
    else await assertSame(it, "films");
  }
  context.diagnostic(`a flush took ${Math.round(whole)} ms; killed at: ${JSON.stringify(phases)}`);
});

test(`evicted ${evictions} times in the middle of archiving`, async () => {
  const it = object();
  const model = new Model();
  for (let eviction = 0; eviction < evictions; eviction++) {
    await model.round(it, eviction + 1);
    const archiving = it.call("POST", "/sync", {}).catch(() => {});
    await sleep(eviction * 30);
    await it.evict();
    // The new instance archives while the old one may still be at it.
    await it.sync();
    await archiving;
    assert.equal((await it.syncState()).lastHotSequence, model.sequence);
    await assertSame(it, "films");
  }
  await assertIntact(it, model);
});

test("killed in the middle of an import that nobody has heard back from: whole commits only, archived like all", async () => {
  const it = object();
  await it.put("films", "first", {});
  const lines = Array.from({ length: 30_000 }, (_, n) => ({ id: `i${n}`, n }));
  for (let kill = 0; kill < 3; kill++) {
    const before = (await it.syncState()).lastHotSequence;
    const importing = it.import("films", lines.map((line) => ({ ...line, id: `${kill}-${line.id}` }))).catch(() => {});
    await sleep(60 * kill + 30);
    await using.worker.crash();
    const heard = await importing;
    await using.worker.restart();
    const after = (await it.syncState()).lastHotSequence;
    assert.ok(after === before || after === before + lines.length, `${after - before} of ${lines.length} documents`);
    if (heard) assert.equal(after, before + lines.length);
    await it.sync();
    assert.equal((await it.rows("films", { tiers: ["cold"], select: ["id"], orderBy: [{ column: "id" }] })).length, after);
  }
  assertContinuous(await it.events({ documents: false }));
});
