// Eight clients at once, evictions, sealing, merging and archiving in between: what each was told is what the change feed
// says, and replaying the feed makes the state.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertContinuous, assertEqualLists, useWorker } from "./support/object.mjs";
import { assertSame, assertWhole } from "./support/table.mjs";

const hot = { sealRows: 8, sealMinAgeMs: 0, directBatch: 6, maxUnmergedSegments: 2 };
const using = useWorker({ vars: { STORAGE_CONFIG: { hot, snapshots: { flushDelayMs: 100, publishIntervalMs: 300 } } } });
const clients = 8;
const operationsEach = 80;
const evictions = 10;

const below = (limit) => Math.floor(Math.random() * limit);
const collections = ["a", "b"];

/** One random operation; answers what was acknowledged: `[{sequence, collection, id, after}]`, `after` undefined for a delete. */
async function operate(it, client, number) {
  const collection = collections[below(2)];
  const id = `d${below(30)}`;
  const doc = { by: client, number };
  const told = (answer, after) => (answer.status < 300 ? [{ sequence: Number(answer.headers.get("thermocline-sequence")), collection, id, after }] : []);
  switch (below(7)) {
    case 6: {
      const ids = Array.from({ length: 8 }, (_, position) => `d${(Number(id.slice(1)) + position) % 30}`);
      const answer = await it.batch(ids.map((each) => ({ op: "upsert", collection, doc: { id: each, ...doc } })));
      if (answer.status !== 200) return [];
      return answer.body.results.map((result) => ({ sequence: result.sequence, collection, id: result.id, after: { id: result.id, ...doc } }));
    }
    case 0: return it.insert(collection, { id, ...doc }).then((answer) => told(answer, answer.body));
    case 1: return it.put(collection, id, doc).then((answer) => told(answer, { id, ...doc }));
    case 2: return it.patch(collection, id, { patched: number }).then((answer) => told(answer, answer.body));
    case 3: return it.remove(collection, id).then((answer) => told(answer, undefined));
    case 4: {
      const answer = await it.batch([{ op: "upsert", collection: "a", doc: { id, ...doc } }, { op: "upsert", collection: "b", doc: { id, ...doc } }]);
      if (answer.status !== 200) return [];
      return answer.body.results.map((result, position) => ({ sequence: result.sequence, collection: collections[position], id, after: { id, ...doc } }));
    }
    default: {
      const before = await it.get(collection, id);
      if (before.status !== 200) return [];
      const answer = await it.put(collection, id, { ...before.body, seen: before.headers.get("etag") }, { "if-match": before.headers.get("etag") });
      assert.ok([200, 412].includes(answer.status), answer.text);
      return told(answer, { ...before.body, seen: before.headers.get("etag") });
    }
  }
}

test("what clients were told, the feed, the state and the tables agree", async (context) => {
  const it = using.object();
  const acknowledged = [];
  let unknown = 0;
  let running = true;
  const working = Promise.all(Array.from({ length: clients }, async (_, client) => {
    for (let number = 0; number < operationsEach; number++) {
      try {
        acknowledged.push(...await operate(it, client, number));
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        unknown += 1; // Evicted under it: it may or may not have happened.
      }
    }
  })).finally(() => { running = false; });
  const disturbing = (async () => {
    for (let eviction = 0; eviction < evictions && running; eviction++) {
      await sleep(100 + below(150));
      await it.evict();
    }
  })();
  await Promise.all([working, disturbing]);

  const events = await it.events();
  assertContinuous(events);
  assert.equal(new Set(acknowledged.map((each) => each.sequence)).size, acknowledged.length, "no sequence was told twice");
  for (const { sequence, collection, id, after } of acknowledged) {
    const event = events[sequence - 1];
    assert.deepEqual([event.collection, event.documentId, event.after], [collection, id, after], `event ${sequence}`);
  }

  const state = new Map();
  for (const { collection, documentId, before, after, operation } of events) {
    const key = `${collection}/${documentId}`;
    assert.deepEqual(before, state.get(key), "the image before is what the feed made");
    assert.equal(operation, before ? (after ? "UPDATE" : "DELETE") : "INSERT");
    if (after) state.set(key, after);
    else state.delete(key);
  }
  for (const collection of collections) {
    const expected = [...state].filter(([key]) => key.startsWith(`${collection}/`)).map(([, document]) => document).sort((left, right) => (left.id < right.id ? -1 : 1));
    assertEqualLists(await it.rows(collection), expected, `documents of ${collection}`);
  }
  await it.sync();
  await assertSame(it, ...collections);
  for (const collection of collections) await assertWhole(it, collection);
  context.diagnostic(`${acknowledged.length} acknowledged, ${unknown} unknown, ${events.length} events`);
});
