// The Iceberg REST catalogue and the files of its tables, in workerd: what is listed and loaded, what a session opens, ranges
// and streams of a real bucket.
import assert from "node:assert/strict";
import { createHmac, createHash } from "node:crypto";
import { test } from "node:test";
import { openTable } from "../../scripts/lib/iceberg.mjs";
import { startWorker } from "./support/miniflare.mjs";
import { useWorker } from "./support/object.mjs";
import { exchange } from "./support/raw.mjs";
import { tableOf } from "./support/table.mjs";

const vars = { AUTH_SECRET: "a secret of this test, of more than thirty-two bytes", STORAGE_CONFIG: { cold: { baseUri: "s3://lake/deep" } } };
let it;
const using = useWorker({ vars }, async () => {
  it = using.object("demo/1");
  await it.import("movies", Array.from({ length: 5_000 }, (_, n) => ({ id: `m${n}`, n, title: `title ${n} ${Math.sqrt(n)}` })));
  await it.put("notes", "a", { text: "a" });
  await it.sync();
  const other = using.object("demo/2");
  await other.put("movies", "x", {});
  await other.sync();
});

const catalog = (path, method = "GET", headers = {}) => using.worker.json(method, `/iceberg/v1${path}`, undefined, headers);
const loaded = async (table = "movies", namespace = "demo%1F1") => (await catalog(`/namespaces/${namespace}/tables/${table}`)).body;
const tokenOf = async (...table) => (await loaded(...table)).config["s3.session-token"];
/** What a client makes of a location: the path at the endpoint that the table names. */
const pathOf = (location) => `/s3/${location.slice("s3://".length)}`;
const file = (path, token, { method = "GET", ...headers } = {}) =>
  using.worker.fetch(path, { method, headers: { ...(token && { "x-amz-security-token": token }), ...headers } });
const dataFile = async (table = "movies") => {
  const { files } = await openTable(await using.worker.bucket(), `iceberg/demo/1/${table}`);
  const bytes = Buffer.from(await (await (await using.worker.bucket()).get(files[0].key)).arrayBuffer());
  return { path: `/s3/lake/deep/${files[0].key}`, bytes };
};

function assertIcebergError({ status, body, headers }, expected, type) {
  assert.equal(status, expected, JSON.stringify(body));
  assert.equal(headers.get("content-type"), "application/json");
  assert.deepEqual([body.error.code, body.error.type, typeof body.error.message], [expected, type, "string"]);
}

async function assertS3Error(answer, status, code) {
  const text = await answer.text();
  assert.equal(answer.status, status, text);
  assert.match(answer.headers.get("content-type"), /^application\/xml/);
  assert.match(text, new RegExp(`<Error><Code>${code}</Code><Message>[^<]+</Message></Error>$`));
}

test("types, objects and tables are listed, whole and by page", async () => {
  assert.deepEqual((await catalog("/namespaces")).body, { namespaces: [["demo"]], "next-page-token": null });
  assert.deepEqual((await catalog("/namespaces?parent=demo")).body.namespaces, [["demo", "1"], ["demo", "2"]]);
  const tables = ["movies", "movies__changes", "notes", "notes__changes"].map((name) => ({ namespace: ["demo", "1"], name }));
  assert.deepEqual((await catalog("/namespaces/demo%1F1/tables")).body, { identifiers: tables, "next-page-token": null });
  const paged = [];
  for (let token = ""; token !== null;) {
    const { body } = await catalog(`/namespaces/demo%1F1/tables?pageSize=1&pageToken=${encodeURIComponent(token)}`);
    assert.ok(body.identifiers.length <= 1);
    paged.push(...body.identifiers);
    token = body["next-page-token"];
  }
  assert.deepEqual(paged, tables);
  assert.deepEqual((await catalog("/namespaces/demo%1F1")).body, { namespace: ["demo", "1"], properties: { location: "s3://lake/deep/iceberg/demo/1" } });
  for (const [path, status] of [["/namespaces/demo", 204], ["/namespaces/none", 404], ["/namespaces/demo%1F1/tables/movies", 204], ["/namespaces/demo%1F1/tables/none", 404]]) {
    assert.equal((await catalog(path, "HEAD")).status, status, path);
  }
  assertIcebergError(await catalog("/namespaces/demo%1F3/tables"), 404, "NoSuchNamespaceException");
  assertIcebergError(await catalog("/namespaces/demo%1F1/tables/none"), 404, "NoSuchTableException");
});

test("a loaded table is the metadata that the version hint names, byte for byte", async () => {
  const answer = await using.worker.fetch("/iceberg/v1/namespaces/demo%1F1/tables/movies");
  const text = await answer.text();
  const { path, version, metadata } = await tableOf(it, "movies");
  const stored = await (await (await using.worker.bucket()).get(`${path}/metadata/v${version}.metadata.json`)).text();
  assert.ok(text.includes(stored), "the metadata is in the answer as it was written");
  const body = JSON.parse(text);
  assert.equal(body["metadata-location"], `${metadata.location}/metadata/v${version}.metadata.json`);
  assert.equal(body.config["s3.endpoint"], `${using.worker.url.origin}/s3`);
  const read = await file(pathOf(body["metadata-location"]), body.config["s3.session-token"]);
  assert.deepEqual([read.status, await read.text()], [200, stored]);
  await it.put("notes", "b", { text: "b" });
  await it.sync();
  assert.match((await loaded("notes"))["metadata-location"], /v2\.metadata\.json$/, "the next load sees the next commit");
});

test("files come whole, described, and in ranges", async () => {
  const { path, bytes } = await dataFile();
  const token = await tokenOf();
  assert.ok(bytes.length > 50_000, "long enough to come in pieces");
  const whole = await file(path, token);
  assert.deepEqual([whole.status, Buffer.from(await whole.arrayBuffer()).equals(bytes)], [200, true]);
  const head = await file(path, token, { method: "HEAD" });
  for (const answer of [whole, head]) {
    assert.deepEqual(["content-length", "accept-ranges", "cache-control"].map((name) => answer.headers.get(name)), [`${bytes.length}`, "bytes", "private, max-age=3600, immutable, no-transform"]);
    assert.match(answer.headers.get("etag"), /^"[0-9a-f]+"$/);
    assert.ok(Math.abs(Date.parse(answer.headers.get("last-modified")) - Date.now()) < 600_000);
  }
  const { length } = bytes;
  for (const [range, first, end] of [["bytes=0-3", 0, 4], [`bytes=${length - 8}-${length + 99}`, length - 8, length], [`bytes=${length - 5}-`, length - 5, length], ["bytes=-8", length - 8, length], [`bytes=-${length * 2}`, 0, length], ["bytes=100-70000", 100, Math.min(70_001, length)]]) {
    const part = await file(path, token, { range });
    assert.deepEqual([part.status, part.headers.get("content-range"), part.headers.get("content-length")], [206, `bytes ${first}-${end - 1}/${length}`, `${end - first}`], range);
    assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(first, end)), range);
  }
  for (const range of [`bytes=${length}-`, `bytes=${length}-${length + 5}`, "bytes=9007199254740993-", "bytes=18446744073709551615-18446744073709551615"]) {
    const answer = await file(path, token, { range });
    assert.equal(answer.headers.get("content-range"), `bytes */${length}`);
    await assertS3Error(answer, 416, "InvalidRange");
  }
  assert.equal((await file(path, token, { "if-none-match": whole.headers.get("etag") })).status, 304);
  await assertS3Error(await file(path, token, { "if-match": '"other"' }), 412, "PreconditionFailed");
  assert.equal((await file(`${path}?X-Amz-Security-Token=${token}&x-id=GetObject`)).status, 200);
});

test("many files are read at once, and a client that hangs up harms nobody", async () => {
  const { path, bytes } = await dataFile();
  const token = await tokenOf();
  const abort = new AbortController();
  const left = using.worker.fetch(path, { headers: { "x-amz-security-token": token }, signal: abort.signal }).then(() => abort.abort(), () => {});
  const parts = await Promise.all(Array.from({ length: 40 }, async (_, n) => {
    const answer = await file(path, token, { range: `bytes=${n * 1_000}-${n * 1_000 + 999}` });
    return Buffer.from(await answer.arrayBuffer()).equals(bytes.subarray(n * 1_000, n * 1_000 + 1_000));
  }));
  assert.ok(parts.every(Boolean));
  await left;
  assert.equal((await file(path, token)).status, 200);
});

test("a token opens its own table: none, forged, expired, of another table or object are refused", async () => {
  const { path } = await dataFile();
  const token = await tokenOf();
  await assertS3Error(await file(path), 403, "AccessDenied");
  await assertS3Error(await file(path, await tokenOf("movies__changes")), 403, "AccessDenied");
  await assertS3Error(await file(path, await tokenOf("movies", "demo%1F2")), 403, "AccessDenied");
  const [version, claims] = token.split(".");
  const forged = Buffer.from(Buffer.from(claims, "base64url").toString().replace("movies", "notes")).toString("base64url");
  for (const wrong of ["x", `${version}.${claims}`, `${version}.${forged}.${token.split(".")[2]}`, token.slice(0, -2)]) {
    await assertS3Error(await file(path, wrong), 403, "InvalidToken");
  }
  // Made as the worker makes them, with its secret: one that has expired, one with another key, one in time.
  const made = (table, exp, secret = vars.AUTH_SECRET) => {
    const signed = `tc1.${Buffer.from(JSON.stringify({ table, exp })).toString("base64url")}`;
    const key = createHash("sha256").update(`thermocline, S3 session tokens, 1\0${secret}`).digest();
    return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
  };
  await assertS3Error(await file(path, made("iceberg/demo/1/movies", Date.now() - 1)), 403, "ExpiredToken");
  await assertS3Error(await file(path, made("iceberg/demo/1/movies", Date.now() + 60_000, "open")), 403, "InvalidToken");
  await assertS3Error(await file(path, made("iceberg/demo/1", Date.now() + 60_000)), 403, "AccessDenied");
  assert.equal((await file(path, made("iceberg/demo/1/movies", Date.now() + 60_000))).status, 200);
});

test("keys outside the table are refused before the bucket is asked, however they are spelled", async () => {
  const token = await tokenOf();
  await (await using.worker.bucket()).put("private", "not for engines");
  const below = "/s3/lake/deep/iceberg/demo/1/movies";
  for (const path of ["/s3/lake/deep/private", "/s3/lake/private", "/s3/cold/private", `${below}/../notes/metadata/version-hint.text`, `${below}/data/%2e%2e/%2e%2e/notes/metadata/version-hint.text`, `${below}/data/..%2f..%2fnotes/metadata/version-hint.text`, `${below}%2f..%2fnotes/metadata/version-hint.text`, `${below}/data/%252e%252e/x`, `${below}//metadata/version-hint.text`, "/s3//lake/deep/private", "/s3/lake", "/s3/", "/s3"]) {
    const answer = await exchange(using.worker, "GET", path, { headers: { "x-amz-security-token": token } });
    assert.equal(answer.status, 403, path);
    assert.match(answer.body, /<Code>AccessDenied<\/Code>/, path);
  }
  await assertS3Error(await file(`${below}/data/none.parquet`, token), 404, "NoSuchKey");
  const head = await file(`${below}/data/none.parquet`, token, { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [404, ""]);
});

test("nothing can be written", async () => {
  const { path } = await dataFile();
  const token = await tokenOf();
  for (const method of ["PUT", "POST", "DELETE"]) {
    const answer = await file(path, token, { method });
    assert.equal(answer.headers.get("allow"), "GET, HEAD");
    await assertS3Error(answer, 405, "MethodNotAllowed");
  }
  for (const [method, route] of [["POST", "/namespaces"], ["POST", "/namespaces/demo%1F1/tables"], ["DELETE", "/namespaces/demo%1F1/tables/movies"], ["POST", "/tables/rename"]]) {
    const answer = await using.worker.json(method, `/iceberg/v1${route}`, {});
    assertIcebergError(answer, 405, "UnsupportedOperationException");
  }
  assertIcebergError(await catalog("/namespaces/demo%1F1/views"), 404, "NotFoundException");
});

test("without a bucket both say so; without access nothing is told", async () => {
  const unbound = await startWorker({ bucket: false });
  try {
    assert.equal((await unbound.fetch("/iceberg/v1/config")).status, 200);
    assertIcebergError(await unbound.json("GET", "/iceberg/v1/namespaces"), 503, "ServiceUnavailableException");
  } finally {
    await unbound.dispose();
  }
  const closed = await startWorker({ vars: { AUTH_MODE: undefined, AUTH_SECRET: "x".repeat(32) } });
  try {
    assertIcebergError(await closed.json("GET", "/iceberg/v1/namespaces"), 401, "NotAuthorizedException");
    await assertS3Error(await closed.fetch("/s3/cold/iceberg/demo/1/movies/metadata/version-hint.text"), 403, "AccessDenied");
  } finally {
    await closed.dispose();
  }
});
