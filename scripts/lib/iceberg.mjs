// Reads an Iceberg table out of a bucket as a foreign engine would, with nothing of the worker's own:
// version hint, table metadata, manifest list and manifests (Avro, by avsc), data files (Parquet, by hyparquet).
import avro from "avsc";
import { parquetReadObjects } from "hyparquet";
import { Failure } from "./failure.mjs";

async function bytesOf(bucket, key) {
  const object = await bucket.get(key);
  if (!object) throw new Failure(`the bucket has no ${key}`);
  return Buffer.from(await object.arrayBuffer());
}

/** The records of an Avro container file. */
function avroRecords(bytes) {
  return new Promise((resolve, reject) => {
    const decoder = new avro.streams.BlockDecoder();
    const records = [];
    decoder.on("data", (record) => records.push(record)).on("end", () => resolve(records)).on("error", reject);
    decoder.end(bytes);
  });
}

/** The status of a manifest's entry that says: not in this snapshot any more. */
const deleted = 2;

/**
 * The current snapshot of the table in the folder `path`: `{metadata, snapshot, files}`, a file being
 * `{key, rows, bytes, deleted}`, the last the positions of its deleted rows.
 */
export async function openTable(bucket, path) {
  const version = Number(await bytesOf(bucket, `${path}/metadata/version-hint.text`));
  const metadata = JSON.parse(await bytesOf(bucket, `${path}/metadata/v${version}.metadata.json`));
  const snapshot = metadata.snapshots.find((each) => each["snapshot-id"] === metadata["current-snapshot-id"]);
  const keyOf = (location) => path + location.slice(metadata.location.length);
  const entries = { 0: [], 1: [] };
  for (const manifest of await avroRecords(await bytesOf(bucket, keyOf(snapshot["manifest-list"])))) {
    for (const { status, data_file: file } of await avroRecords(await bytesOf(bucket, keyOf(manifest.manifest_path)))) {
      if (file.content !== manifest.content) throw new Failure(`${manifest.manifest_path} has a file of other content than it says`);
      if (status !== deleted) entries[manifest.content].push({ key: keyOf(file.file_path), rows: file.record_count, bytes: file.file_size_in_bytes, deleted: new Set() });
    }
  }
  const files = entries[0];
  const byKey = new Map(files.map((file) => [file.key, file]));
  for (const file of entries[1]) {
    for (const { file_path: location, pos } of await readRows(bucket, file)) {
      const of = byKey.get(keyOf(location));
      if (!of || pos >= of.rows || of.deleted.has(pos)) throw new Failure(`${file.key} deletes row ${pos} of ${location}, which is none, or twice`);
      of.deleted.add(pos);
    }
  }
  return { metadata, snapshot, files };
}

/** Whole numbers come as BigInt: those that a double holds exactly are numbers, as JSON.parse makes them. */
const plainNumber = (value) => (typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value);

/** The rows of one file that are not deleted, as objects by column name. */
export async function readRows(bucket, { key, rows, bytes, deleted }) {
  const content = await bytesOf(bucket, key);
  if (content.length !== bytes) throw new Failure(`${key} has ${content.length} bytes, its manifest says ${bytes}`);
  const file = content.buffer.slice(content.byteOffset, content.byteOffset + content.length);
  const found = await parquetReadObjects({ file });
  if (found.length !== rows) throw new Failure(`${key} has ${found.length} rows, its manifest says ${rows}`);
  for (const row of found) for (const name in row) row[name] = plainNumber(row[name]);
  return found.filter((_, position) => !deleted.has(position));
}

/**
 * The document in a row of a state table: the columns that are not null, and over them what `_extra` holds.
 * `jsonColumns` are the names of the columns that hold JSON text.
 */
export function documentOf({ _seq, _ts, _extra, ...columns }, jsonColumns) {
  const document = {};
  for (const [name, value] of Object.entries(columns)) {
    if (value !== null && value !== undefined) document[name] = jsonColumns.has(name) ? JSON.parse(value) : value;
  }
  return _extra ? Object.assign(document, JSON.parse(_extra)) : document;
}

/** The names of a table's columns that hold JSON text, `_extra` apart. */
export function jsonColumnsOf({ metadata }) {
  const schema = metadata.schemas.find((each) => each["schema-id"] === metadata["current-schema-id"]);
  return new Set(schema.fields.filter((field) => field.doc === "JSON text" && field.name !== "_extra").map((field) => field.name));
}
