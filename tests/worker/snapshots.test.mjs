// Named snapshots and restores, in workerd over its R2 and by its alarms.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, assertEqualLists, assertProblem, eventually, useWorker } from "./support/object.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: { snapshots: { flushDelayMs: 50, publishIntervalMs: 0 }, hot: { sealRows: 50, sealMinAgeMs: 0 } } } });

const document = (number, city = "Bern") => ({ id: `d${String(number).padStart(5, "0")}`, n: number, city });
const documents = (count) => Array.from({ length: count }, (_, number) => document(number));

async function restored(it, snapshot, body = {}) {
  const { status, body: job, headers } = await it.call("POST", `/snapshots/${snapshot.id}/restore`, body);
  assert.equal(status, 202, JSON.stringify(job));
  assert.match(headers.get("location"), new RegExp(`/jobs/${job.id}$`));
  return eventually("the end of the restore", async () => {
    const { body: now } = await it.ok("GET", `/jobs/${job.id}`);
    assert.ok(now.progress.done <= now.progress.total, JSON.stringify(now));
    return now.state === "running" ? undefined : now;
  }, 30_000);
}

test("a snapshot is made, listed, read as of, restored and deleted", async () => {
  const it = using.object();
  assert.equal((await it.import("docs", documents(3_000))).status, 200);
  await it.put("notes", "one", { text: "é" });
  const made = await it.call("POST", "/snapshots", { type: "full", label: "first" });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const snapshot = made.body;
  assert.equal(made.headers.get("location"), `/v1/${it.name}/snapshots/${snapshot.id}`);
  assert.deepEqual([snapshot.version, snapshot.sequence, snapshot.metadata.rowCount], [1, 3_001, 3_001]);
  assert.deepEqual((await it.ok("GET", "/snapshots")).body, { items: [snapshot] });
  assert.deepEqual((await it.ok("GET", `/snapshots/${snapshot.id}`)).body, snapshot);

  await it.call("DELETE", "/collections/docs");
  await it.put("notes", "one", { text: "changed" });
  await it.put("more", "x", {});
  await it.sync();
  await it.evict();
  assertEqualLists(await it.rows("docs", { asOf: snapshot.id, limit: 1_000 }), documents(3_000));
  assert.equal((await it.get("notes", "one", { asOf: snapshot.id })).body.text, "é");

  const job = await restored(it, snapshot);
  assert.equal(job.state, "done", JSON.stringify(job));
  assertEqualLists(await it.rows("docs", { limit: 1_000 }), documents(3_000));
  assert.equal((await it.get("notes", "one")).body.text, "é");
  assert.equal((await it.call("GET", "/collections/more")).status, 404);
  const events = await it.events();
  assertContinuous(events);
  assert.equal(events.filter(({ source }) => source === `snapshot:${snapshot.id}`).length, 3_000 + 1 + 1);

  assert.equal((await it.call("DELETE", `/snapshots/${snapshot.id}`)).status, 204);
  assertProblem(await it.call("GET", `/snapshots/${snapshot.id}`), 404, { tier: /cold/ });
  assertProblem(await it.get("notes", "one", { asOf: snapshot.id }), 404, { tier: /cold/ });
});

test("an incremental snapshot is restored into another object", async () => {
  const [it, other] = [using.object(), using.object()];
  await it.import("docs", documents(200));
  await it.ok("POST", "/snapshots", { type: "full" });
  await it.put("docs", "d00007", document(7, "Oslo"));
  await it.remove("docs", "d00008");
  const { body: snapshot } = await it.ok("POST", "/snapshots", { type: "incremental" });
  assert.equal(snapshot.metadata.rowCount, 2);
  const expected = await it.rows("docs", { limit: 1_000 });
  await it.put("docs", "d00009", document(9, "Rom"));
  await other.put("docs", "here", { already: true });
  const job = await restored(it, snapshot, { into: other.name });
  assert.equal(job.state, "done", JSON.stringify(job));
  assertEqualLists(await other.rows("docs", { limit: 1_000 }), expected);
  assert.equal((await it.get("docs", "d00009")).body.city, "Rom", "the object itself is as it was");
  assertContinuous(await other.events());
});

test("what cannot be done is told, and routes between objects are none of a client's", async () => {
  const it = using.object();
  await it.put("docs", "a", {});
  assertProblem(await it.call("POST", "/snapshots", { type: "incremental" }), 409, { tier: /cold/, detail: /full/ });
  assertProblem(await it.call("POST", "/snapshots", { type: "some" }), 422);
  assertProblem(await it.call("GET", "/snapshots/none"), 404, { tier: /api/ });
  assertProblem(await it.call("GET", "/jobs/0192d3f0-0000-7000-8000-000000000000"), 404, { tier: /api/ });
  const { body: snapshot } = await it.ok("POST", "/snapshots", { type: "full" });
  assertProblem(await it.call("POST", `/snapshots/${snapshot.id}/restore`, { into: "nowhere" }), 422, { pointers: ["/into"] });
  const internal = await it.worker.fetch(`/internal/${it.name}/restores`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
  assert.equal(internal.status, 404);
});
