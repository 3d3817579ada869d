// Many hashes in one call, in workerd: lists of any form, their bad lines, and a hundred thousand of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, useWorker } from "./support/object.mjs";

const using = useWorker();
let tenants = 0;
const registry = () => using.object(`registry/b${++tenants}`);

const hash = (number) => [1n, 2n, 3n, 4n].map((salt) => BigInt.asUintN(64, (BigInt(number) + salt) * 0x9e3779b97f4a7c15n).toString(16).padStart(16, "0")).join("");
const asset = (assetId) => ({ assetId, manifestUrl: "m", imageUrl: "i", contentType: "image/png", fileSize: 5 });
const record = (assetId, number, more) => ({ assetId, pdqHash: hash(number), pdqQuality: 90, manifestLineage: {}, ...more });
const send = async (it, type, body, query = "") => (await it.ok("POST", `/hashes/batch${query}`, body, { "content-type": type })).body;
const counts = ({ imported, failed, skipped }) => [imported, failed, skipped];

test("a list makes each hash an asset of its own, once", async () => {
  const it = registry();
  const list = `# list\n${hash(1)}\npdq ${hash(2).toUpperCase()}\n${hash(1)}\n${hash(3).slice(1)}\n`;
  const report = await send(it, "text/plain", list, "?quality=70");
  assert.deepEqual([counts(report), report.errors.map((error) => error.line), report.lastSequence], [[2, 1, 1], [5], 4]);
  const { metadata, hashes } = (await it.ok("GET", `/records/pdq-${hash(2)}`)).body;
  assert.deepEqual([metadata.imageUrl, metadata.metadata, hashes.pdqQuality], [`urn:pdq:${hash(2)}`, { source: "import" }, 70]);
  assert.deepEqual(counts(await send(it, "text/plain", list)), [0, 1, 3]);
  assert.equal((await it.ok("GET", "/cdc")).body.cursor.sequence, 4, "the same list again changes nothing");
});

test("tables and lines of JSON are read, and their bad lines told", async () => {
  const it = registry();
  await it.ok("POST", "/assets", asset("a"));
  const table = `collab,signal_type,signal_str,category,tags\r\n"one, two",pdq,${hash(1)},X,\r\nx,video_md5,00,X,\r\n`;
  assert.deepEqual(counts(await send(it, "text/csv", table)), [1, 0, 1]);
  const lines = [record("a", 2), record("nobody", 3), record("a", 2, { pdqQuality: 101 })].map((line) => JSON.stringify(line)).join("\n");
  const report = await send(it, "application/x-ndjson", lines);
  assert.deepEqual([counts(report), report.errors.map((error) => error.line)], [[1, 2, 0], [2, 3]]);
  assertProblem(await it.call("POST", "/hashes/batch", `${hash(1)}\n`, { "content-type": "text/csv" }), 422, { detail: /names one of the columns/ });
  assertProblem(await it.call("POST", "/hashes/batch", "x", { "content-type": "application/xml" }), 415);
});

test("a body of JSON is stored whole or not at all, and once for a key", async () => {
  const it = registry();
  for (const id of ["a", "b"]) await it.ok("POST", "/assets", asset(id));
  const refused = await it.call("POST", "/hashes/batch", { hashes: [record("a", 1), record("nobody", 2)] });
  assertProblem(refused, 409, { pointers: ["/hashes/1"] });
  assert.equal(refused.headers.get("thermocline-rows-written"), "0");
  const key = { "idempotency-key": "once" };
  const body = { hashes: [record("a", 1), record("b", 2)] };
  const made = await it.ok("POST", "/hashes/batch", body, key);
  assert.deepEqual([counts(made.body), made.headers.get("thermocline-sequence")], [[2, 0, 0], "4"]);
  assert.deepEqual((await it.ok("POST", "/hashes/batch", body, key)).body, made.body);
});

test("a hundred thousand hashes are imported in one call, and found", async () => {
  const it = registry();
  const list = Array.from({ length: 100_000 }, (_, number) => `${hash(number)}\n`).join("");
  const answer = await it.ok("POST", "/hashes/batch", list, { "content-type": "text/plain" });
  assert.deepEqual(counts(answer.body), [100_000, 0, 0]);
  assert.ok(Number(answer.headers.get("thermocline-rows-written")) < 1_000, answer.headers.get("thermocline-rows-written"));
  const { matches } = (await it.ok("POST", "/hashes/search", { pdqHash: hash(54_321), maxDistance: 0 })).body;
  assert.deepEqual(matches.map((found) => found.assetId), [`pdq-${hash(54_321)}`]);
});
