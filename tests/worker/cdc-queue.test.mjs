// Events pushed to a queue that is bound as CDC_QUEUE, as a worker that consumes it sees them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, eventually, useWorker } from "./support/object.mjs";

/** Keeps each message under a key of its own; a batch that is told to fail is delivered again. */
const sink = {
  name: "sink",
  modules: true,
  script: `export default {
    async queue(batch, env) {
      for (const { id, body } of batch.messages) await env.SEEN.put(id, JSON.stringify({ type: typeof body, body }));
    },
  };`,
  compatibilityDate: "2026-04-01",
  kvNamespaces: { SEEN: "seen" },
  queueConsumers: { cdc: { maxBatchTimeout: 0.2, maxBatchSize: 100 } },
};

const using = useWorker({ beside: [sink], own: { queueProducers: { CDC_QUEUE: { queueName: "cdc" } } } });

/** Every message of an object so far, in the order of sequences. */
async function received(it) {
  const seen = await using.worker.mf.getKVNamespace("SEEN", "sink");
  const messages = [];
  for (let cursor; ;) {
    const page = await seen.list({ cursor });
    for (const { name } of page.keys) messages.push(JSON.parse(await seen.get(name)));
    if (page.list_complete) break;
    cursor = page.cursor;
  }
  const own = new Set((await it.events()).map(({ id }) => id));
  return messages.map(({ type, body }) => ({ type, event: JSON.parse(body) })).filter(({ event }) => own.has(event.id)).sort((a, b) => a.event.sequence - b.event.sequence);
}

test("every event arrives, as text, over an eviction too", { timeout: 60_000 }, async () => {
  const it = using.object();
  await it.call("POST", "/collections/a/docs", '{"id":"exact","n":1.0}');
  await it.import("a", Array.from({ length: 150 }, (_, n) => ({ id: `d${n}` })));
  await it.evict();
  await it.remove("a", "d1");
  const messages = await eventually("all messages", async () => {
    const some = await received(it);
    return some.length >= 152 && some;
  }, 30_000);
  assert.ok(messages.every(({ type }) => type === "string"));
  const events = messages.map(({ event }) => event);
  assertContinuous(events);
  assert.deepEqual(events, await it.events());
  assert.deepEqual((await it.ok("GET", "/cdc/consumers")).body.items, []);
});

test("an event too large for a message arrives without its documents", { timeout: 60_000 }, async () => {
  const it = using.object();
  await it.put("a", "large", { text: "x".repeat(300_000) });
  await it.put("a", "small", { n: 1 });
  const messages = await eventually("both messages", async () => {
    const some = await received(it);
    return some.length >= 2 && some;
  }, 30_000);
  const [large, small] = messages.map(({ event }) => event);
  assert.deepEqual([large.documentsOmitted, large.after, large.documentId], [true, undefined, "large"]);
  assert.deepEqual([small.documentsOmitted, small.after.n], [undefined, 1]);
});
