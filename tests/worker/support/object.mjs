// A client of one digital object, and the checks that most tests make of its answers.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { startWorker } from "./miniflare.mjs";

/** JSON whose numbers stay as they were written: `1.0` and `1` are different. */
export const exact = (text) => JSON.parse(text, (_, value, { source }) => (typeof value === "number" ? { number: source } : value));

/** A condition that must come true within `ms`, asked for often. Answers what it answered. */
export async function eventually(what, condition, ms = 10_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(20);
  }
}

/** Parameters as a query: `?a=1&b=2`, or nothing. */
const asQuery = (params) => {
  const text = new URLSearchParams(params).toString();
  return text && `?${text}`;
};

export class ObjectClient {
  #worker;

  /** `worker` is asked for at each call, so that it may be restarted in between. */
  constructor(worker, name) {
    this.#worker = worker;
    this.name = name;
    this.path = `/v1/${name}`;
  }

  get worker() {
    return this.#worker();
  }

  /**
   * Sends a request. A string, bytes or a stream is sent as it is, any other body as JSON; a header that is null is left out.
   * Answers `{status, headers, text, body}`, `body` being the parsed text where it is JSON.
   */
  async call(method, path, body, headers = {}) {
    const asItIs = body === undefined || typeof body === "string" || body instanceof Uint8Array || body instanceof ReadableStream;
    const all = { ...(body !== undefined && { "content-type": "application/json" }), ...headers };
    const answer = await this.worker.fetch(this.path + path, {
      method,
      body: asItIs ? body : JSON.stringify(body),
      headers: Object.entries(all).filter(([, value]) => value !== null),
      duplex: "half",
    });
    const text = await answer.text();
    const isJson = /[/+]json\b/.test(answer.headers.get("content-type") ?? "");
    return { status: answer.status, headers: answer.headers, text, body: isJson && text ? JSON.parse(text) : undefined };
  }

  /** Like `call`, for what must succeed. */
  async ok(...request) {
    const answer = await this.call(...request);
    assert.ok(answer.status < 300, `${request[0]} ${request[1]}: ${answer.status} ${answer.text.slice(0, 500)}`);
    return answer;
  }

  doc(collection, id) {
    return `/collections/${collection}/docs/${encodeURIComponent(id)}`;
  }

  insert(collection, doc, headers) {
    return this.call("POST", `/collections/${collection}/docs`, doc, headers);
  }

  put(collection, id, doc, headers) {
    return this.call("PUT", this.doc(collection, id), doc, headers);
  }

  patch(collection, id, patch, headers) {
    return this.call("PATCH", this.doc(collection, id), patch, headers);
  }

  get(collection, id, { headers, ...params } = {}) {
    return this.call("GET", this.doc(collection, id) + asQuery(params), undefined, headers);
  }

  remove(collection, id, headers) {
    return this.call("DELETE", this.doc(collection, id), undefined, headers);
  }

  batch(operations, headers) {
    return this.call("POST", "/batch", { operations }, headers);
  }

  /** Imports documents, or NDJSON as it is. */
  import(collection, documents, { headers, ...params } = {}) {
    const body = Array.isArray(documents) ? documents.map((document) => `${JSON.stringify(document)}\n`).join("") : documents;
    return this.call("POST", `/collections/${collection}/import${asQuery(params)}`, body, { "content-type": "application/x-ndjson", ...headers });
  }

  query(collection, query = {}) {
    return this.call("POST", `/collections/${collection}/query`, query);
  }

  /** All rows of a query, page by page. */
  async rows(collection, query = {}) {
    const rows = [];
    for (let cursor; ;) {
      const { body } = await this.ok("POST", `/collections/${collection}/query`, { limit: 1_000, ...query, ...(cursor && { cursor }) });
      rows.push(...body.rows);
      cursor = body.cursor;
      if (!cursor) return rows;
    }
  }

  changes(params) {
    return this.call("GET", `/cdc${asQuery(params)}`);
  }

  /** All events after a sequence, page by page, of an object that is at rest. */
  async events(params = {}) {
    const events = [];
    for (let after = params.after ?? -1; ;) {
      const { body } = await this.ok("GET", `/cdc${asQuery({ limit: 1_000, ...params, after })}`);
      events.push(...body.events);
      after = body.cursor.sequence;
      if (!body.hasMore) return events;
    }
  }

  async syncState() {
    return (await this.ok("GET", "/sync")).body;
  }

  async sync(options = {}) {
    return (await this.ok("POST", "/sync", options)).body;
  }

  /** The last sequence and all documents: what a refused request must leave as it is. */
  async snapshot() {
    const { version, collections } = (await this.ok("GET", "")).body;
    const documents = await Promise.all(collections.map((collection) => this.rows(collection)));
    return { version, collections, documents };
  }

  evict() {
    return this.worker.evict(this.name);
  }
}

/**
 * Starts a worker before the tests of a file, then does `prepare`, and stops it after them. Answers `{worker, object}`:
 * `object()` makes the client of an object that no other test uses. THERMOCLINE_SCRIPT names another build's module.
 */
export function useWorker(options = {}, prepare = () => {}) {
  let worker;
  let count = 0;
  before(async () => {
    worker = await startWorker({ scriptPath: process.env.THERMOCLINE_SCRIPT, ...options });
    await prepare();
  });
  after(() => worker?.dispose());
  return {
    get worker() { return worker; },
    object: (name = `demo/${++count}`) => new ObjectClient(() => worker, name),
  };
}

/** A worker of a test's own, stopped at the end, and an object of it. */
export async function workerWith(options, type = "demo") {
  const worker = await startWorker({ scriptPath: process.env.THERMOCLINE_SCRIPT, ...options });
  after(() => worker.dispose());
  return { worker, it: new ObjectClient(() => worker, `${type}/1`) };
}

/** The answer is a problem document of this status; its `errors` name these pointers, its detail matches. */
export function assertProblem(answer, status, { pointers, detail, tier, retryable = [429, 503].includes(status) } = {}) {
  assert.equal(answer.status, status, answer.text.slice(0, 500));
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  const problem = answer.body;
  for (const field of ["type", "title", "detail", "tier", "operation"]) {
    assert.ok(typeof problem[field] === "string" && problem[field], `${field} of ${answer.text}`);
  }
  assert.equal(problem.status, status);
  assert.match(problem.tier, tier ?? /^(hot|warm|cold|api)$/);
  assert.equal(problem.retryable, retryable);
  const places = (problem.errors ?? []).map((error) => error.pointer);
  if (pointers) assert.deepEqual(places, pointers, answer.text);
  const told = [problem.detail, ...(problem.errors ?? []).map((error) => error.detail)].join("\n");
  if (detail) assert.match(told, detail);
  assert.doesNotMatch(told, /panic|\.rs\b|unwrap|SQLITE_|RuntimeError|wasm/i, "internals leak");
}

/** The events' sequences are `first`, `first` + 1, … without a gap or a repeat. */
export function assertContinuous(events, first = 1) {
  const bad = events.findIndex((event, position) => event.sequence !== first + position);
  assert.equal(bad, -1, bad < 0 ? "" : `event ${bad} has sequence ${events[bad].sequence}, expected ${first + bad}`);
}

/** Two long lists are equal; when not, the first difference is shown and not the lists. */
export function assertEqualLists(actual, expected, what = "lists") {
  const length = Math.max(actual.length, expected.length);
  for (let position = 0; position < length; position++) {
    if (isDeepStrictEqual(actual[position], expected[position])) continue;
    const shown = (item) => (item === undefined ? "nothing" : JSON.stringify(item).slice(0, 300));
    assert.fail(`${what}: item ${position} of ${actual.length} is ${shown(actual[position])}, expected ${shown(expected[position])} (of ${expected.length})`);
  }
}
