// Single documents over HTTP: made, replaced, patched, read, deleted, each under conditions.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, useWorker } from "./support/object.mjs";

const { object } = useWorker();
const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("an insert answers 201 with the document, its place, its ETag and the sequence reached", async () => {
  const it = object();
  const answer = await it.insert("movies", { id: "heat", year: 1995 });
  assert.equal(answer.status, 201);
  assert.deepEqual(answer.body, { id: "heat", year: 1995 });
  assert.equal(answer.headers.get("content-type"), "application/json");
  assert.equal(answer.headers.get("location"), `${it.path}/collections/movies/docs/heat`);
  assert.equal(answer.headers.get("etag"), '"1"');
  assert.equal(answer.headers.get("thermocline-sequence"), "1");
});

test("a document made without an id gets a UUIDv7 that is part of it from then on", async () => {
  const it = object();
  const first = await it.insert("movies", { year: 1995 });
  const second = await it.insert("movies", {});
  assert.match(first.body.id, uuidV7);
  assert.match(second.body.id, uuidV7);
  assert.notEqual(first.body.id, second.body.id);
  assert.deepEqual((await it.get("movies", first.body.id)).body, { id: first.body.id, year: 1995 });
});

test("the place that an insert names leads to the document, whatever its id", async () => {
  const it = object();
  const { headers } = await it.insert("movies", { id: "a/b?c#d é%2F", n: 1 });
  const answer = await it.worker.fetch(headers.get("location"));
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { id: "a/b?c#d é%2F", n: 1 });
});

test("inserting what exists is 409 and changes nothing", async () => {
  const it = object();
  await it.insert("movies", { id: "heat", year: 1995 });
  assertProblem(await it.insert("movies", { id: "heat", year: 2000 }), 409);
  const kept = await it.get("movies", "heat");
  assert.equal(kept.body.year, 1995);
  assert.equal(kept.headers.get("etag"), '"1"');
});

test("a PUT makes with 201, replaces whole with 200, and adds the id of the path", async () => {
  const it = object();
  const made = await it.put("movies", "heat", { year: 1995, stars: 5 });
  assert.equal(made.status, 201);
  assert.deepEqual(made.body, { id: "heat", year: 1995, stars: 5 });
  const replaced = await it.put("movies", "heat", { id: "heat", year: 1996 });
  assert.equal(replaced.status, 200);
  assert.deepEqual(replaced.body, { id: "heat", year: 1996 });
  assert.equal(replaced.headers.get("etag"), '"2"');
  assert.deepEqual((await it.get("movies", "heat")).body, { id: "heat", year: 1996 });
});

test("an id in the body that differs from the path's is 422", async () => {
  const it = object();
  assertProblem(await it.put("movies", "heat", { id: "ronin" }), 422, { pointers: ["/id"] });
  await it.put("movies", "heat", {});
  assertProblem(await it.patch("movies", "heat", { id: "ronin" }), 422, { pointers: ["/id"] });
  assertProblem(await it.patch("movies", "heat", { id: null }), 422, { pointers: ["/id"] });
});

test("a merge patch changes, adds and removes fields, nested ones too, under both media types", async () => {
  const it = object();
  await it.insert("movies", { id: "heat", year: 1995, cast: { lead: "Pacino", other: "De Niro" }, tags: ["a", "b"] });
  for (const type of ["application/json", "application/merge-patch+json", "Application/JSON; charset=utf-8"]) {
    const answer = await it.patch("movies", "heat", { cast: { other: null, extra: type }, tags: [type], year: null }, { "content-type": type });
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.body, { id: "heat", cast: { lead: "Pacino", extra: type }, tags: [type] });
    assert.deepEqual((await it.get("movies", "heat")).body, answer.body);
  }
});

test("a patch of what does not exist is 404, and one that is no object 422", async () => {
  const it = object();
  assertProblem(await it.patch("movies", "heat", { year: 1 }), 404);
  await it.insert("movies", { id: "heat" });
  for (const patch of ["[]", "5", "null", '"x"']) assertProblem(await it.patch("movies", "heat", patch), 422);
  assertProblem(await it.patch("movies", "ronin", { year: 1 }), 404);
});

test("a DELETE is 204 without a body and names the sequence; then the document is gone", async () => {
  const it = object();
  await it.insert("movies", { id: "heat" });
  const answer = await it.remove("movies", "heat");
  assert.equal(answer.status, 204);
  assert.equal(answer.text, "");
  assert.equal(answer.headers.get("thermocline-sequence"), "2");
  assertProblem(await it.get("movies", "heat"), 404);
  assertProblem(await it.remove("movies", "heat"), 404);
  assert.equal((await it.insert("movies", { id: "heat" })).headers.get("etag"), '"3"', "a version never repeats");
});

test("a HEAD answers like a GET, without the body", async () => {
  const it = object();
  await it.insert("movies", { id: "heat" });
  const answer = await it.call("HEAD", it.doc("movies", "heat"));
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("etag"), '"1"');
  assert.equal(answer.text, "");
});

test("If-Match lets a write through for the current version only", async () => {
  const it = object();
  await it.insert("movies", { id: "heat", n: 0 });
  const put = (tag, n) => it.put("movies", "heat", { n }, { "if-match": tag });
  assert.equal((await put('"1"', 1)).status, 200);
  for (const stale of ['"1"', '"3"', 'W/"2"', '"x"', '""']) assertProblem(await put(stale, 9), 412);
  assert.equal((await put('"7", "2"', 2)).status, 200);
  assert.equal((await put("*", 3)).status, 200);
  assertProblem(await put("4", 9), 400);
  assert.equal((await it.get("movies", "heat")).body.n, 3);
  assertProblem(await it.patch("movies", "heat", { n: 9 }, { "if-match": '"1"' }), 412);
  assertProblem(await it.remove("movies", "heat", { "if-match": '"1"' }), 412);
  assert.equal((await it.patch("movies", "heat", { n: 4 }, { "if-match": '"4"' })).status, 200);
  assert.equal((await it.remove("movies", "heat", { "if-match": '"5"' })).status, 204);
});

test("If-Match on what does not exist is 412", async () => {
  const it = object();
  for (const tag of ["*", '"1"']) {
    assertProblem(await it.put("movies", "heat", {}, { "if-match": tag }), 412);
    assertProblem(await it.patch("movies", "heat", {}, { "if-match": tag }), 412);
    assertProblem(await it.remove("movies", "heat", { "if-match": tag }), 412);
  }
  assert.deepEqual((await it.ok("GET", "")).body.collections, []);
});

test("If-None-Match: * makes a PUT an insert", async () => {
  const it = object();
  assert.equal((await it.put("movies", "heat", { n: 1 }, { "if-none-match": "*" })).status, 201);
  assertProblem(await it.put("movies", "heat", { n: 2 }, { "if-none-match": "*" }), 412);
  assertProblem(await it.put("movies", "heat", { n: 2 }, { "if-none-match": '"1"' }), 412);
  assert.equal((await it.put("movies", "heat", { n: 2 }, { "if-none-match": '"7"' })).status, 200);
});

test("a GET whose If-None-Match names the version, weakly too, is 304 with the ETag and no body", async () => {
  const it = object();
  await it.insert("movies", { id: "heat" });
  for (const tag of ['"1"', 'W/"1"', '"9", "1"', "*"]) {
    const answer = await it.get("movies", "heat", { headers: { "if-none-match": tag } });
    assert.equal(answer.status, 304, tag);
    assert.equal(answer.headers.get("etag"), '"1"');
    assert.equal(answer.text, "");
  }
  assert.equal((await it.get("movies", "heat", { headers: { "if-none-match": '"2"' } })).status, 200);
  assertProblem(await it.get("movies", "ronin", { headers: { "if-none-match": "*" } }), 404);
});

test("of many writers with the same If-Match exactly one wins", async () => {
  const it = object();
  await it.insert("counters", { id: "c", n: 0 });
  const statuses = await Promise.all(Array.from({ length: 20 }, async (_, n) => (await it.put("counters", "c", { n }, { "if-match": '"1"' })).status));
  assert.equal(statuses.filter((status) => status === 200).length, 1);
  assert.equal(statuses.filter((status) => status === 412).length, 19);
  assert.equal((await it.syncState()).lastHotSequence, 2);
});

test("twenty clients that retry on 412 lose no increment", async () => {
  const it = object();
  await it.insert("counters", { id: "c", n: 0 });
  const increment = async () => {
    for (;;) {
      const { body, headers } = await it.get("counters", "c");
      const answer = await it.put("counters", "c", { n: body.n + 1 }, { "if-match": headers.get("etag") });
      if (answer.status === 200) return;
      assert.equal(answer.status, 412);
    }
  };
  await Promise.all(Array.from({ length: 20 }, increment));
  assert.equal((await it.get("counters", "c")).body.n, 20);
});
