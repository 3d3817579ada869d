// Columns renamed, put in another order, dropped and declared again: the request surface, and what the table then says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, useWorker } from "./support/object.mjs";
import { tableOf } from "./support/table.mjs";

const using = useWorker();
const declare = (it, body) => it.call("PUT", "/collections/films", body);
const described = async (it) => (await it.ok("GET", "/collections/films")).body;
const long = (name, field) => ({ name, ...(field && { field }), type: "long" });
const documents = Array.from({ length: 70 }, (_, n) => ({ id: `d${`${n}`.padStart(2, "0")}`, a: n, b: 100 + n }));

/** The columns of documents of the published table. */
async function columnsOf(it) {
  const { metadata } = await tableOf(it, "films");
  const schema = metadata.schemas.find((schema) => schema["schema-id"] === metadata["current-schema-id"]);
  return schema.fields.filter(({ id }) => id >= 5).map(({ id, name }) => `${id} ${name}`);
}

/** An object with 70 archived documents and the columns a and b. */
async function withTwoColumns() {
  const it = using.object();
  assert.equal((await declare(it, { columns: [long("a"), long("b")] })).status, 201);
  await it.import("films", documents);
  await it.sync();
  assert.deepEqual(await columnsOf(it), ["5 a", "6 b"]);
  return it;
}

/** Writes a document, so that there is something to archive, and archives. */
async function archive(it, id, document) {
  await it.put("films", id, document);
  await it.sync();
}

test("columns are renamed, swapped and put in another order under their field ids, and documents stay as they are", async () => {
  const it = await withTwoColumns();
  const renamed = await declare(it, { columns: [long("b"), long("amount", "a")] });
  assert.equal(renamed.status, 200);
  assert.deepEqual(renamed.body.columns, [
    { name: "b", type: "long", nullable: true, declared: true, fieldId: 6 },
    { name: "amount", field: "a", type: "long", nullable: true, declared: true, fieldId: 5 },
  ]);
  await archive(it, "new", { a: 7 });
  assert.deepEqual(await columnsOf(it), ["6 b", "5 amount"]);
  assert.equal((await declare(it, { columns: [long("b", "a"), long("a", "b")] })).status, 200);
  await archive(it, "new", { a: 7, b: 1 });
  assert.deepEqual(await columnsOf(it), ["5 b", "6 a"]);
  for (const tiers of [["hot", "cold"], ["cold"]]) {
    const found = await it.rows("films", { where: { a: { eq: 7 } }, orderBy: [{ column: "id" }], tiers });
    assert.deepEqual(found, [documents[7], { id: "new", a: 7, b: 1 }]);
  }
  assertProblem(await it.insert("films", { a: "text" }), 422, { pointers: ["/a"] });
});

test("a dropped column leaves the table, its documents keep it, and declared again it is another column", async () => {
  const it = await withTwoColumns();
  const dropped = await declare(it, { columns: [long("b")], dropColumns: ["a"] });
  assert.deepEqual([dropped.status, dropped.body.dropColumns, dropped.body.columns.length], [200, ["a"], 1]);
  await archive(it, "new", { a: 7 });
  assert.deepEqual(await columnsOf(it), ["6 b"]);
  assert.deepEqual(await it.rows("films", { where: { a: { eq: 7 } }, orderBy: [{ column: "id" }], tiers: ["cold"] }), [documents[7], { id: "new", a: 7 }]);
  assert.equal((await declare(it, { columns: [{ name: "a", type: "string" }, long("b")] })).status, 200);
  assert.equal((await described(it)).dropColumns, undefined);
  await archive(it, "last", { a: "text" });
  assert.deepEqual(await columnsOf(it), ["7 a", "6 b"]);
  assert.deepEqual(await it.rows("films", { where: { a: { gte: 69 } }, tiers: ["cold"] }), [documents[69]]);
});

const bad = [
  ["a name twice", 422, { columns: [long("x", "a"), long("X", "b")] }, "/columns/1/name"],
  ["a field twice", 422, { columns: [long("x", "a"), long("y", "a")] }, "/columns/1/field"],
  ["a name of ours", 422, { columns: [long("_seq", "a")] }, "/columns/0/name"],
  ["a field of ours", 422, { columns: [long("x", "_a")] }, "/columns/0/field"],
  ["a field that is no text", 422, { columns: [{ name: "x", field: {}, type: "long" }] }, "/columns/0/field"],
  ["a key that is none", 422, { columns: [{ ...long("x"), from: "a" }] }, "/columns/0/from"],
  ["an unknown column dropped", 422, { dropColumns: ["a", "nothing"] }, "/dropColumns/1"],
  ["dropped twice", 422, { dropColumns: ["a", "a"] }, "/dropColumns/1"],
  ["dropped and declared", 422, { columns: [long("x", "a")], dropColumns: ["a"] }, "/dropColumns/0"],
  ["a drop that is no list", 422, { dropColumns: { a: true } }, "/dropColumns"],
  ["a drop that is no text", 422, { dropColumns: [1] }, "/dropColumns/0"],
  ["the ids of columns", 422, { retired: [5] }, "/retired"],
  ["another column's name", 409, { columns: [long("b", "a")] }, "/columns/0"],
  ["another type by another name", 409, { columns: [{ name: "x", field: "a", type: "string" }] }, "/columns/0"],
];

test("what cannot be is a problem with its place, and changes nothing", async () => {
  const it = await withTwoColumns();
  const before = [await described(it), await columnsOf(it)];
  for (const [what, status, body, pointer] of bad) {
    assertProblem(await declare(it, body), status, { pointers: [pointer] });
    assert.deepEqual(await described(it), before[0], what);
  }
  assertProblem(await it.call("PUT", "/collections/fresh", { dropColumns: ["a"] }), 422, { pointers: ["/dropColumns/0"] });
  assertProblem(await it.call("GET", "/collections/fresh"), 404);
  await archive(it, "new", {});
  assert.deepEqual(await columnsOf(it), before[1]);
});
