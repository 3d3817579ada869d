// Who did what: what the access log tells of writes, refusals and what is done besides documents.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, workerWith } from "./support/object.mjs";
import { bearer, hs256 } from "./support/tokens.mjs";

const SECRET = "a secret of more than thirty-two bytes";
const vars = { AUTH_MODE: undefined, AUTH_SECRET: SECRET };
const as = (sub, ...roles) => bearer(hs256(SECRET, { sub, roles }));
const [ann, bob, eve] = [as("ann", "writer"), as("bob", "reader"), as("eve", "auditor")];

/** All entries, page by page. */
async function entries(it, params = {}, headers = eve) {
  const all = [];
  for (let cursor; ;) {
    const query = new URLSearchParams({ ...params, ...(cursor && { cursor }) });
    const { body } = await it.ok("GET", `/access?${query}`, undefined, headers);
    all.push(...body.items);
    cursor = body.cursor;
    if (!cursor) return all;
  }
}
const brief = ({ principal, action, status }) => [principal, action, status];

test("writes, refusals and what is done besides are told in order, without documents", async () => {
  const { it } = await workerWith({ vars });
  assert.deepEqual(await entries(it), [], "an object that was never written");
  await it.call("DELETE", "/collections/films/docs/none", undefined, ann);
  assert.deepEqual(await entries(it), [], "no refused call makes one");
  await it.ok("PUT", "/collections/films/docs/a", { title: "classified" }, { ...ann, "x-correlation-id": "c-1" });
  await it.ok("POST", "/batch", { operations: [{ op: "insert", collection: "films", doc: { id: "b" } }, { op: "delete", collection: "films", id: "a" }] }, ann);
  await it.import("films", Array.from({ length: 100 }, (_, n) => ({ id: `i${n}` })), { headers: ann });
  assertProblem(await it.call("PUT", "/collections/films/docs/a", {}, bob), 403);
  assertProblem(await it.call("DELETE", "/collections/films/docs/none", undefined, ann), 404);
  assertProblem(await it.call("PUT", "/collections/films/docs/b", {}, { ...ann, "if-match": '"99"' }), 412);
  assertProblem(await it.call("GET", "/access", undefined, ann), 403);
  await it.ok("GET", "/collections/films/docs/b", undefined, bob);
  await it.ok("PUT", "/collections/films", { columns: [] }, ann);
  await it.ok("PUT", "/cdc/consumers/w", { sequence: 1 }, bob);
  await it.ok("DELETE", "/cdc/consumers/w", undefined, ann);
  const all = await entries(it);
  const expected = [
    ["ann", "PUT document", 200], ["ann", "POST batch", 200], ["ann", "POST import", 200],
    ["bob", "PUT document", 403], ["ann", "DELETE document", 404], ["ann", "PUT document", 412],
    ["ann", "GET access", 403], ["ann", "PUT collection", 200], ["ann", "DELETE consumer", 204],
  ];
  assert.deepEqual(all.map(brief), expected);
  const [put, batch, imported, refused] = all;
  assert.deepEqual([put.collections, put.documentId, put.correlationId, put.sequence, put.events], [["films"], "a", "c-1", 1, 1]);
  assert.deepEqual([batch.sequence, batch.events, imported.events, refused.documentId], [2, 2, 100, "a"]);
  assert.ok(Date.now() - Date.parse(put.time) < 60_000);
  assert.doesNotMatch(JSON.stringify(all), /classified/);
  const { text } = await it.ok("GET", "/cdc", undefined, bob);
  assert.doesNotMatch(text, /ann|PUT document/, "the feed does not tell who");
});

test("a page reads the packs that it needs, however many there are", async () => {
  const { it } = await workerWith({ vars: { AUTH_MODE: "off" } });
  const declared = async (count) => {
    // A pack each.
    for (let n = 0; n < count; n++) await it.ok("PUT", "/collections/films", { retention: { days: 100 + (n % 2) } });
  };
  await it.put("films", "a", {});
  /** The most rows that a page reads, and how many entries there are. */
  const paged = async () => {
    let [most, told] = [0, 0];
    for (let cursor; ;) {
      const page = await it.ok("GET", `/access?limit=10${cursor ? `&cursor=${cursor}` : ""}`);
      most = Math.max(most, Number(page.headers.get("thermocline-rows-read")));
      told += page.body.items.length;
      cursor = page.body.cursor;
      if (!cursor) return [most, told];
    }
  };
  await declared(30);
  const [few, told] = await paged();
  assert.equal(told, 31);
  await declared(200);
  const [many, all] = await paged();
  assert.equal(all, 231);
  assert.ok(many < 2 * few && many < 100, `${few} rows read by a page of 30 packs, ${many} by one of 230`);
});

test("entries are found by what is asked for, in pages of any size", async () => {
  const { it } = await workerWith({ vars });
  for (let n = 0; n < 9; n++) {
    await it.ok("PUT", `/collections/${n % 2 ? "films" : "users"}/docs/${n}`, {}, n % 3 ? ann : as("cid", "writer"));
    assertProblem(await it.call("DELETE", "/collections/films/docs/none", undefined, ann), 404);
  }
  await it.ok("DELETE", "/collections/users", undefined, ann);
  const filters = { action: "PUT document" };
  const all = await entries(it, filters);
  assert.equal(all.length, 9);
  for (const limit of [1, 2, 5]) assert.deepEqual(await entries(it, { ...filters, limit }), all);
  assert.equal((await entries(it, { ...filters, principal: "cid" })).length, 3);
  assert.equal((await entries(it, { ...filters, collection: "films" })).length, 4);
  assert.equal((await entries(it, { outcome: "refused" })).length, 9);
  assert.equal((await entries(it, { outcome: "done", action: "DELETE collection" })).length, 1);
  const middle = all[4].time;
  const [upto, from] = [await entries(it, { ...filters, to: middle }), await entries(it, { ...filters, from: middle })];
  assert.ok(upto.length >= 5 && from.length >= 5 && upto.length + from.length < 18);
  assert.deepEqual(await entries(it, { to: "2020-01-01T00:00:00Z" }), []);
  await it.evict();
  assert.deepEqual(await entries(it, filters), all, "over an eviction");
  for (const bad of ["limit=0", "limit=x", "from=yesterday", "outcome=perhaps", "other=1", "to=00000000-0000-0000-0000-000000000001"]) {
    assertProblem(await it.call("GET", `/access?${bad}`, undefined, eve), 400, { tier: /^api$/ });
  }
  const { body } = await it.ok("GET", "/access?limit=1", undefined, eve);
  assertProblem(await it.call("GET", `/access?limit=1&principal=x&cursor=${body.cursor}`, undefined, eve), 422, { pointers: ["/cursor"] });
  assertProblem(await it.call("GET", "/access?cursor=x", undefined, eve), 422, { pointers: ["/cursor"] });
  assertProblem(await it.call("POST", "/access", {}, eve), 405);
});

test("nobody says by a header what is noted of them, and where nobody is named nobody is", async () => {
  const { it, worker } = await workerWith({ vars });
  const forged = { "thermocline-actor": "king", "thermocline-action": "GET nothing" };
  await it.ok("PUT", "/collections/films/docs/a", {}, { ...ann, ...forged });
  assert.deepEqual((await entries(it)).map(brief)[0], ["ann", "PUT document", 200]);
  await worker.restart({ vars: { AUTH_MODE: "off" } });
  await it.ok("PUT", "/collections/films/docs/b", {}, { ...forged, "thermocline-principal": Buffer.from('{"subject":"king","roles":[],"objects":[]}').toString("base64url") });
  assert.deepEqual((await entries(it, { action: "PUT document" }, {})).map(brief), [["ann", "PUT document", 200], [null, "PUT document", 200]]);
  await worker.restart({ vars: { AUTH_MODE: "off", STORAGE_CONFIG: { security: { accessLogging: false } } } });
  await it.ok("PUT", "/collections/films/docs/c", {}, forged);
  await it.ok("PUT", "/collections/other", { columns: [] });
  assert.deepEqual((await entries(it, {}, {})).filter(({ action }) => action.startsWith("PUT")).map(brief), [["ann", "PUT document", 200], [null, "PUT document", 200]], "what there is is told");
});
