// The collision log in workerd: listed however long it is, its reviews bounded, and what is hidden hidden in it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, useWorker, workerWith } from "./support/object.mjs";
import { bearer, hs256 } from "./support/tokens.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: { query: { maxDecodedBytes: 1_048_576 } } } });

const HASH = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";
const asset = (assetId) => ({ assetId, manifestUrl: "https://m.example/1", imageUrl: "https://i.example/1", contentType: "image/png", fileSize: 5 });
const record = (assetId, lineage = {}) => ({ metadata: asset(assetId), hashes: { pdqHash: HASH, pdqQuality: 60, manifestLineage: lineage } });
const collision = (primaryAssetId, conflictingAssetId, more) => ({ primaryAssetId, conflictingAssetId, similarityScores: { pdq: 0.9 }, conflictType: "copy", lineageDiff: [], ...more });
const reading = (answer) => Number(answer.headers.get("thermocline-rows-read"));

test("a log beyond what a query may decode is listed page by page, for few rows each", async () => {
  const it = using.object("registry/long");
  for (const id of ["a", "b", "c"]) await it.ok("POST", "/records", record(id));
  const logged = [];
  for (let number = 0; number < 90; number += 1) {
    const entry = collision(number % 2 ? "a" : "b", "c", { lineageDiff: { padding: "x".repeat(30_000) } });
    logged.unshift((await it.ok("POST", "/collisions", entry)).body.collisionId);
  }
  const walk = async (query) => {
    const [found, costs] = [[], []];
    for (let cursor = ""; cursor !== undefined; ) {
      const page = await it.ok("GET", `/collisions?limit=20${query}${cursor}`);
      found.push(...page.body.items);
      costs.push(reading(page));
      cursor = page.body.cursor && `&cursor=${page.body.cursor}`;
    }
    return { found, costs };
  };
  const { found, costs } = await walk("");
  assert.deepEqual(found.map((one) => one.collisionId).sort(), [...logged].sort());
  const moments = found.map((one) => one.createdAt);
  assert.deepEqual(moments, [...moments].sort().reverse());
  assert.ok(Math.max(...costs) < 400, `rows read a page: ${costs}`);
  assert.equal((await walk("&primaryAssetId=a")).found.length, 45);
  assert.equal((await walk("&conflictingAssetId=a")).found.length, 0);
  const path = `/collisions/${found[70].collisionId}/reviews`;
  await it.ok("POST", path, { label: "suspicious", reviewedBy: "mia" });
  assert.deepEqual((await walk("&reviewerLabel=suspicious")).found.map((one) => one.collisionId), [found[70].collisionId]);
  console.log(`a page of 20 of 90 collisions reads ${costs[0]} rows`);
});

test("a collision has a thousand reviews at most, and each costs the same", async () => {
  const it = using.object("registry/reviewed");
  for (const id of ["a", "b"]) await it.ok("POST", "/records", record(id));
  const { collisionId } = (await it.ok("POST", "/collisions", collision("a", "b"))).body;
  const review = (notes) => it.call("POST", `/collisions/${collisionId}/reviews`, { label: "suspicious", reviewedBy: "mia", notes });
  const costs = [];
  for (let number = 0; number < 1_000; number += 1) {
    const answer = await review(`${number}`);
    assert.equal(answer.status, 201);
    costs.push(reading(answer));
  }
  assert.ok(costs.at(-1) <= costs[1] + 4, `rows read: ${costs[1]} at first, ${costs.at(-1)} at last`);
  const refused = await review("one more");
  assertProblem(refused, 409);
  assert.equal(refused.headers.get("thermocline-rows-written"), "0");
  const { reviews, reviewerNotes } = (await it.ok("GET", `/collisions/${collisionId}`)).body;
  assert.deepEqual([reviews.length, reviews[0].notes, reviewerNotes], [1_000, "0", "999"]);
});

const SECRET = "a secret of more than thirty-two bytes";
const as = (...roles) => bearer(hs256(SECRET, { roles }));
const masked = async (rules) => (await workerWith({ vars: { AUTH_MODE: undefined, AUTH_SECRET: SECRET, STORAGE_CONFIG: { security: { dataMasking: { rules } } } } }, "registry")).it;

test("what is hidden of reviews and of lineages is hidden in the log", async () => {
  const it = await masked([
    { collection: "collision_log", path: "reviewedBy" },
    { collection: "collision_log", path: "notes", with: "null" },
    { collection: "hash_records", path: "manifestLineage.issuerKeyId" },
  ]);
  const [admin, reader] = [as("admin"), as("reader")];
  await it.ok("POST", "/records", record("a", { issuerKeyId: "secret-one" }), admin);
  const { body } = await it.ok("POST", "/records?detect=true", record("b", { issuerKeyId: "secret-two" }), admin);
  const id = body.collisionIds[0];
  await it.ok("POST", `/collisions/${id}/reviews`, { label: "suspicious", reviewedBy: "secret-mia", notes: "secret-note" }, admin);
  const paths = [`/collisions/${id}`, "/collisions", "/collisions?consistency=cached", `/collections/collision_log/docs/${id}`, "/collections/collision_log/export", "/cdc"];
  for (const path of paths) {
    const [all, seen] = [await it.call("GET", path, undefined, admin), await it.call("GET", path, undefined, reader)];
    assert.deepEqual([all.status, seen.status], [200, 200], path);
    assert.match(all.text, /secret/, path);
    assert.doesNotMatch(seen.text, /secret/, path);
  }
  const one = (await it.call("GET", `/collisions/${id}`, undefined, reader)).body;
  assert.deepEqual([one.reviewerLabel, one.reviewedBy, one.reviewerNotes, one.lineageDiff], ["suspicious", "[redacted]", null, "[redacted]"]);
  assert.deepEqual([one.reviews[0].reviewedBy, one.reviews[0].notes], ["[redacted]", null]);
});

test("who may not see hashes is not told by the log how near they are", async () => {
  const it = await masked([{ collection: "hash_records", path: "pdqHash" }]);
  const [admin, reader] = [as("admin"), as("reader")];
  await it.ok("POST", "/records", record("a", { issuerKeyId: "one" }), admin);
  await it.ok("POST", "/records?detect=true", record("b", { issuerKeyId: "two" }), admin);
  for (const path of ["/collisions", "/collections/collision_log/export", "/cdc"]) {
    assert.match((await it.call("GET", path, undefined, admin)).text, /pdqDistance.*exact_copy/, path);
    assert.doesNotMatch((await it.call("GET", path, undefined, reader)).text, /pdqDistance|exact_copy/, path);
  }
});

test("a search or an insert does not tell what is hidden", async () => {
  const [admin, writer] = [as("admin"), as("writer")];
  for (const [path, refused, allowed] of [
    ["pdqHash", [["/hashes/search", { pdqHash: HASH }], ["/records?detect=true", record("c")]], [["/records", record("d")]]],
    ["manifestLineage", [["/records?detect=true", record("c")]], [["/hashes/search", { pdqHash: HASH }], ["/records", record("d")]]],
    ["pdqQuality", [["/hashes/search", { pdqHash: HASH, minQuality: 50 }], ["/hashes/search/batch", { queries: [{ pdqHash: HASH, minQuality: 1 }] }]], [["/hashes/search", { pdqHash: HASH }], ["/hashes/search", { pdqHash: HASH, minQuality: 0 }]]],
  ]) {
    const it = await masked([{ collection: "hash_records", path }]);
    await it.ok("POST", "/records", record("a"), admin);
    for (const [route, body] of refused) {
      const answer = await it.call("POST", route, body, writer);
      assertProblem(answer, 403);
      assert.equal(answer.headers.get("thermocline-rows-written"), "0", `${path}: ${route}`);
      assert.ok((await it.call("POST", route, body, admin)).status < 300, `${path}: ${route}`);
    }
    for (const [route, body] of allowed) assert.ok((await it.call("POST", route, body, writer)).status < 300, `${path}: ${route}`);
  }
});
