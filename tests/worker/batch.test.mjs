// Batches: one transaction, all or nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, assertProblem, useWorker } from "./support/object.mjs";

const { object } = useWorker();
const mebibyte = 1024 * 1024;
const insert = (doc, collection = "movies") => ({ op: "insert", collection, doc });
const upsert = (doc, collection = "movies") => ({ op: "upsert", collection, doc });
const update = (id, doc, collection = "movies") => ({ op: "update", collection, id, doc });
const remove = (id, collection = "movies") => ({ op: "delete", collection, id });

test("a batch does all its operations in order and says what each did", async () => {
  const it = object();
  const { status, body, headers } = await it.batch([
    insert({ id: "a", n: 1 }),
    upsert({ id: "b", n: 1 }),
    upsert({ id: "b", n: 2 }),
    update("a", { n: 2, more: true }),
    insert({ n: 1 }, "others"),
    remove("b"),
  ]);
  assert.equal(status, 200);
  assert.deepEqual([body.firstSequence, body.lastSequence], [1, 6]);
  assert.deepEqual(body.results.map(({ operation, sequence }) => [operation, sequence]), [["INSERT", 1], ["INSERT", 2], ["UPDATE", 3], ["UPDATE", 4], ["INSERT", 5], ["DELETE", 6]]);
  assert.deepEqual(body.results.map((result) => result.id).toSpliced(4, 1), ["a", "b", "b", "a", "b"]);
  assert.equal(headers.get("thermocline-sequence"), "6");
  assert.deepEqual((await it.get("movies", "a")).body, { id: "a", n: 2, more: true });
  assertProblem(await it.get("movies", "b"), 404);
  assert.deepEqual((await it.get("others", body.results[4].id)).body, { id: body.results[4].id, n: 1 });
  const events = await it.events();
  assertContinuous(events);
  assert.equal(new Set(events.map((event) => event.timestamp)).size, 1, "one commit has one time");
});

test("an id beside the document is its id; one that differs from the document's is 422", async () => {
  const it = object();
  const { body } = await it.batch([{ ...insert({ n: 1 }), id: "a" }, { ...upsert({ id: "b" }), id: "b" }]);
  assert.deepEqual(body.results.map((result) => result.id), ["a", "b"]);
  assert.deepEqual((await it.get("movies", "a")).body, { id: "a", n: 1 });
  assertProblem(await it.batch([{ ...insert({ id: "x" }), id: "y" }]), 422, { pointers: ["/operations/0/doc/id"] });
});

test("a failure at the end of a batch leaves nothing of it: documents, collections, sequence, feed", async () => {
  const it = object();
  await it.batch([insert({ id: "a", n: 1 }), insert({ id: "b" })]);
  const before = [await it.snapshot(), (await it.changes()).text];
  const good = [update("a", { n: 2 }), remove("b"), insert({ id: "c" }), insert({ id: "x" }, "fresh")];
  for (const [last, status] of [
    [insert({ id: "a" }), 409],
    [insert({ id: "c" }), 409],
    [update("none", {}), 404],
    [remove("none"), 404],
    [remove("b"), 404],
    [update("x", {}, "nowhere"), 404],
    [{ ...update("a", { n: 3 }), ifVersion: 1 }, 412],
    [update("a", { id: "b" }), 422],
    [insert({ x: "x".repeat(mebibyte) }), 413],
    [insert({ id: "." }), 400],
    [insert({}, "Bad"), 400],
  ]) {
    assertProblem(await it.batch([...good, last]), status);
    assert.deepEqual([await it.snapshot(), (await it.changes()).text], before, JSON.stringify(last).slice(0, 100));
  }
  assert.equal((await it.batch(good)).body.firstSequence, 3);
});

test("what is wrong with an operation is told with its place", async () => {
  const it = object();
  const at = async (operation, status, pointers) => assertProblem(await it.batch([insert({ id: "fine" }), operation]), status, { pointers });
  await at(insert([]), 422, ["/operations/1/doc"]);
  await at({ op: "insert", collection: "movies" }, 422, ["/operations/1"]);
  await at({ op: "delete", collection: "movies" }, 422, ["/operations/1"]);
  await at({ op: "update", collection: "movies", doc: {} }, 422, ["/operations/1"]);
  await at({ ...remove("a"), doc: {} }, 422, ["/operations/1"]);
  await at({ op: "replace", collection: "movies", id: "a", doc: {} }, 422, ["/operations/1/op"]);
  await at({ ...remove("a"), ifVersoin: 1 }, 422, ["/operations/1/ifVersoin"]);
  await at({ ...remove("a"), ifVersion: "1" }, 422, ["/operations/1/ifVersion"]);
  await at({ op: "insert", doc: {} }, 422, ["/operations/1"]);
});

test("a value of the wrong type for a declared column is told with its place in the batch, whatever the batch's length", async () => {
  const it = object();
  await it.ok("PUT", "/collections/typed", { columns: [{ name: "n", type: "long" }] });
  const bad = insert({ n: "x" }, "typed");
  assertProblem(await it.batch([insert({ id: "fine" }), bad]), 422, { pointers: ["/operations/1/doc/n"] });
  assertProblem(await it.batch([bad]), 422, { pointers: ["/operations/0/doc/n"] });
});

test("a batch that is an array, or whose operations are arrays, is 422", async () => {
  const it = object();
  for (const body of ["[]", "[[]]", '[[{"op":"insert","collection":"movies","doc":{}}]]', '{"operations":[["insert","movies",null,{},null]]}', '{"operations":{}}', "{}", "null"]) {
    assertProblem(await it.call("POST", "/batch", body), 422);
  }
  assert.deepEqual((await it.ok("GET", "")).body.collections, []);
});

test("ifVersion lets an operation through for that version, also one of the same batch; 0 means that there is none", async () => {
  const it = object();
  await it.insert("movies", { id: "a", n: 0 });
  const { body } = await it.batch([
    { ...update("a", { n: 1 }), ifVersion: 1 },
    { ...update("a", { n: 2 }), ifVersion: 2 },
    { ...upsert({ id: "a", n: 3 }), ifVersion: 3 },
    { ...upsert({ id: "b" }), ifVersion: 0 },
    { ...remove("a"), ifVersion: 4 },
  ]);
  assert.equal(body.lastSequence, 6);
  assertProblem(await it.batch([{ ...upsert({ id: "b" }), ifVersion: 0 }]), 412);
  assertProblem(await it.batch([{ ...remove("b"), ifVersion: 4 }]), 412);
  assertProblem(await it.batch([{ ...upsert({ id: "c" }), ifVersion: 1 }]), 412);
});

test("many operations on one document take effect one after the other", async () => {
  const it = object();
  const operations = [insert({ id: "a", n: 0 })];
  for (let n = 1; n <= 300; n++) operations.push(n % 50 === 0 ? remove("a") : n % 50 === 1 && n > 1 ? insert({ id: "a", n }) : update("a", { n, [`f${n % 7}`]: n }));
  const { body } = await it.batch(operations.slice(0, 300));
  assert.equal(body.lastSequence, 300);
  const events = await it.events();
  assertContinuous(events);
  for (const [position, event] of events.entries()) {
    const previous = events[position - 1]?.after;
    assert.deepEqual(event.before, previous, `before of event ${position + 1}`);
  }
  assert.deepEqual((await it.get("movies", "a")).body, events.at(-1).after);
});

test("an empty batch changes nothing", async () => {
  const it = object();
  await it.insert("movies", { id: "a" });
  const { status, body } = await it.batch([]);
  assert.equal(status, 200);
  assert.deepEqual([body.lastSequence, body.results], [1, []]);
});

test("10,000 operations are one transaction, one more is refused and changes nothing", async () => {
  const it = object();
  const operations = Array.from({ length: 10_001 }, (_, n) => insert({ id: `m${n}`, n }));
  assertProblem(await it.batch(operations), 422);
  assert.equal((await it.syncState()).lastHotSequence, 0);
  const { status, body } = await it.batch(operations.slice(0, 10_000));
  assert.equal(status, 200);
  assert.equal(body.results.length, 10_000);
  assertContinuous(body.results);
  assert.equal((await it.rows("movies")).length, 10_000);
});

test("a batch over several collections and again in turn is one transaction too", async () => {
  const it = object();
  const operations = Array.from({ length: 999 }, (_, n) => insert({ id: `${n}`, n }, ["a", "b", "c"][n % 3]));
  assert.equal((await it.batch(operations)).body.lastSequence, 999);
  assertProblem(await it.batch([...operations.map(({ collection, doc }) => update(doc.id, { n: -1 }, collection)), remove("none")]), 404);
  for (const collection of ["a", "b", "c"]) {
    assert.equal((await it.rows(collection)).length, 333);
    assert.equal((await it.rows(collection, { where: { n: { gte: 0 } } })).length, 333);
  }
});

test("a body of 16 MiB is taken, a larger one is 413", async () => {
  const it = object();
  const body = (bytes) => {
    const operations = Array.from({ length: 17 }, (_, n) => insert({ id: `m${n}`, x: "x".repeat(980_000) }));
    const text = JSON.stringify({ operations });
    return text + " ".repeat(bytes - text.length);
  };
  // Streamed, because workerd may cut the connection of a body that it refuses unread.
  assertProblem(await it.call("POST", "/batch", new Blob([body(16 * mebibyte + 1)]).stream()), 413);
  assert.equal((await it.syncState()).lastHotSequence, 0);
  const answer = await it.call("POST", "/batch", body(16 * mebibyte));
  assert.equal(answer.status, 200, answer.text.slice(0, 300));
  assert.equal((await it.rows("movies", { select: ["id"] })).length, 17);
});

test("batches at the same time do not mix", async () => {
  const it = object();
  const batches = Array.from({ length: 20 }, (_, batch) => Array.from({ length: 20 }, (_, n) => insert({ batch, n })));
  const answers = await Promise.all(batches.map((operations) => it.batch(operations)));
  for (const { body } of answers) assert.equal(body.lastSequence - body.firstSequence, 19);
  const events = await it.events();
  assertContinuous(events);
  for (let start = 0; start < 400; start += 20) {
    assert.equal(new Set(events.slice(start, start + 20).map((event) => event.after.batch)).size, 1);
  }
});
