// P12: the size of the worker.
import { measure } from "../scripts/build.mjs";

const gate = 1_500_000;
const goal = 1_000_000;

export function size(figures, script) {
  const { total, wasmGzip, scriptGzip, wasm } = measure(script);
  const details = { wasmGzip, scriptGzip, wasm };
  figures.add({ figure: "P12", what: "wasm and JavaScript, gzip -9: the gate", value: total, unit: "bytes", goal: gate, ...details });
  figures.add({ figure: "P12", what: "the same: the goal", value: total, unit: "bytes", goal, ...details });
}
