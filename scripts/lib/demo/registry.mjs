// The demo's asset registry: hashes of real images are registered, near ones found, a collision detected, logged and reviewed.
import { readFileSync } from "node:fs";
import { Failure } from "../failure.mjs";
import { at } from "../paths.mjs";
import { call } from "./requests.mjs";
import { count, step } from "./steps.mjs";

const path = "/v1/registry/studio";
/** The hash whose neighbours are shown, and what is registered by somebody else. */
const shown = 0;
const requestsAtOnce = 16;

/** PDQ hashes of real images, several of each: rotated, cropped, compressed. */
const realHashes = () => readFileSync(at("benches", "similarity", "pdq-hashes.txt"), "utf8").split("\n").filter((line) => /^[0-9a-f]{64}$/.test(line));

const differingBits = (one, other) => {
  let differing = 0;
  for (let bits = BigInt(`0x${one}`) ^ BigInt(`0x${other}`); bits > 0n; bits &= bits - 1n) differing += 1;
  return differing;
};

const record = (assetId, pdqHash, issuerKeyId) => ({
  metadata: { assetId, manifestUrl: `https://example.org/${assetId}.c2pa`, imageUrl: `https://example.org/${assetId}.jpg`, contentType: "image/jpeg", fileSize: 48_213 },
  hashes: { pdqHash, pdqQuality: 100, manifestLineage: { issuerKeyId } },
});

async function ask(worker, method, route, body) {
  return JSON.parse((await call(worker, method, `${path}${route}`, { body: body && JSON.stringify(body) })).text);
}

async function register(worker, hashes, bar) {
  let next = 0;
  const registerSome = async () => {
    while (next < hashes.length) {
      const number = next++;
      await ask(worker, "POST", "/records", record(`image-${number}`, hashes[number], "studio-key"));
      bar.update(next / hashes.length, `${count(next)} records`);
    }
  };
  await Promise.all(Array.from({ length: requestsAtOnce }, registerSome));
  return `${count(hashes.length)} hashes of real images, each with its asset`;
}

/** Searches by the object, and compares with looking at every hash. */
async function searchNear(worker, hashes) {
  const answer = await ask(worker, "POST", "/hashes/search", { pdqHash: hashes[shown] });
  const expected = hashes
    .map((hash, number) => ({ assetId: `image-${number}`, distance: differingBits(hash, hashes[shown]) }))
    .filter(({ distance }) => distance <= 31)
    .sort((one, other) => one.distance - other.distance || (one.assetId < other.assetId ? -1 : 1));
  const found = answer.matches.map(({ assetId, distance }) => ({ assetId, distance }));
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Failure(`near image-${shown}: found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
  return answer;
}

async function review(worker, collisionId) {
  const notes = "The same picture, signed by somebody else.";
  await ask(worker, "POST", `/collisions/${collisionId}/reviews`, { label: "suspicious", notes, reviewedBy: "mia.k@example.org" });
  const collision = await ask(worker, "GET", `/collisions/${collisionId}`);
  const refused = await worker.fetch(`${path}/collections/collision_log/docs/${collisionId}`, { method: "DELETE", headers: { connection: "close" } });
  const { detail } = JSON.parse(await refused.text());
  if (refused.status !== 403) throw new Failure(`a collision was deleted: ${refused.status}`);
  return { collision, detail };
}

/** Registers, searches, detects and reviews; what there is to show of it. */
export async function useRegistry(worker) {
  const hashes = realHashes();
  await step("register images", (bar) => register(worker, hashes, bar));
  const result = {};
  await step("find near duplicates", async () => {
    result.near = await searchNear(worker, hashes);
    return `${result.near.matches.length} within 31 bits of image-${shown}, as by comparing all`;
  });
  await step("detect and review a collision", async () => {
    const made = await ask(worker, "POST", "/records?detect=true", record("image-of-another", hashes[shown], "another-key"));
    result.reviewed = await review(worker, made.collisionIds[0]);
    return `${made.collisionIds.length} logged; the nearest is reviewed, and cannot be deleted`;
  });
  return result;
}

export function printRegistry({ near, reviewed: { collision, detail } }) {
  const matches = near.matches.slice(0, 4).map(({ assetId, distance }) => `${assetId} (${distance})`);
  const more = near.matches.length - matches.length;
  console.log(`
  Near image-${shown}, by how many of 256 bits differ; ${count(near.stats.distances)} distances computed.
    ${matches.join(", ")}${more > 0 ? `, and ${more} more` : ""}
  The same hash, registered by another issuer.
    collision        ${collision.primaryAssetId} with ${collision.conflictingAssetId}, ${collision.conflictType.kind}, lineage ${JSON.stringify(collision.lineageDiff)}
    review           ${collision.reviewerLabel}, by ${collision.reviewedBy}: ${collision.reviewerNotes}
    deleting it      403: ${detail}`);
}
