// A bucket that answers 429, 500 or 503, or whose objects are damaged or gone, in workerd: told with tier and operation, the
// hot tier unharmed, and it goes on by itself when the cause goes. tests/hostile_bucket.rs has the same natively, and more.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, assertEqualLists, assertProblem, eventually, useWorker } from "./support/object.mjs";
import { Faults } from "./support/flaky-bucket.mjs";
import { keysUnder } from "./support/table.mjs";

const faults = new Faults();
const hot = { sealRows: 50, sealMinAgeMs: 0, evictAboveBytes: 1 };
// Without retries, so that a fault is told at once, and without the cache, so that the bucket is read.
const storage = { hot, snapshots: { flushDelayMs: 50, publishIntervalMs: 0 }, timeouts: { retries: 0 }, performance: { queryCaching: false } };
const using = useWorker({ faults, vars: { STORAGE_CONFIG: storage } });
const passing = new Faults();
const patient = useWorker({ faults: passing, vars: { STORAGE_CONFIG: { ...storage, timeouts: { retries: 5, retryDelayMs: 50 } } } });

const document = (number) => ({ id: `d${String(number).padStart(5, "0")}`, n: number });
const documents = Array.from({ length: 120 }, (_, number) => document(number));

/** An object whose documents are in the bucket alone. */
async function evicted() {
  const it = using.object();
  // Batches that become rows, and are sealed: what a batch makes a segment of at once stays until its log is trimmed.
  for (let from = 0; from < 120; from += 60) {
    await it.batch(documents.slice(from, from + 60).map((doc) => ({ op: "insert", collection: "docs", doc })));
  }
  await eventually("eviction", async () => (await it.ok("GET", "/collections/docs")).body.forms.cold === 120, 30_000);
  return it;
}

for (const status of [429, 500, 503]) {
  test(`a bucket that answers ${status} is unavailable, and what is hot is not`, async () => {
    const it = await evicted();
    faults.status = status;
    try {
      for (const [answer, operation] of [
        [await it.get("docs", "d00001"), /^get object$/],
        [await it.put("docs", "d00001", { n: 0 }), /^get object$/],
        [await it.query("docs", { where: { n: { eq: 3 } } }), /^get object$/],
      ]) {
        assertProblem(answer, 503, { tier: /^cold$/, operation, retryable: true });
        assert.match(answer.headers.get("retry-after"), /^\d+$/);
        assert.doesNotMatch(answer.text, /1000|internal error|rate/, "what the bucket said is for the log alone");
      }
      assert.equal((await it.put("docs", "new", { n: 1 })).status, 201);
      assert.equal((await it.insert("docs", document(7))).status, 409, "that it exists is known without the bucket");
      assert.deepEqual((await it.get("docs", "new")).body, { id: "new", n: 1 });
      assertProblem(await it.call("POST", "/sync"), 503, { tier: /^cold$/, operation: /^put object$/, retryable: true });
      // The alarm tries again by itself, and not at once.
      const calls = faults.total;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      assert.ok(faults.total - calls <= 2, `${faults.total - calls} calls in a second`);
    } finally {
      faults.status = 0;
    }
    assert.deepEqual((await it.get("docs", "d00001")).body, document(1));
    await it.sync();
    const all = [...documents, { id: "new", n: 1 }];
    assertEqualLists(await it.rows("docs"), all);
    assertEqualLists(await it.rows("docs", { tiers: ["cold"] }), all);
    assertContinuous(await it.events());
  });
}

test("a failure that passes is met with another try, within the request", async () => {
  const it = patient.object();
  await it.put("docs", "a", { n: 1 });
  await it.sync();
  passing.status = 503;
  const calls = passing.total;
  setTimeout(() => (passing.status = 0), 120);
  assert.equal((await it.query("docs", { tiers: ["cold"] })).status, 200);
  assert.ok(passing.total - calls >= 3, `${passing.total - calls} calls: the first failed, and so did the next after 25 to 50 ms`);
  passing.status = 503;
  try {
    assertProblem(await it.query("docs", { tiers: ["cold"] }), 503, { tier: /^cold$/, operation: /^get object$/, retryable: true });
  } finally {
    passing.status = 0;
  }
});

test("without an answer the alarm goes on archiving once there is one", async () => {
  const it = using.object();
  faults.status = 500;
  try {
    await it.put("docs", "a", { n: 1 });
    const calls = faults.total;
    await eventually("a try", () => faults.total > calls);
  } finally {
    faults.status = 0;
  }
  assert.equal((await it.syncState()).lastColdSequence, 0);
  // A change that comes meanwhile waits for the end of the pause, 20 s.
  await it.put("docs", "b", { n: 2 });
  await eventually("archiving", async () => (await it.syncState()).pendingChanges === 0, 30_000);
});

test("metadata, manifests and a version hint that are damaged or of another table stop nothing", async () => {
  const it = await evicted();
  const bucket = await it.worker.bucket();
  const folder = `iceberg/${it.name}/docs/metadata/`;
  const other = await (await bucket.get(`iceberg/${it.name}/docs__changes/metadata/v1.metadata.json`)).text();
  const keys = await keysUnder(bucket, folder);
  for (const key of keys) await bucket.put(key, key.endsWith(".avro") ? "not Avro" : key.endsWith(".text") ? "x" : other);
  const table = `/iceberg/v1/namespaces/${it.name.replace("/", "%1F")}/tables/docs`;
  const load = () => it.worker.json("GET", table);
  assert.equal((await load()).status, 500);
  await bucket.put(`${folder}version-hint.text`, String(keys.filter((key) => key.endsWith(".json")).length));
  const { status, body } = await load();
  assert.equal(status, 500, "the metadata of another table is not handed out");
  assert.match(body.error.message, /metadata/);
  assert.deepEqual((await it.get("docs", "d00001")).body, document(1));
  assertEqualLists(await it.rows("docs", { tiers: ["cold"] }), documents);
  await it.put("docs", "new", { n: 1 });
  await it.sync();
  assert.equal((await load()).status, 200, "the next commit's metadata is whole");
  assertEqualLists(await it.rows("docs", { tiers: ["cold"] }), [...documents, { id: "new", n: 1 }]);
});
