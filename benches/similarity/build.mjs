// Makes what the benchmark of similar hashes runs: faiss in a Python environment, and our own index in wasm.
import { step } from "../../scripts/lib/progress.mjs";
import { preparePython } from "../../scripts/lib/python.mjs";
import { BenchCrate } from "../lib/crates.mjs";

const crate = new BenchCrate("similarity");

export const wasmOurs = crate.wasm;

export async function prepareSimilarity() {
  await preparePython("benches/similarity", "installing faiss");
  await step("building the benchmark of similar hashes", () => crate.buildWasm());
}
