// The built worker in workerd, for tests, the demo and benchmarks: started, evicted, crashed and restarted at will.
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Miniflare, Response } from "miniflare";
import { wrapped } from "./flaky-bucket.mjs";

const inCheckout = (path) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** The two builds: what tests load, and what is deployed. */
export const quickBuild = inCheckout("build/quick/index.js");
export const releaseBuild = inCheckout("build/index.js");

const scriptName = "thermocline";
const lastLines = 500;

/** A module and, when there is one beside it, its wasm. */
function modulesOf(scriptPath) {
  if (!existsSync(scriptPath)) throw new Error(`${scriptPath} is missing: npm run build${scriptPath === quickBuild ? " -- --quick" : ""}`);
  const wasm = join(dirname(scriptPath), "index_bg.wasm");
  return {
    modulesRoot: dirname(scriptPath),
    modules: [
      { type: "ESModule", path: scriptPath },
      ...(existsSync(wasm) ? [{ type: "CompiledWasm", path: wasm }] : []),
    ],
  };
}

/** Variables as the worker gets them: objects as JSON, what is undefined left out. */
function bindingsOf(vars) {
  const entries = Object.entries({ AUTH_MODE: "off", ...vars }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]));
}

/** This process's children whose environment holds `entry`. */
function childrenWith(entry) {
  const threads = readdirSync("/proc/self/task");
  const children = threads.flatMap((thread) => readFileSync(`/proc/self/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number));
  return children.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(entry);
    } catch {
      return false; // it has just ended
    }
  });
}

class Worker {
  #options;
  #ownsPersist;
  #marker = `THERMOCLINE_INSTANCE=${randomUUID()}`;

  constructor({ persist, vars = {}, bucket = true, faults, scriptPath = quickBuild, className = "DigitalObject", beside = [], own = {}, extra = {} }) {
    this.#ownsPersist = persist === undefined;
    /** The folder that holds the objects' SQLite files, the bucket and the cache. */
    this.persist = resolve(persist ?? mkdtempSync(join(tmpdir(), "thermocline-")));
    /** The last lines the worker and workerd printed. */
    this.logs = [];
    this.#options = { vars, bucket, faults, scriptPath, className, beside, own, extra };
  }

  /** Starts workerd; `vars` given here are added to those of before. */
  async start({ vars } = {}) {
    Object.assign(this.#options.vars, vars);
    const { bucket, faults, scriptPath, className, beside, own, extra } = this.#options;
    const [variable, value] = this.#marker.split("=");
    const main = {
      name: scriptName,
      ...modulesOf(scriptPath),
      compatibilityDate: "2026-04-01",
      bindings: bindingsOf(this.#options.vars),
      durableObjects: { OBJECTS: { className, useSQLite: true } },
      ...(bucket && { r2Buckets: { COLD: "thermocline-cold" } }),
      ...own,
    };
    this.mf = new Miniflare({
      ...(faults ? { workers: wrapped(main, faults, (...answer) => new Response(...answer)) } : beside.length ? { workers: [main, ...beside] } : main),
      durableObjectsPersist: join(this.persist, "do"),
      ...(bucket && { r2Persist: join(this.persist, "r2") }),
      cachePersist: join(this.persist, "cache"),
      cf: false,
      unsafeRuntimeEnv: { [variable]: value },
      handleRuntimeStdio: (stdout, stderr) => [stdout, stderr].forEach((stream) => this.#keepLogs(stream)),
      ...extra,
    });
    this.url = await this.mf.ready;
    return this;
  }

  #keepLogs(stream) {
    stream.setEncoding("utf8").on("data", (text) => {
      this.logs.push(...text.split("\n").filter(Boolean));
      this.logs.splice(0, this.logs.length - lastLines);
      if (process.env.THERMOCLINE_LOGS) process.stderr.write(text);
    });
  }

  /** `fetch` against the worker, over HTTP. Given up after `timeoutMs` (30 s; 0 is never), body included. */
  fetch(path, { timeoutMs = 30_000, ...init } = {}) {
    const signal = init.signal ?? (timeoutMs ? AbortSignal.timeout(timeoutMs) : undefined);
    const send = () => fetch(new URL(path, this.url), { ...init, signal });
    // A connection that is kept alive may be closed by workerd just as it is written to: no whole request was read from it.
    const isStale = (error) => error.cause?.code === "EPIPE" && !(init.body instanceof ReadableStream);
    return send().catch((error) => (isStale(error) ? send() : Promise.reject(error)));
  }

  /** Sends `body` as JSON and answers `{status, headers, body}`, the body parsed where it is JSON. */
  async json(method, path, body, headers = {}) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } };
    const answer = await this.fetch(path, { method, headers, ...sent });
    const text = await answer.text();
    const isJson = /[/+]json\b/.test(answer.headers.get("content-type") ?? "");
    return { status: answer.status, headers: answer.headers, body: isJson && text ? JSON.parse(text) : text };
  }

  /** Ends the object called `name` ("type/id"): its next request finds a new instance over the same storage. */
  evict(name, options = {}) {
    return this.mf.unsafeEvictDurableObject(scriptName, this.#options.className, { name, ...options });
  }

  /** The bucket, by R2's own API. */
  bucket() {
    return this.mf.getR2Bucket(this.#options.faults ? "BEHIND" : "COLD", scriptName);
  }

  /** The SQLite file of the object called `name`. */
  async sqlitePath(name) {
    const objects = await this.mf.getDurableObjectNamespace("OBJECTS");
    return join(this.persist, "do", `${scriptName}-${this.#options.className}`, `${objects.idFromName(name)}.sqlite`);
  }

  /** The process id of this instance's workerd. */
  pid() {
    return childrenWith(this.#marker)[0];
  }

  /** Kills workerd where it stands, as a crash would. Only `restart` and `dispose` make sense after it. */
  async crash() {
    const pid = this.pid();
    if (pid === undefined) throw new Error("workerd is not running");
    process.kill(pid, "SIGKILL");
    while (this.pid() === pid) await sleep(5);
    // Miniflare would start another by itself.
    await this.#stop();
  }

  async #stop() {
    const { mf } = this;
    this.mf = undefined;
    await mf?.dispose();
  }

  /** Starts again over the same folder, after `crash` or in place of what runs. The url changes. */
  async restart(options) {
    await this.#stop();
    return this.start(options);
  }

  /** Stops workerd and removes the folder, unless that was given. */
  async dispose() {
    await this.#stop();
    if (this.#ownsPersist) rmSync(this.persist, { recursive: true, force: true });
  }

  [Symbol.asyncDispose]() {
    return this.dispose();
  }
}

/**
 * Starts the worker.
 *   persist     the folder to keep everything in (default: one that `dispose` removes)
 *   vars        variables; AUTH_MODE is "off" unless given, objects (STORAGE_CONFIG) are sent as JSON, undefined means unset
 *   bucket      false: no COLD binding
 *   faults      a `Faults` of flaky-bucket.mjs, which says what becomes of every call of COLD
 *   scriptPath  `quickBuild` (default), `releaseBuild`, or another worker's module, with its `className`
 *   beside      further workers, and `own`, further options of this one
 *   extra       further options of Miniflare
 */
export async function startWorker(options = {}) {
  const worker = new Worker({ ...options, scriptPath: resolve(options.scriptPath ?? quickBuild) });
  try {
    return await worker.start();
  } catch (error) {
    await worker.dispose();
    throw error;
  }
}
