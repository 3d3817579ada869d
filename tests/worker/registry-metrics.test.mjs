// Figures of a registry's index, in workerd: JSON, Prometheus and GET /hashes/stats tell the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useWorker } from "./support/object.mjs";

const using = useWorker();

test("the index has figures that grow with searches, in every form", async () => {
  const it = using.object("registry/m");
  const hash = (number) => number.toString(16).padStart(64, "0");
  const list = Array.from({ length: 3_000 }, (_, number) => `${hash(number * 65_536)}\n`).join("");
  await it.ok("POST", "/hashes/batch", list, { "content-type": "text/plain" });
  for (let number = 0; number < 4; number += 1) await it.ok("POST", "/hashes/search", { pdqHash: hash(number) });
  await it.ok("DELETE", `/records/pdq-${hash(0)}`);
  const compacted = (await it.ok("POST", "/hashes/compact")).body;
  assert.deepEqual([compacted.before.removed, compacted.after.removed], [1, 0]);
  const { index } = (await it.ok("GET", "/metrics")).body;
  assert.deepEqual([index.keys, index.searches, index.compactions, index.removed], [2_999, 4, 1, 0]);
  assert.ok(index.candidates + index.distances > 0 && index.memoryBytes > 2_999 * 32, JSON.stringify(index));
  assert.ok(Math.abs(index.amplification - index.storedBytes / (2_999 * 32)) < 0.001);
  assert.ok(index.latencyMs.max >= index.latencyMs.average && index.latencyMs.p50 <= index.latencyMs.p99);
  assert.ok(Math.abs(Date.parse(index.lastCompaction) - Date.now()) < 60_000);
  const stats = (await it.ok("GET", "/hashes/stats")).body;
  assert.deepEqual([stats.keys, stats.searches, stats.latencyMs, stats.amplification], [index.keys, index.searches, index.latencyMs, index.amplification]);
  const text = (await it.ok("GET", "/metrics", undefined, { accept: "text/plain" })).text;
  const sample = (name) => Number(new RegExp(`^thermocline_${name}\\{object="registry/m"\\} (.+)$`, "m").exec(text)?.[1]);
  assert.deepEqual(["index_keys", "index_searches_total", "index_search_latency_seconds_count"].map(sample), [2_999, 4, 4]);
  assert.match(text, /^thermocline_index_search_latency_seconds_bucket\{object="registry\/m",le="\+Inf"\} 4$/m);
  assert.equal((await using.object("demo/m").ok("GET", "/metrics")).body.index, undefined);
});
