// R4 in workerd: readers that switch between pages, streams and sockets while an object is written, evicted and archived.
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { randomOf } from "./random.mjs";
import { connect } from "./socket.mjs";
import { stream } from "./sse.mjs";

/** Everything a reader was told, put together; no event is missing and none comes twice. */
class Reader {
  position = 0;
  state = new Map();
  counts = { pages: 0, stream: 0, socket: 0 };

  take(events, way) {
    for (const event of events) {
      assert.equal(event.sequence, this.position + 1, `by ${way}: a gap or a repeat`);
      this.position++;
      this.counts[way]++;
      const key = `${event.collection}/${event.documentId}`;
      assert.deepEqual(event.before, this.state.get(key), `the image before of ${event.sequence} is what was told last`);
      if (event.after === undefined) this.state.delete(key);
      else this.state.set(key, event.after);
    }
  }
}

class Proof {
  constructor(it, random, bytes) {
    Object.assign(this, { it, random, text: "x".repeat(bytes), written: 0, last: 0, pages: 1_000 });
  }

  async write() {
    const { it, random } = this;
    const collection = ["a", "b"][random(2)];
    const kind = random(6);
    const document = (n) => ({ id: `d${n}`, n: ++this.written, text: this.text });
    if (kind < 3) {
      const first = random(400);
      await it.import(collection, Array.from({ length: 20 + random(300) }, (_, n) => document(first + n)), { mode: "upsert" });
    } else if (kind === 3) {
      await it.batch(Array.from({ length: 1 + random(60) }, (_, n) => ({ op: "upsert", collection, doc: document(500 + n) })));
    } else if (kind === 4) {
      for (let n = 0; n < 5; n++) await it.put(collection, `d${random(700)}`, { n: ++this.written });
    } else {
      for (let n = 0; n < 5; n++) await it.remove(collection, `d${random(700)}`);
    }
    this.last = (await it.syncState()).lastHotSequence;
  }

  async readPages(reader, target) {
    while (reader.position < target()) {
      const { body } = await this.it.ok("GET", `/cdc?after=${reader.position}&limit=${1 + this.random(this.pages)}&waitMs=1000`);
      reader.take(body.events, "pages");
      assert.equal(body.cursor.sequence, reader.position);
    }
  }

  async readStream(reader, target) {
    if (reader.position >= target()) return;
    const feed = await stream(this.it, { after: -1 }, { "last-event-id": `${reader.position}` });
    while (reader.position < target()) reader.take((await feed.events(1)).map(({ streamId, streamEvent, ...event }) => event), "stream");
    await feed.close();
  }

  async readSocket(reader, target) {
    const { feed } = reader;
    do {
      await feed.until(({ frames, closed }) => frames.length > 0 || closed || reader.position >= target(), 60_000);
      assert.equal(feed.closed, undefined);
      for (const frame of feed.frames.splice(0)) reader.take(frame.events, "socket");
    } while (reader.position < target());
  }

  /** Chooses how a reader reads on. A socket may stay open over the evictions that follow. */
  async begin(reader) {
    if (reader.feed && this.random(2)) return;
    await this.drop(reader);
    reader.way = ["readPages", "readStream", "readSocket"][this.random(3)];
    if (reader.way === "readSocket") reader.feed = await connect(this.it, { after: reader.position });
  }

  /** Reads on until `target()`. */
  read(reader, target) {
    return this[reader.feed ? "readSocket" : reader.way](reader, target);
  }

  async drop(reader) {
    const { feed } = reader;
    if (!feed) return;
    // What came is read or asked for again: nothing that was sent counts before it is taken.
    for (const frame of feed.frames.splice(0)) reader.take(frame.events, "socket");
    reader.feed = undefined;
    await feed.close();
  }
}

/** The first generation of the log is gone from SQLite: what it held is read from the archive. */
async function isTrimmed(it) {
  const database = new DatabaseSync(await it.worker.sqlitePath(it.name), { readOnly: true });
  try {
    return database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'log_1'").get() === undefined;
  } finally {
    database.close();
  }
}

/** Evicts the object; `false` when workerd does not let go of it, as now and then with sockets that were closed just before. */
async function evicted(it) {
  try {
    await it.worker.evict(it.name, { webSockets: "hibernate" });
    return true;
  } catch (error) {
    if (/active references/.test(error.message)) return false;
    throw error;
  }
}

/** Proves it over `events` events and `evictions` evictions; answers what was done. */
export async function proveFeed(it, { events, evictions, seed }) {
  // As many bytes in all that the log's oldest tables are dropped.
  const proof = new Proof(it, randomOf(seed), Math.ceil(80_000_000 / events));
  const readers = Array.from({ length: 3 }, () => new Reader());
  const tally = { events: 0, evictions: 0, kills: 0, archivings: 0, hibernated: 0, trimmed: false };
  for (let round = 1; round <= evictions; round++) {
    const goal = Math.ceil((events * round) / evictions);
    while (proof.last < goal) await proof.write();
    // The last reader comes seldom, so that what it reads is in the archive by then.
    const reading = readers.filter((_, number) => number < 2 || round % 7 === 0);
    // Sockets are opened one after the other: workerd does not let an object go whose sockets were opened at the same time.
    for (const reader of reading) await proof.begin(reader);
    const targets = reading.map(() => proof.last - proof.random(200));
    const ahead = proof.write();
    for (const [number, reader] of reading.entries()) await proof.read(reader, () => Math.max(0, targets[number]));
    await ahead;
    if (round % 3 === 0) {
      await it.sync();
      tally.archivings++;
    }
    // A stream that was closed is noticed by the next writes to it; until then the object cannot be evicted.
    for (let n = 0; n < 4; n++) {
      await it.put("a", "closing", { n: ++proof.written });
      await sleep(50);
    }
    const asleep = readers.filter(({ feed }) => feed).length;
    if (await evicted(it)) {
      tally.hibernated += asleep;
      tally.evictions++;
    } else {
      // Sockets do not outlive workerd: what they were sent is taken, and the rest asked for again.
      await it.worker.crash();
      await it.worker.restart();
      for (const reader of readers) await proof.drop(reader);
      tally.kills++;
    }
  }
  await it.sync();
  proof.last = (await it.syncState()).lastHotSequence;
  tally.trimmed = await isTrimmed(it);
  readers.push(new Reader());
  const state = new Map();
  for (const collection of ["a", "b"]) for (const row of await it.rows(collection)) state.set(`${collection}/${row.id}`, row);
  for (const [number, reader] of readers.entries()) {
    while (reader.position < proof.last) {
      const target = Math.min(proof.last, reader.position + 1 + proof.random(Math.ceil(events / 4)));
      await proof.begin(reader);
      await proof.read(reader, () => target);
    }
    await proof.drop(reader);
    assert.equal(reader.position, proof.last);
    assert.deepEqual([...reader.state].sort(([a], [b]) => (a < b ? -1 : 1)), [...state].sort(([a], [b]) => (a < b ? -1 : 1)), `reader ${number} has put together the state`);
  }
  tally.events = proof.last;
  tally.read = readers.map(({ counts }) => counts).reduce((sum, counts) => Object.fromEntries(Object.keys(sum).map((way) => [way, sum[way] + counts[way]])));
  return tally;
}
