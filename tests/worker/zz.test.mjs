import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { useWorker, eventually } from "./support/object.mjs";
import { keysUnder } from "./support/table.mjs";
const using = useWorker({});
const hot = { evictAboveBytes: 1, directBatch: 65_536, sealRows: 1_000, sealMinAgeMs: 0 };
const evicting = useWorker({ vars: { STORAGE_CONFIG: { hot, snapshots: { flushDelayMs: 50, publishIntervalMs: 0 } } } });
const docs = (from, n, b) => Array.from({ length: n }, (_, i) => ({ id: `d${from + i}`, t: Math.random().toString(36).repeat(b) }));
test("e", async () => {
  const it = evicting.object();
  const bucket = await it.worker.bucket();
  for (const from of [0, 4000]) {
    await it.import("docs", docs(from, 4000, 30));
    for (let i = 0; i < 20; i++) { await sleep(300); const f = (await it.ok("GET", "/collections/docs")).body.forms; if (i % 5 === 0) console.log(JSON.stringify(f)); if (f.cold === from + 4000) break; }
  }
  const keys = await keysUnder(bucket, `iceberg/${it.name}/docs/data/`);
  console.log(keys);
  await bucket.delete(keys.sort().slice(1));
  for (let k = 0; k < 3; k++) {
    const answer = await it.worker.fetch(`${it.path}/collections/docs/export`);
    let n = 0; let err;
    try { for await (const c of answer.body) n += c.length; } catch (e) { err = String(e) + e.cause; }
    console.log(answer.status, n, err);
  }
  console.log(it.worker.logs.slice(-5).join("\n"));
});
test("x", async () => {
  const it = using.object();
  for (let from = 0; from < 40_000; from += 10_000) await it.import("docs", docs(from, 10_000, 120));
  const keep = await it.worker.fetch(`${it.path}/collections/docs/export`, { timeoutMs: 0 });
  for (const [reads, wait] of [[0, 0], [0, 500], [0, 3000], [5, 0], [5, 500], [5, 3000], [0, 0], [0, 3000]]) {
    const gone = new AbortController();
    const answer = await it.worker.fetch(`${it.path}/collections/docs/export`, { signal: gone.signal });
    const r = answer.body.getReader();
    if (answer.status === 200) for (let i = 0; i < reads; i++) await r.read();
    await sleep(wait);
    gone.abort();
    const at = Date.now();
    let n = 0, last;
    do { await sleep(50); last = (await it.call("HEAD", "/collections/docs/export")).status; n++; } while (last !== 200 && Date.now() - at < 8000);
    console.log("reads", reads, "wait", wait, "begun", answer.status, "then", last, Date.now() - at, "ms", n);
  }
  console.log(it.worker.logs.join("\n").slice(-600));
});
