// Clean-up of a registry in workerd: by age, by steps, with events, and without a collision lost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertProblem, useWorker } from "./support/object.mjs";

const using = useWorker();
let tenants = 0;
const registry = () => using.object(`registry/c${++tenants}`);
const DAY_MS = 86_400_000;

const hash = (number) => number.toString(16).padStart(64, "0");
/** A record as if it had been made some days ago: by the documents' own routes, which may say so. */
async function made(it, id, days) {
  const at = new Date(Date.now() - days * DAY_MS).toISOString();
  const times = { createdAt: at, updatedAt: at };
  await it.ok("PUT", it.doc("asset_metadata", id), { id, metadataId: crypto.randomUUID(), manifestUrl: "m", imageUrl: "i", contentType: "c", fileSize: 1, uploadedAt: at, status: "pending", metadata: {}, ...times });
  await it.ok("PUT", it.doc("hash_records", id), { id, hashId: crypto.randomUUID(), pdqHash: hash(days), pdqQuality: 100, manifestLineage: {}, ...times });
}

test("what is older than 24 months goes, hashes first, and collisions stay", async () => {
  const it = registry();
  await it.ok("GET", "/assets");
  await it.ok("PUT", "/settings", {});
  for (const [id, days] of [["old", 800], ["older", 900], ["young", 700]]) await made(it, id, days);
  await it.ok("POST", "/collisions", { primaryAssetId: "old", conflictingAssetId: "young", similarityScores: 1, conflictType: "copy", lineageDiff: {} });
  const { version } = (await it.ok("GET", "")).body;
  const planned = (await it.ok("POST", "/cleanup", { dryRun: true })).body;
  assert.deepEqual(planned.deleted, { hashes: 2, assets: 2 });
  const { body } = await it.ok("POST", "/cleanup");
  assert.deepEqual([body.deleted, body.kept, body.more], [{ hashes: 2, assets: 2 }, { youngerHash: 0 }, false]);
  const events = await it.events({ after: version });
  assert.deepEqual(events.map(({ collection, documentId, operation, source }) => [collection, documentId, operation, source]), [
    ["hash_records", "old"], ["hash_records", "older"], ["asset_metadata", "old"], ["asset_metadata", "older"],
  ].map(([collection, id]) => [collection, id, "DELETE", "cleanup"]));
  assert.deepEqual((await it.ok("GET", "/assets")).body.items.map((asset) => asset.assetId), ["young"]);
  assert.equal((await it.ok("GET", "/collisions")).body.items.length, 1);
  assert.deepEqual((await it.ok("POST", "/cleanup", { days: 699 })).body.deleted, { hashes: 1, assets: 1 });
});

test("a call does as much as it may, over rows and segments, and says that there is more", async () => {
  const it = registry();
  const list = Array.from({ length: 900 }, (_, number) => `${hash(number)}\n`).join("");
  await it.ok("POST", "/hashes/batch", list, { "content-type": "text/plain" });
  await sleep(5);
  assert.deepEqual((await it.ok("POST", "/cleanup", { days: 1 })).body.deleted, { hashes: 0, assets: 0 });
  for (let number = 0; number < 3; number += 1) await made(it, `old-${number}`, 10);
  const [calls, moments] = [[], new Set()];
  let cursor;
  do {
    const { body } = await it.ok("POST", "/cleanup", { days: 5, limit: 4, ...(cursor && { cursor }) });
    calls.push(body.deleted);
    moments.add(body.before);
    assert.equal(body.more, body.cursor !== undefined);
    if (cursor) for (const other of [{ days: 6, limit: 4, cursor }, { days: 5, cursor: "x" }]) assertProblem(await it.call("POST", "/cleanup", other), 422, { pointers: ["/cursor"] });
    cursor = body.cursor;
  } while (cursor);
  assert.deepEqual([calls, moments.size], [[{ hashes: 3, assets: 1 }, { hashes: 0, assets: 2 }], 1]);
  assert.equal((await it.ok("GET", "/hashes/stats")).body.keys, 900);
  for (const [body, pointers] of [[{ days: 0 }, ["/days"]], [{ limit: 10_001 }, ["/limit"]], [{ months: 1 }, ["/months"]]]) {
    assertProblem(await it.call("POST", "/cleanup", body), 422, { pointers });
  }
});
