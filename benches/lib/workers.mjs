// The workers that are measured: ours, the usual object, a table of typed columns, and one that does nothing; each a
// workerd of its own.
import { fileURLToPath } from "node:url";
import { startWorker } from "../../tests/worker/support/miniflare.mjs";
import { Client } from "./client.mjs";

const peer = (file) => fileURLToPath(new URL(`../peer/${file}`, import.meta.url));

/** Puts archiving off, where it would run in the middle of what is measured; the peer has none. */
const snapshots = { flushDelayMs: 86_400_000, maxPendingBytes: 1_073_741_824 };

/** Keeps documents in row form: no batch goes straight to a segment, and nothing is sealed before these limits. */
const rowsForLong = { directBatch: 65_536, sealRows: 65_536, sealBytes: 16_777_216, sealMinAgeMs: 86_400_000 };

const kinds = {
  ours: (script) => ({ scriptPath: script }),
  oursArchivingLate: (script) => ({ scriptPath: script, vars: { STORAGE_CONFIG: { snapshots } } }),
  oursInRows: (script) => ({ scriptPath: script, vars: { STORAGE_CONFIG: { hot: rowsForLong } } }),
  usual: () => ({ scriptPath: peer("usual-object.mjs"), className: "UsualObject", bucket: false }),
  typed: () => ({ scriptPath: peer("typed-table-object.mjs"), className: "TypedTableObject", bucket: false }),
  empty: () => ({ scriptPath: peer("empty-object.mjs"), className: "EmptyObject", bucket: false }),
};

/** Starts a worker of a kind. Answers it with a client; `stop()` ends both. */
export async function start(kind, script) {
  const worker = await startWorker(kinds[kind](script));
  const client = new Client(worker.url);
  const stop = async () => {
    client.close();
    await worker.dispose();
  };
  return { worker, client, stop };
}

/** Runs `body` with running workers of these kinds, by kind, and stops them. */
export async function withWorkers(names, script, body) {
  const running = {};
  try {
    for (const name of names) running[name] = await start(name, script);
    return await body(running);
  } finally {
    await Promise.all(Object.values(running).map((each) => each.stop()));
  }
}

/** Measures several things in turn, `rounds` times, the order turned round each time: the times in ms of each, by name. */
export async function alternate(rounds, measures) {
  const names = Object.keys(measures);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 ? names.toReversed() : names;
    for (const name of order) {
      const started = performance.now();
      const own = await measures[name](round);
      times[name].push(own ?? performance.now() - started);
    }
  }
  return times;
}
