// Our code in wasm, instantiated here: the worker without its platform, which what is measured does not need.
import { readFileSync } from "node:fs";

const compiled = new Map();

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

/** The exports of an instance. Compiled once, so that what V8 has made of the functions that are hot serves all of them. */
export function instantiate(path) {
  if (!compiled.has(path)) compiled.set(path, new WebAssembly.Module(readFileSync(path)));
  const module = compiled.get(path);
  return new WebAssembly.Instance(module, imports(module)).exports;
}
