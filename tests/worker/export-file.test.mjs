// Exports into the bucket: what the binding is given, the key of the exports among it, and nothing of it under the tables.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { assertProblem, workerWith } from "./support/object.mjs";
import { quickBuild } from "./support/miniflare.mjs";
import { keysUnder } from "./support/table.mjs";

const key = "0123456789abcdef".repeat(4);
const never = { snapshots: { flushDelayMs: 86_400_000, maxPendingBytes: 1_073_741_824 } };
const parts = { ...never, objects: { multipartThresholdBytes: 5_242_880, multipartPartBytes: 5_242_880 } };

/** The worker's own module behind one that notes, beside each object, which key it was put with: the local bucket keeps none. */
function watched() {
  const folder = dirname(process.env.THERMOCLINE_SCRIPT ?? quickBuild);
  const shim = `import inner, { DigitalObject as Inner } from "./index.js";
    const noted = (options) => ({ ...options, customMetadata: { ...options?.customMetadata, key: options?.ssecKey ?? "none" } });
    const part = (bucket, upload) => new Proxy(upload, {
      get(target, name) {
        if (name === "uploadPart") return async (number, bytes, options) => {
          await bucket.put("seen/" + target.key + "/" + number, options?.ssecKey ?? "none");
          return target.uploadPart(number, bytes, options);
        };
        const value = target[name];
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const watching = (bucket) => new Proxy(bucket, {
      get(target, name) {
        if (name === "put") return (key, bytes, options) => target.put(key, bytes, noted(options));
        if (name === "createMultipartUpload") return async (key, options) => part(target, await target.createMultipartUpload(key, noted(options)));
        if (name === "resumeMultipartUpload") return (key, id) => part(target, target.resumeMultipartUpload(key, id));
        const value = target[name];
        return typeof value === "function" && name !== "constructor" ? value.bind(target) : value;
      },
    });
    export class DigitalObject extends Inner {
      constructor(state, env) { super(state, { ...env, COLD: watching(env.COLD) }); }
    }
    export default inner;`;
  const module = (type, name, contents = readFileSync(join(folder, name))) => ({ type, path: join(folder, name), contents });
  return { modulesRoot: folder, modules: [module("ESModule", "behind.js", shim), module("ESModule", "index.js", readFileSync(join(folder, "index.js"), "utf8")), module("CompiledWasm", "index_bg.wasm")] };
}

const documents = (count) => Array.from({ length: count }, (_, n) => ({ id: `d${`${n}`.padStart(5, "0")}`, text: "x".repeat(7_500) }));

test("an export is an object of the bucket that can be read with the key alone, and tables are put without it", async () => {
  const { it, worker } = await workerWith({ vars: { STORAGE_CONFIG: parts, EXPORT_KEY: key }, own: watched() });
  await it.import("films", documents(900));
  await it.sync();
  const { status, body, text } = await it.call("POST", "/collections/films/export");
  assert.equal(status, 201, text);
  assert.deepEqual({ ...body, key: undefined, bytes: undefined }, { key: undefined, bytes: undefined, documents: 900, encryption: "SSE-C", sequence: 900 });
  const bucket = await worker.bucket();
  const stored = await bucket.get(body.key);
  assert.equal(stored.customMetadata.key, key);
  assert.equal(stored.size, body.bytes);
  assert.equal(stored.httpMetadata.contentType, "application/x-ndjson");
  const exported = await it.call("GET", "/collections/films/export");
  assert.equal(await stored.text(), exported.text);
  const seen = await keysUnder(bucket, `seen/${body.key}`);
  assert.equal(seen.length, Math.ceil(body.bytes / 5_242_880));
  for (const each of seen) assert.equal(await (await bucket.get(each)).text(), key);
  for (const table of await keysUnder(bucket, "iceberg/")) assert.equal((await bucket.head(table)).customMetadata.key, "none", table);

  const small = await it.ok("POST", "/collections/none/export", {});
  assert.equal((await bucket.head(small.body.key)).customMetadata.key, key);
  assert.equal((await it.ok("DELETE", "")).body.state, "done");
  assert.deepEqual(await keysUnder(bucket, "exports/"), []);
});

test("without a key it is said that R2's own encryption is all", async () => {
  const { it, worker } = await workerWith({ vars: { STORAGE_CONFIG: parts }, own: watched() });
  await it.import("films", documents(3));
  const { body } = await it.ok("POST", "/collections/films/export");
  assert.equal(body.encryption, "R2");
  assert.equal((await (await worker.bucket()).head(body.key)).customMetadata.key, "none");
});

test("a key that is none is refused at once, and said", async () => {
  for (const wrong of ["", "short", `${key}0`, key.replace("0", "g")]) {
    const { it } = await workerWith({ vars: { EXPORT_KEY: wrong } });
    assertProblem(await it.get("films", "a"), 500, { detail: /EXPORT_KEY/ });
  }
});

test("without a bucket there is nowhere to put it", async () => {
  const { it } = await workerWith({ bucket: false });
  assertProblem(await it.call("POST", "/collections/films/export"), 503, { tier: /^cold$/ });
});
