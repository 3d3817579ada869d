// Reads of the past, in workerd: by time, from the hot log and from the bucket.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { assertProblem, useWorker } from "./support/object.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: { hot: { sealRows: 4, sealMinAgeMs: 0 } } } });

/** Makes changes, archiving after some; the documents at the times between them. */
async function history(it) {
  const moments = [];
  const state = new Map();
  for (let step = 0; step < 12; step++) {
    const id = `d${step % 5}`;
    if (step % 4 === 3) {
      await it.remove("docs", id);
      state.delete(id);
    } else {
      await it.put("docs", id, { step });
      state.set(id, { id, step });
    }
    await sleep(5);
    moments.push({ time: Date.now(), documents: [...state.values()].sort((left, right) => (left.id < right.id ? -1 : 1)) });
    await sleep(5);
    if (step % 5 === 4) await it.sync();
  }
  return moments;
}

test("every moment is read as it was, by query and by id, in either spelling", async () => {
  const it = using.object();
  const moments = await history(it);
  for (let round = 0; round < 2; round++) {
    for (const { time, documents } of moments) {
      assert.deepEqual(await it.rows("docs", { asOf: time }), documents);
      assert.deepEqual(await it.rows("docs", { asOf: new Date(time).toISOString(), limit: 2 }), documents, "page by page");
      const one = await it.get("docs", "d1", { asOf: time });
      const expected = documents.find(({ id }) => id === "d1");
      assert.equal(one.status, expected ? 200 : 404);
      if (expected) assert.deepEqual(one.body, expected);
    }
    await it.sync();
    await it.evict();
  }
  assert.deepEqual(await it.rows("docs", { asOf: moments[0].time - 60_000 }), [], "before the first document");
});

test("the future and what is no moment are refused", async () => {
  const it = using.object();
  await it.put("docs", "a", { n: 1 });
  const later = Date.now() + 60_000;
  assertProblem(await it.get("docs", "a", { asOf: later }), 422, { detail: /present/ });
  assertProblem(await it.query("docs", { asOf: later }), 422, { detail: /present/ });
  assertProblem(await it.get("docs", "a", { asOf: "yesterday" }), 400, { detail: /RFC 3339/ });
  assertProblem(await it.query("docs", { asOf: {} }), 422, { pointers: ["/asOf"] });
  assertProblem(await it.query("docs", { asOf: 1, tiers: ["cold"] }), 422, { pointers: ["/tiers"] });
  assert.equal((await it.get("docs", "a", { asOf: later - 120_000 })).status, 404);
});
