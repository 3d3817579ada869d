// Values that are kept for a time, in workerd: any bytes, by class, gone when their time has passed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertProblem, eventually, useWorker } from "./support/object.mjs";

const using = useWorker();
const TEXT = { "content-type": "text/plain" };
let tenants = 0;
const registry = () => using.object(`registry/v${++tenants}`);

test("values of any kind are stored by class and key, as one row, and survive a wake", async () => {
  const it = registry();
  await it.ok("PUT", "/temp/first", "x", TEXT);
  const bytes = Uint8Array.from({ length: 1_000_000 }, (_, place) => place % 251);
  const put = await it.ok("PUT", "/temp/a%2Fb", bytes, { "content-type": "image/png" });
  assert.equal(put.headers.get("thermocline-rows-written"), "1");
  await it.ok("PUT", "/temp/a%2Fb?class=session", "other", TEXT);
  await it.evict();
  const answer = await it.worker.fetch(`${it.path}/temp/a%2Fb`);
  assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), bytes);
  assert.deepEqual([answer.headers.get("content-type"), answer.headers.get("x-content-type-options")], ["image/png", "nosniff"]);
  assert.ok(Date.parse(answer.headers.get("expires")) > Date.now() + 200_000);
  assert.equal((await it.ok("GET", "/temp/a%2Fb?class=session")).text, "other");
  await it.ok("DELETE", "/temp/a%2Fb");
  assertProblem(await it.call("GET", "/temp/a%2Fb"), 404);
  assert.equal((await it.ok("GET", "/temp/a%2Fb?class=session")).text, "other");
  assert.equal((await it.ok("GET", "/cdc")).body.events.length, 0);
  assertProblem(await it.call("PUT", "/temp/k", new Uint8Array(1_000_001)), 413);
  assertProblem(await it.call("PUT", "/temp/k?class=document", "x"), 400);
  assertProblem(await using.object().call("GET", "/temp/k"), 404);
});

test("what has passed is never answered, and is removed by the alarm", async () => {
  const it = registry();
  await it.ok("PUT", "/temp/long", "stays", TEXT);
  await it.ok("PUT", "/temp/short?ttlSecs=1", "x".repeat(900_000), TEXT);
  const size = async () => (await it.ok("GET", "/metrics")).body.hot.databaseBytes;
  const full = await size();
  await eventually("it passes", async () => (await it.call("GET", "/temp/short")).status === 404, 3_000);
  const rowsRead = async () => Number((await it.ok("GET", "/temp/long")).headers.get("thermocline-rows-read"));
  assert.ok((await rowsRead()) <= 2);
  await sleep(10_500);
  // Its pages are free again: what comes next takes no more room.
  await it.ok("PUT", "/temp/next", "y".repeat(850_000), TEXT);
  assert.ok((await size()) < full + 400_000, `${full} bytes, then ${await size()}`);
  assert.equal((await it.ok("GET", "/temp/long")).text, "stays");
});
