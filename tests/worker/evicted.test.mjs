// Documents that are only in the bucket, in workerd over its R2: read, queried, written, and missed when it is away.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, assertEqualLists, assertProblem, eventually, useWorker } from "./support/object.mjs";
import { keysUnder } from "./support/table.mjs";

const hot = { sealRows: 50, sealMinAgeMs: 0, evictAboveBytes: 1 };
const using = useWorker({ vars: { STORAGE_CONFIG: { hot, snapshots: { flushDelayMs: 50, publishIntervalMs: 0 } } } });

const document = (number) => ({ id: `d${String(number).padStart(5, "0")}`, city: ["Bern", "Köln", "Oslo"][number % 3], n: number, big: 9007199254740991 - number });
const documents = (from, count) => Array.from({ length: count }, (_, position) => document(from + position));
const forms = async (it) => (await it.ok("GET", "/collections/docs")).body.forms;

/** An object whose documents, `count` of them, are evicted. */
async function evicted(count) {
  const it = using.object();
  for (let from = 0; from < count; from += 60) {
    await it.batch(documents(from, Math.min(60, count - from)).map((doc) => ({ op: "insert", collection: "docs", doc })));
  }
  await eventually("eviction", async () => (await forms(it)).cold === count, 30_000);
  return it;
}

test("evicted documents read, query and page as before, also after a restart of the object", async () => {
  const it = await evicted(240);
  for (let round = 0; round < 2; round++) {
    assert.deepEqual((await it.get("docs", "d00123")).body, document(123));
    assert.equal((await it.get("docs", "d00999")).status, 404);
    assertEqualLists(await it.rows("docs", { limit: 70 }), documents(0, 240));
    const bern = await it.rows("docs", { where: { city: { eq: "Bern" } }, orderBy: [{ column: "n", direction: "desc" }], limit: 50 });
    assertEqualLists(bern, documents(0, 240).filter(({ city }) => city === "Bern").reverse());
    const { body } = await it.query("docs", { aggregates: [{ as: "rows", fn: "count" }, { as: "sum", fn: "sum", column: "n" }] });
    assert.deepEqual(body.rows, [{ rows: 240, sum: (239 * 240) / 2 }]);
    assert.equal((await it.query("docs", { tiers: ["hot"] })).body.rows.length, 0);
    await it.evict();
  }
});

test("evicted documents are changed and deleted, with complete images", async () => {
  const it = await evicted(120);
  const { body: patched } = await it.ok("PATCH", it.doc("docs", "d00005"), { city: "Rom" });
  assert.deepEqual(patched, { ...document(5), city: "Rom" });
  assert.equal((await it.remove("docs", "d00006")).status, 204);
  assert.equal((await it.insert("docs", document(7))).status, 409);
  const events = await it.events();
  assertContinuous(events);
  assert.deepEqual(events.slice(-2).map(({ before }) => before), [document(5), document(6)]);
  await it.sync();
  const expected = documents(0, 120).filter(({ n }) => n !== 6).map((doc) => (doc.n === 5 ? patched : doc));
  assertEqualLists(await it.rows("docs"), expected);
  assertEqualLists(await it.rows("docs", { tiers: ["cold"] }), expected, "cold");
});

test("a file that is gone or damaged is told with tier and operation, and harms nothing else", async () => {
  const it = await evicted(120);
  const bucket = await it.worker.bucket();
  const keys = (await keysUnder(bucket, `iceberg/${it.name}/docs/data/`));
  const whole = new Map();
  for (const key of keys) whole.set(key, await (await bucket.get(key)).arrayBuffer());
  await bucket.delete(keys);
  assertProblem(await it.get("docs", "d00001"), 500, { tier: /^cold$/, detail: /restore/ });
  for (const key of keys) await bucket.put(key, whole.get(key).slice(0, 50));
  assertProblem(await it.get("docs", "d00001"), 500, { tier: /^cold$/ });
  assertProblem(await it.query("docs", { where: { n: { eq: 3 } } }), 500, { tier: /^cold$/ });
  assert.equal((await it.put("docs", "new", { n: 1 })).status, 201);
  assert.deepEqual((await it.get("docs", "new")).body, { id: "new", n: 1 });
  for (const key of keys) await bucket.put(key, whole.get(key));
  assert.deepEqual((await it.get("docs", "d00001")).body, document(1));
});
