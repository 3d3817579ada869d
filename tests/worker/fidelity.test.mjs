// What is put comes back JSON-equal, number text and all, from every tier; ids are any short text.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, exact, useWorker } from "./support/object.mjs";

const { object } = useWorker();
const limit = 1024 * 1024;

const documents = {
  numbers: '{"id":"numbers","a":1.0,"b":1,"c":1e3,"d":1E-7,"e":-0,"f":-0.0,"g":10.50,"h":0.1,"i":5e-324,"j":1.7976931348623157e308}',
  integers: '{"id":"integers","a":9007199254740993,"b":-9223372036854775808,"c":18446744073709551615,"d":12345678901234567890,"e":123456789012345678901234567890}',
  strings: '{"id":"strings","a":"é𝒳🎬","b":"\\u0000\\u001f\\"\\\\/","c":"","d":"\\ud83c\\udfac","e":"line\\nbreak\\ttab","f":"\u2028\u2029"}',
  empties: '{"id":"empties","a":null,"b":{},"c":[],"d":[null,[],{}],"e":{"x":null}}',
  names: '{"id":"names","":1,"a.b":2,"_seq":3,"_ts":4,"_extra":5,"A":6,"a":7,"constructor":8,"__proto__":9,"é":10,"x y":11}',
  mixed: '{"id":"mixed","list":[1,1.0,"1",true,null,{"deep":[[[1e2]]]}],"b":false}',
  // The same fields as above in other types: no column fits all.
  misfits: '{"id":"misfits","a":"text","b":[1],"c":{"x":1.00},"d":1.5,"e":true,"f":2,"list":"x"}',
};
const deep = `{"id":"deep","a":${"[".repeat(127)}1.0${"]".repeat(127)}}`;

test("documents come back JSON-equal with the text of their numbers, hot and cold", async () => {
  const it = object();
  for (const [id, text] of Object.entries(documents)) {
    const answer = await it.put("things", id, text);
    assert.equal(answer.status, 201, answer.text);
    assert.deepEqual(exact(answer.text), exact(text));
    assert.deepEqual(exact((await it.get("things", id)).text), exact(text));
  }
  await it.sync();
  for (const [id, text] of Object.entries(documents)) {
    assert.deepEqual(exact((await it.get("things", id, { tiers: "cold" })).text), exact(text), `${id}, cold`);
  }
});

test("a query's rows and the change feed keep the text of numbers too", async () => {
  const it = object();
  await it.put("things", "numbers", documents.numbers);
  const query = await it.query("things");
  assert.deepEqual(exact(query.text).rows[0], exact(documents.numbers));
  const selected = await it.query("things", { select: ["a", "c", "g"] });
  assert.match(selected.text, /^\{"rows":\[\{"a":1\.0,"c":1e3,"g":10\.50\}\]/);
  assert.deepEqual(exact((await it.changes()).text).events[0].after, exact(documents.numbers));
});

test("the order of an object's members and spaces around values do not matter, and line breaks do no harm", async () => {
  const it = object();
  const text = ' \r\n{\n\t"b" : [ 1.0 ,\n 2 ] ,\r\n "a" : { } }\n ';
  await it.put("things", "x", text);
  const got = await it.get("things", "x");
  assert.deepEqual(exact(got.text), { id: "x", ...exact(text) });
  assert.equal((await it.import("things", got.text, { mode: "upsert" })).body.imported, 1, "a document fits one line");
});

test("a merge patch leaves the text of the numbers it does not name", async () => {
  const it = object();
  await it.put("things", "x", '{"id":"x","a":1.0,"n":{"b":9007199254740993,"c":1e2}}');
  const answer = await it.patch("things", "x", '{"n":{"d":10.50}}');
  assert.equal(answer.text, '{"id":"x","a":1.0,"n":{"b":9007199254740993,"c":1e2,"d":10.50}}');
});

test("ids of any characters name their own document", async () => {
  const it = object();
  const ids = ["a/b", "a%2Fb", "a?b", "a#b", 'q"uote', "it's", "100%", "%", "+", " ", "é", "e\u0301", "🎬", "\u0001", "a\u0001b", "...", "-", "A", "a", "\n", "x".repeat(512), "🎬".repeat(128)];
  for (const id of ids) assert.equal((await it.put("things", id, { own: id })).status, 201, JSON.stringify(id));
  for (const id of ids) assert.deepEqual((await it.get("things", id)).body, { id, own: id });
  await it.sync();
  for (const id of ids) assert.deepEqual((await it.get("things", id, { tiers: "cold" })).body, { id, own: id }, `${JSON.stringify(id)}, cold`);
  assert.equal((await it.rows("things")).length, ids.length);
  assert.equal((await it.rows("things", { tiers: ["cold"] })).length, ids.length);
  for (const id of ids) assert.equal((await it.remove("things", id)).status, 204);
  assert.deepEqual((await it.events({ operations: "DELETE" })).map((event) => event.documentId), ids);
});

test("an id of 512 bytes is kept, one of 513 is 400", async () => {
  const it = object();
  assert.equal((await it.insert("things", { id: "é".repeat(256) })).status, 201);
  assertProblem(await it.insert("things", { id: `${"é".repeat(256)}x` }), 400);
  assertProblem(await it.put("things", "x".repeat(513), {}), 400);
});

test("nesting is kept 128 deep and refused beyond", async () => {
  const it = object();
  assert.equal((await it.put("things", "deep", deep)).status, 201);
  assert.equal((await it.get("things", "deep")).text, deep);
  await it.sync();
  assert.equal((await it.get("things", "deep", { tiers: "cold" })).text, deep);
  assertProblem(await it.put("things", "deeper", `{"a":${"[".repeat(128)}${"]".repeat(128)}}`), 400);
  assertProblem(await it.patch("things", "deep", `{"b":${"[".repeat(128)}${"]".repeat(128)}}`), 400);
});

test("a document of exactly 1 MiB is kept, hot and cold, and one byte more is 413", async () => {
  const it = object();
  const sized = (bytes) => {
    const empty = '{"id":"large","x":""}'.length;
    return `{"id":"large","x":"${"é".repeat((bytes - empty) >> 1)}${(bytes - empty) % 2 ? "x" : ""}"}`;
  };
  assert.equal(Buffer.byteLength(sized(limit)), limit);
  assertProblem(await it.put("things", "large", sized(limit + 1)), 413);
  assert.equal((await it.put("things", "large", sized(limit))).status, 201);
  assert.equal((await it.get("things", "large")).text, sized(limit));
  // A patch may not let it grow past the limit either.
  assertProblem(await it.patch("things", "large", { y: 1 }), 413);
  await it.sync();
  assert.equal((await it.get("things", "large", { tiers: "cold" })).text, sized(limit));
});

test("a document whose id is added must still be within 1 MiB", async () => {
  const it = object();
  const text = `{"x":"${"x".repeat(limit - 8)}"}`;
  assert.equal(text.length, limit);
  assertProblem(await it.put("things", "large", text), 413);
});

test("a document with thousands of members comes back whole, hot and cold", async () => {
  const it = object();
  const wide = { id: "wide", ...Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`field${n}`, n % 3 ? n : `text ${n}`])) };
  await it.ok("PUT", it.doc("things", "wide"), wide);
  await it.sync();
  assert.deepEqual((await it.get("things", "wide")).body, wide);
  assert.deepEqual((await it.get("things", "wide", { tiers: "cold" })).body, wide);
});
