// Tables as they lie in the bucket: keys, versions, and everything that the current metadata reaches.
import assert from "node:assert/strict";
import avro from "avsc";
import { documentOf, jsonColumnsOf, openTable, readRows } from "../../../scripts/lib/iceberg.mjs";
import { assertEqualLists } from "./object.mjs";

/** All keys of the bucket under a prefix. */
export async function keysUnder(bucket, prefix = "") {
  const keys = [];
  for (let cursor; ;) {
    const page = await bucket.list({ prefix, ...(cursor && { cursor }) });
    keys.push(...page.objects.map((object) => object.key));
    if (!page.truncated) return keys;
    cursor = page.cursor;
  }
}

async function bytesOf(bucket, key) {
  const object = await bucket.get(key);
  assert.ok(object, `the bucket has no ${key}`);
  return Buffer.from(await object.arrayBuffer());
}

function avroRecords(bytes) {
  return new Promise((resolve, reject) => {
    const records = [];
    const decoder = new avro.streams.BlockDecoder();
    decoder.on("data", (record) => records.push(record)).on("end", () => resolve(records)).on("error", reject);
    decoder.end(bytes);
  });
}

/** The table of a collection: `{path, version, metadata}` as the version hint has it, or undefined before the first. */
export async function tableOf(it, collection) {
  const bucket = await it.worker.bucket();
  const path = `iceberg/${it.name}/${collection}`;
  const hint = await bucket.get(`${path}/metadata/version-hint.text`);
  if (!hint) return undefined;
  const text = await hint.text();
  assert.match(text, /^[1-9]\d*$/, "a version hint is a number and nothing else");
  const metadata = JSON.parse(await bytesOf(bucket, `${path}/metadata/v${text}.metadata.json`));
  return { path, version: Number(text), metadata };
}

/** Every key that the metadata reaches: manifest lists, manifests and data files of its snapshots, and older metadata. */
export async function reachable(bucket, { path, version, metadata }, snapshots = metadata.snapshots) {
  const keyOf = (location) => {
    assert.ok(location.startsWith(`${metadata.location}/`), `${location} lies under ${metadata.location}`);
    return path + location.slice(metadata.location.length);
  };
  const keys = new Set([`${path}/metadata/version-hint.text`, `${path}/metadata/v${version}.metadata.json`]);
  if (snapshots === metadata.snapshots) for (const logged of metadata["metadata-log"]) keys.add(keyOf(logged["metadata-file"]));
  for (const snapshot of snapshots) {
    const list = keyOf(snapshot["manifest-list"]);
    keys.add(list);
    for (const { manifest_path: location } of await avroRecords(await bytesOf(bucket, list))) {
      const manifest = keyOf(location);
      keys.add(manifest);
      for (const entry of await avroRecords(await bytesOf(bucket, manifest))) {
        if (entry.status !== 2) keys.add(keyOf(entry.data_file.file_path));
      }
    }
  }
  return keys;
}

/** Everything that the table's metadata reaches, or its current snapshot alone, is in the bucket. */
export async function assertWhole(it, collection, { current = false } = {}) {
  const bucket = await it.worker.bucket();
  const table = await tableOf(it, collection);
  if (!table) return undefined;
  const present = new Set(await keysUnder(bucket, `${table.path}/`));
  const { snapshots } = table.metadata;
  for (const key of await reachable(bucket, table, current ? snapshots.slice(-1) : snapshots)) assert.ok(present.has(key), `${key} is referred to and not there`);
  return table;
}

/** The documents of a table, read by others' readers, in the order of ids. */
export async function documentsIn(it, collection) {
  const bucket = await it.worker.bucket();
  const table = await openTable(bucket, `iceberg/${it.name}/${collection}`);
  const documents = [];
  for (const file of table.files) {
    for (const row of await readRows(bucket, file)) documents.push(documentOf(row, jsonColumnsOf(table)));
  }
  return documents.sort((left, right) => (left.id < right.id ? -1 : 1));
}

/** The sequences in the table of a collection's change log, in order. */
export async function sequencesIn(it, collection) {
  const bucket = await it.worker.bucket();
  const table = await openTable(bucket, `iceberg/${it.name}/${collection}__changes`);
  const rows = await Promise.all(table.files.map((file) => readRows(bucket, file)));
  return rows.flat().map((row) => row.sequence).sort((left, right) => left - right);
}

/** Cold answers what hot does, and so does a reader that knows nothing of the worker. */
export async function assertSame(it, ...collections) {
  for (const collection of collections) {
    const hot = await it.rows(collection);
    assertEqualLists(await it.rows(collection, { tiers: ["cold"], orderBy: [{ column: "id" }] }), hot, `${collection}, cold`);
    if (await tableOf(it, collection)) assertEqualLists(await documentsIn(it, collection), hot, `${collection}, by others' readers`);
  }
}
