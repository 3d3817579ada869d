// What every answer keeps to: headers, costs, empty objects, Min-Sequence, methods.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, useWorker } from "./support/object.mjs";

const using = useWorker();
const { object } = using;
const written = (answer) => Number(answer.headers.get("thermocline-rows-written"));
const read = (answer) => Number(answer.headers.get("thermocline-rows-read"));

/** An object with a collection of some documents. */
async function populated(count = 3) {
  const it = object();
  await it.batch(Array.from({ length: count }, (_, n) => ({ op: "insert", collection: "movies", doc: { id: `m${n}`, n } })));
  return it;
}

test("a number without a fraction is a whole one, however it is written, and one with a fraction is not", async () => {
  const it = await populated();
  const json = { "content-type": "application/json" };
  const send = (method, path, body) => it.call(method, path, body, json);
  for (const [text, whole] of [["2.0", true], ["2", true], ["2e0", true], ["2.5", false], ['"2"', false]]) {
    const answers = [
      await send("POST", "/collections/movies/query", `{"limit":${text},"asOf":${text === '"2"' ? "2.5" : text}}`),
      await send("POST", "/batch", `{"operations":[{"op":"update","collection":"movies","id":"m1","doc":{},"ifVersion":${text}}]}`),
      await send("PUT", "/collections/movies", `{"retention":{"days":${text}},"columnar":{"threshold":${text},"minAgeMs":${text}}}`),
      await send("PUT", "/cdc/consumers/reader", `{"sequence":${text}}`),
      await send("POST", "/sync", `{"batchSize":${text}}`),
    ];
    // What lies before the object is out of retention; what is no longer of that version is a failed precondition.
    const refused = answers.map(({ status }) => [400, 422].includes(status));
    assert.deepEqual(refused, answers.map(() => !whole), `${text}: ${answers.map(({ status, text: told }) => `${status} ${told}`)}`);
  }
});

test("an object never written reads as empty, with 200, everywhere", async () => {
  const it = object();
  const info = await it.call("GET", "");
  assert.equal(info.status, 200);
  assert.equal(info.body.docType, "demo");
  assert.equal(`${info.body.docType}/${info.body.docId}`, it.name);
  assert.deepEqual([info.body.version, info.body.collections], [0, []]);
  assert.deepEqual((await it.ok("GET", "/")).body.collections, []);
  assert.deepEqual((await it.ok("GET", "/collections")).body, { items: [] });
  assert.deepEqual((await it.ok("GET", "/cdc")).body, { events: [], cursor: { sequence: 0, timestamp: 0 }, hasMore: false });
  assert.deepEqual((await it.ok("GET", "/cdc?after=now")).body.cursor.sequence, 0);
  for (const tiers of [undefined, ["hot"], ["cold"], ["hot", "cold"]]) {
    const { status, body } = await it.query("movies", tiers && { tiers });
    assert.equal(status, 200);
    assert.deepEqual([body.rows, body.cursor], [[], undefined]);
  }
  const sync = (await it.ok("GET", "/sync")).body;
  assert.deepEqual([sync.lastHotSequence, sync.lastColdSequence, sync.pendingChanges], [0, 0, 0]);
  const result = (await it.ok("POST", "/sync")).body;
  assert.deepEqual([result.success, result.changesSynced, result.bytesWritten, result.newCursor], [true, 0, 0, 0]);
  assertProblem(await it.get("movies", "heat"), 404);
  assertProblem(await it.get("movies", "heat", { tiers: "cold" }), 404);
  assertProblem(await it.call("GET", "/collections/movies"), 404);
});

test("dropping a collection of an object that was never written is 404", async () => {
  assertProblem(await object().call("DELETE", "/collections/movies"), 404);
});

test("reading an object that was never written writes nothing", async () => {
  const it = object();
  for (const [method, path, body] of [["GET", ""], ["GET", "/collections"], ["GET", "/cdc"], ["GET", "/sync"], ["POST", "/sync"], ["POST", "/collections/a/query", {}]]) {
    assert.equal(written(await it.ok(method, path, body)), 0, path);
  }
});

test("an object tells of itself: version, collections, size, sync, effective configuration", async () => {
  const it = await populated();
  const { body } = await it.ok("GET", "");
  assert.deepEqual([body.version, body.collections], [3, ["movies"]]);
  assert.ok(body.storage.databaseSize > 0);
  assert.equal(body.sync.lastHotSequence, 3);
  assert.equal(body.sync.docId, it.name.split("/")[1]);
  assert.equal(body.config.snapshots.flushDelayMs, 5_000);
});

test("a single insert into an existing collection writes exactly two rows", async () => {
  const it = await populated();
  for (let n = 0; n < 5; n++) assert.equal(written(await it.insert("movies", { n })), 2);
  assert.equal(written(await it.put("movies", "m0", { n: 10 })), 2, "an upsert of what exists");
  assert.equal(written(await it.patch("movies", "m0", { n: 11 })), 2, "a patch");
  assert.equal(written(await it.remove("movies", "m0")), 2, "a delete");
});

test("a refused write writes no rows", async () => {
  const it = await populated();
  assert.equal(written(await it.insert("movies", { id: "m0" })), 0);
  assert.equal(written(await it.put("movies", "m0", {}, { "if-match": '"99"' })), 0);
  assert.equal(written(await it.remove("movies", "none")), 0);
});

test("a batch and an import write one row for all their documents and one for all their events", async () => {
  const it = await populated(100);
  const documents = Array.from({ length: 100 }, (_, n) => ({ id: `d${n}`, n }));
  const batch = await it.batch(documents.map((doc) => ({ op: "insert", collection: "movies", doc })));
  assert.equal(written(batch), 2);
  const imported = await it.import("movies", documents.map((doc) => ({ ...doc, id: `i${doc.id}` })));
  assert.equal(written(imported), 2);
  await it.put("movies", "row", {});
  const again = await it.batch(Array.from({ length: 100 }, () => ({ op: "update", collection: "movies", id: "d0", doc: { x: 1 } })));
  assert.equal(written(again), 3, "a document changed often in one batch is written once, and its old version marked");
});

test("a point read reads one row at most, and a hot query no more than it looks at", async () => {
  const it = await populated(100);
  await it.get("movies", "m1");
  const point = await it.get("movies", "m1");
  assert.ok(read(point) <= 1, `${read(point)} rows read`);
  assert.equal(written(point), 0);
  const page = await it.query("movies", { limit: 10 });
  assert.ok(read(page) <= 250, `${read(page)} rows read`);
});

test("every answer of an object tells what it cost, refusals too", async () => {
  const it = await populated();
  for (const [method, path, body] of [["GET", ""], ["GET", "/collections"], ["GET", "/cdc"], ["GET", it.doc("movies", "m0")], ["GET", it.doc("movies", "none")], ["POST", "/batch", "{"], ["POST", "/collections/movies/query", {}]]) {
    const answer = await it.call(method, path, body);
    for (const header of ["thermocline-rows-read", "thermocline-rows-written"]) assert.match(answer.headers.get(header) ?? "none", /^\d+$/, `${header} of ${method} ${path}`);
  }
});

test("each kind of write names the sequence it has reached", async () => {
  const it = object();
  const reached = async (answer) => Number((await answer).headers.get("thermocline-sequence"));
  assert.equal(await reached(it.insert("movies", { id: "a" })), 1);
  assert.equal(await reached(it.put("movies", "b", {})), 2);
  assert.equal(await reached(it.patch("movies", "b", { n: 1 })), 3);
  assert.equal(await reached(it.remove("movies", "b")), 4);
  assert.equal(await reached(it.batch([{ op: "insert", collection: "movies", doc: {} }, { op: "insert", collection: "movies", doc: {} }])), 6);
  assert.equal(await reached(it.import("movies", [{}, {}, {}])), 9);
  assert.equal(await reached(it.call("DELETE", "/collections/movies")), 15, "six documents were left");
  assert.equal((await it.syncState()).lastHotSequence, 15);
});

test("Min-Sequence lets a read through at or below the sequence reached, and else is 412", async () => {
  const it = await populated(3);
  const min = (value) => ({ "min-sequence": value });
  for (const value of ["0", "3"]) assert.equal((await it.get("movies", "m0", { headers: min(value) })).status, 200);
  assertProblem(await it.get("movies", "m0", { headers: min("4") }), 412);
  assertProblem(await it.call("POST", "/collections/movies/query", {}, min("4")), 412);
  assertProblem(await it.call("GET", "/cdc", undefined, min("4")), 412);
  for (const value of ["-1", "x", "1.5", ""]) assertProblem(await it.get("movies", "m0", { headers: min(value) }), 400);
});

test("a method that a route does not have is 405 and Allow says which it has", async () => {
  const it = object();
  for (const [method, path, allow] of [
    ["DELETE", "/collections", "GET, HEAD"],
    ["GET", "/batch", "POST"],
    ["PUT", "/batch", "POST"],
    ["POST", "/collections/movies", "GET, HEAD, PUT, DELETE"],
    ["GET", "/collections/movies/docs", "POST"],
    ["POST", "/collections/movies/docs/heat", "GET, HEAD, PUT, PATCH, DELETE"],
    ["GET", "/collections/movies/query", "POST"],
    ["GET", "/collections/movies/import", "POST"],
    ["POST", "/cdc", "GET, HEAD"],
    ["DELETE", "/sync", "GET, HEAD, POST"],
    ["OPTIONS", "/sync", "GET, HEAD, POST"],
  ]) {
    const answer = await it.call(method, path);
    assertProblem(answer, 405);
    assert.equal(answer.headers.get("allow"), allow, `${method} ${path}`);
  }
});

test("an unknown route is 404 and a bad name 400", async () => {
  const it = object();
  for (const path of ["/nothing", "/collections/movies/docs/a/b", "/collections/movies/nothing"]) assertProblem(await it.call("GET", path), 404);
  for (const path of ["/v1/demo/a%22b", "/v1/de%20mo/1", `/v1/demo/${"x".repeat(129)}`, "/v1/demo/%ff"]) {
    const answer = await using.worker.json("GET", path);
    assertProblem({ ...answer, text: JSON.stringify(answer.body) }, 400);
  }
  for (const path of ["/", "/v1", "/v1/demo", "/v2/demo/1", "/V1/demo/1"]) {
    const answer = await using.worker.json("GET", path);
    assertProblem({ ...answer, text: JSON.stringify(answer.body) }, 404);
  }
});

test("two objects share nothing", async () => {
  const one = object("demo/same-id");
  const other = object("other/same-id");
  await one.insert("movies", { id: "heat", of: "demo" });
  assertProblem(await other.get("movies", "heat"), 404);
  await other.insert("movies", { id: "heat", of: "other" });
  assert.equal((await one.get("movies", "heat")).body.of, "demo");
  assert.equal((await other.syncState()).lastHotSequence, 1);
});

test("what this version does not have yet is refused, never ignored", async () => {
  const it = await populated();
  for (const [method, path, body] of [
    ["PUT", "/collections/more", { immutable: true }],
  ]) {
    assertProblem(await it.call(method, path, body), 422, { detail: /does not have yet/ });
  }
  assert.deepEqual((await it.ok("GET", "")).body.collections, ["movies"]);
});
