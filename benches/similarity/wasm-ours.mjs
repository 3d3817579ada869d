// The index of `ours` in wasm.
import { instantiate } from "../lib/wasm.mjs";
import { wasmOurs } from "./build.mjs";
import { hashBytes } from "./hashes.mjs";

/** Hashes that are handed over at once, as many as the worker reads from a row. */
const handed = 8_192;

export class WasmIndex {
  #exports;
  #bytesBefore;

  constructor(path = wasmOurs) {
    this.#exports = instantiate(path);
    this.#bytesBefore = this.#exports.memory.buffer.byteLength;
  }

  #put(bytes) {
    const start = this.#exports.allocate(bytes.length) >>> 0;
    new Uint8Array(this.#exports.memory.buffer, start, bytes.length).set(bytes);
    return start;
  }

  /** Adds hashes and indexes them. Answers the milliseconds of the latter. */
  build(bytes) {
    this.#exports.begin(bytes.length / hashBytes);
    for (let from = 0; from < bytes.length; from += handed * hashBytes) {
      const part = bytes.subarray(from, from + handed * hashBytes);
      this.#exports.add(this.#put(part), part.length);
    }
    const started = performance.now();
    this.#exports.index_all();
    return performance.now() - started;
  }

  /** Bytes by which the memory has grown: wasm gives none back, so it is the most there ever was. */
  get memoryBytes() {
    return this.#exports.memory.buffer.byteLength - this.#bytesBefore;
  }

  /** Bytes that the index says it takes. */
  get indexBytes() {
    return this.#exports.index_bytes() >>> 0;
  }

  /** Searches for each of the queries; `ms` is that of the one call. */
  search(queries, distance) {
    const start = this.#put(queries);
    const started = performance.now();
    const found = this.#exports.search(start, queries.length, distance) >>> 0;
    const ms = performance.now() - started;
    return { ms, found, candidates: this.#exports.candidates(), distances: this.#exports.distances() };
  }

  /** What the last search found: query, position and distance of each. */
  answers(found) {
    return Buffer.from(this.#exports.memory.buffer, this.#exports.answer_start() >>> 0, found * 12);
  }
}
