// Collections: declared, altered, told of, dropped, made again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, assertProblem, useWorker } from "./support/object.mjs";

const { object } = useWorker();
const declare = (it, columns, name = "films") => it.call("PUT", `/collections/${name}`, { columns: columns.map(([column, type, nullable]) => ({ name: column, type, ...(nullable !== undefined && { nullable }) })) });
const described = async (it, name = "films") => (await it.ok("GET", `/collections/${name}`)).body;

test("a declaration makes the collection with 201 and tells what it is; the same again is 200", async () => {
  const it = object();
  const made = await declare(it, [["title", "string", false], ["year", "int"], ["price", "decimal(10,2)"]]);
  assert.equal(made.status, 201);
  assert.deepEqual(made.body, {
    name: "films",
    columns: [
      { name: "title", type: "string", nullable: false, declared: true },
      { name: "year", type: "int", nullable: true, declared: true },
      { name: "price", type: "decimal(10,2)", nullable: true, declared: true },
    ],
    indexes: [],
    columnar: {},
    forms: { row: 0, segment: 0, cold: 0 },
    bytes: 0,
  });
  assert.equal((await declare(it, [["title", "string", false], ["year", "int"], ["price", "decimal(10,2)"]])).status, 200);
  assert.equal((await it.syncState()).lastHotSequence, 0, "a declaration is no change of a document");
});

test("an empty declaration makes a collection without columns", async () => {
  const it = object();
  for (const [name, body] of [["a", {}], ["b", { columns: [] }], ["c", undefined], ["d", ""]]) {
    assert.equal((await it.call("PUT", `/collections/${name}`, body)).status, 201, name);
  }
  assert.deepEqual((await it.ok("GET", "/collections")).body.items.map((item) => item.name), ["a", "b", "c", "d"]);
});

test("each type takes its values and refuses others with the place", async () => {
  const it = object();
  const types = {
    bool: [[true, false], ["true", 1]],
    int: [[0, 2147483647, -2147483648], [2147483648, 1.5, "1"]],
    long: [["9223372036854775807", "-9223372036854775808"].map(JSON.rawJSON), [JSON.rawJSON("9223372036854775808"), 0.5, "1"]],
    float: [[1, 1.5, -0.1], ["1", 1e39]],
    double: [[1, 1.7e308], ["1", true]],
    "decimal(5,2)": [[123.45, 0, -999.99, "1.25"], [1234.5, 0.001, "x"]],
    date: [["2024-02-29", "0001-01-01"], ["2023-02-29", "2024-2-9", "2024-02-29T00:00:00Z", 5]],
    timestamp: [["2024-02-29T12:00:00Z", "2024-02-29T12:00:00.123456+02:00"], ["2024-02-29", "noon", 1]],
    string: [["", "é"], [5, true, []]],
    uuid: [["0192d3f0-0000-7000-8000-000000000000"], ["0192d3f0", "x"]],
    binary: [["", "AAEC"], ["AAE", "?"]],
    json: [[1, "x", [], {}, true], []],
  };
  await declare(it, Object.keys(types).map((type, n) => [`f${n}`, type]));
  for (const [n, [type, [good, bad]]] of Object.entries(types).entries()) {
    for (const value of [null, ...good]) assert.equal((await it.insert("films", { [`f${n}`]: value })).status, 201, `${JSON.stringify(value)} as ${type}`);
    for (const value of bad) assertProblem(await it.insert("films", { [`f${n}`]: value }), 422, { pointers: [`/f${n}`] });
  }
  assert.equal((await it.insert("films", { other: { anything: 1 } })).status, 201, "undeclared fields are kept");
  const before = await it.rows("films");
  await it.sync();
  assert.deepEqual(await it.rows("films", { tiers: ["cold"], orderBy: [{ column: "id" }] }), before);
});

test("every wrong field is told, by insert, upsert, patch, batch and import alike", async () => {
  const it = object();
  await declare(it, [["title", "string", false], ["a/b", "int"], ["c~d", "bool"]]);
  const bad = { id: "x", "a/b": "1", "c~d": "no" };
  assertProblem(await it.insert("films", bad), 422, { pointers: ["/title", "/a~1b", "/c~0d"] });
  assertProblem(await it.put("films", "x", { ...bad, title: null }), 422, { pointers: ["/title", "/a~1b", "/c~0d"] });
  assert.equal((await it.put("films", "x", { title: "Heat", "a/b": 1 })).status, 201);
  assertProblem(await it.patch("films", "x", { title: null, "a/b": 1.5 }), 422, { pointers: ["/title", "/a~1b"] });
  assertProblem(await it.batch([{ op: "upsert", collection: "films", doc: bad }]), 422);
  assert.equal((await it.import("films", [bad], { mode: "upsert" })).body.failed, 1);
  assert.deepEqual((await it.get("films", "x")).body, { id: "x", title: "Heat", "a/b": 1 });
});

test("a collection tells its documents, bytes and, once archived, its columns with their field ids", async () => {
  const it = object();
  await declare(it, [["year", "int"]]);
  await it.batch([1995, 1998].map((year) => ({ op: "insert", collection: "films", doc: { id: `${year}`, year, title: "x", rating: 1.5 } })));
  const hot = await described(it);
  assert.deepEqual(hot.forms, { row: 2, segment: 0, cold: 0 });
  assert.equal(hot.bytes, (await it.get("films", "1995")).text.length * 2);
  await it.sync();
  assert.deepEqual((await described(it)).columns, [
    { name: "year", type: "int", nullable: true, declared: true, fieldId: 5 },
    { name: "title", type: "string", nullable: true, declared: false, fieldId: 6 },
    { name: "rating", type: "double", nullable: true, declared: false, fieldId: 7 },
  ]);
});

test("the list of collections is paged in the order of names", async () => {
  const it = object();
  await it.batch(["d", "b", "a", "c", "e"].map((collection) => ({ op: "insert", collection, doc: {} })));
  const names = [];
  for (let cursor; ;) {
    const { body } = await it.ok("GET", `/collections?limit=2${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    assert.ok(body.items.length <= 2);
    names.push(...body.items.map((item) => item.name));
    cursor = body.cursor;
    if (!cursor) break;
  }
  assert.deepEqual(names, ["a", "b", "c", "d", "e"]);
  for (const bad of ["limit=0", "limit=-1", "limit=1001", "limit=x", "limit=1&limit=2", "other=1"]) assertProblem(await it.call("GET", `/collections?${bad}`), 400);
  assertProblem(await it.call("GET", "/collections?cursor=x"), 422);
});

test("while a collection is empty its columns may become anything", async () => {
  const it = object();
  await declare(it, [["a", "string", false], ["b", "int"]]);
  assert.equal((await declare(it, [["a", "int"], ["c", "date", false]])).status, 200);
  assert.deepEqual((await described(it)).columns.map((column) => [column.name, column.type, column.nullable]), [["a", "int", true], ["c", "date", false]]);
});

test("with documents, a column may be added nullable, widened, made nullable or dropped, and nothing else", async () => {
  const it = object();
  await declare(it, [["a", "int", false], ["b", "float"], ["c", "decimal(5,2)"], ["d", "string"]]);
  await it.insert("films", { id: "x", a: 1, b: 1.5, c: 1.25, d: "x" });
  await it.sync();
  const now = [["a", "int", false], ["b", "float"], ["c", "decimal(5,2)"], ["d", "string"]];
  for (const [what, columns] of [
    ["a new column that is required", [...now, ["e", "int", false]]],
    ["int to string", [["a", "string", false], ...now.slice(1)]],
    ["string to int", [...now.slice(0, 3), ["d", "int"]]],
    ["float to int", [now[0], ["b", "int"], ...now.slice(2)]],
    ["another scale", [...now.slice(0, 2), ["c", "decimal(6,3)"], now[3]]],
    ["less precision", [...now.slice(0, 2), ["c", "decimal(4,2)"], now[3]]],
    ["nullable to required", [now[0], ["b", "float", false], ...now.slice(2)]],
  ]) {
    const before = await described(it);
    const answer = await declare(it, columns);
    assertProblem(answer, 409);
    assert.deepEqual(await described(it), before, what);
  }
  const altered = await declare(it, [["a", "long", true], ["b", "double"], ["c", "decimal(9,2)"], ["e", "date"]]);
  assert.equal(altered.status, 200);
  const ids = Object.fromEntries(altered.body.columns.map((column) => [column.name, column.fieldId]));
  assert.deepEqual([ids.a, ids.b, ids.c], [5, 6, 7], "a widened column keeps its field id");
  await it.insert("films", JSON.stringify({ id: "y", a: JSON.rawJSON("9007199254740993"), b: 1e300, c: 1234567.25, d: 5, e: "2024-02-29" }));
  await it.sync();
  assert.deepEqual(await it.rows("films", { tiers: ["cold"], orderBy: [{ column: "id" }] }), await it.rows("films"));
});

test("what is no declaration is 422 with its place", async () => {
  const it = object();
  const refused = async (body, pointers) => assertProblem(await it.call("PUT", "/collections/films", body), 422, { pointers });
  await refused({ columns: [{ name: "a", type: "integer" }] }, ["/columns/0/type"]);
  await refused({ columns: [{ name: "a", type: "decimal(39,0)" }] }, ["/columns/0/type"]);
  await refused({ columns: [{ name: "a", type: "decimal(5,6)" }] }, ["/columns/0/type"]);
  await refused({ columns: [{ name: "a", type: "int" }, { type: "int" }] }, ["/columns/1"]);
  await refused({ columns: [{ name: "a", type: "int", size: 4 }] }, ["/columns/0/size"]);
  await refused({ columns: {} }, ["/columns"]);
  await refused({ colums: [] }, ["/colums"]);
  for (const name of ["", "id", "ID", "_seq", "_anything", "x".repeat(256)]) await refused({ columns: [{ name, type: "int" }] }, ["/columns/0/name"]);
  await refused({ columns: [{ name: "a", type: "int" }, { name: "a", type: "int" }] }, ["/columns/1/name"]);
  await refused({ columns: [{ name: "a", type: "int" }, { name: "A", type: "int" }] }, ["/columns/1/name"]);
  assert.deepEqual((await it.ok("GET", "")).body.collections, []);
});

test("names that are none are 400, in the path and in a batch", async () => {
  const it = object();
  for (const name of ["Films", "1films", "_films", "fil-ms", "films__changes", "x".repeat(64), 'fil"ms', "films;drop", "%C3%A9"]) {
    const path = `/collections/${name.startsWith("%") ? name : encodeURIComponent(name)}`;
    assertProblem(await it.call("PUT", path, {}), 400);
    assertProblem(await it.call("POST", `${path}/docs`, {}), 400);
    assertProblem(await it.call("POST", `${path}/query`, {}), 400);
    assertProblem(await it.batch([{ op: "insert", collection: decodeURIComponent(name), doc: {} }]), 400);
  }
  assert.equal((await it.call("PUT", `/collections/${"x".repeat(63)}`, {})).status, 201);
});

test("a drop emits a DELETE event a document, and the collection is gone", async () => {
  const it = object();
  const documents = Array.from({ length: 50 }, (_, n) => ({ id: `d${`${n}`.padStart(2, "0")}`, n }));
  await it.import("films", documents);
  await it.insert("others", { id: "kept" });
  const answer = await it.call("DELETE", "/collections/films", undefined, { "x-correlation-id": "drop-1" });
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.get("thermocline-sequence"), "101");
  assertProblem(await it.call("GET", "/collections/films"), 404);
  assertProblem(await it.get("films", "d01"), 404);
  assert.deepEqual(await it.rows("films"), []);
  assertProblem(await it.call("DELETE", "/collections/films"), 404);
  assert.deepEqual((await it.ok("GET", "")).body.collections, ["others"]);
  const events = await it.events({ after: 51 });
  assertContinuous(events, 52);
  assert.deepEqual(events.map(({ operation, collection, documentId, before, after, correlationId }) => ({ operation, collection, documentId, before, after, correlationId })),
    documents.map((document) => ({ operation: "DELETE", collection: "films", documentId: document.id, before: document, after: undefined, correlationId: "drop-1" })));
  const filtered = await it.events({ collections: "films", operations: "DELETE", documents: false });
  assert.equal(filtered.length, 50);
});

test("a collection made again under the name starts empty, and the feed has no gap", async () => {
  const it = object();
  for (let life = 0; life < 4; life++) {
    assert.deepEqual(await it.rows("films"), []);
    await declare(it, life % 2 ? [] : [["n", "int"]]);
    await it.batch([{ op: "insert", collection: "films", doc: { id: "a", n: life } }, { op: "insert", collection: "films", doc: { id: "b", n: life } }]);
    if (life === 1) await it.evict();
    await it.ok("DELETE", "/collections/films");
  }
  await it.insert("films", { id: "a", n: "text" });
  assert.deepEqual(await it.rows("films"), [{ id: "a", n: "text" }], "what was declared is gone too");
  const events = await it.events();
  assertContinuous(events);
  assert.equal(events.length, 4 * 4 + 1);
});

test("dropping an empty collection changes no sequence", async () => {
  const it = object();
  await declare(it, []);
  assert.equal((await it.call("DELETE", "/collections/films")).status, 204);
  assert.equal((await it.syncState()).lastHotSequence, 0);
  assert.deepEqual((await it.ok("GET", "/collections")).body.items, []);
});
