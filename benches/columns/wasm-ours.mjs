// The commands of `ours` in wasm.
import { instantiate } from "../lib/wasm.mjs";
import { wasmOurs } from "./build.mjs";

export class WasmOurs {
  #exports;

  constructor() {
    this.#exports = instantiate(wasmOurs);
  }

  #put(bytes) {
    const start = this.#exports.allocate(bytes.length) >>> 0;
    new Uint8Array(this.#exports.memory.buffer, start, bytes.length).set(bytes);
    return start;
  }

  #answer() {
    const { memory, answer_start: start, answer_length: length } = this.#exports;
    const answer = JSON.parse(Buffer.from(memory.buffer, start() >>> 0, length()).toString());
    if (answer.error) throw new Error(`ours in wasm: ${answer.error}`);
    return answer;
  }

  /** Takes a table from the plain bytes of it. */
  load(bytes, rowsOfABlob) {
    this.#exports.load(this.#put(bytes), bytes.length, rowsOfABlob);
    return this.#answer();
  }

  /** Runs a command; `ms` is that of the one call of wasm. */
  run(command) {
    const bytes = Buffer.from(command);
    const start = this.#put(bytes);
    const started = performance.now();
    this.#exports.run(start, bytes.length);
    const ms = performance.now() - started;
    return { ...this.#answer(), ms };
  }
}
