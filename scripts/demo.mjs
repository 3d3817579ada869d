// The main job, end to end, on real data: documents are imported over HTTP, some are changed and deleted, the change
// feed is followed, the object's alarm archives everything as Iceberg tables, and every row is read back and compared. Then
// hashes of real images are registered in an asset registry, and searched.
// Everything is kept in .demo/, which is emptied first, so that each run does the same. A copy of the bucket's objects
// is left in .demo/bucket/, where the tables say that they are, so that other engines can read them.
//   npm run demo
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { flights, movies } from "./lib/datasets.mjs";
import { Collection, extended, objectPath, replay } from "./lib/demo/collection.mjs";
import { copyTables, readBucket, readThePast, readThroughObject, shownId } from "./lib/demo/read-back.mjs";
import { call, change, dropAndRestore, importAll, rowsWritten, takeSnapshot } from "./lib/demo/requests.mjs";
import { printRegistry, useRegistry } from "./lib/demo/registry.mjs";
import { count, seconds, step, sum } from "./lib/demo/steps.mjs";
import { exactText, parseExact } from "./lib/exact-json.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { at } from "./lib/paths.mjs";

const folder = at(".demo");
const bucketCopy = at(".demo", "bucket");
const archiveTimeoutMs = 120_000;
const pageOfFeed = 1_000;
/** What is shown of the movie on its way. */
const shownFields = ["id", "Title", "Director", "IMDB Rating", "Stars", "Tags"];

/** Reads the feed from its first event to its last, and then waits for one that happens meanwhile. */
async function follow(worker, collections, bar) {
  const byName = new Map(collections.map((collection) => [collection.name, collection]));
  const last = sum(collections.map(({ imported, updated, deleted }) => imported + updated + deleted));
  let reached = 0;
  const read = async (query) => {
    const { events, cursor, hasMore } = parseExact((await call(worker, "GET", `${objectPath}/cdc?${query}`)).text);
    for (const event of events) {
      event.sequence = Number(event.sequence.split(" ")[1]);
      if (event.sequence !== reached + 1) throw new Failure(`the change feed went from sequence ${reached} to ${event.sequence}`);
      reached = event.sequence;
      byName.get(event.collection).events.push(event);
    }
    bar.update(reached / last, `${count(reached)} events`);
    return { hasMore, cursor };
  };
  while ((await read(`after=${reached}&limit=${pageOfFeed}`)).hasMore);
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

async function waitForAlarm(worker, bar) {
  const started = performance.now();
  for (;;) {
    const state = JSON.parse((await call(worker, "GET", `${objectPath}/sync`)).text);
    if (state.pendingChanges === 0) return `all ${count(state.lastColdSequence)} events are published`;
    const waited = performance.now() - started;
    if (waited > archiveTimeoutMs) throw new Failure(`${state.pendingChanges} changes are not archived after ${seconds(waited)}`);
    bar.update(state.lastColdSequence / state.lastHotSequence, `${count(state.pendingChanges)} changes wait for the alarm`);
    await sleep(200);
  }
}

function printDocument({ expected, shownRow, shownDocument }) {
  const pick = (document) => exactText(Object.fromEntries(shownFields.filter((name) => name in document).map((name) => [name, document[name]])));
  console.log(`
  One document, ${shownId}. Its title is a number, and the column of titles is text.
    written          ${pick(parseExact(expected.get(shownId)))}
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
  const before = { time: Date.now(), expected: new Map(films.expected) };
  await step("take a snapshot", async () => {
    before.snapshot = await takeSnapshot(worker, "as imported");
    const { version, metadata } = before.snapshot;
    return `version ${version}, ${count(metadata.rowCount)} documents in ${count(metadata.sizeBytes)} bytes, which the tables have anyway`;
  });
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
  await step("read the past", async () => {
    const rows = await readThePast(worker, films, before);
    return `${count(rows)} movies as they were before, with those that are deleted now`;
  });
  await step("read back from the bucket", (bar) => readBucket(worker, collections, bar));
  await step("copy the tables for other engines", () => copyTables(worker, bucketCopy));
  await step("drop the movies and restore them", async (bar) => {
    await dropAndRestore(worker, films, before.snapshot, bar);
    const rows = await readThePast(worker, films, { expected: before.expected });
    return `${count(rows)} movies as in the snapshot, each equal`;
  });
  const registry = await useRegistry(worker);
  printDocument(films);
  printRegistry(registry);
  printTable(collections);
}

await main(async () => {
  const started = performance.now();
  await build({ quick: true });
  rmSync(folder, { recursive: true, force: true });
  console.log("Thermocline: real documents through a Durable Object into Iceberg tables, and back. Data is in .demo/.\n");
  let worker;
  await step("start workerd", async () => {
    // Where the tables say that they are: for R2 it would be s3://<bucket>.
    const vars = { STORAGE_CONFIG: { cold: { baseUri: pathToFileURL(bucketCopy).href } } };
    const { startWorker } = await import("../tests/worker/support/miniflare.mjs");
    worker = await startWorker({ persist: folder, vars }).catch((error) => {
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
