// Proofs in workerd, over the worker as it is built for tests; the load over the release.
//   node scripts/worker-proof.mjs R3|R4|R5|load [--full] [--seed N]
// R3: workerd killed under load. R4: readers of the change feed that switch between pages, streams and sockets, over
// evictions. R5: each document's history is linearisable. load: 64 clients of one object, with their latencies.
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { proveFeed } from "../tests/worker/support/feed-proof.mjs";
import { releaseBuild, startWorker } from "../tests/worker/support/miniflare.mjs";
import { ObjectClient } from "../tests/worker/support/object.mjs";
import { busy, load, proveKilled, proveLinearisable } from "../tests/worker/support/workload-proof.mjs";

const proofs = {
  R3: {
    vars: { STORAGE_CONFIG: busy },
    short: { clients: 6, kills: 12 }, full: { clients: 6, kills: 200 },
    prove: proveKilled,
    tell: ({ kills, requests, acknowledged, unknown, unknownHappened, events }) =>
      `${kills} kills under load, ${requests} requests, ${acknowledged} acknowledged writes: 0 lost; ${unknown} of unknown outcome, ${unknownHappened} of them happened, each wholly; ${events} events`,
  },
  R4: {
    short: { events: 4_000, evictions: 6 }, full: { events: 50_000, evictions: 24 },
    prove: proveFeed,
    tell: ({ events, evictions, kills, hibernated, archivings, trimmed, read }) =>
      `${events} events, ${evictions} evictions with ${hibernated} sockets asleep, ${kills} kills, ${archivings} archivings, hot log trimmed: ${trimmed}: 0 gaps, 0 repeats; read by ${JSON.stringify(read)}`,
  },
  R5: {
    vars: { STORAGE_CONFIG: busy },
    short: { clients: 8, operations: 300, evictions: 8 }, full: { clients: 8, operations: 5_000, evictions: 60 },
    prove: proveLinearisable,
    tell: ({ requests, evictions, acknowledged, refused, unknown, checked }) =>
      `${requests} requests of 8 clients, ${evictions} evictions, ${acknowledged} writes acknowledged, ${refused} refused, ${unknown} of unknown outcome: ${checked} moments found, every document's history linearisable`,
  },
  load: {
    release: true,
    short: { clients: 64, seconds: 10 }, full: { clients: 64, seconds: 60 },
    prove: load,
    tell: (tally) => {
      const row = (name, { count, p50, p99, longest }) => `  ${name.padEnd(8)} ${String(count).padStart(8)} ${[p50, p99, longest].map((ms) => ms.toFixed(1).padStart(9)).join(" ")}`;
      return [
        `${tally.clients} clients for ${tally.seconds} s: ${tally.perSecond.toFixed(0)} requests/s, ${tally.shed} shed, ${tally.acknowledged} writes acknowledged, 0 lost`,
        `  ${"".padEnd(8)} ${"requests".padStart(8)} ${["p50 ms", "p99 ms", "longest"].map((head) => head.padStart(9)).join(" ")}`,
        row("reads", tally.reads), row("writes", tally.writes), row("batches", tally.batches),
        JSON.stringify({ figure: "load", clients: tally.clients, perSecond: tally.perSecond, shed: tally.shed, readP99Ms: tally.reads.p99, writeP99Ms: tally.writes.p99 }),
      ].join("\n");
    },
  },
};

await main(async () => {
  const { values, positionals: [name] } = parseArgs({ allowPositionals: true, options: { full: { type: "boolean", default: false }, seed: { type: "string", default: "1" } } });
  const proof = proofs[name];
  if (!proof) throw new Failure(`expected one of ${Object.keys(proofs).join(", ")}, got ${name ?? "none"}`);
  const seed = Number(values.seed);
  await build({ quick: !proof.release });
  const worker = await startWorker({ vars: proof.vars, ...(proof.release && { scriptPath: releaseBuild }) });
  try {
    const started = performance.now();
    const tally = await proof.prove(new ObjectClient(() => worker, `proof/${name}`), { ...(values.full ? proof.full : proof.short), seed });
    const seconds = Math.round((performance.now() - started) / 1_000);
    console.log(`${name} in workerd, seed ${seed}, ${seconds} s: ${proof.tell(tally)}`);
  } finally {
    await worker.dispose();
  }
});
process.exit(process.exitCode ?? 0);
