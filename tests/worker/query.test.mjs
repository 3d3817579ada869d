// Queries: conditions, fields, orders, pages, hot and cold alike.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, exact, useWorker } from "./support/object.mjs";

const people = [
  { id: "ann", age: 30, height: 1.7, city: "Oslo", member: true, address: { zip: "0150", geo: { lat: 59.9 } }, _seq: 1_000 },
  { id: "bob", age: 25, height: 1.9, city: "Bergen", member: false, address: { zip: "5003" } },
  { id: "cat", age: null, height: 2, city: "oslo", tags: ["a", "b"] },
  { id: "dan", height: 1.5, city: "Ås", member: true, address: null },
  { id: "eve", age: 30.5, city: "", member: false },
  { id: "fay", age: "30", city: "Oslo 2", "address.zip": "dotted" },
  { id: "gus", age: 9007199254740993n, height: -0.5, city: null },
];
const asText = (person) => JSON.stringify(person, (_, value) => (typeof value === "bigint" ? JSON.rawJSON(`${value}`) : value));

let it;
const { object } = useWorker({}, async () => {
  it = object("demo/people");
  assert.equal((await it.import("people", people.map(asText).join("\n"))).body.imported, people.length);
  await it.sync();
});

const tiersOf = [undefined, ["hot"], ["cold"], ["hot", "cold"]];

/** The ids that a condition leaves, which must be the same from every tier. */
async function found(where) {
  const answers = [];
  for (const tiers of tiersOf) {
    const rows = await it.rows("people", { where, select: ["id"], ...(tiers && { tiers }) });
    answers.push(rows.map((row) => row.id).sort().join(" "));
  }
  assert.equal(new Set(answers).size, 1, `${JSON.stringify(where)}: ${JSON.stringify(answers)}`);
  return answers[0];
}

for (const [what, where, expected] of [
  ["eq finds equal numbers across int and float", { age: { eq: 30.0 } }, "ann"],
  ["eq of a string is not eq of a number", { age: { eq: "30" } }, "fay"],
  ["eq compares booleans", { member: { eq: true } }, "ann dan"],
  ["eq finds integers beyond 2^53 exactly", { age: { eq: 9007199254740992 } }, ""],
  ["ne leaves out what is null or absent", { city: { ne: "Oslo" } }, "bob cat dan eve fay"],
  ["lt", { age: { lt: 30 } }, "bob"],
  ["lte", { age: { lte: 30 } }, "ann bob"],
  ["gt", { age: { gt: 30 } }, "eve gus"],
  ["gte", { age: { gte: 30 } }, "ann eve gus"],
  ["strings compare by bytes", { city: { gt: "Oslo" } }, "cat dan fay"],
  ["in", { city: { in: ["Oslo", "Bergen", "nowhere"] } }, "ann bob"],
  ["in nothing", { city: { in: [] } }, ""],
  ["between includes both ends", { height: { between: [1.5, 1.9] } }, "ann bob dan"],
  ["between the wrong way round", { height: { between: [1.9, 1.5] } }, ""],
  ["prefix", { city: { prefix: "Oslo" } }, "ann fay"],
  ["an empty prefix finds all strings", { city: { prefix: "" } }, "ann bob cat dan eve fay"],
  ["prefix of a number finds nothing", { height: { prefix: "1" } }, ""],
  ["isNull finds null and absent fields alike", { age: { isNull: true } }, "cat dan"],
  ["isNull: false finds the others", { age: { isNull: false } }, "ann bob eve fay gus"],
  ["several operators on a field must all hold", { age: { gte: 25, lt: 30.5 } }, "ann bob"],
  ["several fields must all hold", { age: { gte: 25 }, member: { eq: false } }, "bob eve"],
  ["a nested field by its path", { "address.zip": { eq: "5003" } }, "bob"],
  ["a field whose name has dots", { "address.zip": { eq: "dotted" } }, "fay"],
  ["a deeper path", { "address.geo.lat": { gt: 59 } }, "ann"],
  ["and", { and: [{ age: { gte: 30 } }, { city: { eq: "Oslo" } }] }, "ann"],
  ["or", { or: [{ age: { lt: 30 } }, { city: { eq: "oslo" } }] }, "bob cat"],
  ["not", { not: { member: { eq: true } } }, "bob eve"],
  ["not of unknown is unknown", { not: { age: { gt: 30 } } }, "ann bob fay"],
  ["or of unknown and true is true", { or: [{ age: { gt: 100 } }, { height: { gt: 1.95 } }] }, "cat gus"],
  ["and of unknown and false is false, so that its not is true", { not: { and: [{ age: { gt: 0 } }, { height: { gt: 5 } }] } }, "ann bob cat dan fay gus"],
  ["not of or", { not: { or: [{ member: { eq: true } }, { height: { gt: 2 } }] } }, "bob"],
  ["a field that is called like one of the table's own columns", { _seq: { gte: 1_000 } }, "ann"],
  ["the id", { id: { gte: "b", lt: "d" } }, "bob cat"],
  ["no condition at all", {}, "ann bob cat dan eve fay gus"],
  ["an empty and holds, an empty or does not", { and: [] }, "ann bob cat dan eve fay gus"],
  ["an empty or holds for none", { or: [] }, ""],
  ["an unknown field is null", { nothing: { eq: 1 } }, ""],
]) {
  test(`a condition, from every tier: ${what}`, async () => {
    assert.equal(await found(where), expected);
  });
}

test("without select a row is the whole document; with it, the fields asked for, null where there is none", async () => {
  for (const tiers of tiersOf) {
    const answer = await it.query("people", { where: { id: { in: ["ann", "gus"] } }, ...(tiers && { tiers }) });
    assert.deepEqual(exact(answer.text).rows.sort((left, right) => (left.id < right.id ? -1 : 1)), [people[0], people[6]].map((person) => exact(asText(person))));
    const selected = await it.rows("people", { select: ["address.zip", "tags", "none", "address"], where: { id: { in: ["ann", "cat"] } }, orderBy: [{ column: "id" }], ...(tiers && { tiers }) });
    assert.deepEqual(selected, [
      { "address.zip": "0150", tags: null, none: null, address: people[0].address },
      { "address.zip": null, tags: ["a", "b"], none: null, address: null },
    ]);
  }
});

test("rows come in the order asked for: several keys, each way, nulls first ascending, ids at last", async () => {
  const order = async (...orderBy) => {
    const answers = [];
    for (const tiers of tiersOf) {
      const rows = await it.rows("people", { orderBy: orderBy.map(([column, direction]) => ({ column, ...(direction && { direction }) })), limit: 2, ...(tiers && { tiers }) });
      answers.push(rows.map((row) => row.id).join(" "));
    }
    assert.equal(new Set(answers).size, 1, JSON.stringify(answers));
    return answers[0];
  };
  assert.equal(await order(["height"]), "eve fay gus dan ann bob cat");
  assert.equal(await order(["height", "desc"]), "cat bob ann dan gus eve fay");
  assert.equal(await order(["member", "DESC"], ["height", "asc"]), "dan ann eve bob fay gus cat");
  assert.equal(await order(["age"]), "cat dan bob ann eve gus fay", "numbers before strings");
  assert.equal(await order(["city"]), "gus eve bob ann fay cat dan");
  assert.equal(await order(["address.geo.lat"], ["id", "desc"]), "gus fay eve dan cat bob ann");
});

test("pages follow each other without gap or repeat while writes go on", async () => {
  const other = object();
  const documents = Array.from({ length: 200 }, (_, n) => ({ id: `d${`${n}`.padStart(3, "0")}`, group: n % 5, n }));
  await other.import("docs", documents);
  for (const orderBy of [undefined, [{ column: "group", direction: "desc" }, { column: "n" }]]) {
    const seen = [];
    for (let cursor, page = 0; page === 0 || cursor; page++) {
      const { body } = await other.ok("POST", "/collections/docs/query", { limit: 7, ...(orderBy && { orderBy }), ...(cursor && { cursor }) });
      seen.push(...body.rows.filter((row) => row.n >= 0).map((row) => row.id));
      cursor = body.cursor;
      // Documents before and after the place where the page ended; those asked about keep their keys.
      await other.batch([{ op: "insert", collection: "docs", doc: { group: page % 5, n: -1 } }, { op: "update", collection: "docs", id: "d100", doc: { touched: page } }]);
    }
    assert.equal(seen.length, 200);
    assert.equal(new Set(seen).size, 200);
  }
});

test("a limit ends a page and a cursor says that there is more, exactly", async () => {
  for (const tiers of tiersOf) {
    const all = { ...(tiers && { tiers }) };
    const exactly = await it.query("people", { limit: people.length, ...all });
    assert.equal(exactly.body.rows.length, people.length);
    const one = await it.query("people", { limit: 1, ...all });
    assert.equal(one.body.rows.length, 1);
    assert.equal(typeof one.body.cursor, "string");
  }
  assert.equal((await it.rows("people", { limit: 3 })).length, people.length);
});

test("a cursor of another query, of another collection or of none is 422", async () => {
  const { body } = await it.query("people", { limit: 1, where: { age: { gte: 25 } } });
  const refused = async (query, collection = "people") => assertProblem(await it.query(collection, { ...query, cursor: query.cursor ?? body.cursor }), 422, { pointers: ["/cursor"] });
  await refused({ limit: 1 });
  await refused({ limit: 1, where: { age: { gte: 26 } } });
  await refused({ limit: 1, where: { age: { gte: 25 } }, orderBy: [{ column: "age" }] });
  await refused({ limit: 1, where: { age: { gte: 25 } }, tiers: ["cold"] });
  await refused({ limit: 1, where: { age: { gte: 25 } } }, "others");
  for (const cursor of ["x", "", "e30", body.cursor.slice(0, -4), `${body.cursor}AAAA`]) await refused({ limit: 1, where: { age: { gte: 25 } }, cursor });
  assert.equal((await it.query("people", { limit: 5, where: { age: { gte: 25 } }, cursor: body.cursor })).status, 200, "the limit may change");
});

test("what is no query is refused with its place", async () => {
  for (const [query, pointer] of [
    [[], ""],
    [{ limit: -1 }, "/limit"],
    [{ limit: 0 }, "/limit"],
    [{ limit: 1_001 }, "/limit"],
    [{ limit: 1.5 }, "/limit"],
    [{ limit: "5" }, "/limit"],
    [{ wher: {} }, "/wher"],
    [{ where: [] }, "/where"],
    [{ where: { age: 5 } }, "/where/age"],
    [{ where: { age: { like: "x" } } }, "/where/age/like"],
    [{ where: { or: [{ age: { gt: 1 } }, { "a/b": { eq: null } }] } }, "/where/or/1/a~1b/eq"],
    [{ where: { age: { in: 5 } } }, "/where/age/in"],
    [{ where: { age: { between: [1] } } }, "/where/age/between"],
    [{ where: { age: { prefix: 5 } } }, "/where/age/prefix"],
    [{ where: { age: { isNull: 1 } } }, "/where/age/isNull"],
    [{ where: { age: { eq: [] } } }, "/where/age/eq"],
    [{ where: { and: [5] } }, "/where/and/0"],
    [{ select: "id" }, "/select"],
    [{ select: [1] }, "/select/0"],
    [{ orderBy: ["age"] }, "/orderBy/0"],
    [{ orderBy: [{ column: "age", direction: "up" }] }, "/orderBy/0"],
    [{ orderBy: [{ column: "age" }, { direction: "asc" }] }, "/orderBy/1"],
    [{ tiers: [] }, "/tiers"],
    [{ tiers: ["warm"] }, "/tiers"],
    [{ cursor: 5 }, "/cursor"],
  ]) {
    assertProblem(await it.query("people", query), 422, { pointers: [pointer] });
  }
  assertProblem(await it.query("people", '{"limit":'), 400);
  assertProblem(await it.call("POST", "/collections/people/query", "{}", { "content-type": "text/plain" }), 415);
});

test("names in a condition are never part of a statement", async () => {
  for (const name of ['x" OR 1=1 --', "x'; DROP TABLE collections; --", "$.id", "id) OR (1=1"]) {
    assert.deepEqual(await it.rows("people", { where: { [name]: { eq: "x" } } }), []);
    assert.equal((await it.rows("people", { orderBy: [{ column: name }], select: [name] })).length, people.length);
  }
});

test("a query says what it has read, and statistics spare a cold one files", async () => {
  const hot = (await it.query("people", {})).body.stats;
  // Rows of SQLite; the documents may be looked up by their sizes first.
  assert.ok(hot.rowsRead >= people.length && hot.rowsRead <= 2 * people.length + 1, `${hot.rowsRead}`);
  assert.deepEqual([hot.filesScanned, hot.filesPruned], [0, 0]);
  const cold = (await it.query("people", { tiers: ["cold"] })).body.stats;
  assert.equal(cold.rowsRead, people.length);
  assert.ok(cold.filesScanned >= 1 && cold.bytesDecoded > 0);
  const pruned = (await it.query("people", { tiers: ["cold"], where: { height: { gt: 100 } } })).body.stats;
  assert.deepEqual([pruned.rowsRead, pruned.filesScanned], [0, 0]);
  assert.ok(pruned.filesPruned >= 1);
  for (const name of ["segmentsScanned", "segmentsPruned", "elapsedMs"]) assert.equal(typeof hot[name], "number");
});

test("cold is the last published commit, hot what is now", async () => {
  const other = object();
  await other.insert("docs", { id: "a", n: 1 });
  await other.sync();
  await other.batch([{ op: "update", collection: "docs", id: "a", doc: { n: 2 } }, { op: "insert", collection: "docs", doc: { id: "b" } }]);
  assert.deepEqual(await other.rows("docs", { tiers: ["cold"] }), [{ id: "a", n: 1 }]);
  assert.deepEqual((await other.get("docs", "a", { tiers: "cold" })).body, { id: "a", n: 1 });
  assertProblem(await other.get("docs", "b", { tiers: "cold" }), 404);
  assert.deepEqual((await other.rows("docs")).map((row) => row.n), [2, undefined]);
});
