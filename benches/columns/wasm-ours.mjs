// Our code in wasm, instantiated here: the worker without its platform, which the columns do not need.
import { readFileSync } from "node:fs";
import { wasmOurs } from "./build.mjs";

let compiled;

/** The imports of wasm-bindgen are there for the worker; none is called. */
function imports(module) {
  const stubs = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== "function") throw new Error(`expected functions alone to be imported, got the ${kind} ${name}`);
    (stubs[from] ??= {})[name] = () => {
      throw new Error(`${name} was called`);
    };
  }
  return stubs;
}

export class WasmOurs {
  #exports;

  constructor() {
    // Compiled once, so that what V8 has made of the functions that are hot serves all data sets.
    compiled ??= new WebAssembly.Module(readFileSync(wasmOurs));
    this.#exports = new WebAssembly.Instance(compiled, imports(compiled)).exports;
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
