// Cached reads of a registry's records: of what is kept of their documents, and never of what a write has changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, eventually, useWorker, workerWith } from "./support/object.mjs";
import { bearer, hs256 } from "./support/tokens.mjs";

const using = useWorker();
let tenants = 0;
const registry = () => using.object(`registry/c${++tenants}`);

const HASH = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";
const asset = (assetId, more) => ({ assetId, manifestUrl: "https://m.example/1", imageUrl: "https://i.example/1", contentType: "image/png", fileSize: 5, ...more });
const hashes = (more) => ({ pdqHash: HASH, pdqQuality: 100, manifestLineage: { issuerKeyId: "k" }, ...more });
const record = (assetId, more) => ({ metadata: asset(assetId, more), hashes: hashes() });
const cached = (it, path, headers) => it.call("GET", `${path}?consistency=cached`, undefined, headers);
const how = (answer) => answer.headers.get("thermocline-cache");
const PATHS = ["/records/a", "/assets/a", "/hashes/a"];

/** A registry with the record a, whose reads are all kept. */
async function warmed() {
  const it = registry();
  await it.ok("POST", "/records", record("a"));
  assert.equal(how(await cached(it, "/records/a")), "miss");
  for (const path of PATHS) assert.equal(how(await cached(it, path)), "hit", `${path}: of the same documents`);
  return it;
}

test("what is cached is told as what is read, and is kept as the documents that it is of", async () => {
  const it = registry();
  await it.ok("POST", "/records", record("a"));
  for (const path of PATHS) {
    const strong = await it.ok("GET", path);
    const [first, second] = [await cached(it, path), await cached(it, path)];
    assert.deepEqual([how(strong), how(second)], [null, "hit"], path);
    for (const answer of [first, second]) {
      assert.deepEqual([answer.status, answer.text], [200, strong.text], path);
      assert.equal(answer.headers.get("etag"), strong.headers.get("etag"), path);
      assert.equal(answer.headers.get("content-type"), strong.headers.get("content-type"));
      const internal = [...answer.headers.keys()].filter((name) => /^thermocline-(?!cache$|request-id$|rows-read$|rows-written$|sequence$)/.test(name));
      assert.deepEqual(internal, []);
    }
    assert.deepEqual([second.headers.get("thermocline-rows-read"), second.headers.get("thermocline-rows-written")], ["0", "0"]);
  }
  const stored = await it.get("hash_records", "a");
  const kept = await it.get("hash_records", "a", { consistency: "cached" });
  assert.deepEqual([how(kept), kept.text], ["hit", stored.text]);
  assertProblem(await it.call("GET", "/records/a?consistency=eventual"), 400);
  assertProblem(await it.call("GET", "/records/a?consistency=cached&x=1"), 400);
  const head = await it.call("HEAD", "/records/a?consistency=cached");
  assert.equal(head.status, 200);
  const conditional = await cached(it, "/assets/a", { "if-none-match": '"99"' });
  assert.equal(conditional.text, (await it.ok("GET", "/assets/a")).text, "it goes to the object, and is shaped there");
});

const doc = (it, collection, patch) => it.patch(collection, "a", patch);
for (const [what, write, expected] of [
  ["a PATCH of the asset", (it) => it.call("PATCH", "/assets/a", { status: "seen" }), "seen"],
  ["a PATCH of its document", (it) => doc(it, "asset_metadata", { status: "seen" }), "seen"],
  ["a PATCH of the hash's document", (it) => doc(it, "hash_records", { pdqQuality: 7 }), 7],
  ["a batch", (it) => it.batch([{ op: "update", collection: "hash_records", id: "a", doc: { pdqQuality: 7 } }]), 7],
  ["a batch of both documents", (it) => it.batch([{ op: "update", collection: "hash_records", id: "a", doc: { pdqQuality: 7 } }, { op: "update", collection: "asset_metadata", id: "a", doc: { status: "x" } }]), 7],
  ["a large batch", (it) => it.batch(Array.from({ length: 8 }, (_, n) => ({ op: "update", collection: "hash_records", id: "a", doc: { pdqQuality: n } }))), 7],
  ["an import", async (it) => it.import("hash_records", [{ ...(await it.get("hash_records", "a")).body, pdqQuality: 7 }], { mode: "upsert" }), 7],
  ["a DELETE of the hash's document", (it) => it.remove("hash_records", "a"), null],
  ["a DELETE of the hash", (it) => it.call("DELETE", "/hashes/a"), null],
  ["a DELETE of the record", (it) => it.call("DELETE", "/records/a"), undefined],
  ["a clean-up", async (it) => {
    await doc(it, "asset_metadata", { uploadedAt: "2001-01-01T00:00:00Z", createdAt: "2001-01-01T00:00:00Z" });
    await doc(it, "hash_records", { createdAt: "2001-01-01T00:00:00Z" });
    await cached(it, "/records/a");
    return it.call("POST", "/cleanup", {});
  }, undefined],
  ["the erasing of the object", (it) => it.call("DELETE", ""), undefined],
  ["a clean-up that finds nothing", (it) => it.call("POST", "/cleanup", {}), "pending"],
]) {
  test(`after ${what} the next cached read is of now`, async () => {
    const it = await warmed();
    const done = await write(it);
    assert.ok(done.status < 300, `${done.status} ${done.text}`);
    for (const headers of [undefined, { "min-sequence": done.headers.get("thermocline-sequence") ?? "0" }]) {
      const answer = await cached(it, "/records/a", headers);
      if (expected === undefined) {
        assertProblem(answer, 404);
        continue;
      }
      const { metadata, hashes: read } = answer.body;
      if (expected === null) assert.equal(read, null);
      else assert.ok([metadata.status, read.pdqQuality].includes(expected), answer.text);
      assert.equal(answer.text, (await it.ok("GET", "/records/a")).text);
    }
  });
}

test("that a record is not there is remembered until it is made", async () => {
  for (const make of [
    (it) => it.call("POST", "/records", record("a")),
    (it) => it.call("POST", "/assets", asset("a")),
    (it) => it.call("POST", "/hashes/batch", { hashes: [{ assetId: "b", ...hashes() }] }).then(() => it.call("POST", "/assets", asset("a"))),
  ]) {
    const it = registry();
    await it.ok("POST", "/assets", asset("b"));
    for (const expected of ["miss", "hit"]) {
      const answer = await cached(it, "/records/a");
      assertProblem(answer, 404);
      assert.equal(how(answer), expected);
    }
    const made = await make(it);
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers.get("location"), `/v1/${it.name}/records/a`);
    assert.equal((await cached(it, "/records/a")).body.metadata.assetId, "a");
  }
});

test("that a record is not there is believed for some seconds only", async () => {
  const it = await warmed();
  await cached(it, "/records/none");
  assert.equal(how(await cached(it, "/records/none")), "hit");
  await eventually("it is asked for again", async () => how(await cached(it, "/records/none")) === "miss", 8_000);
});

test("a restored record is read as it was restored, once the data centre asks for the generation again", async () => {
  const it = await warmed();
  const { id } = (await it.ok("POST", "/snapshots", { type: "full" })).body;
  await it.ok("PATCH", "/assets/a", { status: "seen" });
  for (const expected of ["miss", "hit"]) assert.equal(how(await cached(it, "/records/a")), expected);
  const job = (await it.ok("POST", `/snapshots/${id}/restore`, {})).body;
  await eventually("it is restored", async () => (await it.ok("GET", `/jobs/${job.id}`)).body.state === "done");
  await eventually("it is seen", async () => (await cached(it, "/records/a")).body.metadata.status === "pending", 12_000);
});

test("Min-Sequence passes over what is older, whichever route wrote", async () => {
  const it = await warmed();
  let sequence = 2;
  for (const write of [() => it.ok("PATCH", "/assets/a", { status: "x" }), () => doc(it, "hash_records", { pdqQuality: 7 }), () => it.put("others", "o", {})]) {
    await write();
    const least = { "min-sequence": `${++sequence}` };
    const answers = [await cached(it, "/records/a", least), await cached(it, "/records/a", least)];
    assert.deepEqual(answers.map((answer) => [answer.status, how(answer)]), [[200, "miss"], [200, "hit"]]);
  }
  assertProblem(await cached(it, "/records/a", { "min-sequence": `${sequence + 1}` }), 412);
  assertProblem(await cached(it, "/records/a", { "min-sequence": "x" }), 400);
});

test("a record without a hash gets the one that is inserted", async () => {
  const it = registry();
  await it.ok("POST", "/assets", asset("a"));
  for (const expected of ["miss", "hit"]) {
    const answer = await cached(it, "/records/a");
    assert.deepEqual([how(answer), answer.body.hashes], [expected, null]);
  }
  await it.ok("POST", "/hashes", { assetId: "a", ...hashes() });
  assert.equal((await cached(it, "/records/a")).body.hashes.pdqHash, HASH);
});

test("two tenants with the same asset never see each other's", async () => {
  const [one, other] = [registry(), registry()];
  await one.ok("POST", "/records", record("a", { contentType: "image/one" }));
  await other.ok("POST", "/records", record("a", { contentType: "image/other" }));
  for (let round = 0; round < 3; round++) {
    for (const [it, expected] of [[one, "image/one"], [other, "image/other"]]) {
      const { metadata } = (await cached(it, "/records/a")).body;
      assert.deepEqual([metadata.contentType, metadata.tenantId], [expected, it.name.split("/")[1]]);
    }
  }
});

test("a record is kept whole, and shown to each as they may", async () => {
  const SECRET = "a secret of more than thirty-two bytes";
  const rules = [{ collection: "asset_metadata", path: "imageUrl", show: ["writer"] }, { collection: "hash_records", path: "manifestLineage.owner", show: ["writer"] }];
  const vars = { AUTH_MODE: undefined, AUTH_SECRET: SECRET, STORAGE_CONFIG: { security: { dataMasking: { rules } } } };
  const as = (...roles) => bearer(hs256(SECRET, { roles }));
  const [admin, reader] = [as("admin"), as("reader")];
  const { it } = await workerWith({ vars }, "registry");
  const secret = { metadata: asset("a", { imageUrl: "secret-url" }), hashes: hashes({ manifestLineage: { owner: "secret-owner" } }) };
  await it.ok("POST", "/records", secret, admin);
  for (const path of PATHS) {
    assert.doesNotMatch((await cached(it, path, reader)).text, /secret/);
    assert.match((await cached(it, path, admin)).text, /secret/);
    const again = await cached(it, path, reader);
    assert.doesNotMatch(again.text, /secret/);
    assert.equal(how(again), "hit");
    assert.doesNotMatch((await cached(it, path, { ...reader, "if-none-match": '"99"' })).text, /secret/);
  }
  assertProblem(await cached(it, "/records/a", {}), 401);
});

test("pages of collisions are kept by what was asked, until the log grows", async () => {
  const it = registry();
  for (const id of ["a", "b"]) await it.ok("POST", "/records", record(id));
  const collision = { primaryAssetId: "a", conflictingAssetId: "b", similarityScores: [1], conflictType: "copy", lineageDiff: {} };
  const id = (await it.ok("POST", "/collisions", collision)).body.collisionId;
  const page = (query = "") => it.call("GET", `/collisions?consistency=cached${query}`);
  const strong = (query = "") => it.ok("GET", `/collisions?limit=100${query}`);
  const queries = ["", "&primaryAssetId=a", "&reviewerLabel=suspicious", "&primaryAssetId=b"];
  const isOfNow = async (query) => assert.equal((await page(query)).text, (await strong(query)).text, query);
  for (const query of queries) {
    assert.equal(how(await page(query)), "miss", query);
    assert.equal(how(await page(query)), "hit", query);
    await isOfNow(query);
  }
  for (const [what, grow] of [
    ["a review", () => it.ok("POST", `/collisions/${id}/reviews`, { label: "suspicious", reviewedBy: "mia" })],
    ["another collision", () => it.ok("POST", "/collisions", { ...collision, primaryAssetId: "b", conflictingAssetId: "a" })],
    ["an insert that detects", () => it.ok("POST", "/records?detect=true", { metadata: asset("c"), hashes: hashes({ manifestLineage: { issuerKeyId: "other" } }) })],
    ["a record with its collision", () => it.ok("POST", "/records", { ...record("d"), collision: { ...collision, primaryAssetId: "d" } })],
  ]) {
    await grow();
    for (const query of queries) await isOfNow(query);
    for (const query of queries) assert.equal(how(await page(query)), "hit", `${what}, ${query}`);
  }
  await it.ok("POST", "/records", record("e"));
  assert.equal(how(await page()), "hit", "an insert without a collision leaves them");
  assertProblem(await page("&limit=0"), 400);
  assertProblem(await it.call("GET", "/collisions?consistency=never"), 400);
});
