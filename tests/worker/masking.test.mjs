// Fields that are hidden by rules, through every way out of the worker.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, eventually, workerWith } from "./support/object.mjs";
import { connect } from "./support/socket.mjs";
import { bearer, hs256 } from "./support/tokens.mjs";

const SECRET = "a secret of more than thirty-two bytes";
const rules = [
  { collection: "users", path: "contact.email" },
  { collection: "*", path: "card", show: ["reviewer"], with: "last4" },
  { collection: "users", path: "salary", show: ["writer"], with: "null" },
];
const STORAGE_CONFIG = { security: { dataMasking: { rules } } };
const vars = { AUTH_MODE: undefined, AUTH_SECRET: SECRET, STORAGE_CONFIG };
const as = (...roles) => bearer(hs256(SECRET, { roles }));
const [admin, writer, reader] = [as("admin"), as("writer"), as("reader")];

const USER = `{"id":"u","n":1.0,"contact":{"email":"secret-mail","big":9007199254740993},"card":"4111secret1234","salary":77001,"z":1e3}`;
const SEEN = {
  admin: USER,
  writer: USER.replace("secret-mail", "[redacted]").replace("4111secret1234", "****1234"),
  reader: USER.replace("secret-mail", "[redacted]").replace("4111secret1234", "****1234").replace("77001", "null"),
};
const LEAKS = /secret|77001|77002/;

/** An object with one user, written and read by whom the rules hide nothing from: an admin holds every role. */
async function withUser(options) {
  const made = await workerWith({ vars, ...options });
  await made.it.ok("PUT", "/collections/users/docs/u", USER, admin);
  return made;
}

test("documents, queries and exports show each what their roles may see, texts of numbers kept", async () => {
  const { it } = await withUser();
  for (const [name, who] of Object.entries({ admin, writer, reader })) {
    const read = (path) => it.call("GET", path, undefined, who);
    const got = await read("/collections/users/docs/u");
    assert.equal(got.text, SEEN[name], name);
    assert.equal(got.headers.get("etag"), '"1"');
    assert.equal((await read("/collections/users/docs/u?tiers=hot")).text, SEEN[name]);
    assert.equal((await read("/collections/users/docs/u?asOf=" + Date.now())).text, SEEN[name]);
    assert.equal((await read("/collections/users/export")).text, `${SEEN[name]}\n`);
    const rows = await it.call("POST", "/collections/users/query", {}, who);
    assert.ok(rows.text.includes(SEEN[name]), rows.text);
    const selected = (await it.call("POST", "/collections/users/query", { select: ["contact.email", "salary", "none"] }, who)).body.rows[0];
    const { contact, salary } = JSON.parse(SEEN[name]);
    assert.deepEqual(selected, { "contact.email": contact.email, salary, none: null }, name);
  }
  const child = await it.call("POST", "/collections/users/query", { select: ["contact.email.x", "contact"] }, reader);
  assert.doesNotMatch(child.text, LEAKS);
});

test("what is written is answered masked, and cached for everyone but shown to each as they may", async () => {
  const { it } = await withUser();
  const put = await it.call("PUT", "/collections/users/docs/u", USER, writer);
  assert.equal(put.text, SEEN.writer);
  assert.equal((await it.call("PATCH", "/collections/users/docs/u", { n: 2 }, writer)).text, SEEN.writer.replace("1.0", "2"));
  const inserted = () => it.insert("users", JSON.parse(USER.replace('"u"', '"v"')), { "idempotency-key": "k", ...writer });
  for (const answer of [await inserted(), await inserted()]) {
    assert.equal(answer.status, 201);
    assert.doesNotMatch(answer.text, /secret/);
  }
  assert.equal((await it.call("GET", "/collections/users/docs/v", undefined, admin)).body.card, "4111secret1234");
  const cached = async (who) => {
    const answer = await it.call("GET", "/collections/users/docs/v?consistency=cached", undefined, who);
    return [answer.headers.get("thermocline-cache"), answer.body.card, answer.body.salary];
  };
  assert.deepEqual(await cached(reader), ["miss", "****1234", null]);
  assert.deepEqual(await cached(admin), ["hit", "4111secret1234", 77001], "what is kept is whole");
  assert.deepEqual(await cached(reader), ["hit", "****1234", null]);
});

test("a hidden field is not asked for by conditions, orders, groups and aggregates", async () => {
  const { it } = await withUser();
  const ask = (query, who = reader) => it.call("POST", "/collections/users/query", query, who);
  for (const path of ["contact.email", "contact", "contact.email.x", "card", "salary"]) {
    for (const query of [
      { where: { [path]: { eq: "x" } } },
      { where: { or: [{ n: { eq: 1 } }, { not: { [path]: { isNull: true } } }] } },
      { orderBy: [{ column: path }] },
      { groupBy: [path], aggregates: [{ as: "n", fn: "count" }] },
      { aggregates: [{ as: "m", fn: "max", column: path }] },
    ]) {
      const answer = await ask(query);
      assertProblem(answer, 403, { tier: /^api$/, detail: new RegExp(`"${path}"`) });
      assert.doesNotMatch(answer.text, LEAKS);
      assert.equal((await ask(query, admin)).status, 200, JSON.stringify(query));
    }
  }
  assert.equal((await ask({ where: { "contact.big": { gt: 1 } }, orderBy: [{ column: "n" }], groupBy: ["n"], aggregates: [{ as: "salary", fn: "count" }] })).status, 200);
  assert.equal((await ask({ where: { salary: { eq: 77001 } } }, writer)).body.rows.length, 1, "one who sees it may ask by it");
});

test("the feed hides it in pages, streams, sockets and from whoever reads the queue", async () => {
  const sink = {
    name: "sink",
    modules: true,
    script: `export default { async queue(batch, env) { for (const { id, body } of batch.messages) await env.SEEN.put(id, typeof body === "string" ? body : JSON.stringify(body)); } };`,
    compatibilityDate: "2026-04-01",
    kvNamespaces: { SEEN: "seen" },
    queueConsumers: { cdc: { maxBatchTimeout: 0.2, maxBatchSize: 100 } },
  };
  const { it, worker } = await withUser({ beside: [sink], own: { queueProducers: { CDC_QUEUE: { queueName: "cdc" } } } });
  await it.ok("PATCH", "/collections/users/docs/u", { salary: 77002 }, admin);
  for (const format of ["native", "debezium", "cloudevents"]) {
    const page = await it.ok("GET", `/cdc?format=${format}`, undefined, reader);
    assert.doesNotMatch(page.text, LEAKS, format);
    assert.match((await it.ok("GET", `/cdc?format=${format}`, undefined, admin)).text, /secret-mail/);
  }
  const changed = async (who) => (await it.ok("GET", "/cdc?documents=false", undefined, who)).body.events[1].changedFields;
  assert.deepEqual(await changed(reader), [], "that a hidden field has changed is hidden");
  assert.deepEqual(await changed(admin), ["salary"]);
  const socket = await connect(it, {}, { headers: reader });
  assert.doesNotMatch(JSON.stringify(await socket.received(2)), LEAKS);
  await worker.evict(it.name, { webSockets: "hibernate" });
  await it.ok("PATCH", "/collections/users/docs/u", { n: 3 }, admin);
  const [, , woken] = await socket.received(3);
  assert.doesNotMatch(JSON.stringify(woken), LEAKS, "after a sleep too");
  assert.equal(woken.after.n, 3);
  await socket.close();
  const streamed = await worker.fetch(`${it.path}/cdc`, { headers: { accept: "text/event-stream", ...reader } });
  const chunk = new TextDecoder().decode((await streamed.body.getReader().read()).value);
  assert.match(chunk, /redacted/);
  assert.doesNotMatch(chunk, LEAKS);
  const seen = await worker.mf.getKVNamespace("SEEN", "sink");
  await eventually("the queue", async () => (await seen.list()).keys.length >= 3);
  for (const { name } of (await seen.list()).keys) assert.doesNotMatch(await seen.get(name), LEAKS);
});

test("tables with hidden fields are not loaded, and their past is masked when it is read otherwise", async () => {
  const { it, worker } = await withUser();
  await it.ok("PUT", "/collections/films/docs/a", {}, admin);
  await it.ok("POST", "/sync", {}, admin);
  const [doc, id] = it.name.split("/");
  const load = (table, who) => worker.json("GET", `/iceberg/v1/namespaces/${doc}%1F${id}/tables/${table}`, undefined, who);
  for (const table of ["users", "users__changes", "films"]) {
    const refused = await load(table, reader);
    assert.equal(refused.status, 403, table);
    assert.match(refused.body.error.message, /masked/);
    assert.equal((await load(table, admin)).status, 200);
  }
  const cold = await it.call("GET", "/collections/users/docs/u?tiers=cold", undefined, reader);
  assert.equal(cold.status, 200);
  assert.doesNotMatch(cold.text, LEAKS);
});

test("rules that nobody can mean are refused by their place, and nobody is masked where everyone may do everything", async () => {
  const { it, worker } = await workerWith({ vars: { STORAGE_CONFIG } });
  await it.ok("PUT", "/collections/users/docs/u", USER);
  assert.equal((await it.get("users", "u")).text, USER);
  for (const [dataMasking, about] of [
    [true, /dataMasking/], [{ rules: [{ collection: "users", pth: "x" }] }, /pth/], [{ rules: [{ collection: "users", path: "id" }] }, /rules\[0\].*path/],
    [{ rules: [...rules, { collection: "users", path: "x", show: ["king"] }] }, /rules\[3\].*show/], [{ rulez: [] }, /rulez/],
  ]) {
    await worker.restart({ vars: { STORAGE_CONFIG: { security: { dataMasking } } } });
    const refused = await it.call("GET", "");
    assertProblem(refused, 500, { detail: /security\.dataMasking/ });
    assert.match(refused.body.detail, about);
  }
});
