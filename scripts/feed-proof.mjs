// R4 in workerd: readers of the change feed that switch between pages, streams and sockets, over evictions.
//   node scripts/feed-proof.mjs --events 50000 --evictions 24 --seed 1
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { main } from "./lib/failure.mjs";
import { proveFeed } from "../tests/worker/support/feed-proof.mjs";
import { startWorker } from "../tests/worker/support/miniflare.mjs";
import { ObjectClient } from "../tests/worker/support/object.mjs";

await main(async () => {
  const { values } = parseArgs({ options: { events: { type: "string", default: "4000" }, evictions: { type: "string", default: "6" }, seed: { type: "string", default: "1" } } });
  const [events, evictions, seed] = [values.events, values.evictions, values.seed].map(Number);
  await build({ quick: true });
  const worker = await startWorker();
  try {
    const started = performance.now();
    const tally = await proveFeed(new ObjectClient(() => worker, "proof/feed"), { events, evictions, seed });
    const seconds = Math.round((performance.now() - started) / 1_000);
    console.log(`R4 in workerd: ${tally.events} events, ${tally.evictions} evictions with ${tally.hibernated} sockets asleep, ${tally.archivings} archivings, hot log trimmed: ${tally.trimmed}, seed ${seed}: 0 gaps, 0 repeats; read by ${JSON.stringify(tally.read)} in ${seconds} s`);
  } finally {
    await worker.dispose();
  }
});
process.exit(process.exitCode ?? 0);
