// The asset registry in workerd: records, search, detection, collisions and reviews, two tenants side by side.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, eventually, useWorker } from "./support/object.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: { snapshots: { flushDelayMs: 50, publishIntervalMs: 0 } } } });
let tenants = 0;
const registry = () => using.object(`registry/t${++tenants}`);

const HASH = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";
const ID = "0192d3f0-0000-7000-8000-000000000000";
const asset = (assetId, more) => ({ assetId, manifestUrl: "https://m.example/1", imageUrl: "https://i.example/1", contentType: "image/png", fileSize: 5, ...more });
const hashes = (issuerKeyId, more) => ({ pdqHash: HASH, pdqQuality: 100, manifestLineage: { issuerKeyId }, ...more });
const record = (assetId, issuerKeyId = "k1", more) => ({ metadata: asset(assetId), hashes: hashes(issuerKeyId, more) });
const collision = (primaryAssetId, conflictingAssetId) => ({ primaryAssetId, conflictingAssetId, similarityScores: { pdq: 0.9 }, conflictType: "copy", lineageDiff: [] });
/** A hash with some of its last bits flipped. */
const flipped = (bits) => HASH.slice(0, 48) + (BigInt(`0x${HASH.slice(48)}`) ^ ((1n << BigInt(bits)) - 1n)).toString(16).padStart(16, "0");
const found = ({ matches }) => matches.map(({ assetId, distance }) => [assetId, distance]);

/** It is refused, and writes no row. */
async function refused(it, status, ...request) {
  const answer = await it.call(...request);
  assertProblem(answer, status);
  assert.equal(answer.headers.get("thermocline-rows-written"), "0", `${request[0]} ${request[1]} wrote`);
  return answer.body;
}

test("a record is stored whole, read, changed and deleted", async () => {
  const it = registry();
  const made = (await it.ok("POST", "/records", record("a", "k1", { pdqHash: HASH.toUpperCase(), embeddingConfidence: 0.9876 }))).body;
  const { metadata, hashes } = (await it.ok("GET", "/records/a")).body;
  assert.deepEqual([metadata.metadataId, metadata.assetId, metadata.tenantId, metadata.status], [made.metadataId, "a", it.name.split("/")[1], "pending"]);
  assert.deepEqual([hashes.hashId, hashes.pdqHash, hashes.embeddingConfidence], [made.hashId, HASH, 0.9876]);
  assert.deepEqual((await it.events()).map(({ collection, operation }) => [collection, operation]), [["asset_metadata", "INSERT"], ["hash_records", "INSERT"]]);
  assert.equal((await it.ok("PATCH", "/assets/a", { status: "done" })).body.status, "done");
  assert.deepEqual((await it.ok("GET", "/assets?status=done")).body.items.map((one) => one.assetId), ["a"]);
  assert.deepEqual((await it.ok("GET", "/hashes?issuerKeyId=k1")).body.items.map((one) => one.assetId), ["a"]);
  const again = await it.call("POST", "/records", record("b"), { "idempotency-key": "one" });
  const replayed = await it.call("POST", "/records", record("b"), { "idempotency-key": "one" });
  assert.deepEqual([replayed.status, replayed.body, replayed.headers.get("idempotency-replayed")], [201, again.body, "true"]);
  assert.equal((await it.ok("DELETE", "/records/a")).status, 204);
  await refused(it, 404, "GET", "/records/a");
});

test("a record and a search cost few rows", async () => {
  const it = registry();
  await it.ok("POST", "/records", record("a"));
  const written = async (...request) => Number((await it.ok(...request)).headers.get("thermocline-rows-written"));
  // The asset with two entries of indexes, the hash with four, and their record in the log.
  assert.equal(await written("POST", "/records", record("b")), 9);
  await it.ok("POST", "/records?detect=true", record("c", "k2"));
  // Each of three collisions with four entries of indexes, and their record in the log.
  assert.equal(await written("POST", "/records?detect=true", record("d", "k3")), 9 + 3 * 5 + 1);
  await it.ok("POST", "/hashes/search", { pdqHash: HASH });
  const search = await it.ok("POST", "/hashes/search", { pdqHash: HASH });
  assert.deepEqual([search.headers.get("thermocline-rows-written"), search.body.stats.rowsRead <= 2], ["0", true]);
});

test("what cannot be is refused, and writes nothing", async () => {
  const [it, other] = [registry(), registry()];
  await it.ok("POST", "/records", record("a"));
  await it.ok("POST", "/records", record("b"));
  await other.ok("POST", "/records", record("c"));
  const id = (await it.ok("POST", "/collisions", collision("a", "b"))).body.collisionId;
  const wrong = (body, pointers) => [422, "POST", "/records", body, pointers];
  const cases = [
    [409, "POST", "/records", record("a")],
    wrong(record("x", "k", { pdqHash: HASH.slice(1) }), ["/hashes/pdqHash"]),
    wrong(record("x", "k", { pdqHash: `${HASH}0` }), ["/hashes/pdqHash"]),
    wrong(record("x", "k", { pdqHash: HASH.replace("f", "g") }), ["/hashes/pdqHash"]),
    wrong(record("x", "k", { pdqQuality: 101 }), ["/hashes/pdqQuality"]),
    wrong(record("x", "k", { embeddingConfidence: 1.00001 }), ["/hashes/embeddingConfidence"]),
    wrong({ ...record("x"), metadata: asset("x", { fileSize: -1 }) }, ["/metadata/fileSize"]),
    wrong({ ...record("x"), metadata: asset("x", { tenantId: "other" }) }, ["/metadata/tenantId"]),
    [409, "POST", "/hashes", { assetId: "nobody", ...hashes("k") }],
    [409, "POST", "/hashes", { assetId: "c", ...hashes("k") }],
    [409, "POST", "/collisions", collision("a", "c")],
    [404, "GET", "/records/c"],
    [404, "GET", "/hashes/c"],
    [422, "POST", "/hashes/search", { pdqHash: HASH, maxDistance: 256 }, ["/maxDistance"]],
    [422, "POST", "/hashes/search", { pdqHash: HASH, k: 0 }, ["/k"]],
    [404, "POST", `/collisions/${ID}/reviews`, { label: "suspicious", reviewedBy: "r" }],
    [422, "POST", `/collisions/${id}/reviews`, { label: "suspicious", reviewedBy: "r", notes: "x".repeat(1_001) }, ["/notes"]],
    [422, "POST", `/collisions/${id}/reviews`, { label: "fine", reviewedBy: "r" }, ["/label"]],
  ];
  for (const [status, method, path, body, pointers] of cases) {
    const problem = await refused(it, status, method, path, body);
    if (pointers) assert.deepEqual(problem.errors.map((error) => error.pointer), pointers);
  }
  await refused(other, 404, "GET", `/collisions/${id}`);
  const label = await it.call("POST", `/collisions/${id}/reviews`, { label: "fine", reviewedBy: "r" });
  assert.match(label.text, /benign_variant, suspicious, not_similar, false_positive/);
});

test("near hashes are found by who has just stored them, and after an eviction", async () => {
  const [it, other] = [registry(), registry()];
  for (const [id, bits] of [["z", 0], ["b", 3], ["a", 3], ["c", 31], ["d", 32]]) {
    await it.ok("POST", "/records", record(id, "k", { pdqHash: flipped(bits) }));
    const { body } = await it.ok("POST", "/hashes/search", { pdqHash: flipped(bits), maxDistance: 0 });
    assert.ok(body.matches.some((match) => match.assetId === id), `${id} is not found`);
  }
  const near = [["z", 0], ["a", 3], ["b", 3], ["c", 31]];
  assert.deepEqual(found((await it.ok("POST", "/hashes/search", { pdqHash: HASH })).body), near);
  assert.deepEqual(found((await other.ok("POST", "/hashes/search", { pdqHash: HASH })).body), []);
  const { results } = (await it.ok("POST", "/hashes/search/batch", { queries: [{ pdqHash: HASH, k: 2 }, { pdqHash: flipped(32), maxDistance: 1 }] })).body;
  assert.deepEqual(results.map(found), [near.slice(0, 2), [["d", 0], ["c", 1]]]);
  await eventually("the index is packed", async () => (await it.ok("GET", "/hashes/stats")).body.packedThrough > 0);
  await it.ok("DELETE", "/hashes/a");
  await it.evict();
  assert.deepEqual(found((await it.ok("POST", "/hashes/search", { pdqHash: HASH })).body), [near[0], near[2], near[3]]);
  const { before, after } = (await it.ok("POST", "/hashes/compact")).body;
  assert.deepEqual([before.removed, after.removed, after.keys], [1, 0, 4]);
  assert.deepEqual(found((await it.ok("POST", "/hashes/search", { pdqHash: HASH, k: 2 })).body), [near[0], near[2]]);
});

test("near embeddings are found by who has just stored them, and after an eviction", async () => {
  const it = registry();
  const embedding = (n) => [Math.cos(n / 10), Math.sin(n / 10), 0.5];
  await refused(it, 422, "POST", "/records", record("a", "k", { embedding: embedding(0) }));
  await refused(it, 409, "POST", "/embeddings/search", { vector: embedding(0) });
  await it.ok("PUT", "/settings", { embedding: { dimension: 3 } });
  for (let n = 0; n < 40; n += 1) await it.ok("POST", "/records", record(`a${n}`, "k", { embedding: embedding(n) }));
  const near = async () => (await it.ok("POST", "/embeddings/search", { vector: embedding(7.2), k: 3 })).body;
  const ids = ({ matches }) => matches.map(({ assetId }) => assetId);
  const first = await near();
  assert.deepEqual(ids(first), ["a7", "a8", "a6"]);
  assert.deepEqual([first.stats.vectors, first.stats.exact], [40, true]);
  assert.ok(first.matches[0].score > 0.999);
  assert.deepEqual(ids((await it.ok("POST", "/embeddings/search", { assetId: "a20", k: 1, metric: "l2" })).body), ["a20"]);
  await refused(it, 422, "POST", "/records", record("b", "k", { embedding: [1, 2] }));
  await refused(it, 422, "POST", "/records", record("b", "k", { embedding: [0, 0, 0] }));
  await refused(it, 422, "POST", "/embeddings/search", { vector: [1, 2] });
  for (const bad of [{ k: 0 }, { k: 1_001 }, { metric: "hamming" }, { vector: embedding(0).map(() => 0) }, { assetId: "a20" }, { oversample: 0 }]) {
    await refused(it, 422, "POST", "/embeddings/search", { vector: embedding(0), ...bad });
  }
  await refused(it, 409, "PUT", "/settings", { embedding: { dimension: 5 } });
  const bytes = (numbers) => Buffer.from(new Float32Array(numbers).buffer).toString("base64");
  for (const bad of [[1, 2], embedding(0).map(() => Number.NaN), embedding(0).map(() => 0)]) {
    await refused(it, 422, "PATCH", "/collections/hash_records/docs/a20", { embedding: bytes(bad) });
  }
  await refused(it, 409, "PUT", "/settings", { embedding: { dimension: 4 } });
  await it.ok("DELETE", "/hashes/a7");
  await it.evict();
  assert.deepEqual(ids(await near()), ["a8", "a6", "a9"]);
});

test("an insert finds what it collides with, logs it up to a bound, and says so", async () => {
  const it = registry();
  await it.ok("PUT", "/settings", { detection: { collisionsMax: 3 } });
  for (let bits = 0; bits < 5; bits += 1) await it.ok("POST", "/records", record(`a${bits}`, "k1", { pdqHash: flipped(bits) }));
  const { body } = await it.ok("POST", "/records?detect=true", record("b", "k2"));
  assert.deepEqual(body.detection, { found: 5, logged: 3, notLogged: 2, notCompared: 0, qualityTooLow: false });
  assert.deepEqual(found(body), [["a0", 0], ["a1", 1], ["a2", 2]]);
  const logged = (await it.ok("GET", "/collisions?primaryAssetId=b")).body.items;
  assert.deepEqual(logged.map((one) => one.conflictingAssetId).sort(), ["a0", "a1", "a2"]);
  const first = (await it.ok("GET", `/collisions/${body.collisionIds[0]}`)).body;
  assert.deepEqual(first.lineageDiff, { issuerKeyId: { primary: "k2", conflicting: "k1" } });
  assert.deepEqual([first.conflictType.kind, first.similarityScores], ["exact_copy", { pdqDistance: 0, pdqSimilarity: 1 }]);
});

test("collisions are reviewed, and nothing changes or deletes them", async () => {
  const it = registry();
  await it.ok("POST", "/records", record("a"));
  await it.ok("POST", "/records", record("b"));
  const snapshot = (await it.ok("POST", "/snapshots", { type: "full" })).body.id;
  const id = (await it.ok("POST", "/collisions", collision("a", "b"))).body.collisionId;
  await it.ok("POST", `/collisions/${id}/reviews`, { label: "suspicious", reviewedBy: "mia.k@example.org", notes: "looks alike" });
  await it.ok("POST", `/collisions/${id}/reviews`, { label: "benign_variant", reviewedBy: "bo", resolved: true });
  const read = (await it.ok("GET", `/collisions/${id}`)).body;
  assert.deepEqual([read.reviewerLabel, read.reviewedBy, read.reviews.map((one) => one.reviewedBy)], ["benign_variant", "bo", ["mia.k@example.org", "bo"]]);
  assert.deepEqual((await it.ok("GET", "/collisions?reviewerLabel=benign_variant")).body.items.length, 1);
  assert.deepEqual((await it.ok("GET", "/collisions?reviewerLabel=suspicious")).body.items, []);
  const entries = await it.rows("collision_log");
  assert.equal(entries.length, 3);
  const docs = `/collections/collision_log/docs`;
  for (const [method, path, body] of [
    ["POST", docs, {}], ["PUT", `${docs}/${id}`, {}], ["PATCH", `${docs}/${id}`, {}], ["DELETE", `${docs}/${id}`],
    ["POST", "/batch", { operations: [{ op: "delete", collection: "collision_log", id }] }],
    ["PUT", "/collections/collision_log", {}], ["DELETE", "/collections/collision_log"], ["DELETE", ""],
    ["POST", `/snapshots/${snapshot}/restore`, { collections: ["collision_log"] }],
  ]) {
    const problem = await refused(it, 403, method, path, body);
    if (path.startsWith(docs)) assert.match(problem.detail, /WORM/);
  }
  const imported = await it.import("collision_log", [{ id: "x" }]);
  assertProblem(imported, 403);
  await refused(it, 409, "POST", `/snapshots/${snapshot}/restore`, { collections: ["asset_metadata"] });
  const { body: job } = await it.ok("POST", `/snapshots/${snapshot}/restore`, {});
  const ended = await eventually("the end of the restore", async () => {
    const { body } = await it.ok("GET", `/jobs/${job.id}`);
    return body.state === "running" ? undefined : body;
  }, 20_000);
  assert.equal(ended.state, "done", JSON.stringify(ended));
  assert.deepEqual(await it.rows("collision_log"), entries);
});

test("engines read the three tables", async () => {
  const it = registry();
  await it.ok("PUT", "/settings", { embedding: { dimension: 2 } });
  await it.ok("POST", "/records", record("a", "k1", { embedding: [0.5, -1] }));
  await it.ok("POST", "/records", record("b", "k2"));
  await it.ok("POST", "/collisions", collision("a", "b"));
  await it.sync();
  for (const [collection, count] of [["asset_metadata", 2], ["hash_records", 2], ["collision_log", 1]]) {
    assert.equal((await it.rows(collection, { tiers: ["cold"] })).length, count, collection);
  }
  const { columns } = (await it.ok("GET", "/collections/hash_records")).body;
  const types = Object.fromEntries(columns.map(({ name, type }) => [name, type]));
  assert.deepEqual([types.pdqQuality, types.embedding, types.embeddingConfidence, types.hashId], ["int", "binary", "decimal(5,4)", "uuid"]);
});
