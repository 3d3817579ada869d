// The sequence has no gap and no repeat: over refused writes, evictions, crashes, restarts and archived history.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { startWorker } from "./support/miniflare.mjs";
import { ObjectClient, assertContinuous, useWorker } from "./support/object.mjs";

const using = useWorker();
const { object } = using;
const scriptPath = process.env.THERMOCLINE_SCRIPT;

/** Writes that succeed and writes that are refused, in turns; answers the sequences that were acknowledged. */
async function mixed(it, rounds, mark) {
  const acknowledged = [];
  const took = (answer) => acknowledged.push(Number(answer.headers.get("thermocline-sequence")));
  for (let round = 0; round < rounds; round++) {
    const id = `${mark}-${round}`;
    took(await it.put("a", id, { round }));
    await it.insert("a", { id });
    took(await it.batch([{ op: "insert", collection: "b", doc: { id } }, { op: "update", collection: "a", id, doc: { round: -1 } }]));
    await it.batch([{ op: "insert", collection: "c", doc: {} }, { op: "delete", collection: "b", id: "none" }]);
    await it.put("a", id, "{");
    await it.put("a", id, {}, { "if-match": '"0"' });
    took(await it.remove("b", id));
  }
  return acknowledged;
}

async function assertAllThere(it, acknowledged) {
  const events = await it.events({ documents: false });
  assertContinuous(events);
  assert.equal(events.at(-1).sequence, acknowledged.at(-1));
  assert.equal((await it.syncState()).lastHotSequence, acknowledged.at(-1));
  for (const [position, event] of events.slice(1).entries()) assert.ok(event.timestamp >= events[position].timestamp, "times never go back");
}

test("over refused writes", async () => {
  const it = object();
  await assertAllThere(it, await mixed(it, 10, "x"));
});

test("over evictions", async () => {
  const it = object();
  const acknowledged = [];
  for (let life = 0; life < 6; life++) {
    acknowledged.push(...await mixed(it, 3, `life${life}`));
    await it.evict();
    await assertAllThere(it, acknowledged);
  }
});

test("over crashes of workerd, and each acknowledged write is there after one", async () => {
  const it = object();
  const acknowledged = [];
  for (let life = 0; life < 4; life++) {
    acknowledged.push(...await mixed(it, 3, `life${life}`));
    await using.worker.crash();
    await using.worker.restart();
    await assertAllThere(it, acknowledged);
  }
});

test("over a crash in the middle of writes that nobody has heard back from", async () => {
  const it = object();
  await it.insert("a", { id: "first" });
  const acknowledged = new Set([1]);
  const writing = Promise.allSettled(Array.from({ length: 200 }, async (_, n) => {
    const answer = await it.batch([{ op: "insert", collection: "a", doc: { id: `${n}-a` } }, { op: "insert", collection: "a", doc: { id: `${n}-b` } }]);
    if (answer.status === 200) for (const result of answer.body.results) acknowledged.add(result.sequence);
  }));
  while (acknowledged.size < 20) await new Promise((resolve) => setTimeout(resolve, 1));
  await using.worker.crash();
  await writing;
  await using.worker.restart();
  const events = await it.events();
  assertContinuous(events);
  for (const sequence of acknowledged) assert.ok(sequence <= events.length, `sequence ${sequence} was acknowledged`);
  // Whole batches or nothing.
  const ids = new Set((await it.rows("a")).map((row) => row.id));
  assert.equal(ids.size, events.length);
  for (const id of ids) if (id.endsWith("-a")) assert.ok(ids.has(id.replace("-a", "-b")), `the other half of ${id}`);
});

test("over a stop and a start on the same folder, events being the same to the byte", async () => {
  const persist = mkdtempSync(join(tmpdir(), "thermocline-"));
  after(() => rmSync(persist, { recursive: true, force: true }));
  const acknowledged = [];
  let last = "";
  for (let life = 0; life < 3; life++) {
    const worker = await startWorker({ persist, scriptPath });
    try {
      const it = new ObjectClient(() => worker, "demo/1");
      if (life > 0) assert.equal((await it.changes({ limit: 10 })).text, last);
      acknowledged.push(...await mixed(it, 3, `life${life}`));
      await assertAllThere(it, acknowledged);
      last = (await it.changes({ limit: 10 })).text;
    } finally {
      await worker.dispose();
    }
  }
});

test("over the hot log's end: what is trimmed is read from the archive, the same to the byte", async () => {
  const it = object();
  // More than the tail of archived events that stays in SQLite for readers who are not far behind.
  const large = "x".repeat(45_000);
  const round = async (n) => {
    await it.ok("POST", "/batch", { operations: Array.from({ length: 100 }, (_, k) => ({ op: "upsert", collection: k % 2 ? "odd" : "even", doc: { id: `${k}`, n, large } })) }, { "x-correlation-id": `round ${n}` });
  };
  for (let n = 0; n < 5; n++) await round(n);
  await it.ok("DELETE", "/collections/odd");
  await round(5);
  const walks = async () => {
    const texts = [];
    for (const params of [{ limit: 100 }, { after: 540 }, { after: 100, documents: false }, { after: 30, collections: "odd", operations: "DELETE" }]) {
      texts.push(JSON.stringify((await it.events(params)).filter((event) => event.sequence <= 650)));
    }
    return texts;
  };
  const hot = await walks();
  const whole = JSON.stringify(await it.events({ documents: false }));
  // The first archiving closes the log's part, which is then dropped once the next one is done.
  await it.sync();
  await it.insert("even", { id: "one more" });
  await it.sync();
  const database = new DatabaseSync(await using.worker.sqlitePath(it.name), { readOnly: true });
  assert.equal(database.prepare("SELECT count(*) AS count FROM sqlite_master WHERE name = 'log_1'").get().count, 0, "this test needs the first part of the log to be gone");
  database.close();
  for (const [position, walk] of (await walks()).entries()) assert.ok(walk === hot[position], `walk ${position} differs`);
  await it.evict();
  const events = await it.events({ documents: false });
  assertContinuous(events);
  assert.equal(JSON.stringify(events.slice(0, -1)), whole);
  await it.insert("even", { id: "another" });
  assert.equal((await it.syncState()).lastHotSequence, events.length + 1);
});
