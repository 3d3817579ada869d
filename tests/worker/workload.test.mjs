// Clients at once, evictions and kills: short runs of what `npm run proof` does for long, and that its judge can tell.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ObjectClient, useWorker } from "./support/object.mjs";
import { startWorker } from "./support/miniflare.mjs";
import { assertKept, assertLinearisable, replayed } from "./support/workload.mjs";
import { busy, load, proveKilled, proveLinearisable } from "./support/workload-proof.mjs";

const using = useWorker({ vars: { STORAGE_CONFIG: busy } });
const { object } = using;
const seed = Number(process.env.SEED ?? Math.floor(Date.now() / 1_000));

test("eight clients and evictions: each document's history is linearisable", async (context) => {
  const tally = await proveLinearisable(object(), { clients: 8, operations: 150, evictions: 5, seed });
  context.diagnostic(`seed ${seed}: ${JSON.stringify(tally)}`);
  assert.ok(tally.acknowledged > 200 && tally.checked > 800 && tally.evictions > 0, JSON.stringify(tally));
});

test("sixty-four clients: nothing acknowledged is lost, and nothing fails but what is shed", async (context) => {
  const tally = await load(object(), { clients: 64, seconds: 4, seed });
  context.diagnostic(`seed ${seed}: ${JSON.stringify(tally)}`);
  assert.ok(tally.acknowledged > 100, JSON.stringify(tally));
});

test("workerd is killed under load: nothing acknowledged is lost, no batch is half there", async (context) => {
  const worker = await startWorker({ vars: { STORAGE_CONFIG: busy } });
  try {
    const tally = await proveKilled(new ObjectClient(() => worker, "proof/killed"), { clients: 6, kills: 6, seed });
    context.diagnostic(`seed ${seed}: ${JSON.stringify(tally)}`);
    assert.ok(tally.acknowledged > 20, JSON.stringify(tally));
  } finally {
    await worker.dispose();
  }
});

/** A small history: an insert, a read of it, a delete, each within its own time. */
function sample() {
  const entry = (kind, marker, start, end, more = {}) => ({ kind, ids: ["d1"], marker, start, end, sequences: [], isKnown: true, get isAcknowledged() { return this.isKnown && this.status < 300; }, ...more });
  const history = [
    entry("insert", "a", 0, 1, { status: 201, sequences: [1] }),
    entry("get", "b", 2, 3, { status: 200, version: 1 }),
    entry("remove", "c", 4, 5, { status: 204, sequences: [2] }),
    entry("get", "d", 6, 7, { status: 404 }),
  ];
  const events = [
    { sequence: 1, correlationId: "a", documentId: "d1", after: { id: "d1", by: "a" } },
    { sequence: 2, correlationId: "c", documentId: "d1", before: { id: "d1", by: "a" } },
  ];
  return { history, events };
}

test("the judge accepts what is right and finds each thing that is not", () => {
  const good = sample();
  assert.equal(assertLinearisable(good.history, good.events), 4);
  assert.deepEqual(assertKept(good.history, good.events), { acknowledged: 2, refused: 0, unknown: 0, unknownHappened: 0 });
  assert.deepEqual(replayed(good.events), []);

  const wrong = {
    "a stale read": ({ history }) => { Object.assign(history[3], { status: 200, version: 1 }); },
    "a read of what was not yet written": ({ history }) => { Object.assign(history[1], { start: -2, end: -1 }); },
    "a document that comes back": ({ history }) => { Object.assign(history[1], { status: 404 }); },
    "a version that never was": ({ history }) => { history[1].version = 9; },
  };
  for (const [what, change] of Object.entries(wrong)) {
    const bad = sample();
    change(bad);
    assert.throws(() => assertLinearisable(bad.history, bad.events), assert.AssertionError, what);
  }
  const lost = {
    "an acknowledged write that is not there": ({ events }) => { events.pop(); },
    "a refused write that is": ({ history }) => { history[2].status = 412; },
    "another sequence than was told": ({ history }) => { history[0].sequences = [7]; },
    "half a batch": ({ history }) => { Object.assign(history[0], { isKnown: false, kind: "batch", ids: ["d1", "d2"] }); },
  };
  for (const [what, change] of Object.entries(lost)) {
    const bad = sample();
    change(bad);
    assert.throws(() => assertKept(bad.history, bad.events), assert.AssertionError, what);
  }
  const { events } = sample();
  events[1].before.by = "other";
  assert.throws(() => replayed(events), assert.AssertionError, "another image before");
});
