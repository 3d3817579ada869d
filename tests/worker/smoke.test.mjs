// The built worker starts and says that it is well; the helper the other tests lean on does what it says.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { startWorker } from "./support/miniflare.mjs";

let worker;
before(async () => { worker = await startWorker(); });
after(() => worker.dispose());

test("GET /healthz is 200", async () => {
  assert.equal((await worker.fetch("/healthz")).status, 200);
});

test("the bucket is there and keeps what is put", async () => {
  const bucket = await worker.bucket();
  await bucket.put("smoke", "kept");
  await worker.crash();
  await worker.restart();
  assert.equal(await (await (await worker.bucket()).get("smoke")).text(), "kept");
});

test("a crash ends workerd and a restart brings it back", async () => {
  const killed = worker.pid();
  await worker.crash();
  assert.equal(existsSync(`/proc/${killed}`), false);
  await worker.restart();
  assert.notEqual(worker.pid(), killed);
  assert.equal((await worker.fetch("/healthz")).status, 200);
});

test("an evicted object answers again", async () => {
  await worker.fetch("/v1/demo/1");
  await worker.evict("demo/1");
  assert.ok((await worker.fetch("/v1/demo/1")).status < 500);
});
