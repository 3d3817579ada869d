// Runs a test binary that was built for WASI; cargo is told to do so with it, by `npm test -- wasm`.
//   node scripts/lib/wasi-runner.mjs <binary> [arguments of libtest]
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { WASI } from "node:wasi";
import { root } from "./paths.mjs";

// A panic cannot be caught there, so a test that fails ends the binary. Which one it was, and what it printed, is known
// only if libtest names each test before it runs, and holds nothing back.
const untilItFails = { RUST_TEST_THREADS: "1", RUST_TEST_NOCAPTURE: "1" };

/** Enough to reach the test, behind a dozen frames of a panic. */
Error.stackTraceLimit = 25;

const [binary, ...args] = process.argv.slice(2);
const wasi = new WASI({
  version: "preview1",
  args: [binary, ...args],
  // proptest itself reads no variables in WebAssembly: a test that is to obey them has to.
  env: { ...process.env, ...untilItFails },
  // The checkout at its own path, and where relative paths begin: proptest looks from there for its failing cases.
  preopens: { "/": root, [root]: root },
});
const { instance } = await WebAssembly.instantiate(readFileSync(binary), wasi.getImportObject());
try {
  process.exitCode = wasi.start(instance);
} catch (trap) {
  const stack = trap.stack.replace(/at \S+\.wasm\.(\S+) \(wasm:.*\)$/gm, "at $1");
  console.log(`\n✖ ${basename(binary)} trapped in the test named last; those after it did not run\n${stack}`);
  process.exitCode = 1;
}
