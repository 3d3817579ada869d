// NDJSON imports: streamed, committed in chunks, bad lines told and passed over.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertContinuous, assertProblem, eventually, useWorker } from "./support/object.mjs";
import { breakOff } from "./support/raw.mjs";

const using = useWorker();
const { object } = using;
const lines = (count, make = (n) => ({ id: `m${n}`, n })) => Array.from({ length: count }, (_, n) => make(n));
const ndjson = (documents) => documents.map((document) => `${JSON.stringify(document)}\n`).join("");

/** A body that arrives in pieces of `size` bytes. */
function inPieces(text, size) {
  const bytes = Buffer.from(text);
  let position = 0;
  return new ReadableStream({
    async pull(controller) {
      if (position >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(position, (position += size)));
      await new Promise(setImmediate);
    },
  });
}

test("documents are imported, told and readable, and each has its event", async () => {
  const it = object();
  const { status, body, headers } = await it.import("movies", lines(1_000));
  assert.equal(status, 200);
  assert.deepEqual(body, { imported: 1_000, failed: 0, firstSequence: 1, lastSequence: 1_000, errors: [] });
  assert.equal(headers.get("thermocline-sequence"), "1000");
  assert.deepEqual((await it.get("movies", "m999")).body, { id: "m999", n: 999 });
  const events = await it.events();
  assert.equal(events.length, 1_000);
  assertContinuous(events);
});

test("a streamed body may be cut anywhere, within characters and line ends too", async () => {
  for (const size of [1, 7, 64]) {
    const it = object();
    const documents = lines(20, (n) => ({ id: `é${n}`, title: "𝒳🎬".repeat(3), n }));
    const text = documents.map((document) => JSON.stringify(document)).join("\r\n");
    const { body } = await it.import("movies", inPieces(text, size));
    assert.deepEqual([body.imported, body.failed], [20, 0], `${size} bytes at a time`);
    const rows = await it.rows("movies", { orderBy: [{ column: "n" }] });
    assert.deepEqual(rows, documents);
  }
});

test("the last line needs no end, blank lines are passed over but counted, CRLF is a line end", async () => {
  const it = object();
  const { body } = await it.import("movies", '\r\n{"id":"a"}\r\n\n   \n{"id":"b"}\nnot json\n\n{"id":"c"}');
  assert.deepEqual([body.imported, body.failed, body.errors.length, body.errors[0].line], [3, 1, 1, 6]);
  assert.deepEqual((await it.rows("movies")).map((row) => row.id), ["a", "b", "c"]);
});

test("an empty body imports nothing and makes no collection", async () => {
  const it = object();
  for (const text of ["", "\n", " \r\n\r\n"]) {
    const { status, body } = await it.import("movies", text);
    assert.equal(status, 200);
    assert.deepEqual([body.imported, body.failed, body.errors], [0, 0, []]);
  }
  assert.deepEqual((await it.ok("GET", "")).body.collections, []);
});

test("documents without an id get one each", async () => {
  const it = object();
  assert.equal((await it.import("movies", lines(100, (n) => ({ n })))).body.imported, 100);
  assert.equal(new Set((await it.rows("movies")).map((row) => row.id)).size, 100);
});

test("mode insert refuses what exists line by line, mode upsert replaces it", async () => {
  const it = object();
  await it.import("movies", lines(3));
  const again = await it.import("movies", [{ id: "m1", n: -1 }, { id: "new" }, { id: "new" }], { mode: "insert" });
  assert.deepEqual([again.body.imported, again.body.failed], [1, 2]);
  assert.deepEqual(again.body.errors.map((error) => error.line), [1, 3]);
  assert.equal((await it.get("movies", "m1")).body.n, 1);
  const upserted = await it.import("movies", [{ id: "m1", n: -1 }, { id: "m1", n: -2 }, { id: "other" }], { mode: "upsert" });
  assert.deepEqual([upserted.body.imported, upserted.body.failed], [3, 0]);
  assert.equal((await it.get("movies", "m1")).body.n, -2);
  assertContinuous(await it.events());
  assertProblem(await it.import("movies", [], { mode: "replace" }), 400);
});

test("each bad line is told with its number and why, and the others go in", async () => {
  const it = object();
  await it.ok("PUT", "/collections/movies", { columns: [{ name: "year", type: "int" }, { name: "title", type: "string", nullable: false }] });
  const good = (id) => JSON.stringify({ id, title: id });
  const { body } = await it.import("movies", [
    good("a"),
    '{"id":"b"',
    "[1]",
    '{"id":5,"title":"x"}',
    '{"id":"..","title":"x"}',
    '{"id":"c","title":"x","year":"1995"}',
    '{"id":"d"}',
    '{"id":"e","title":"x","x":NaN}',
    '{"id":"f","title":"x","title":"y"}',
    `{"id":"g","title":"${"x".repeat(1024 * 1024)}"}`,
    '{"id":"h","title":"\\ud800"}',
    `{"id":"i","title":${"[".repeat(10_000)}`,
    good("z"),
  ].join("\n"));
  assert.deepEqual([body.imported, body.failed], [2, 11]);
  const told = new Map(body.errors.map(({ line, detail }) => [line, detail]));
  assert.deepEqual([...told.keys()].sort((left, right) => left - right), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.match(told.get(6), /\/year/);
  assert.match(told.get(10), /1048576/);
  assert.deepEqual((await it.rows("movies")).map((row) => row.id), ["a", "z"]);
  assertContinuous(await it.events());
});

test("errors are in the order of their lines, also where reading and storing fail by turns", async () => {
  const it = object();
  await it.insert("movies", { id: "there" });
  const { body } = await it.import("movies", '{"id":"there"}\nbad\n{"id":"there"}\nbad\n{"id":"new"}');
  assert.deepEqual(body.errors.map((error) => error.line), [1, 2, 3, 4]);
});

test("broken UTF-8 spoils its line only", async () => {
  const it = object();
  const text = Buffer.concat([Buffer.from('{"id":"a"}\n{"id":"b","x":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}\n{"id":"c"}\n')]);
  const { body } = await it.import("movies", new Uint8Array(text));
  assert.deepEqual([body.imported, body.failed, body.errors[0].line], [2, 1, 2]);
});

test("a line of many MiB is refused without harm to the lines around it", async () => {
  const it = object();
  const { body } = await it.import("movies", inPieces(`{"id":"a"}\n{"id":"b","x":"${"x".repeat(5_000_000)}"}\n{"id":"c"}\n`, 100_000));
  assert.deepEqual([body.imported, body.failed, body.errors[0].line], [2, 1, 2]);
});

test("many errors are counted in full and told in part", async () => {
  const it = object();
  const { body } = await it.import("movies", "bad\n".repeat(5_000));
  assert.deepEqual([body.imported, body.failed, body.errors.length], [0, 5_000, 100]);
});

test("resumeAfterLine passes over the lines that are in already", async () => {
  const it = object();
  const text = ndjson(lines(10));
  const { body } = await it.import("movies", `bad\n${text}`, { resumeAfterLine: 6 });
  assert.deepEqual([body.imported, body.failed], [5, 0]);
  assert.deepEqual((await it.rows("movies")).map((row) => row.id), ["m5", "m6", "m7", "m8", "m9"]);
  assert.equal((await it.import("movies", text, { resumeAfterLine: 10 })).body.imported, 0);
  const bad = await it.import("movies", `${text}bad`, { resumeAfterLine: 10 });
  assert.equal(bad.body.errors[0].line, 11, "lines are numbered from the start of the body");
  for (const value of ["-1", "x", "1.5"]) assertProblem(await it.import("movies", text, { resumeAfterLine: value }), 400);
});

test("another content type is 415", async () => {
  const it = object();
  for (const type of ["application/json", "text/plain", "application/ndjson", null]) {
    assertProblem(await it.import("movies", new TextEncoder().encode("{}\n"), { headers: { "content-type": type } }), 415);
  }
  assert.equal((await it.import("movies", "{}", { headers: { "content-type": "Application/X-NDJSON; charset=utf-8" } })).status, 200);
});

test("a body of more than 65,536 documents is committed in several transactions, without a gap", async () => {
  const it = object();
  const count = 70_000;
  const { body, headers } = await it.import("movies", lines(count, (n) => ({ id: `${n}`.padStart(6, "0"), n })));
  assert.deepEqual(body, { imported: count, failed: 0, firstSequence: 1, lastSequence: count, errors: [] });
  const rowsWritten = Number(headers.get("thermocline-rows-written"));
  assert.ok(rowsWritten < 50, `${rowsWritten} rows written: a few a transaction, and the tables`);
  const { body: information } = await it.ok("GET", "/collections/movies");
  assert.deepEqual(information.forms, { row: 0, segment: count, cold: 0 });
  for (const after of [0, 65_530, 69_990]) {
    const { body: page } = await it.ok("GET", `/cdc?after=${after}&limit=20&documents=false`);
    assertContinuous(page.events, after + 1);
  }
  const { body: ends } = await it.ok("GET", "/cdc?after=65535&limit=2&documents=false");
  assert.ok(ends.events[0].timestamp < ends.events[1].timestamp, "the 65,536th document ends a commit");
});

test("a body that breaks off keeps whole commits only, and a second attempt can go on", async () => {
  const it = object();
  const text = ndjson(lines(100));
  await breakOff(using.worker, "POST", `${it.path}/collections/movies/import`, { announced: text.length * 2, body: text, headers: { "Content-Type": "application/x-ndjson" } });
  await breakOff(using.worker, "POST", `${it.path}/collections/movies/import`, { body: text, headers: { "Content-Type": "application/x-ndjson" } });
  // Fewer documents than one commit takes: none was stored.
  assert.equal((await it.syncState()).lastHotSequence, 0);
  assert.deepEqual((await it.ok("GET", "")).body.collections, []);
  assert.equal((await it.import("movies", text)).body.imported, 100);
});

test("what a body that breaks off has committed stays, whole and in order", async () => {
  const it = object();
  const text = ndjson(lines(66_000));
  await breakOff(using.worker, "POST", `${it.path}/collections/movies/import`, { announced: text.length + 100, body: text, headers: { "Content-Type": "application/x-ndjson" }, afterMs: 500 });
  const state = await eventually("the first commit", async () => {
    const sync = await it.syncState();
    return sync.lastHotSequence > 0 && sync;
  });
  assert.equal(state.lastHotSequence, 65_536);
  assert.equal((await it.ok("GET", "/collections/movies")).body.forms.segment, 65_536);
  const rest = await it.import("movies", text, { resumeAfterLine: 65_536 });
  assert.deepEqual([rest.body.imported, rest.body.firstSequence, rest.body.lastSequence], [464, 65_537, 66_000]);
});

test("two imports at once both go in whole", async () => {
  const it = object();
  const [one, other] = await Promise.all([
    it.import("movies", inPieces(ndjson(lines(2_000, (n) => ({ id: `a${n}` }))), 1_000)),
    it.import("movies", inPieces(ndjson(lines(2_000, (n) => ({ id: `b${n}` }))), 1_500)),
  ]);
  assert.deepEqual([one.body.imported, other.body.imported], [2_000, 2_000]);
  assert.equal((await it.ok("GET", "/collections/movies")).body.forms.segment, 4_000);
  assertContinuous(await it.events({ documents: false }));
});
