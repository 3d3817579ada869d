// Bad requests: each is answered by the right problem document, and nothing has changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assertProblem, useWorker } from "./support/object.mjs";
import { breakOff, exchange } from "./support/raw.mjs";

let it;
let good;
const using = useWorker({}, async () => {
  it = using.object();
  await it.ok("PUT", "/collections/films", { columns: [{ name: "year", type: "int" }, { name: "title", type: "string", nullable: false }] });
  await it.ok("POST", "/batch", { operations: [{ op: "insert", collection: "films", doc: { id: "heat", title: "Heat", year: 1995 } }, { op: "insert", collection: "notes", doc: { id: "n", x: 1 } }] });
  good = await it.snapshot();
});

const docs = "/collections/films/docs";
const heat = `${docs}/heat`;
const bytes = (...parts) => new Uint8Array(Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part)))));
const film = (more) => ({ title: "x", ...more });
const nested = (depth) => `{"title":"x","a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
const operations = (count) => ({ operations: Array.from({ length: count }, (_, n) => ({ op: "insert", collection: "notes", doc: { id: `${n}` } })) });

/** [what, expected status, method, path, body, headers, pointers] */
const requests = [
  ["broken UTF-8", 400, "PUT", `${docs}/x`, bytes('{"title":"', [0xc3, 0x28], '"}')],
  ["UTF-8 that ends within a character", 400, "PUT", `${docs}/x`, bytes('{"title":"é"}').subarray(0, 11)],
  ["a surrogate coded in UTF-8", 400, "PUT", `${docs}/x`, bytes('{"title":"', [0xed, 0xa0, 0x80], '"}')],
  ["UTF-16", 400, "PUT", `${docs}/x`, new Uint8Array(Buffer.from('{"title":"x"}', "utf16le"))],
  ["a byte order mark", 400, "PUT", `${docs}/x`, bytes([0xef, 0xbb, 0xbf], '{"title":"x"}')],
  ["broken JSON", 400, "PUT", `${docs}/x`, '{"title":"x"'],
  ["two JSON values", 400, "PUT", `${docs}/x`, '{"title":"x"} {}'],
  ["a comment", 400, "PUT", `${docs}/x`, '{"title":"x"} // film'],
  ["a comma too many", 400, "PUT", `${docs}/x`, '{"title":"x",}'],
  ["single quotes", 400, "PUT", `${docs}/x`, "{'title':'x'}"],
  ["NaN", 400, "PUT", `${docs}/x`, '{"title":"x","n":NaN}'],
  ["Infinity", 400, "PUT", `${docs}/x`, '{"title":"x","n":-Infinity}'],
  ["a number with a leading zero", 400, "PUT", `${docs}/x`, '{"title":"x","n":01}'],
  ["a raw line break in a string", 400, "PUT", `${docs}/x`, '{"title":"a\nb"}'],
  ["a lone surrogate", 400, "PUT", `${docs}/x`, '{"title":"\\ud800"}'],
  ["a member name twice", 400, "PUT", `${docs}/x`, '{"title":"x","a":1,"a":1}'],
  ["a member name twice, spelt otherwise", 400, "PUT", `${docs}/x`, '{"title":"x","a":1,"\\u0061":1}'],
  ["a nesting depth of 129", 400, "PUT", `${docs}/x`, nested(128)],
  ["a nesting depth of 10,000", 400, "PUT", `${docs}/x`, nested(10_000)],
  ["a nesting depth of 10,000 objects", 400, "POST", docs, `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`],
  ["a nesting depth of 10,000 in a patch", 400, "PATCH", heat, nested(10_000)],
  ["a nesting depth of 10,000 in a batch", 400, "POST", "/batch", `{"operations":[{"op":"insert","collection":"notes","doc":${nested(10_000)}}]}`],
  ["a nesting depth of 10,000 in a query", 400, "POST", "/collections/films/query", `{"where":${'{"not":'.repeat(10_000)}{}${"}".repeat(10_000)}}`],
  ["1e400", 422, "PUT", `${docs}/x`, '{"title":"x","n":1e400}'],
  ["an empty body", 400, "PUT", `${docs}/x`, ""],
  ["no body", 400, "POST", docs],
  ["an array as a document", 422, "PUT", `${docs}/x`, "[]", {}, [""]],
  ["a string as a document", 422, "POST", docs, '"x"', {}, [""]],
  ["null as a document", 422, "POST", docs, "null", {}, [""]],
  ["an id that is a number", 422, "POST", docs, film({ id: 5 }), {}, ["/id"]],
  ["an id that is null", 422, "POST", docs, film({ id: null }), {}, ["/id"]],
  ["an empty id", 400, "POST", docs, film({ id: "" })],
  ["the id .", 400, "POST", docs, film({ id: "." })],
  ["the id ..", 400, "POST", docs, film({ id: ".." })],
  ["U+0000 in an id", 422, "POST", docs, film({ id: "a\u0000" }), {}, ["/id"]],
  ["U+0000 in the id of a path", 422, "PUT", `${docs}/a%00b`, film({}), {}, ["/id"]],
  ["U+0000 in the id of a path that is read", 422, "GET", `${docs}/%00`, undefined, {}, ["/id"]],
  ["U+0000 in an id of a batch", 422, "POST", "/batch", { operations: [{ op: "delete", collection: "notes", id: "\u0000" }] }, {}, ["/operations/0"]],
  ["U+0000 in the id of a document of a batch", 422, "POST", "/batch", { operations: [{ op: "insert", collection: "notes", doc: { id: "a\u0000b" } }] }, {}, ["/operations/0/doc/id"]],
  ["U+0000 in the name of a collection", 400, "PUT", "/collections/a%00/docs/x", {}],
  ["an id of 600 bytes", 400, "POST", docs, film({ id: "x".repeat(600) })],
  ["an id of 600 bytes in the path", 400, "PUT", `${docs}/${"x".repeat(600)}`, film()],
  ["an id that differs from the path's", 422, "PUT", `${docs}/x`, film({ id: "y" }), {}, ["/id"]],
  ["a patch that changes the id", 422, "PATCH", heat, { id: "y" }, {}, ["/id"]],
  ["a patch that removes the id", 422, "PATCH", heat, { id: null }, {}, ["/id"]],
  ["a patch that is an array", 422, "PATCH", heat, "[]", {}, [""]],
  ["a duplicate id", 409, "POST", docs, film({ id: "heat" })],
  ["a stale ETag", 412, "PUT", heat, film(), { "if-match": '"7"' }],
  ["a stale ETag on a patch", 412, "PATCH", heat, {}, { "if-match": '"0"' }],
  ["a stale ETag on a delete", 412, "DELETE", heat, undefined, { "if-match": '"7"' }],
  ["an ETag without quotes", 400, "PUT", heat, film(), { "if-match": "1" }],
  ["If-None-Match: * on what exists", 412, "PUT", heat, film(), { "if-none-match": "*" }],
  ["a wrong type for a declared column", 422, "PUT", `${docs}/x`, film({ year: "1995" }), {}, ["/year"]],
  ["a fraction for a declared int", 422, "PUT", `${docs}/x`, film({ year: 1995.5 }), {}, ["/year"]],
  ["a missing value of a required column", 422, "PUT", `${docs}/x`, {}, {}, ["/title"]],
  ["a patch that takes a required value away", 422, "PATCH", heat, { title: null }, {}, ["/title"]],
  ["a document of 3 MB", 413, "PUT", `${docs}/x`, film({ x: "x".repeat(3_000_000) })],
  ["a document of 3 MB, streamed", 413, "PUT", `${docs}/x`, () => new Blob([JSON.stringify(film({ x: "x".repeat(3_000_000) }))]).stream()],
  ["10,001 operations", 422, "POST", "/batch", operations(10_001)],
  ["a batch that is an array", 422, "POST", "/batch", []],
  ["a batch without operations", 422, "POST", "/batch", {}, {}, [""]],
  ["a batch with a key of no meaning", 422, "POST", "/batch", { operations: [], more: 1 }, {}, ["/more"]],
  ["an operation that is none", 422, "POST", "/batch", { operations: [{ op: "drop", collection: "films", id: "heat" }] }, {}, ["/operations/0/op"]],
  ["a batch whose last operation fails", 404, "POST", "/batch", { operations: [...operations(5).operations, { op: "delete", collection: "films", id: "none" }] }],
  ["a collection with a quote in a batch", 400, "POST", "/batch", { operations: [{ op: "insert", collection: 'fil"ms', doc: {} }] }],
  ["a patch of what does not exist", 404, "PATCH", `${docs}/none`, {}],
  ["a delete of what does not exist", 404, "DELETE", `${docs}/none`],
  ["a drop of what does not exist", 404, "DELETE", "/collections/none"],
  ["a name with a quote", 400, "PUT", "/collections/fil%22ms/docs/x", {}],
  ["a name that ends SQL", 400, "PUT", `/collections/${encodeURIComponent('films"; DROP TABLE collections; --')}/docs/x`, {}],
  ["a collection ending in __changes", 400, "PUT", "/collections/films__changes/docs/x", {}],
  ["a collection in capitals", 400, "PUT", "/collections/Films", {}],
  ["an unknown route", 404, "POST", "/nothing", {}],
  ["a route too long", 404, "PUT", `${heat}/more`, {}],
  ["another content type", 415, "PUT", `${docs}/x`, "{}", { "content-type": "text/plain" }],
  ["a form", 415, "POST", docs, "title=x", { "content-type": "application/x-www-form-urlencoded" }],
  ["a merge patch where a document belongs", 415, "PUT", `${docs}/x`, "{}", { "content-type": "application/merge-patch+json" }],
  ["a JSON patch", 415, "PATCH", heat, "[]", { "content-type": "application/json-patch+json" }],
  ["JSON where NDJSON belongs", 415, "POST", "/collections/films/import", "{}"],
  ["an import of another mode", 400, "POST", "/collections/films/import?mode=merge", "", { "content-type": "application/x-ndjson" }],
  ["an unknown query parameter", 400, "PUT", `${docs}/x?upsert=1`, film()],
  ["an unknown query parameter of a read", 400, "GET", `${heat}?foo=1`],
  ["an unknown query parameter of the object", 400, "GET", "?foo=1"],
  ["an unknown query parameter of /sync", 400, "GET", "/sync?foo=1"],
  ["a query parameter twice", 400, "GET", "/cdc?limit=1&limit=2"],
  ["limit=-1", 400, "GET", "/cdc?limit=-1"],
  ["limit=0", 400, "GET", "/collections?limit=0"],
  ["limit=1e3", 400, "GET", "/cdc?limit=1e3"],
  ["a limit of -1 in a query", 422, "POST", "/collections/films/query", { limit: -1 }, {}, ["/limit"]],
  ["a declaration of an unknown type", 422, "PUT", "/collections/more", { columns: [{ name: "a", type: "text" }] }, {}, ["/columns/0/type"]],
  ["a declaration that does not fit the documents", 409, "PUT", "/collections/films", { columns: [{ name: "year", type: "string" }] }],
  ["a Min-Sequence that is none", 400, "PUT", `${docs}/x`, film(), { "min-sequence": "soon" }],
  ["a Min-Sequence not reached", 412, "PUT", `${docs}/x`, film(), { "min-sequence": "1000" }],
  ["a correlation id that is too long", 400, "PUT", `${docs}/x`, film(), { "x-correlation-id": "x".repeat(129) }],
];

for (const [what, status, method, path, body, headers, pointers] of requests) {
  test(`${what} is ${status} and changes nothing`, async () => {
    const answer = await it.call(method, path, typeof body === "function" ? body() : body, headers);
    assertProblem(answer, status, { pointers });
    assert.deepEqual(await it.snapshot(), good);
  });
}

test("a method that a route does not have is 405 with Allow, and changes nothing", async () => {
  for (const method of ["POST", "OPTIONS", "PROPFIND", "QUERY"]) {
    const answer = await it.call(method, heat);
    assertProblem(answer, 405);
    assert.equal(answer.headers.get("allow"), "GET, HEAD, PUT, PATCH, DELETE");
  }
  assert.deepEqual(await it.snapshot(), good);
});

test("paths that no client would send are refused by a problem document, and change nothing", async () => {
  for (const path of [
    `${it.path}/collections/films/docs/%2E%2E`,
    `${it.path}/collections/films/docs/%2E`,
    `${it.path}/collections/films/docs/..`,
    `${it.path}/collections/films/docs/`,
    `${it.path}/collections/films/docs/%`,
    `${it.path}/collections/films/docs/%zz`,
    `${it.path}/collections/films/docs/%ff`,
    `${it.path}/collections//docs/x`,
    `${it.path}//collections/films/docs/x`,
    `${it.path}/collections/films/docs/x?%ff=1`,
    "/v1/../../etc/passwd",
    `/v1/demo/${"x".repeat(7_000)}`,
  ]) {
    const { status, head, body } = await exchange(using.worker, "PUT", path, { headers: { "Content-Type": "application/json" }, body: "[]" });
    assert.ok([400, 404, 405, 422].includes(status), `${path.slice(0, 80)}: ${status}`);
    assert.match(head, /content-type: application\/problem\+json/i, path.slice(0, 80));
    assert.equal(JSON.parse(body).status, status);
  }
  assert.deepEqual(await it.snapshot(), good);
});

test("a body that stops halfway changes nothing, announced or chunked, whatever it was for", async () => {
  const half = '{"title":"half","x":"';
  const whole = '{"title":"whole"}';
  for (const announced of [1_000, undefined]) {
    await breakOff(using.worker, "PUT", `${it.path}${docs}/half`, { announced, body: half });
    // The JSON is complete, and the body is not.
    await breakOff(using.worker, "PUT", `${it.path}${docs}/whole`, { announced, body: whole });
    await breakOff(using.worker, "PATCH", `${it.path}${heat}`, { announced, body: '{"year":1}' });
    await breakOff(using.worker, "POST", `${it.path}/batch`, { announced, body: JSON.stringify(operations(3)) });
    await breakOff(using.worker, "POST", `${it.path}/collections/notes/import`, { announced, body: '{"id":"x"}\n{"id":"y"}\n', headers: { "Content-Type": "application/x-ndjson" } });
    await breakOff(using.worker, "PUT", `${it.path}/collections/half`, { announced, body: "{}" });
    await breakOff(using.worker, "PUT", `${it.path}${docs}/none`, { announced, body: "" });
  }
  await sleep(200);
  assert.deepEqual(await it.snapshot(), good);
});

test("a client that is still sending a body far too large hears why it is refused", async () => {
  const body = `[${" ".repeat(17 * 1024 * 1024)}`;
  for (let n = 0; n < 8; n++) assertProblem(await it.call("POST", "/batch", body), 413);
  assertProblem(await it.call("PUT", `${docs}/x`, body), 413);
  assertProblem(await it.call("PUT", `${docs}/x?nothing=1`, body), 400);
  assert.deepEqual(await it.snapshot(), good);
});

test("after all of this the object is well", async () => {
  assert.equal((await it.put("films", "last", film({ year: 2000 }))).status, 201);
  assert.equal((await it.syncState()).lastHotSequence, good.version + 1);
  assert.deepEqual(using.worker.logs.filter((line) => /panick|unreachable|RuntimeError/i.test(line)), []);
});
