// Each tier can be away: without a bucket hot works, without access nothing but /healthz, a bad configuration says so.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startWorker } from "./support/miniflare.mjs";
import { ObjectClient, assertContinuous, assertProblem, useWorker, workerWith } from "./support/object.mjs";

const scriptPath = process.env.THERMOCLINE_SCRIPT;
const without = useWorker({ bucket: false, vars: { STORAGE_CONFIG: { snapshots: { flushDelayMs: 20, publishIntervalMs: 20 } } } });

test("without the bucket everything hot works", async () => {
  const it = without.object();
  assert.equal((await it.insert("films", { id: "a", n: 1 })).status, 201);
  assert.equal((await it.put("films", "a", { n: 2 })).status, 200);
  assert.equal((await it.patch("films", "a", { n: 3 })).status, 200);
  assert.equal((await it.batch([{ op: "insert", collection: "films", doc: { id: "b" } }])).status, 200);
  assert.equal((await it.import("films", [{ id: "c" }, { id: "d" }])).body.imported, 2);
  assert.equal((await it.call("PUT", "/collections/typed", { columns: [{ name: "n", type: "int" }] })).status, 201);
  assert.deepEqual((await it.rows("films")).map((row) => row.id), ["a", "b", "c", "d"]);
  assert.equal((await it.query("films", { tiers: ["hot"] })).status, 200);
  assert.equal((await it.get("films", "a", { consistency: "cached" })).status, 200);
  assert.equal((await it.remove("films", "d")).status, 204);
  assert.equal((await it.ok("GET", "/collections")).body.items.length, 2);
  await it.evict();
  assertContinuous(await it.events());
  const state = await it.syncState();
  assert.deepEqual([state.lastHotSequence, state.lastColdSequence, state.pendingChanges], [7, 0, 7]);
  assert.equal((await it.call("DELETE", "/collections/films")).status, 204);
});

test("without the bucket, what needs it answers 503 with the reason", async () => {
  const it = without.object();
  await it.insert("films", { id: "a" });
  for (const answer of [
    await it.call("POST", "/sync"),
    await it.call("POST", "/sync", { force: true }),
    await it.query("films", { tiers: ["cold"] }),
    await it.get("films", "a", { tiers: "cold" }),
  ]) {
    assertProblem(answer, 503, { tier: /^cold$/, detail: /COLD/ });
    assert.match(answer.headers.get("retry-after"), /^\d+$/);
  }
});

test("a bucket that comes later gets everything", async () => {
  const { worker, it } = await workerWith({ bucket: false });
  await it.import("films", Array.from({ length: 20 }, (_, n) => ({ id: `${n}`, n })));
  await it.ok("DELETE", it.doc("films", "7"));
  const { persist } = worker;
  await worker.restart();
  const bound = await startWorker({ scriptPath, persist: `${persist}` });
  try {
    const again = new ObjectClient(() => bound, "demo/1");
    const { newCursor } = await again.sync();
    assert.equal(newCursor, 21);
    assert.equal((await again.rows("films", { tiers: ["cold"] })).length, 19);
  } finally {
    await bound.dispose();
  }
});

for (const [what, mode] of [["unset", undefined], ["jwt", "jwt"], ["empty", ""], ["unknown", "OFF"]]) {
  test(`with AUTH_MODE ${what}, every route but /healthz answers 401`, async () => {
    const { worker, it } = await workerWith({ vars: { AUTH_MODE: mode } });
    for (const [method, path, body] of [
      ["GET", ""], ["GET", "/collections"], ["GET", "/collections/films/docs/a"], ["GET", "/collections/films/docs/a?consistency=cached"],
      ["PUT", "/collections/films/docs/a", {}], ["POST", "/batch", { operations: [] }], ["GET", "/cdc"], ["POST", "/sync"], ["DELETE", "/collections/films"], ["GET", "/nothing"], ["PATCH", "/batch", {}],
    ]) {
      const answer = await it.call(method, path, body, { authorization: "Bearer x.y.z" });
      assertProblem(answer, 401, { tier: /^api$/ });
      assert.match(answer.headers.get("www-authenticate"), /^Bearer/);
    }
    for (const path of ["/", "/v1/x", "/nothing", "/healthz/x", "/Healthz", "/openapi", "/iceberg/v1/config"]) assert.equal((await worker.fetch(path)).status, 401, path);
    assert.equal((await worker.fetch("/healthz")).status, 200);
    assert.equal((await worker.fetch("/healthz", { method: "HEAD" })).status, 200);
    // It did nothing behind the refusal.
    await worker.restart({ vars: { AUTH_MODE: "off" } });
    assert.equal((await it.syncState()).lastHotSequence, 0);
  });
}

for (const [what, config, key] of [
  ["an unknown key", { snapshots: { flushDelay: 5 } }, /snapshots\.flushDelay/],
  ["a value out of range", { snapshots: { flushDelayMs: -1 } }, /snapshots\.flushDelayMs/],
  ["a value of another type", { cold: { icebergKeepSnapshots: "2" } }, /cold\.icebergKeepSnapshots/],
  ["text that is no JSON", "{", /STORAGE_CONFIG/],
  ["keys that contradict each other", { hot: { refuseAboveBytes: 1_048_576 } }, /hot\.evictAboveBytes.*hot\.refuseAboveBytes/],
  ["a key without effect here", { performance: { compressionLevel: 3 } }, /performance\.compressionLevel.*no levels/],
  ["a key of what is not there", { worm: { enabled: true } }, /worm\.enabled/],
  ["a key said twice", '{"cdc":{"maxBytes":1,"maxBytes":2}}', /cdc\.maxBytes/],
]) {
  test(`a STORAGE_CONFIG with ${what} answers 500 at once and names it`, async () => {
    const { worker, it } = await workerWith({ vars: { STORAGE_CONFIG: config } });
    for (const [method, path, body] of [["GET", ""], ["PUT", "/collections/films/docs/a", {}], ["POST", "/sync"]]) {
      assertProblem(await it.call(method, path, body), 500, { detail: key, tier: /^api$/, retryable: false });
    }
    // Who watches it is told, too.
    const told = async (path) => {
      const answer = await worker.fetch(path);
      const text = await answer.text();
      return { status: answer.status, headers: answer.headers, text, body: JSON.parse(text) };
    };
    assertProblem(await told("/nothing"), 500, { detail: key });
    assertProblem(await told("/healthz"), 503, { detail: key, tier: /^api$/ });
    // Repaired, the object is as it was.
    await worker.restart({ vars: { STORAGE_CONFIG: {} } });
    assert.equal((await it.put("films", "a", {})).status, 201);
    assert.equal((await worker.fetch("/healthz")).status, 200);
  });
}

test("a secret that can be guessed is refused by every request and by those who watch", async () => {
  const { worker, it } = await workerWith({ vars: { AUTH_MODE: undefined, AUTH_SECRET: "hunter2" } });
  const detail = /AUTH_SECRET to have at least 32 bytes, got 7/;
  assertProblem(await it.call("GET", ""), 500, { detail, tier: /^api$/, retryable: false });
  const health = await worker.fetch("/healthz");
  const text = await health.text();
  assertProblem({ status: health.status, headers: health.headers, text, body: JSON.parse(text) }, 503, { detail });
  assert.ok(!text.includes("hunter2"));
});

test("an object tells the values in effect, and no secret", async () => {
  const STORAGE_CONFIG = { hot: { sealRows: 7 } };
  const { it } = await workerWith({ vars: { STORAGE_CONFIG, AUTH_SECRET: "hunter2-".repeat(4) } });
  const { body, text } = await it.call("GET", "");
  assert.deepEqual([body.config.hot.sealRows, body.config.hot.sealBytes, body.config.cold.s3Endpoint], [7, 1_048_576, null]);
  assert.deepEqual(body.config.worm, { auditLogRetention: 730 }, "nothing of the others is in effect");
  assert.ok(!JSON.stringify(body).includes("hunter2") && !(text ?? "").includes("hunter2"));
});
