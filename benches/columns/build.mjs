// Makes what the column benchmarks run: the peers' Python environment, and our own code natively and in wasm.
import { step } from "../../scripts/lib/progress.mjs";
import { preparePython } from "../../scripts/lib/python.mjs";
import { BenchCrate } from "../lib/crates.mjs";

const crate = new BenchCrate("columns");

export const nativeOurs = crate.native;
export const wasmOurs = crate.wasm;

export async function prepareColumns() {
  await preparePython("benches/columns", "installing the peers' formats");
  await step("building the column benchmark", async () => {
    await crate.buildNative();
    await crate.buildWasm();
  });
}
