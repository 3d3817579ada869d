// POST /maintenance in workerd: what the alarm would do is done at once, told, and changes no answer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertEqualLists, assertProblem, useWorker, workerWith } from "./support/object.mjs";

// Alarms come late, so that maintenance is what is asked for.
const STORAGE_CONFIG = { snapshots: { flushDelayMs: 86_400_000, publishIntervalMs: 0 }, hot: { sealRows: 100, sealMinAgeMs: 0, maxUnmergedSegments: 4 } };
const using = useWorker({ vars: { STORAGE_CONFIG } });

const document = (n) => ({ id: `d${String(n).padStart(5, "0")}`, n });
const batch = (it, from, count) => it.batch(Array.from({ length: count }, (_, n) => ({ op: "insert", collection: "docs", doc: document(from + n) })));

test("what is due is done and told, and then nothing is left", async () => {
  const it = using.object();
  for (let from = 0; from < 800; from += 80) await batch(it, from, 80);
  const expected = await it.rows("docs");
  await it.get("docs", "d00001", { consistency: "cached" });
  const { body } = await it.ok("POST", "/maintenance");
  assert.deepEqual(Object.keys(body).sort(), ["cacheCleanup", "cleanupResults", "compactionResults"]);
  const { cleanupResults: cleanup, compactionResults: compaction, cacheCleanup: cache } = body;
  assert.ok(compaction.merges >= 1 && compaction.segmentsAfter < compaction.segmentsBefore, JSON.stringify(body));
  assert.ok(compaction.cold.filesAfter >= 2 && compaction.cold.bytesAfter > compaction.cold.bytesBefore, JSON.stringify(body));
  assert.deepEqual([cleanup.expiredDocuments, cleanup.keptAnswerDays, cleanup.error], [0, 0, undefined]);
  assert.deepEqual([cache.bumped, cache.generationAfter - cache.generationBefore], [true, 1]);
  assert.equal((await it.syncState()).pendingChanges, 0, "what waited is archived and published");
  assertEqualLists(await it.rows("docs"), expected);
  let again;
  for (let round = 0; round < 5; round++) again = (await it.ok("POST", "/maintenance", {})).body;
  assert.deepEqual([again.cleanupResults.more, again.compactionResults.more, again.cacheCleanup.bumped], [false, false, false]);
  assert.deepEqual([again.compactionResults.seals, again.compactionResults.merges, again.cleanupResults.trimmedEvents], [0, 0, 0]);
  assertEqualLists(await it.rows("docs"), expected);
});

test("after maintenance the next cached read is the object's", async () => {
  const it = using.object();
  await it.put("docs", "a", { n: 1 });
  const how = async () => (await it.get("docs", "a", { consistency: "cached" })).headers.get("thermocline-cache");
  assert.deepEqual([await how(), await how()], ["miss", "hit"]);
  await it.ok("POST", "/maintenance");
  assert.deepEqual([await how(), await how()], ["miss", "hit"]);
});

test("calls at once, beside writes and archiving, answer 200 or 409 and lose nothing", async () => {
  const it = using.object();
  for (let from = 0; from < 400; from += 80) await batch(it, from, 80);
  const calls = Array.from({ length: 4 }, () => it.call("POST", "/maintenance"));
  const writes = [batch(it, 1_000, 80), batch(it, 2_000, 80), it.sync(), it.put("docs", "z", {})];
  for (const answer of await Promise.all(calls)) {
    if (answer.status !== 200) assertProblem(answer, 409, { tier: /^hot$/ });
  }
  await Promise.all(writes);
  assert.equal((await it.rows("docs")).length, 400 + 160 + 1);
  assert.equal((await it.call("POST", "/maintenance")).status, 200);
});

test("without a bucket the parts of the bucket say so", async () => {
  const { it } = await workerWith({ bucket: false });
  await batch(it, 0, 10);
  const { body } = await it.ok("POST", "/maintenance");
  for (const part of [body.cleanupResults, body.compactionResults]) assert.match(part.cold.skipped, /COLD/);
});

test("what is no request for maintenance is refused", async () => {
  const it = using.object();
  await it.put("docs", "a", {});
  const before = await it.snapshot();
  for (const [method, path, body, status] of [
    ["GET", "/maintenance", undefined, 405], ["POST", "/maintenance", { force: true }, 422], ["POST", "/maintenance", "[]", 422],
    ["POST", "/maintenance", "{", 400], ["POST", "/maintenance?force=1", undefined, 400],
  ]) assertProblem(await it.call(method, path, body), status);
  assert.deepEqual(await it.snapshot(), before);
});
