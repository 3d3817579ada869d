// Makes what the benchmark of embeddings runs: faiss in the Python environment of similar hashes, and our own index in wasm.
import { step } from "../../scripts/lib/progress.mjs";
import { preparePython } from "../../scripts/lib/python.mjs";
import { BenchCrate } from "../lib/crates.mjs";

const crate = new BenchCrate("embeddings");

export const wasmOurs = crate.wasm;

export async function prepareEmbeddings() {
  await preparePython("benches/similarity", "installing faiss");
  await step("building the benchmark of embeddings", () => crate.buildWasm());
}
