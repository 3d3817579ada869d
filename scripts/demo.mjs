// The main job, end to end, on real data: documents are imported over HTTP, some are changed and deleted, the change
// feed is followed, the object's alarm archives everything as Iceberg tables, and every row is read back and compared.
// Everything is kept in .demo/, which is emptied first, so that each run does the same. A copy of the bucket's objects
// is left in .demo/bucket/, where the tables say that they are, so that other engines can read them.
//   npm run demo
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { progressBar } from "./lib/bar.mjs";
import { flights, movies } from "./lib/datasets.mjs";
import { exactText, parseExact, sameJson } from "./lib/exact-json.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { documentOf, jsonColumnsOf, openTable, readRows } from "./lib/iceberg.mjs";
import { at } from "./lib/paths.mjs";

const object = "demo/vega";
const base = `/v1/${object}`;
const bucketCopy = at(".demo", "bucket");
const archiveTimeoutMs = 120_000;
/** Documents of one page of a list or query, at most. */
const page = 1_000;
/** The movie that is shown on its way, and some of its fields. */
const shown = { id: "m-1740", fields: ["id", "Title", "Director", "IMDB Rating", "Stars", "Tags"] };

const count = (value) => value.toLocaleString("en-US");
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Runs one step of the demo and prints its name, its time and the note that it answers. */
async function step(name, body) {
  const started = performance.now();
  const bar = progressBar(name);
  try {
    const note = await body(bar);
    bar.end();
    console.log(`  ✔ ${name.padEnd(36)}${seconds(performance.now() - started).padStart(8)}   ${note ?? ""}`.trimEnd());
  } finally {
    bar.end();
  }
}

/** A data set on its way: what was written, and what became of it. */
class Collection {
  constructor(name, documents) {
    this.name = name;
    this.path = `${base}/collections/${name}`;
    /** Document texts by id, as they should be read back. */
    this.expected = documents;
    this.imported = this.updated = this.deleted = this.rowsWritten = 0;
    /** The events of the change feed, in order. */
    this.events = [];
    this.tables = {};
  }

  /** The changes of the demo: every tenth movie and every hundredth flight gets new fields, others go. */
  changes(every, patch) {
    const operations = [];
    const operation = (op, id, rest) => operations.push(`{"op":"${op}","collection":"${this.name}","id":"${id}"${rest}}`);
    let position = 0;
    for (const [id, text] of [...this.expected]) {
      position += 1;
      if (position % every === 0) {
        operation("update", id, `,"doc":${patch}`);
        this.expected.set(id, extended(text, patch));
        this.updated += 1;
      } else if (position % every === 7) {
        operation("delete", id, "");
        this.expected.delete(id);
        this.deleted += 1;
      }
    }
    return `{"operations":[${operations}]}`;
  }
}

/** The text of a document with the fields of `patch`, which it does not have. */
const extended = (text, patch) => `${text.slice(0, -1)},${patch.slice(1)}`;

/** Sends a request and answers `{headers, text}`; any answer but the expected one ends the demo. */
async function call(worker, method, path, { body, type = "application/json", ...init } = {}) {
  // A connection of its own: while the alarm computes, workerd answers nothing, and then closes connections that were idle.
  const headers = { connection: "close", ...(body !== undefined && { "content-type": type }) };
  const sent = typeof body === "object" && !(body instanceof ReadableStream) ? JSON.stringify(body) : body;
  let answer;
  let text;
  try {
    answer = await worker.fetch(path, { method, headers, body: sent, timeoutMs: 120_000, ...init });
    text = await answer.text();
  } catch (error) {
    const last = worker.logs.at(-1);
    throw new Failure(`${method} ${path}: no answer (${error.cause?.message ?? error.message})${last ? `; workerd said: ${last}` : ""}`);
  }
  if (!answer.ok) throw new Failure(`${method} ${path}: ${answer.status} ${text}`);
  return { headers: answer.headers, text };
}

const rowsWritten = ({ headers }) => Number(headers.get("thermocline-rows-written"));

/** A body of lines that is sent as it is taken, so that its progress can be seen. */
function ndjson(documents, onPart) {
  const lines = [...documents.values()];
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next >= lines.length) return controller.close();
      controller.enqueue(Buffer.from(lines.slice(next, next + 2_000).join("\n") + "\n"));
      next += 2_000;
      onPart(next / lines.length);
    },
  });
}

async function importAll(worker, collection, bar) {
  const body = ndjson(collection.expected, (part) => bar.update(part));
  const answer = await call(worker, "POST", `${collection.path}/import`, { body, type: "application/x-ndjson", duplex: "half" });
  const { imported, failed, errors } = JSON.parse(answer.text);
  if (failed > 0) throw new Failure(`${failed} documents of ${collection.name} were refused, first line ${errors[0].line}: ${errors[0].detail}`);
  collection.imported = imported;
  collection.rowsWritten += rowsWritten(answer);
  return `${count(imported)} documents in one request`;
}

async function change(worker, collection, every, patch) {
  const answer = await call(worker, "POST", `${base}/batch`, { body: collection.changes(every, patch) });
  collection.rowsWritten += rowsWritten(answer);
}

/** Reads the feed from its first event to its last, and then waits for one that happens meanwhile. */
async function follow(worker, collections, bar) {
  const byName = new Map(collections.map((collection) => [collection.name, collection]));
  const last = sum(collections.map(({ imported, updated, deleted }) => imported + updated + deleted));
  let reached = 0;
  const read = async (query) => {
    const { events, cursor, hasMore } = parseExact((await call(worker, "GET", `${base}/cdc?${query}`)).text);
    for (const event of events) {
      event.sequence = Number(event.sequence.split(" ")[1]);
      if (event.sequence !== reached + 1) throw new Failure(`the change feed went from sequence ${reached} to ${event.sequence}`);
      reached = event.sequence;
      byName.get(event.collection).events.push(event);
    }
    bar.update(reached / last, `${count(reached)} events`);
    return { hasMore, cursor };
  };
  while ((await read(`after=${reached}&limit=${page}`)).hasMore);
  if (reached !== last) throw new Failure(`the change feed ended at sequence ${reached}, expected ${last}`);

  const waiting = read(`after=${reached}&waitMs=10000`).then(() => performance.now());
  await sleep(100);
  const [first] = collections;
  const [[id, text]] = first.expected;
  const patch = '{"Stars":5.0}';
  first.rowsWritten += rowsWritten(await call(worker, "PATCH", `${first.path}/docs/${id}`, { body: patch }));
  const committed = performance.now();
  first.updated += 1;
  first.expected.set(id, extended(text, patch));
  const seen = Math.max(0, (await waiting) - committed);
  if (reached !== last + 1) throw new Failure("the change feed did not tell of a change made while it was followed");
  for (const collection of collections) replay(collection);
  return `${count(reached)} events, no gap; a new one is seen ${Math.ceil(seen)} ms after its commit`;
}

/** The events alone must make the documents. */
function replay({ name, events, expected }) {
  const documents = new Map();
  for (const { operation, documentId, after } of events) {
    if (operation === "DELETE") documents.delete(documentId);
    else documents.set(documentId, after);
  }
  compare(`${name}, replayed from the change feed`, documents, expected, parseExact);
}

/** Compares documents by id with what is expected, each of them; the first difference ends the demo. */
function compare(what, found, expected, parse) {
  for (const [id, document] of found) {
    if (!expected.has(id)) throw new Failure(`${what}: ${id} was never written, or was deleted: ${exactText(document)}`);
    const wanted = parse(expected.get(id));
    if (!sameJson(document, wanted)) throw new Failure(`${what}: expected ${exactText(wanted)}, got ${exactText(document)}`);
  }
}

async function waitForAlarm(worker, bar) {
  const started = performance.now();
  for (;;) {
    const state = JSON.parse((await call(worker, "GET", `${base}/sync`)).text);
    if (state.pendingChanges === 0) return `all ${count(state.lastColdSequence)} events are published`;
    const waited = performance.now() - started;
    if (waited > archiveTimeoutMs) throw new Failure(`${state.pendingChanges} changes are not archived after ${seconds(waited)}`);
    bar.update(state.lastColdSequence / state.lastHotSequence, `${count(state.pendingChanges)} changes wait for the alarm`);
    await sleep(200);
  }
}

/** Reads archived documents through the object, a range of ids after the other; `every` n-th range only. */
async function readThroughObject(worker, collection, every, bar) {
  const ids = [...collection.expected.keys()];
  let rows = 0;
  for (let start = 0; start < ids.length; start += page * every) {
    const range = ids.slice(start, start + page);
    const body = { where: { id: { between: [range[0], range.at(-1)] } }, limit: page, tiers: ["cold"] };
    const answer = parseExact((await call(worker, "POST", `${collection.path}/query`, { body })).text);
    const found = new Map(answer.rows.map((row) => [row.id, row]));
    compare(`${collection.name}, read through the object`, found, collection.expected, parseExact);
    if (found.size !== range.length) throw new Failure(`${collection.name}, read through the object: ${found.size} rows from ${range[0]} to ${range.at(-1)}, expected ${range.length}`);
    collection.shownDocument ??= found.get(shown.id);
    rows += found.size;
    bar.update(start / ids.length);
  }
  return rows;
}

/** Reads the two tables of a collection out of the bucket, without the worker, and compares every row. */
async function readTables(bucket, collection, bar) {
  const folder = `iceberg/${object}/${collection.name}`;
  const state = await openTable(bucket, folder);
  const json = jsonColumnsOf(state);
  const found = new Map();
  for (const file of state.files) {
    for (const row of await readRows(bucket, file)) {
      if (row.id === shown.id) collection.shownRow = row;
      found.set(row.id, documentOf(row, json));
    }
  }
  compare(`${collection.name}, read from Parquet`, found, collection.expected, JSON.parse);
  if (found.size !== collection.expected.size) throw new Failure(`${folder} has ${found.size} rows, expected ${collection.expected.size}`);
  bar.update(0.4);

  const changes = await openTable(bucket, `${folder}__changes`);
  const rows = (await Promise.all(changes.files.map((file) => readRows(bucket, file)))).flat();
  rows.sort((left, right) => left.sequence - right.sequence);
  if (rows.length !== collection.events.length) throw new Failure(`${folder}__changes has ${rows.length} rows, expected ${collection.events.length}`);
  rows.forEach((row, position) => compareEvent(row, collection.events[position]));
  collection.tables = { state, changes };
  collection.rowsBack = { state: found.size, changes: rows.length };
}

function compareEvent(row, event) {
  const image = (text) => (text === null || text === undefined ? undefined : parseExact(text));
  const same = row.sequence === event.sequence && row.event_id === event.id && row.operation === event.operation
    && row.document_id === event.documentId && sameJson(image(row.before), event.before) && sameJson(image(row.after), event.after);
  if (!same) throw new Failure(`the change log's row ${JSON.stringify(row)} is not the event ${JSON.stringify(event)}`);
}

async function readBucket(worker, collections, bar) {
  const bucket = await worker.bucket();
  for (const collection of collections) await readTables(bucket, collection, bar);
  const rows = sum(collections.map(({ rowsBack }) => rowsBack.state));
  const events = sum(collections.map(({ rowsBack }) => rowsBack.changes));
  return `${count(rows)} documents and ${count(events)} changes, each one equal`;
}

/** Copies the tables out of the bucket, under the paths that they give for themselves. */
async function copyTables(worker) {
  const bucket = await worker.bucket();
  const { objects } = await bucket.list({ prefix: "iceberg/" });
  for (const { key } of objects) {
    const path = join(bucketCopy, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.from(await (await bucket.get(key)).arrayBuffer()));
  }
  return `${objects.length} objects in ${join(".demo", "bucket")}`;
}

function printDocument({ expected, shownRow, shownDocument }) {
  const pick = (document) => exactText(Object.fromEntries(shown.fields.filter((name) => name in document).map((name) => [name, document[name]])));
  console.log(`
  One document, ${shown.id}. Its title is a number, and the column of titles is text.
    written          ${pick(parseExact(expected.get(shown.id)))}
    Parquet columns  ${pick(shownRow)}
    and _extra       ${shownRow._extra}
    read back        ${pick(shownDocument)}`);
}

function printTable(collections) {
  const files = ({ tables }) => [tables.state.files, tables.changes.files].flat();
  const lines = [
    ["documents imported", ({ imported }) => imported],
    ["documents updated", ({ updated }) => updated],
    ["documents deleted", ({ deleted }) => deleted],
    ["rows SQLite wrote for these requests", (each) => each.rowsWritten],
    ["change events", ({ events }) => events.length],
    ["Parquet files, of the two tables", (each) => files(each).length],
    ["bytes of them", (each) => sum(files(each).map(({ bytes }) => bytes))],
    ["rows read back: current documents", ({ rowsBack }) => rowsBack.state],
    ["rows read back: change log", ({ rowsBack }) => rowsBack.changes],
    ["rows that differ", () => 0],
  ];
  const cell = (value) => String(typeof value === "number" ? count(value) : value).padStart(12);
  const row = (name, values) => console.log(`  ${name.padEnd(38)}${values.map(cell).join("")}`);
  console.log();
  row("", [...collections.map(({ name }) => name), "together"]);
  for (const [name, value] of lines) {
    const values = collections.map(value);
    row(name, [...values, sum(values)]);
  }
}

async function run(worker) {
  const [films, flown] = [new Collection("movies", movies()), new Collection("flights", flights())];
  const collections = [films, flown];
  await step("import movies.json", (bar) => importAll(worker, films, bar));
  await step("import flights-200k.json", (bar) => importAll(worker, flown, bar));
  await step("update and delete", async () => {
    await change(worker, films, 10, '{"Stars":4.50,"Tags":["seen",{"on":"2026-11-21"}]}');
    await change(worker, flown, 100, '{"gate":"A12"}');
    return `${count(films.updated + flown.updated)} updates, ${count(films.deleted + flown.deleted)} deletes in two transactions`;
  });
  await step("follow the change feed", (bar) => follow(worker, collections, bar));
  await step("wait for the alarm to archive", (bar) => waitForAlarm(worker, bar));
  await step("read back through the object", async (bar) => {
    const all = await readThroughObject(worker, films, 1, bar);
    const some = await readThroughObject(worker, flown, 10, bar);
    return `${count(all)} movies and, one page in ten, ${count(some)} flights, each equal`;
  });
  await step("read back from the bucket", (bar) => readBucket(worker, collections, bar));
  await step("copy the tables for other engines", () => copyTables(worker));
  printDocument(films);
  printTable(collections);
}

await main(async () => {
  const started = performance.now();
  await build({ quick: true });
  rmSync(at(".demo"), { recursive: true, force: true });
  console.log("Thermocline: real documents through a Durable Object into Iceberg tables, and back. Data is in .demo/.\n");
  let worker;
  await step("start workerd", async () => {
    // Where the tables say that they are: for R2 it would be s3://<bucket>.
    const vars = { STORAGE_CONFIG: { cold: { baseUri: pathToFileURL(bucketCopy).href } } };
    const { startWorker } = await import("../tests/worker/support/miniflare.mjs");
    worker = await startWorker({ persist: at(".demo"), vars }).catch((error) => {
      throw new Failure(`workerd did not start: ${error.message.split("\n")[0]}`);
    });
  });
  try {
    await run(worker);
  } finally {
    await worker.dispose();
  }
  console.log(`\nAll that was written was read back equal. ${seconds(performance.now() - started)} in all.`);
});
