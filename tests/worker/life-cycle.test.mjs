// How files are put over a real binding, large ones in parts and old ones in another class, and what a retention may be.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ObjectClient, assertProblem, useWorker } from "./support/object.mjs";
import { quickBuild, startWorker } from "./support/miniflare.mjs";
import { assertSame, keysUnder } from "./support/table.mjs";

const never = { snapshots: { flushDelayMs: 86_400_000, maxPendingBytes: 1_073_741_824 } };
const parts = { ...never, objects: { multipartThresholdBytes: 6_000_000, multipartPartBytes: 5_242_880 } };
const using = useWorker({ vars: { STORAGE_CONFIG: parts } });
const { object } = using;

/**
 * The worker's own module behind one that sets its clock ahead and notes beside each object which class it was put in, which the
 * local bucket does not keep.
 */
function behind(milliseconds) {
  const folder = dirname(process.env.THERMOCLINE_SCRIPT ?? quickBuild);
  const shim = `import inner, { DigitalObject as Inner } from "./index.js";
    const Real = Date;
    globalThis.Date = class extends Real {
      constructor(...parts) { parts.length ? super(...parts) : super(Real.now() + ${milliseconds}); }
      static now() { return Real.now() + ${milliseconds}; }
    };
    const noted = (options) => ({ ...options, customMetadata: { ...options?.customMetadata, class: options?.storageClass ?? "none" } });
    const watched = (bucket) => new Proxy(bucket, {
      get(target, name) {
        if (name === "put") return (key, bytes, options) => target.put(key, bytes, noted(options));
        if (name === "createMultipartUpload") return (key, options) => target.createMultipartUpload(key, noted(options));
        const value = target[name];
        return typeof value === "function" && name !== "constructor" ? value.bind(target) : value;
      },
    });
    export class DigitalObject extends Inner {
      constructor(state, env) { super(state, { ...env, COLD: watched(env.COLD) }); }
    }
    export default inner;`;
  const module = (type, name, contents = readFileSync(join(folder, name))) => ({ type, path: join(folder, name), contents });
  return { modulesRoot: folder, modules: [module("ESModule", "behind.js", shim), module("ESModule", "index.js", readFileSync(join(folder, "index.js"), "utf8")), module("CompiledWasm", "index_bg.wasm")] };
}

test("a large file is put in parts, and read as one", async () => {
  const it = object();
  const documents = Array.from({ length: 900 }, (_, n) => ({ id: `d${`${n}`.padStart(4, "0")}`, text: randomBytes(7_500).toString("base64") }));
  await it.import("films", documents);
  await it.sync();
  const bucket = await using.worker.bucket();
  const keys = (await keysUnder(bucket, `iceberg/${it.name}/films`)).filter((key) => key.endsWith(".parquet"));
  const heads = await Promise.all(keys.map((key) => bucket.head(key)));
  const large = heads.filter((head) => head.size > 6_000_000);
  assert.ok(large.length > 0, `${heads.map((head) => head.size)}`);
  for (const head of heads) {
    // The ETag of what was uploaded in parts ends with their number.
    const count = head.size > 6_000_000 ? Math.ceil(head.size / 5_242_880) : undefined;
    assert.equal(/-(\d+)$/.exec(head.etag)?.[1], count && `${count}`, `${head.key} ${head.size}`);
    assert.equal(head.httpMetadata.contentType, "application/vnd.apache.parquet");
    assert.equal(head.customMetadata.doId, it.name.split("/")[1]);
  }
  await assertSame(it, "films");
});

test("a file of a month long past is put in the class for infrequent access", async () => {
  const vars = { STORAGE_CONFIG: { ...never, objects: { transitionToInfrequentDays: 30 } } };
  await using.worker.restart({ vars });
  const before = object();
  await before.import("films", Array.from({ length: 100 }, (_, n) => ({ id: `d${n}`, n })));
  await using.worker.restart({ vars: { STORAGE_CONFIG: never } });
  const later = await startWorker({ persist: using.worker.persist, vars, extra: behind(70 * 86_400_000) });
  try {
    const it = new ObjectClient(() => later, before.name);
    await it.put("films", "new", { n: 1 });
    await it.sync();
    const bucket = await later.bucket();
    const keys = await keysUnder(bucket, `iceberg/${it.name}/`);
    const heads = await Promise.all(keys.map((key) => bucket.head(key)));
    const { year, month } = { year: new Date().getUTCFullYear(), month: `${new Date().getUTCMonth() + 1}`.padStart(2, "0") };
    const isOld = (head) => head.key.includes(`/data/year=${year}/month=${month}/`);
    assert.equal(heads.filter(isOld).length, 2, keys.join("\n"));
    for (const head of heads) assert.equal(head.customMetadata.class, isOld(head) ? "InfrequentAccess" : "none", head.key);
  } finally {
    await later.dispose();
  }
});

test("a retention is told as it was declared, and others are refused", async () => {
  const it = object();
  const declared = await it.call("PUT", "/collections/films", { retention: { days: 30 } });
  assert.deepEqual([declared.status, declared.body.retention], [201, { days: 30 }]);
  for (const days of [0, -1, 1.5, 1e9, "7", null, [7]]) {
    assertProblem(await it.call("PUT", "/collections/films", { retention: { days } }), 422, { pointers: ["/retention/days"] });
  }
  assertProblem(await it.call("PUT", "/collections/films", { retention: { days: 7, hours: 1 } }), 422);
  assert.deepEqual((await it.call("GET", "/collections/films")).body.retention, { days: 30 });
});
