// R3, R5 and the load of many clients: runs of a workload in workerd, judged by the change feed.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { assertContinuous, assertEqualLists } from "./object.mjs";
import { randomOf } from "./random.mjs";
import { Workload, assertKept, assertLinearisable, replayed } from "./workload.mjs";

/** Documents change their forms often, and are archived while they are written. */
export const busy = {
  hot: { sealRows: 16, sealMinAgeMs: 0, directBatch: 6, maxUnmergedSegments: 2 },
  snapshots: { flushDelayMs: 300, publishIntervalMs: 1_000 },
};

/** That the object agrees with the whole feed, and the feed with what the clients were told. */
async function judge(it, history) {
  const events = await it.events();
  assertContinuous(events);
  const counts = assertKept(history, events);
  assertEqualLists(await it.rows("w"), replayed(events), "documents");
  return { events: events.length, ...counts, checked: assertLinearisable(history, events) };
}

/** R5: `clients` with `operations` each, and evictions while they go on. */
export async function proveLinearisable(it, { clients, operations, evictions, seed }) {
  const workload = new Workload(it, { seed });
  let running = true;
  const working = Promise.all(Array.from({ length: clients }, (_, client) => workload.client(client, (number) => number < operations))).finally(() => { running = false; });
  const random = randomOf(seed);
  let evicted = 0;
  const total = clients * operations;
  while (running && evicted < evictions) {
    await sleep(20 + random(60));
    if (workload.history.length < (total * (evicted + 1)) / (evictions + 1)) continue;
    await it.evict();
    evicted++;
  }
  await working;
  return { requests: workload.history.length, evictions: evicted, ...(await judge(it, workload.history)) };
}

/** R3: workerd is killed `kills` times while clients write, and started again over the same storage. */
export async function proveKilled(it, { clients, kills, seed }) {
  const random = randomOf(seed);
  const history = [];
  for (let kill = 1; kill <= kills; kill++) {
    const workload = new Workload(it, { seed: seed + kill, run: `${kill}-` });
    let running = true;
    const working = Promise.all(Array.from({ length: clients }, (_, client) => workload.client(client, () => running)));
    await sleep(30 + random(250));
    running = false;
    await it.worker.crash();
    await working;
    history.push(...workload.history);
    await it.worker.restart();
  }
  return { kills, requests: history.length, ...(await judge(it, history)) };
}

const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

/** Many clients of one object for some time: nothing acknowledged is lost, and nothing fails but what is shed. */
export async function load(it, { clients, seconds, seed }) {
  const workload = new Workload(it, { seed, documents: 500 });
  const until = performance.now() + seconds * 1_000;
  await Promise.all(Array.from({ length: clients }, (_, client) => workload.client(client, () => performance.now() < until)));
  const { history } = workload;
  const unknown = history.filter((entry) => !entry.isKnown);
  assert.equal(unknown.length, 0, "every request is answered");
  const shed = history.filter(({ status }) => status === 503 || status === 429);
  assert.ok(shed.every(({ retryAfter }) => retryAfter !== null), "what is shed says when to come again");
  const failed = history.filter(({ status }) => status >= 500 && status !== 503);
  assert.equal(failed.length, 0, JSON.stringify(failed.slice(0, 3)));
  const latency = (entries) => {
    const sorted = entries.map(({ start, end }) => end - start).sort((left, right) => left - right);
    return { count: sorted.length, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), longest: sorted.at(-1) };
  };
  const of = (...kinds) => latency(history.filter(({ kind, status }) => kinds.includes(kind) && status < 500));
  return {
    clients, seconds, perSecond: history.length / seconds, shed: shed.length,
    reads: of("get"), writes: of("insert", "put", "patch", "remove", "swap"), batches: of("batch"), ...(await judge(it, history)),
  };
}
