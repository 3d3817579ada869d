// Clients that write and read the same few documents at once, and keep a history of what they asked and were told.
//
// Every request carries its own correlation id, so that the change feed says afterwards which of them happened.
import assert from "node:assert/strict";
import { randomOf } from "./random.mjs";

const collection = "w";
const batchSize = 6;

/** What became of a request: an entry of the history. `end` is infinite where nobody knows whether it happened. */
class Entry {
  constructor(kind, ids, marker) {
    Object.assign(this, { kind, ids, marker, start: performance.now(), end: Infinity, status: undefined, sequences: [] });
  }

  get isKnown() {
    return this.status !== undefined;
  }

  get isAcknowledged() {
    return this.isKnown && this.status < 300;
  }
}

export class Workload {
  /** All entries, in the order in which they began. */
  history = [];

  constructor(it, { seed, documents = 20, run = "" }) {
    Object.assign(this, { it, seed, documents, run });
  }

  /** One client, until `goesOn(number)` is false. */
  async client(client, goesOn) {
    const random = randomOf(this.seed * 1_000 + client);
    for (let number = 0; goesOn(number); number++) await this.#operate(random, `${this.run}${client}-${number}`);
  }

  async #operate(random, marker) {
    const first = random(this.documents);
    const id = `d${first}`;
    const doc = { by: marker };
    switch (random(9)) {
      case 0: return this.#ask("insert", [id], marker, (headers) => this.it.insert(collection, { id, ...doc }, headers));
      case 1: return this.#ask("put", [id], marker, (headers) => this.it.put(collection, id, doc, headers));
      case 2: return this.#ask("patch", [id], marker, (headers) => this.it.patch(collection, id, doc, headers));
      case 3: return this.#ask("remove", [id], marker, (headers) => this.it.remove(collection, id, headers));
      case 4: {
        const ids = Array.from({ length: batchSize }, (_, n) => `d${(first + n) % this.documents}`);
        const operations = ids.map((each) => ({ op: "upsert", collection, id: each, doc }));
        return this.#ask("batch", ids, marker, (headers) => this.it.batch(operations, headers));
      }
      case 5: {
        const seen = await this.#ask("get", [id], `${marker}-seen`, () => this.it.get(collection, id));
        if (seen?.version === undefined) return undefined;
        const condition = { "if-match": `"${seen.version}"` };
        const entry = await this.#ask("swap", [id], marker, (headers) => this.it.put(collection, id, doc, { ...headers, ...condition }), seen.version);
        return entry;
      }
      default: return this.#ask("get", [id], marker, () => this.it.get(collection, id));
    }
  }

  async #ask(kind, ids, marker, send, expected) {
    const entry = new Entry(kind, ids, marker);
    entry.expected = expected;
    this.history.push(entry);
    let answer;
    try {
      answer = await send({ "x-correlation-id": marker });
    } catch {
      return undefined; // The object or all of workerd was gone: it may have happened or not.
    }
    // An answer of the platform's own says as little.
    const told = answer.body !== undefined || answer.status === 204;
    if (!told || answer.status === 500) return undefined;
    Object.assign(entry, { end: performance.now(), status: answer.status, retryAfter: answer.headers.get("retry-after") });
    if (kind === "get") {
      entry.version = answer.status === 200 ? Number(answer.headers.get("etag").slice(1, -1)) : undefined;
      entry.document = answer.body;
    } else if (answer.status < 300) {
      entry.sequences = kind === "batch" ? answer.body.results.map(({ sequence }) => sequence) : [Number(answer.headers.get("thermocline-sequence"))];
    }
    return entry;
  }
}

/** What the history of one document was: `[{sequence, present}]`, from its absence on. */
const timelinesOf = (events) => {
  const timelines = new Map();
  for (const { documentId, sequence, after } of events) {
    if (!timelines.has(documentId)) timelines.set(documentId, [{ sequence: 0, present: false }]);
    timelines.get(documentId).push({ sequence, present: after !== undefined });
  }
  return timelines;
};

/** Which states of a document an answer can have come from; `undefined` where it says nothing of the state. */
function observed(entry) {
  const { kind, status, version, expected } = entry;
  if (kind === "get" && status === 200) return ({ sequence }) => sequence === version;
  if (["get", "patch", "remove"].includes(kind) && status === 404) return ({ present }) => !present;
  if (kind === "insert" && status === 409) return ({ present }) => present;
  if (kind === "swap" && status === 412) return ({ present, sequence }) => !present || sequence !== expected;
  return undefined;
}

/**
 * Each document's history is linearisable: every request took effect at one moment between its begin and its end. Writes have
 * their moments from the feed; an answer takes the earliest state that it can have come from and that is not older than what
 * had ended before, which leaves the most to those after it.
 */
export function assertLinearisable(history, events) {
  const timelines = timelinesOf(events);
  const sequenceOf = new Map(events.map(({ correlationId, documentId, sequence }) => [`${correlationId} ${documentId}`, sequence]));
  const byDocument = new Map();
  for (const entry of history) {
    for (const id of entry.ids) byDocument.set(id, [...(byDocument.get(id) ?? []), entry].slice(0));
  }
  let checked = 0;
  for (const [id, entries] of byDocument) {
    const timeline = timelines.get(id) ?? [{ sequence: 0, present: false }];
    const ended = []; // [end, position], by end
    let floor = 0;
    for (const entry of entries.sort((left, right) => left.start - right.start)) {
      ended.sort((left, right) => left[0] - right[0]);
      while (ended.length && ended[0][0] < entry.start) floor = Math.max(floor, ended.shift()[1]);
      const written = sequenceOf.get(`${entry.marker} ${id}`);
      const can = entry.isKnown && observed(entry);
      let position;
      if (written !== undefined) {
        assert.ok(written > floor, `${entry.kind} ${entry.marker} of ${id} has sequence ${written}, after ${floor} was seen`);
        position = written;
      } else if (can) {
        const from = timeline.findLastIndex(({ sequence }) => sequence <= floor);
        const state = timeline.slice(from).find(can);
        assert.ok(state, `${entry.kind} ${entry.marker} of ${id} was answered ${entry.status} ${entry.version ?? ""}, after ${floor} was seen`);
        position = Math.max(floor, state.sequence);
      } else continue;
      checked++;
      ended.push([entry.end, position]);
    }
  }
  return checked;
}

/** What was acknowledged happened, what was refused did not, and what nobody knows happened wholly or not at all. */
export function assertKept(history, events) {
  const byMarker = new Map();
  for (const event of events) byMarker.set(event.correlationId, [...(byMarker.get(event.correlationId) ?? []), event]);
  const counts = { acknowledged: 0, refused: 0, unknown: 0, unknownHappened: 0 };
  for (const entry of history) {
    if (entry.kind === "get") continue;
    const happened = byMarker.get(entry.marker) ?? [];
    const context = `${entry.kind} ${entry.marker}, answered ${entry.status}`;
    if (entry.isAcknowledged) {
      assert.deepEqual(happened.map(({ sequence }) => sequence), entry.sequences, context);
      counts.acknowledged++;
    } else if (entry.isKnown) {
      assert.equal(happened.length, 0, context);
      counts.refused++;
    } else {
      assert.ok([0, entry.ids.length].includes(happened.length), `${context}: ${happened.length} of ${entry.ids.length}`);
      counts.unknown++;
      counts.unknownHappened += happened.length ? 1 : 0;
    }
    if (happened.length && entry.kind !== "remove") assert.ok(happened.every(({ after }) => after.by === entry.marker), context);
    assert.deepEqual(happened.map(({ documentId }) => documentId).sort(), happened.length ? [...entry.ids].sort() : [], context);
  }
  return counts;
}

/** Each event's image before is what the events before it made; answers the documents in the end, by id. */
export function replayed(events) {
  const state = new Map();
  for (const { documentId, before, after, sequence } of events) {
    assert.deepEqual(before, state.get(documentId), `the image before event ${sequence}`);
    if (after) state.set(documentId, after);
    else state.delete(documentId);
  }
  return [...state.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
}
