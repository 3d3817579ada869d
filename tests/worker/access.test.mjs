// Tokens, roles and tenants against the built worker: who gets what, through every route.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ObjectClient, assertProblem, eventually, workerWith } from "./support/object.mjs";
import { connect } from "./support/socket.mjs";
import { bearer, hs256, issuer } from "./support/tokens.mjs";

const SECRET = "a secret of more than thirty-two bytes";
const ID = "00000000-0000-0000-0000-000000000001";
const secret = { AUTH_MODE: undefined, AUTH_SECRET: SECRET };

/** Every route of an object with the role it asks for, and what those who hold it are answered. */
const ROUTES = [
  ["GET", "", "reader", 200],
  ["GET", "/collections", "reader", 200],
  ["PUT", "/collections/films", "writer", 201, {}],
  ["GET", "/collections/films", "reader", 200],
  ["POST", "/collections/films/docs", "writer", 201, { title: "Alien" }],
  ["PUT", "/collections/films/docs/a", "writer", [200, 201], { title: "Alien" }],
  ["PATCH", "/collections/films/docs/a", "writer", 200, { year: 1979 }],
  ["GET", "/collections/films/docs/a", "reader", 200],
  ["GET", "/collections/films/docs/a?consistency=cached", "reader", 200],
  ["GET", "/collections/films/docs/a?consistency=cached", "reader", 200],
  ["POST", "/collections/films/query", "reader", 200, {}],
  ["GET", "/collections/films/export", "reader", 200],
  ["POST", "/collections/films/export", "writer", 201],
  ["POST", "/collections/films/import?mode=upsert", "writer", 200, '{"id":"b"}\n', { "content-type": "application/x-ndjson" }],
  ["POST", "/batch", "writer", 200, { operations: [{ op: "upsert", collection: "films", id: "b", doc: {} }] }],
  ["GET", "/cdc", "reader", 200],
  ["PUT", "/cdc/consumers/w", "reader", 201, { sequence: 1 }],
  ["GET", "/cdc/consumers", "reader", 200],
  ["GET", "/cdc/consumers/w", "reader", 200],
  ["DELETE", "/cdc/consumers/w", "writer", 204],
  ["POST", "/sync", "writer", 200, {}],
  ["DELETE", "/cache", "writer", 200],
  ["POST", "/maintenance", "admin", 200, {}],
  ["GET", "/access", "auditor", 200],
  ["GET", "/metrics", "reader", 200],
  ["GET", "/sync", "reader", 200],
  ["POST", "/snapshots", "writer", 201, { type: "full" }],
  ["GET", "/snapshots", "reader", 200],
  ["GET", `/snapshots/${ID}`, "reader", 404],
  ["POST", `/snapshots/${ID}/restore`, "writer", 404, {}],
  ["DELETE", `/snapshots/${ID}`, "writer", 404],
  ["GET", `/jobs/${ID}`, "reader", 404],
  ["DELETE", `/jobs/${ID}`, "writer", 404],
  ["DELETE", "/collections/films/docs/b", "writer", [200, 204]],
  ["DELETE", "/collections/films", "writer", [200, 204]],
  ["DELETE", "", "admin", 200],
];
const HASH = "f8f8f0cce0f4e84d0e370a22028f67f0b36e2ed596623e1d33e6b39c4e9c9b22";
const ASSET = { manifestUrl: "https://m.example/1", imageUrl: "https://i.example/1", contentType: "image/png", fileSize: 5 };
const HASHED = { pdqHash: HASH, pdqQuality: 100, manifestLineage: {} };
const REGISTRY_ROUTES = [
  ["POST", "/records", "writer", 201, { metadata: { assetId: "a", ...ASSET }, hashes: HASHED }],
  ["GET", "/records/a", "reader", 200],
  ["POST", "/assets", "writer", 201, { assetId: "b", ...ASSET }],
  ["GET", "/assets", "reader", 200],
  ["GET", "/assets/a", "reader", 200],
  ["PATCH", "/assets/a", "writer", 200, { status: "done" }],
  ["POST", "/hashes", "writer", 201, { assetId: "b", ...HASHED }],
  ["GET", "/hashes", "reader", 200],
  ["POST", "/hashes/batch", "writer", 200, { hashes: [] }],
  ["GET", "/hashes/stats", "reader", 200],
  ["POST", "/hashes/compact", "admin", 200],
  ["POST", "/hashes/search", "reader", 200, { pdqHash: HASH }],
  ["POST", "/hashes/search/batch", "reader", 200, { queries: [{ pdqHash: HASH, k: 1 }] }],
  ["POST", "/embeddings/search", "reader", 409, { vector: [1] }],
  ["GET", "/hashes/a", "reader", 200],
  ["POST", "/collisions", "writer", 201, { primaryAssetId: "a", conflictingAssetId: "b", similarityScores: 1, conflictType: "copy", lineageDiff: {} }],
  ["GET", "/collisions", "reader", 200],
  ["GET", `/collisions/${ID}`, "reader", 404],
  ["POST", `/collisions/${ID}/reviews`, "reviewer", 404, { label: "suspicious", reviewedBy: "r" }],
  ["DELETE", "/hashes/b", "writer", 204],
  ["DELETE", "/records/a", "writer", 204],
  ["POST", "/cleanup", "admin", 200, {}],
  ["PUT", "/temp/t", "writer", 204, "value", { "content-type": "text/plain" }],
  ["GET", "/temp/t", "reader", 200],
  ["DELETE", "/temp/t", "writer", 204],
  ["PUT", "/settings", "admin", 200, {}],
  ["GET", "/settings", "reader", 200],
];
const HOLDERS = { reviewer: ["reviewer", "admin"], admin: ["admin"], reader: ["reader", "writer", "reviewer", "admin"], writer: ["writer", "admin"], auditor: ["auditor", "admin"] };

test("every route looks at the role and at the tenant", async () => {
  const { it } = await workerWith({ vars: secret });
  assert.ok((await walk(it, ROUTES)) > 220);
});

test("every route of a registry does, too", async () => {
  const { it } = await workerWith({ vars: secret }, "registry");
  assert.ok((await walk(it, REGISTRY_ROUTES)) > 130);
});

/** Asks for each route as whoever may not, and then as one who may; how many were refused. */
async function walk(it, routes) {
  let refused = 0;
  for (const [method, path, role, expected, body, headers] of routes) {
    const ask = (claims) => it.call(method, path, body, { ...headers, ...bearer(hs256(SECRET, claims)) });
    for (const own of ["reader", "writer", "reviewer", "auditor", "admin", "none"]) {
      const theirs = await ask({ roles: [own], objects: ["other/*", `${it.name}x`, "*/*"] });
      assertProblem(theirs, 403, { tier: /^api$/ });
      refused += 1;
      if (HOLDERS[role].includes(own)) continue;
      const answer = await ask({ roles: [own], objects: [it.name] });
      assertProblem(answer, 403, { tier: /^api$/ });
      assert.match(answer.body.detail, new RegExp(`role ${role}`), `${method} ${path} as ${own}`);
      refused += 1;
    }
    // One who may, after all who may not: they have left everything as it was.
    const answer = await ask({ roles: [role], objects: [`${it.name.split("/")[0]}/*`] });
    assert.ok([expected].flat().includes(answer.status), `${method} ${path} as ${role}: ${answer.status} ${answer.text}`);
  }
  return refused;
}

test("tokens of public keys are checked by their keys", async () => {
  const [ann, bob, foreign] = [issuer("ES256", "ann"), issuer("EdDSA", "bob"), issuer("ES256", "ann")];
  const rsa = { kty: "RSA", n: "AQAB", e: "AQAB", kid: "rsa" };
  const vars = { AUTH_MODE: "jwt", AUTH_JWKS: JSON.stringify({ keys: [rsa, ann.jwk, bob.jwk] }) };
  const { it, worker } = await workerWith({ vars });
  const get = (token) => it.call("GET", "/collections", undefined, bearer(token));
  for (const token of [ann.token(), bob.token(), ann.token({}, { kid: undefined }), bob.token({}, { alg: "Ed25519" })]) {
    assert.equal((await get(token)).status, 200);
  }
  const changed = (token) => token.replace(/.$/, (last) => (last === "A" ? "Q" : "A"));
  for (const token of [
    foreign.token(), ann.token({}, { kid: "bob" }), ann.token({}, { alg: "EdDSA" }), bob.token({}, { alg: "ES256" }), changed(ann.token()), changed(bob.token()),
    hs256(JSON.stringify(ann.jwk)), hs256(ann.jwk.x), hs256(SECRET), `${ann.token().split(".").slice(0, 2).join(".")}.`,
  ]) {
    const answer = await get(token);
    assertProblem(answer, 401, { tier: /^api$/ });
    assert.match(answer.headers.get("www-authenticate"), /^Bearer/);
  }
  // A key of its own in the header is not looked at.
  assert.equal((await get(foreign.token({}, { jwk: foreign.jwk, kid: undefined }))).status, 401);
  await worker.restart({ vars: { ...vars, AUTH_JWKS: "{" } });
  const broken = await get(ann.token());
  assertProblem(broken, 500, { tier: /^api$/ });
  assert.match(broken.body.detail, /AUTH_JWKS/);
});

test("times and audience are checked", async () => {
  const now = Math.floor(Date.now() / 1_000);
  const { it } = await workerWith({ vars: { ...secret, STORAGE_CONFIG: { security: { tokenAudience: "films", clockSkewSecs: 0 } } } });
  const status = async (claims) => (await it.call("GET", "", undefined, bearer(hs256(SECRET, { aud: "films", ...claims })))).status;
  assert.equal(await status({}), 200);
  assert.equal(await status({ aud: ["x", "films"], nbf: now - 1 }), 200);
  for (const claims of [{ exp: now - 1 }, { exp: undefined }, { nbf: now + 60 }, { aud: "x" }, { aud: undefined }]) assert.equal(await status(claims), 401, JSON.stringify(claims));
});

test("nobody can say by a header who they are", async () => {
  const { it } = await workerWith({ vars: secret });
  const admin = Buffer.from(JSON.stringify({ subject: "eve", roles: ["admin"], objects: ["*"] })).toString("base64url");
  const forged = { "thermocline-principal": admin };
  assertProblem(await it.call("PUT", "/collections/films/docs/a", {}, forged), 401);
  const reader = bearer(hs256(SECRET, { roles: ["reader"] }));
  assertProblem(await it.call("PUT", "/collections/films/docs/a", {}, { ...forged, ...reader }), 403);
  assert.equal((await it.call("GET", "/sync", undefined, reader)).body.lastHotSequence, 0);
  const internal = await it.worker.json("POST", `/internal/${it.name}/restores`, {}, bearer(hs256(SECRET, { roles: ["admin"] })));
  assert.equal(internal.status, 404);
});

test("what is cached is answered to those alone who may read it", async () => {
  const { it } = await workerWith({ vars: secret });
  const as = (claims) => bearer(hs256(SECRET, claims));
  await it.ok("PUT", "/collections/films/docs/a", { title: "Alien" }, as({}));
  const cached = (headers) => it.call("GET", "/collections/films/docs/a?consistency=cached", undefined, headers);
  await cached(as({}));
  const hit = await cached(as({ roles: ["reader"], objects: [it.name] }));
  assert.equal(hit.headers.get("thermocline-cache"), "hit");
  for (const claims of [{ roles: ["auditor"] }, { roles: [] }, { objects: ["other/*"] }, { objects: [] }]) assertProblem(await cached(as(claims)), 403);
  assertProblem(await cached({}), 401);
});

test("a snapshot is restored into objects alone that the token has too", async () => {
  const { it } = await workerWith({ vars: secret });
  const own = bearer(hs256(SECRET, { objects: [it.name] }));
  await it.ok("PUT", "/collections/films/docs/a", { title: "Alien" }, own);
  const { body } = await it.ok("POST", "/snapshots", { type: "full" }, own);
  const restore = (headers) => it.call("POST", `/snapshots/${body.id}/restore`, { into: `${it.name}-copy` }, headers);
  assertProblem(await restore(own), 403);
  const both = bearer(hs256(SECRET, { objects: [it.name, `${it.name}-copy`] }));
  const begun = await restore(both);
  assert.equal(begun.status, 202);
  await eventually("the restore", async () => (await it.ok("GET", `/jobs/${begun.body.id}`, undefined, both)).body.state === "done");
  const copy = new ObjectClient(() => it.worker, `${it.name}-copy`);
  assert.equal((await copy.ok("GET", "/collections/films/docs/a", undefined, both)).body.title, "Alien");
});

test("the catalogue shows each what is theirs", async () => {
  const { it, worker } = await workerWith({ vars: secret });
  const [doc, id] = it.name.split("/");
  const as = (objects, roles = ["writer"]) => bearer(hs256(SECRET, { objects, roles }));
  await it.ok("PUT", "/collections/films/docs/a", { title: "Alien" }, as(["*"]));
  await it.ok("POST", "/sync", {}, as(["*"]));
  const iceberg = (path, headers) => worker.json("GET", `/iceberg/v1${path}`, undefined, headers);
  const listed = async (path, headers) => (await iceberg(path, headers)).body.namespaces;
  for (const objects of [["*"], [`${doc}/*`], [it.name]]) {
    assert.deepEqual(await listed("/namespaces", as(objects)), [[doc]]);
    assert.deepEqual(await listed(`/namespaces?parent=${doc}`, as(objects)), [[doc, id]]);
    assert.equal((await iceberg(`/namespaces/${doc}%1F${id}/tables/films`, as(objects))).status, 200);
  }
  assert.deepEqual(await listed("/namespaces", as(["other/*"])), []);
  assert.deepEqual(await listed(`/namespaces?parent=${doc}`, as([`${doc}/other`])), []);
  for (const path of [`/namespaces/${doc}%1F${id}`, `/namespaces/${doc}%1F${id}/tables`, `/namespaces/${doc}%1F${id}/tables/films`, `/namespaces/${doc}%1Fnone/tables/films`]) {
    assert.equal((await iceberg(path, as([`${doc}/other`]))).status, 403, path);
    assert.equal((await iceberg(path, as(["*"], ["auditor"]))).status, 403, path);
    assert.equal((await iceberg(path, {})).status, 401, path);
  }
  const { config, "metadata-location": location } = (await iceberg(`/namespaces/${doc}%1F${id}/tables/films`, as([it.name], ["reader"]))).body;
  const file = location.replace("s3://", "/s3/");
  assert.equal((await worker.fetch(file, { headers: { "x-amz-security-token": config["s3.session-token"] } })).status, 200);
  assert.equal((await worker.fetch(file, { headers: as(["*"], ["admin"]) })).status, 403);
});

test("a key of a request is its principal's own", async () => {
  const { it } = await workerWith({ vars: secret });
  const insert = (sub, title) => it.insert("films", { title }, { "idempotency-key": "k", ...bearer(hs256(SECRET, { sub })) });
  const first = await insert("ann", "Alien");
  assert.equal(first.status, 201);
  await it.evict();
  const again = await insert("ann", "Alien");
  assert.equal(again.headers.get("idempotency-replayed"), "true");
  assert.deepEqual([again.status, again.text, again.headers.get("location")], [201, first.text, first.headers.get("location")]);
  assertProblem(await insert("ann", "Aliens"), 422);
  const other = await insert("bob", "Alien");
  assert.notEqual(other.body.id, first.body.id);
  assert.equal((await it.call("GET", "/sync", undefined, bearer(hs256(SECRET)))).body.lastHotSequence, 2);
});

test("sockets, streams, long polls and sessions end with the token that they were opened with", async () => {
  const { it, worker } = await workerWith({ vars: secret });
  const lasting = bearer(hs256(SECRET, {}));
  await it.ok("PUT", "/collections/films/docs/a", {}, lasting);
  await it.ok("POST", "/sync", {}, lasting);
  const exp = Math.floor(Date.now() / 1_000) + 4;
  const short = bearer(hs256(SECRET, { exp }));
  const [doc, id] = it.name.split("/");
  const { body } = await worker.json("GET", `/iceberg/v1/namespaces/${doc}%1F${id}/tables/films`, undefined, short);
  const file = () => worker.fetch(body["metadata-location"].replace("s3://", "/s3/"), { headers: { "x-amz-security-token": body.config["s3.session-token"] } });
  assert.equal((await file()).status, 200);
  const [ended, kept] = [await connect(it, {}, { headers: short }), await connect(it, {}, { headers: lasting })];
  await Promise.all([ended.received(1), kept.received(1)]);
  const streamed = await worker.fetch(`${it.path}/cdc?after=1`, { headers: { accept: "text/event-stream", ...short } });
  const polled = it.call("GET", "/cdc?after=1&waitMs=30000", undefined, short);
  const text = await streamed.text();
  assert.doesNotMatch(text, /data:/);
  assert.deepEqual((await polled).body.events, []);
  assert.ok(Date.now() >= exp * 1_000 && Date.now() < exp * 1_000 + 5_000, `${Date.now() - exp * 1_000} ms after the end`);
  await sleep(Math.max(0, exp * 1_000 + 50 - Date.now()));
  await worker.evict(it.name, { webSockets: "hibernate" });
  await it.ok("PUT", "/collections/films/docs/b", {}, lasting);
  await kept.received(2);
  await ended.until(({ closed }) => closed);
  assert.equal(ended.closed.code, 4401);
  assert.match(ended.closed.reason, /exp/);
  assert.equal(ended.events.length, 1, "nothing is told after the end");
  assert.equal((await file()).status, 403);
  await kept.close();
});

test("a key set with a point that is not on its curve is refused like any that cannot be used", async () => {
  const good = issuer("ES256", "ann");
  const off = { ...issuer("ES256", "off").jwk, x: Buffer.alloc(32, 7).toString("base64url") };
  const { it } = await workerWith({ vars: { AUTH_MODE: "jwt", AUTH_JWKS: JSON.stringify({ keys: [good.jwk, off] }) } });
  const refused = await it.call("GET", "", undefined, bearer(good.token()));
  assertProblem(refused, 500, { tier: /^api$/, detail: /AUTH_JWKS.*curve/ });
});
