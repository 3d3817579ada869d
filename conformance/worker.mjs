// Tables written by the built worker: an object is driven over HTTP in workerd, archived with POST /sync, and every
// object of its bucket copied into a folder, where the foreign readers find it under the configured base URI.
// What is expected there is what the object itself answers: its documents, and its change feed.
// Or the worker is left running, and they attach to its REST catalogue.
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "../scripts/build.mjs";
import { Failure } from "../scripts/lib/failure.mjs";
import { startWorker } from "../tests/worker/support/miniflare.mjs";

const collections = ["people", "typed", "many", "dropped"];

/** A worker whose requests are to one of its objects. */
const at = (worker, object) => ({ fetch: (path, init) => worker.fetch(object + path, init), bucket: () => worker.bucket() });
const objectOf = (worker) => at(worker, "/v1/conformance/one");
const registryOf = (worker) => at(worker, "/v1/registry/conformance");

/** JSON whose numbers keep their text when it is written again. */
const exact = (text) => JSON.parse(text, (_, value, { source }) => (typeof value === "number" ? JSON.rawJSON(source) : value));

async function ask(worker, method, path, body, contentType = "application/json") {
  const sent = body === undefined ? {} : { body, headers: { "content-type": contentType } };
  const answer = await worker.fetch(path, { method, ...sent });
  const text = await answer.text();
  if (!answer.ok) throw new Failure(`${method} ${path}: ${answer.status} ${text.slice(0, 300)}`);
  return text;
}

const put = (worker, collection, id, text) => ask(worker, "PUT", `/collections/${collection}/docs/${encodeURIComponent(id)}`, text);
const remove = (worker, collection, id) => ask(worker, "DELETE", `/collections/${collection}/docs/${encodeURIComponent(id)}`);
const sync = (worker) => ask(worker, "POST", "/sync", JSON.stringify({ force: true }));

/** What the tables go through: several archived states, each with inserts, updates, deletes, and columns that change. */
const rounds = [
  async (worker) => {
    const columns = [
      ["m", "decimal(9,2)"], ["day", "date"], ["at", "timestamp"], ["u", "uuid"], ["x", "binary"], ["f", "float"], ["i", "int"], ["j", "json"],
    ];
    await ask(worker, "PUT", "/collections/typed", JSON.stringify({ columns: columns.map(([name, type]) => ({ name, type })) }));
    await put(worker, "typed", "full", '{"m":-10.50,"day":"2024-02-29","at":"2024-02-29T12:00:00.123Z","u":"0192d3f0-0000-7000-8000-000000000001","x":"AP8=","f":0.1,"i":-5,"j":{"a":[1.0,null]}}');
    await put(worker, "typed", "spelled", '{"m":"10.5","at":"2024-02-29T13:00:00+01:00","u":"0192D3F0-0000-7000-8000-000000000001","f":1.50,"i":5.0,"j":"text"}');
    await put(worker, "people", "ada", '{"name":"Ada","age":36,"score":1,"big":9007199254740993,"tags":["a",1.0,{"b":null}]}');
    await put(worker, "people", "ü/\"'", '{"name":"Bob\\u0000\\t\\"é😀","age":null,"_private":true,"Name":"other case"}');
    await put(worker, "people", "gone", '{"name":"Cyd"}');
    await put(worker, "dropped", "a", '{"n":1}');
  },
  async (worker) => {
    const lines = Array.from({ length: 2_500 }, (_, n) => JSON.stringify({ id: `row-${String(n).padStart(5, "0")}`, n, city: `city ${n % 13}`, ok: n % 3 === 0 }));
    await ask(worker, "POST", "/collections/many/import?mode=insert", lines.join("\n"), "application/x-ndjson");
    await put(worker, "people", "ada", '{"name":"Ada","age":37,"score":1.5,"big":-1}');
    await remove(worker, "people", "gone");
  },
  async (worker) => {
    for (let n = 0; n < 12; n++) await put(worker, "people", `m${n}`, `{"score":${["1", '"x"', "[2]", "null"][n % 4]}}`);
    await put(worker, "many", "row-00007", '{"n":5.0,"city":null}');
    await remove(worker, "many", "row-00008");
    await ask(worker, "DELETE", "/collections/dropped");
  },
];

const registryCollections = ["asset_metadata", "hash_records", "collision_log"];

const record = (assetId, pdqHash, more) => JSON.stringify({
  metadata: { assetId, manifestUrl: "https://example.org/m", imageUrl: "https://example.org/ü", contentType: "image/png", fileSize: 2 ** 40, uploadedAt: "2024-02-29T12:00:00.123Z", metadata: { tags: ["a", 1.5] } },
  hashes: { pdqHash, pdqQuality: 77, manifestLineage: { issuerKeyId: `key-${assetId}`, parentHash: null }, ...more },
});

/** What an asset registry's tables go through. */
const registryRounds = [
  async (worker) => {
    await ask(worker, "PUT", "/settings", JSON.stringify({ embedding: { dimension: 3 } }));
    await ask(worker, "POST", "/records", record("a", "0".repeat(64), { embedding: [1, -0.5, 1e-3], embeddingConfidence: 0.9876, embeddingId: "e-1", ensembleHashes: { md5: "x" } }));
    await ask(worker, "POST", "/records", record("b", "F".repeat(64), { embeddingConfidence: 1 }));
    await ask(worker, "POST", "/hashes/batch", Array.from({ length: 300 }, (_, n) => n.toString(16).padStart(64, "5")).join("\n"), "text/plain");
  },
  async (worker) => {
    const { collisionIds } = JSON.parse(await ask(worker, "POST", "/records?detect=true", record("c", `${"0".repeat(63)}1`)));
    await ask(worker, "POST", `/collisions/${collisionIds[0]}/reviews`, JSON.stringify({ label: "suspicious", notes: "zwölf", reviewedBy: "mia@example.org", resolved: true }));
    await ask(worker, "PATCH", "/assets/a", JSON.stringify({ status: "done", processedAt: "2024-03-01T00:00:00Z" }));
    await ask(worker, "DELETE", "/records/b");
  },
];

/** All events of the change feed, from the first. */
async function changeFeed(worker) {
  const events = [];
  for (let after = -1, more = true; more;) {
    const page = exact(await ask(worker, "GET", `/cdc?after=${after}&limit=1000&documents=true`));
    events.push(...page.events);
    more = page.hasMore;
    after = page.cursor.sequence.rawJSON;
  }
  return events;
}

const number = (raw) => Number(raw.rawJSON);
const text = (image) => (image === undefined || image === null ? null : JSON.stringify(image));

/** The documents that the object answers, with the version and time of each one's last event. */
async function documentsOf(worker, collection, events) {
  const last = new Map(events.filter((event) => event.collection === collection).map((event) => [event.documentId, event]));
  const documents = [];
  for (const [id, event] of last) {
    if (event.operation === "DELETE") continue;
    const answered = await ask(worker, "GET", `/collections/${collection}/docs/${encodeURIComponent(id)}`);
    documents.push({ id, seq: number(event.sequence), ts: number(event.timestamp), text: answered });
  }
  return documents;
}

const changesOf = (collection, events) => events.filter((event) => event.collection === collection).map((event) => ({
  sequence: number(event.sequence),
  event_id: event.id,
  operation: event.operation,
  document_id: event.documentId,
  timestamp: number(event.timestamp),
  before: text(event.before),
  after: text(event.after),
}));

/** The metadata that a table's version hint names, and the folder `warehouse` with all of the bucket's objects. */
async function copyBucket(worker, warehouse) {
  const bucket = await worker.bucket();
  const hints = new Map();
  for (let cursor; ;) {
    const listed = await bucket.list({ cursor });
    for (const { key } of listed.objects) {
      const bytes = Buffer.from(await (await bucket.get(key)).arrayBuffer());
      mkdirSync(dirname(join(warehouse, key)), { recursive: true });
      writeFileSync(join(warehouse, key), bytes);
      if (key.endsWith("/metadata/version-hint.text")) hints.set(key.split("/").at(-3), key.replace("version-hint.text", `v${bytes}.metadata.json`));
    }
    if (!listed.truncated) return hints;
    cursor = listed.cursor;
  }
}

/** A collection with a column of texts that do not compress, so that its file is long. */
async function importWide(worker) {
  const text = (n) => [0, 1].map((part) => createHash("sha256").update(`${n} ${part}`).digest("base64")).join("");
  const lines = Array.from({ length: 4_000 }, (_, n) => JSON.stringify({ id: `w-${String(n).padStart(5, "0")}`, n, text: text(n) }));
  await ask(worker, "POST", "/collections/wide/import?mode=insert", lines.join("\n"), "application/x-ndjson");
}

/** Drives the object; the tables to expect, with what it answers. */
async function drive(worker, warehouse, { collections, rounds }) {
  for (const round of rounds) {
    await round(worker);
    await sync(worker);
    // A table is published at most once a second.
    await sleep(1_100);
  }
  await sync(worker);
  const events = await changeFeed(worker);
  const hints = await copyBucket(worker, warehouse);
  const tables = [];
  for (const collection of collections) {
    const changes = `${collection}__changes`;
    for (const name of [collection, changes]) if (!hints.has(name)) throw new Failure(`the bucket has no table ${name}`);
    tables.push({ name: collection, metadata: hints.get(collection), documents: await documentsOf(worker, collection, events) });
    tables.push({ name: changes, metadata: hints.get(changes), events: changesOf(collection, events) });
  }
  return tables;
}

/** Writes the tables and `expected.json` into the folder `warehouse`, which it answers. */
export async function writeWorkerTables(warehouse) {
  await build({ quick: true });
  const worker = await startWorker({ vars: { STORAGE_CONFIG: { cold: { baseUri: `file://${warehouse}` } } } });
  try {
    const tables = [
      ...(await drive(objectOf(worker), warehouse, { collections, rounds })),
      ...(await drive(registryOf(worker), warehouse, { collections: registryCollections, rounds: registryRounds })),
    ];
    writeFileSync(join(warehouse, "expected.json"), JSON.stringify({ tables }));
  } finally {
    await worker.dispose();
  }
  return warehouse;
}

/** Writes tables as engines find them through the catalogue, and has `read(url, warehouse)` read them while the worker runs. */
export async function withCatalog(warehouse, read) {
  await build({ quick: true });
  const worker = await startWorker();
  try {
    const tables = await drive(objectOf(worker), warehouse, { collections: [...collections, "wide"], rounds: [...rounds, importWide] });
    writeFileSync(join(warehouse, "expected.json"), JSON.stringify({ tables }));
    return await read(worker.url.origin, warehouse);
  } finally {
    await worker.dispose();
  }
}
