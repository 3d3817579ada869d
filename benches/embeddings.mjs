// P10: searches of 200,000 embeddings of 768 numbers in wasm, over those of faiss's flat index on one thread. Recall is against what
// that finds; what the index takes is by its own count. Vectors lie in wasm's memory, where the worker has them in SQLite.
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { at } from "../scripts/lib/paths.mjs";
import { pythonIn } from "../scripts/lib/python.mjs";
import { wasmOurs } from "./embeddings/build.mjs";
import { counted, median } from "./lib/figures.mjs";
import { LineProcess } from "./lib/line-process.mjs";
import { instantiate } from "./lib/wasm.mjs";
import { alternate } from "./lib/workers.mjs";

const rounds = 9;
const warmRounds = 2;
const count = 200_000;
const dimension = 768;
const queryCount = 50;
const k = 10;
const kinds = ["around a mean", "around 1,000 centres"];
const vectorBytes = dimension * 4;
/** Vectors that are handed over at once: whole rows. */
const handed = 1_600;

class WasmEmbeddings {
  #exports = instantiate(wasmOurs);

  #put(bytes) {
    const start = this.#exports.allocate(bytes.length) >>> 0;
    new Uint8Array(this.#exports.memory.buffer, start, bytes.length).set(bytes);
    return start;
  }

  /** Adds the vectors of a file; the milliseconds that it took. */
  build(path) {
    this.#exports.begin(dimension);
    const file = openSync(path);
    const part = Buffer.alloc(handed * vectorBytes);
    let ms = 0;
    for (let read; (read = readSync(file, part)) > 0;) {
      const start = this.#put(part.subarray(0, read));
      const started = performance.now();
      this.#exports.add(start, read);
      ms += performance.now() - started;
    }
    closeSync(file);
    return ms;
  }

  get indexBytes() {
    return this.#exports.index_bytes() >>> 0;
  }

  search(queries) {
    const start = this.#put(queries);
    const started = performance.now();
    this.#exports.search(start, queries.length, k);
    const ms = performance.now() - started;
    return { ms, rescored: this.#exports.rescored(), rowsRead: this.#exports.rows_read() };
  }

  answers() {
    return new Uint32Array(this.#exports.memory.buffer, this.#exports.answer_start() >>> 0, queryCount * k).slice();
  }
}

/** The share of the other's answers that ours has. */
function recall(ours, expected) {
  let found = 0;
  for (let query = 0; query < queryCount; query += 1) {
    const own = new Set(ours.subarray(query * k, (query + 1) * k));
    found += expected.subarray(query * k, (query + 1) * k).filter((position) => own.has(position)).length;
  }
  return found / expected.length;
}

async function measure(kind, peers, folder) {
  const paths = ["vectors", "queries"].map((name) => join(folder, name));
  const { version, options } = await peers.ask({ do: "make", kind, count, dimension, queries: queryCount, paths });
  const ours = new WasmEmbeddings();
  const buildMs = ours.build(paths[0]);
  const queries = readFileSync(paths[1]);
  const path = join(folder, "answers");
  await peers.ask({ do: "answers", k, path });
  const { rescored, rowsRead } = ours.search(queries);
  const bytes = readFileSync(path);
  const found = recall(ours.answers(), new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
  const measures = {
    ours: () => ours.search(queries).ms / queryCount,
    flat: async () => (await peers.ask({ do: "search", k })).ms / queryCount,
  };
  await alternate(warmRounds, measures);
  const all = await alternate(rounds, measures);
  const [oursMs, flatMs] = [median(all.ours), median(all.flat)];
  return { kind, version, options, buildMs, indexBytes: ours.indexBytes, recall: found, rescored: rescored / queryCount, rowsRead: rowsRead / queryCount, oursMs, flatMs };
}

function addFigures(figures, { kind, version, options, buildMs, indexBytes, recall: found, rescored, rowsRead, oursMs, flatMs }) {
  const add = (what, more) => figures.add({ figure: "P10", what: `${what}, ${kind}`, rounds, faiss: version, faissOptions: options, ...more });
  const note = `${counted(oursMs)} ms, the other ${counted(flatMs)} ms; ${counted(rescored, 0)} vectors looked at, in ${counted(rowsRead, 0)} rows`;
  add("as fast as faiss flat", { value: flatMs / oursMs, unit: "x", atLeast: true, goal: 8, note, oursMs, flatMs, rescored, rowsRead });
  add("recall@10", { value: found, unit: "", atLeast: true, goal: 0.98 });
  add("memory an embedding", { value: indexBytes / count, unit: "bytes", goal: 112, note: `indexed in ${counted(buildMs / 1_000, 1)} s`, buildMs });
}

export async function embeddings(figures) {
  const folder = mkdtempSync(join(tmpdir(), "thermocline-embeddings-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const peers = new LineProcess(pythonIn("benches/similarity"), [at("benches", "embeddings", "peers.py")], { env });
  try {
    for (const kind of kinds) {
      console.error(`measuring embeddings ${kind} …`);
      addFigures(figures, await measure(kind, peers, folder));
    }
  } finally {
    await peers.end();
    remove();
    process.off("exit", remove);
  }
}
