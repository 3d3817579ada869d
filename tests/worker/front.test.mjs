// What every answer has, whoever makes it: an id, the headers of security, what pages of other origins are told, a line of the log.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, eventually, useWorker, workerWith } from "./support/object.mjs";
import { connect, refusal } from "./support/socket.mjs";
import { stream } from "./support/sse.mjs";
import { bearer, hs256 } from "./support/tokens.mjs";

const SECRET = "a secret of more than thirty-two bytes";
const OWN = "https://app.example";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const GIVEN = "0192d3f0-0000-4000-8000-00000000000a";
const json = { "content-type": "application/json" };
const using = useWorker();

/** An answer of each kind: of the Worker itself, of an object, of the catalogue, of the files; right and refused; with a body and without. */
const KINDS = [
  ["GET", "/healthz", 200], ["HEAD", "/healthz", 200], ["POST", "/healthz", 405], ["GET", "/openapi.json", 200], ["GET", "/nothing", 404],
  ["PUT", "/v1/demo/front/collections/films/docs/a", 201, "{}"], ["GET", "/v1/demo/front/collections/films/docs/a", 200],
  ["HEAD", "/v1/demo/front/collections/films/docs/a", 200], ["GET", "/v1/demo/front/collections/films/docs/b", 404],
  ["GET", "/v1/demo/front/collections/films/docs/a?consistency=cached", 200], ["POST", "/v1/demo/front/batch", 400, "{"],
  ["GET", "/v1/demo/front/collections/films/export", 200], ["DELETE", "/v1/demo/front/collections/films/docs/a", 204],
  ["GET", "/v1/demo/front/metrics", 200], ["GET", "/v1/demo/%22/metrics", 400], ["GET", "/iceberg/v1/config", 200],
  ["GET", "/iceberg/v1/namespaces/none", 404], ["GET", "/s3/cold/x", 403],
];

test("every answer has an id and the headers of security, and no other cache than its route's", async () => {
  const caches = { "/openapi.json": "public, max-age=3600", "/iceberg/v1/config": "private, no-store", "/iceberg/v1/namespaces/none": /no-store/, "/s3/cold/x": "private, no-store" };
  for (const [method, path, status, body] of KINDS) {
    const answer = await using.worker.fetch(path, { method, body, headers: body ? json : {} });
    const text = await answer.text();
    const header = (name) => answer.headers.get(name);
    const what = `${method} ${path}`;
    assert.equal(answer.status, status, `${what}: ${text}`);
    assert.match(header("thermocline-request-id"), UUID, what);
    assert.equal(header("x-content-type-options"), "nosniff", what);
    assert.equal(header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", what);
    assert.equal(header("referrer-policy"), "no-referrer", what);
    assert.equal(header("strict-transport-security"), "max-age=31536000", what);
    assert.equal(header("cross-origin-resource-policy"), "same-origin", what);
    const isDocument = status === 200 && header("etag") && path.startsWith("/v1/");
    const expected = caches[path] ?? (isDocument ? "private, no-cache" : "no-store");
    if (expected instanceof RegExp) assert.match(header("cache-control"), expected, what);
    else assert.equal(header("cache-control"), expected, what);
    assert.equal(header("vary"), isDocument ? "Authorization" : null, what);
    for (const name of ["access-control-allow-origin", "server", "x-powered-by"]) assert.equal(header(name), null, `${what}: ${name}`);
  }
});

test("a request keeps the id that it came with if that is a UUID, and a problem names it", async () => {
  const ask = async (id, path = "/v1/demo/ids/collections/films/docs/a") => using.worker.json("GET", path, undefined, { "thermocline-request-id": id });
  for (const path of [undefined, "/v1/demo/ids/collections/FILMS", "/nothing"]) {
    const answer = await ask(GIVEN, path);
    assert.equal(answer.headers.get("thermocline-request-id"), GIVEN);
    assert.equal(answer.body.instance, `urn:uuid:${GIVEN}`);
  }
  for (const other of ["", "x", `${GIVEN}0`, GIVEN.replaceAll("-", ""), `{${GIVEN}}`, `urn:uuid:${GIVEN}`, '","a":"', GIVEN.replace("a", "g")]) {
    const { headers, body } = await ask(other);
    const id = headers.get("thermocline-request-id");
    assert.match(id, UUID, other);
    assert.equal(body.instance, `urn:uuid:${id}`, other);
  }
  assert.equal((await ask(GIVEN.toUpperCase())).headers.get("thermocline-request-id"), GIVEN, "in lower case");
});

test("pages of the listed origins may ask, and others are told nothing", async () => {
  const { it, worker } = await workerWith({ vars: { AUTH_MODE: undefined, AUTH_SECRET: SECRET, STORAGE_CONFIG: { security: { corsOrigins: [OWN, "http://localhost:3000"] } } } });
  const token = bearer(hs256(SECRET));
  const told = ({ headers }) => [headers.get("access-control-allow-origin"), headers.get("vary")?.replace("Authorization, ", ""), headers.get("access-control-expose-headers")?.includes("thermocline-sequence") ?? false];
  const call = (origin, path = it.doc("films", "a"), headers = token) => it.call("GET", path, undefined, { ...headers, ...(origin && { origin }) });
  await it.ok("PUT", it.doc("films", "a"), { title: "Alien" }, token);
  assert.deepEqual(told(await call(OWN)), [OWN, "Origin", true]);
  assert.deepEqual(told(await call("http://localhost:3000")), ["http://localhost:3000", "Origin", true]);
  for (const foreign of ["https://evil.example", "http://app.example", "https://app.example:444", `${OWN}.evil.example`, "null", undefined]) {
    assert.deepEqual(told(await call(foreign)), [null, "Origin", false], foreign);
  }
  // Refusals, streams and the other services, too.
  assert.deepEqual(told(await call(OWN, "/collections/FILMS")), [OWN, "Origin", true]);
  assert.deepEqual(told(await call(OWN, "", {})), [OWN, "Origin", true]);
  const feed = await stream(it, {}, { ...token, origin: OWN });
  assert.deepEqual(told(feed.response), [OWN, "Origin", true]);
  assert.equal((await feed.events(1))[0].documentId, "a");
  await feed.close();
  for (const path of ["/healthz", "/iceberg/v1/config", "/s3/cold/x"]) assert.deepEqual(told(await worker.fetch(path, { headers: { origin: OWN } })), [OWN, "Origin", true], path);
  assert.equal((await call(OWN)).headers.get("access-control-allow-credentials"), null);
});

test("a preflight is answered without a token and reaches no object", async () => {
  const { it, worker } = await workerWith({ vars: { AUTH_MODE: undefined, AUTH_SECRET: SECRET, STORAGE_CONFIG: { security: { corsOrigins: [OWN] } } } });
  const preflight = (origin, headers = { "access-control-request-method": "PUT", "access-control-request-headers": "authorization,content-type" }) =>
    it.call("OPTIONS", it.doc("films", "a"), undefined, { origin, ...headers });
  const answer = await preflight(OWN);
  assert.deepEqual([answer.status, answer.text], [204, ""]);
  assert.equal(answer.headers.get("access-control-allow-origin"), OWN);
  assert.match(answer.headers.get("access-control-allow-methods"), /\bPATCH\b/);
  for (const name of ["authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "last-event-id", "min-sequence"]) {
    assert.ok(answer.headers.get("access-control-allow-headers").split(", ").includes(name), name);
  }
  assert.equal(answer.headers.get("access-control-max-age"), "7200");
  assert.equal(answer.headers.get("thermocline-rows-read"), null, "no object was asked");
  const foreign = await preflight("https://evil.example");
  assert.equal(foreign.status, 204);
  assert.deepEqual([...foreign.headers.keys()].filter((name) => name.startsWith("access-control")), []);
  // OPTIONS that is no preflight is no method of the API.
  assertProblem(await preflight(OWN, {}), 401);
  assertProblem(await it.call("OPTIONS", "", undefined, bearer(hs256(SECRET))), 405, { tier: /^api$/ });
  await worker.restart({ vars: { STORAGE_CONFIG: { security: { corsOrigins: ["*"] } } } });
  const any = await preflight("https://anyone.example");
  assert.deepEqual([any.status, any.headers.get("access-control-allow-origin"), any.headers.get("vary"), any.headers.get("cross-origin-resource-policy")], [204, "*", null, "cross-origin"]);
  for (const headers of [{}, { origin: "https://anyone.example" }]) {
    const { headers: told } = await it.call("GET", "", undefined, headers);
    assert.deepEqual([told.get("access-control-allow-origin"), told.get("vary")], ["*", null], "also to who has no origin");
  }
  await worker.restart({ vars: { STORAGE_CONFIG: {} } });
  const none = await preflight(OWN);
  assert.equal(none.status, 401, "as any request, where no origin is listed");
  assert.equal(none.headers.get("access-control-allow-origin"), null);
});

test("a page of a foreign origin opens no socket where origins are listed", async () => {
  const { it } = await workerWith({ vars: { STORAGE_CONFIG: { security: { corsOrigins: [OWN] } } } });
  const refused = await refusal(it, {}, { origin: "https://evil.example" });
  assertProblem(refused, 403);
  assert.match(refused.body.detail, /security\.corsOrigins/);
  for (const headers of [{ origin: OWN }, undefined]) {
    const socket = await connect(it, {}, { headers });
    await it.ok("PUT", it.doc("films", "a"), { at: Date.now() });
    await socket.received(1);
    await socket.close();
  }
});

test("what cannot be an origin is refused by its key", async () => {
  for (const corsOrigins of [["https://app.example/"], ["app.example"], ["https://*.example"], ["HTTPS://app.example"], "*", [1]]) {
    const { it } = await workerWith({ vars: { STORAGE_CONFIG: { security: { corsOrigins } } } });
    const answer = await it.call("GET", "");
    assertProblem(answer, 500, { tier: /^api$/, detail: /security\.corsOrigins/ });
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    assert.match(answer.headers.get("thermocline-request-id"), UUID);
  }
});

/** The lines of the log of a request. */
const linesOf = (worker, id) => worker.logs.filter((line) => line.startsWith("{") && line.includes(id)).map((line) => JSON.parse(line));

test("a request is one line of the log, with what it cost and without what it was about", async () => {
  const { it, worker } = await workerWith({ vars: { AUTH_MODE: undefined, AUTH_SECRET: SECRET } });
  const token = hs256(SECRET, { sub: "ann" });
  let count = 0;
  const logged = async (method, path, body, headers = {}) => {
    const id = `0192d3f0-0000-4000-8000-${String(++count).padStart(12, "0")}`;
    const answer = await worker.fetch(path, { method, body, headers: { ...bearer(token), ...(body && json), "thermocline-request-id": id, ...headers } });
    await answer.text();
    await eventually("the line", () => linesOf(worker, id).length > 0);
    const lines = linesOf(worker, id);
    assert.equal(lines.length, 1, JSON.stringify(lines));
    assert.ok(lines[0].elapsedMs >= 0 && lines[0].elapsedMs < 30_000);
    delete lines[0].elapsedMs;
    return lines[0];
  };
  const secret = "hush-hush-9731";
  const doc = `/v1/${it.name}/collections/films/docs/${secret}`;
  const route = "/v1/{type}/{id}/collections/{collection}/docs/{document}";
  const body = JSON.stringify({ title: secret });
  const { requestId, rowsRead, rowsWritten, ...put } = await logged("PUT", doc, body);
  assert.match(requestId, /^0192d3f0/);
  assert.ok(rowsRead > 0 && rowsWritten > 0);
  const written = Buffer.byteLength(JSON.stringify({ id: secret, title: secret }));
  assert.deepEqual(put, { method: "PUT", route, object: it.name, subject: "ann", status: 201, outcome: "done", cache: null, bytesIn: Buffer.byteLength(body), bytesOut: written });
  assert.equal((await logged("GET", `${doc}?consistency=cached`)).cache, "miss");
  assert.deepEqual((({ cache, rowsRead }) => [cache, rowsRead])(await logged("GET", `${doc}?consistency=cached`)), ["hit", 0]);
  const unknown = await logged("GET", `/nothing/${secret}`);
  assert.deepEqual([unknown.route, unknown.object, unknown.status, unknown.outcome], [null, null, 404, "refused"]);
  const nobody = await logged("GET", doc, undefined, { authorization: `Bearer ${secret}` });
  assert.deepEqual([nobody.route, nobody.subject, nobody.status], [route, null, 401]);
  const query = await logged("POST", `/v1/${it.name}/collections/films/query`, JSON.stringify({ where: { title: { eq: secret } } }));
  assert.deepEqual([query.route, query.status], ["/v1/{type}/{id}/collections/{collection}/query", 200]);
  assert.equal((await logged("GET", `/v1/${it.name}/cdc?collections=${secret}`)).status, 400);
  assert.equal((await logged("GET", `/s3/cold/${secret}`)).route, "/s3/{bucket}/{key}");
  assert.equal((await logged("GET", "/iceberg/v1/namespaces/none")).route, "/iceberg/v1/namespaces/{namespace}");
  assert.equal((await logged("GET", "/healthz")).route, "/healthz");
  const all = worker.logs.join("\n");
  for (const hidden of [secret, token, token.split(".")[2], SECRET]) assert.ok(!all.includes(hidden), hidden.slice(0, 20));
});

test("a failure is told with its causes in the log, and without them in the answer", async () => {
  const { it, worker } = await workerWith({ bucket: false });
  const answer = await it.call("POST", "/sync", {}, { "thermocline-request-id": GIVEN });
  assert.ok(answer.status >= 500, answer.text);
  await eventually("both lines", () => linesOf(worker, GIVEN).length >= 2);
  const lines = linesOf(worker, GIVEN);
  const [ofObject, ofWorker] = [lines.find((line) => line.failure), lines.find((line) => line.route)];
  assert.equal(ofObject.failure.message, answer.body.detail);
  assert.deepEqual([typeof ofObject.failure.tier, typeof ofObject.failure.operation, Array.isArray(ofObject.failure.causes)], ["string", "string", true]);
  assert.deepEqual([ofWorker.status, ofWorker.outcome], [answer.status, "failed"]);
  await worker.restart({ vars: { STORAGE_CONFIG: { hot: { x: 1 } } } });
  const broken = await it.call("GET", "", undefined, { "thermocline-request-id": GIVEN });
  assert.equal(broken.status, 500);
  const told = await eventually("the line", () => linesOf(worker, GIVEN).find((line) => line.failure?.operation === "read configuration"));
  assert.deepEqual([told.status, told.failure.causes.length], [500, 1]);
});

test("the description of the routes is served to everyone, once", async () => {
  const { worker } = await workerWith({ vars: { AUTH_MODE: undefined, AUTH_SECRET: SECRET } });
  const { status, headers, body } = await worker.json("GET", "/openapi.json");
  assert.equal(status, 200);
  assert.equal(body.openapi, "3.1.0");
  assert.ok(body.paths["/v1/{type}/{id}/collections/{collection}/docs/{document}"].patch);
  const known = await worker.fetch("/openapi.json", { headers: { "if-none-match": headers.get("etag") } });
  assert.deepEqual([known.status, await known.text(), known.headers.get("etag")], [304, "", headers.get("etag")]);
  const head = await worker.fetch("/openapi.json", { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("etag")], [200, headers.get("etag")]);
  assertProblem({ ...(await worker.json("POST", "/openapi.json", {})), text: "" }, 405);
});
