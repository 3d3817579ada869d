// R4 (RELIABILITY.md), a short run of it; `npm run proof -- R4 --full` has the figure's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useWorker } from "./support/object.mjs";
import { proveFeed } from "./support/feed-proof.mjs";

const { object } = useWorker();
const seed = Number(process.env.SEED ?? 4);

test(`no gap and no repeat over evictions, transports and the archive (seed ${seed})`, { timeout: 150_000 }, async () => {
  const tally = await proveFeed(object(), { events: 4_000, evictions: 6, seed });
  assert.ok(tally.events >= 4_000 && tally.evictions + tally.kills === 6 && tally.trimmed, JSON.stringify(tally));
  for (const [way, count] of Object.entries(tally.read)) assert.ok(count > 0, `${way} was used: ${JSON.stringify(tally)}`);
});
