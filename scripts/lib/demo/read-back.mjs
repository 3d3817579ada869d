// The demo's archive, read back: through the object, and out of the bucket without it.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { parseExact, sameJson } from "../exact-json.mjs";
import { Failure } from "../failure.mjs";
import { documentOf, jsonColumnsOf, openTable, readRows } from "../iceberg.mjs";
import { root } from "../paths.mjs";
import { compare, object } from "./collection.mjs";
import { call } from "./requests.mjs";
import { count, sum } from "./steps.mjs";

/** Documents of one page of a query, at most. */
const page = 1_000;
/** The movie that is shown on its way: its title is a number. */
export const shownId = "m-1740";

/** Reads archived documents through the object, a range of ids after the other; `every` n-th range only. */
export async function readThroughObject(worker, collection, every, bar) {
  const ids = [...collection.expected.keys()];
  let rows = 0;
  for (let start = 0; start < ids.length; start += page * every) {
    const range = ids.slice(start, start + page);
    const body = JSON.stringify({ where: { id: { between: [range[0], range.at(-1)] } }, limit: page, tiers: ["cold"] });
    const answer = parseExact((await call(worker, "POST", `${collection.path}/query`, { body })).text);
    const found = new Map(answer.rows.map((row) => [row.id, row]));
    compare(`${collection.name}, read through the object`, found, collection.expected, parseExact);
    if (found.size !== range.length) throw new Failure(`${collection.name}, read through the object: ${found.size} rows from ${range[0]} to ${range.at(-1)}, expected ${range.length}`);
    collection.shownDocument ??= found.get(shownId);
    rows += found.size;
    bar.update(start / ids.length);
  }
  return rows;
}

/** Reads all documents of a collection, as of a time or now, page by page, and compares them with those expected. */
export async function readThePast(worker, collection, { time, expected }) {
  const found = new Map();
  for (let cursor; ;) {
    const body = JSON.stringify({ ...(time && { asOf: time }), limit: page, ...(cursor && { cursor }) });
    const { text } = await call(worker, "POST", `${collection.path}/query`, { body });
    for (const row of parseExact(text).rows) found.set(row.id, row);
    ({ cursor } = JSON.parse(text));
    if (!cursor) break;
  }
  const what = `${collection.name}, as of ${time ? new Date(time).toISOString() : "now"}`;
  compare(what, found, expected, parseExact);
  if (found.size !== expected.size) throw new Failure(`${what}: ${found.size} documents, expected ${expected.size}`);
  return found.size;
}

/** Reads the two tables of a collection out of the bucket, without the worker, and compares every row. */
async function readTables(bucket, collection, bar) {
  const folder = `iceberg/${object}/${collection.name}`;
  const state = await openTable(bucket, folder);
  const json = jsonColumnsOf(state);
  const found = new Map();
  for (const file of state.files) {
    for (const row of await readRows(bucket, file)) {
      if (row.id === shownId) collection.shownRow = row;
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

export async function readBucket(worker, collections, bar) {
  const bucket = await worker.bucket();
  for (const collection of collections) await readTables(bucket, collection, bar);
  const rows = sum(collections.map(({ rowsBack }) => rowsBack.state));
  const events = sum(collections.map(({ rowsBack }) => rowsBack.changes));
  return `${count(rows)} documents and ${count(events)} changes, each one equal`;
}

/** Copies the tables out of the bucket, under the paths that they give for themselves. */
export async function copyTables(worker, folder) {
  const bucket = await worker.bucket();
  const { objects } = await bucket.list({ prefix: "iceberg/" });
  for (const { key } of objects) {
    const path = join(folder, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.from(await (await bucket.get(key)).arrayBuffer()));
  }
  return `${objects.length} objects in ${relative(root, folder)}`;
}
