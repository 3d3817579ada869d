// All the tests: the Rust ones natively, then as WebAssembly those that need no native port, then those of the built
// worker in workerd.
//   npm test                          all of them
//   npm test -- native [filter]       cargo's only
//   npm test -- wasm [filter]         those as WebAssembly only
//   npm test -- worker [file …]       the worker's only
// The last line is `N passed, N failed`.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { build } from "./build.mjs";
import { add, failure, fromCargo, line, none } from "./lib/counts.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { at, root } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";

const limits = { cargoMs: 30 * 60_000, fileMs: 3 * 60_000, filesAtOnce: 2 };
const wasiTarget = "wasm32-wasip1";
const colour = process.stdout.isTTY ? { FORCE_COLOR: "1", CARGO_TERM_COLOR: "always" } : {};

/** A run that ended badly, or ran nothing, counts as a failure even if no test says so. */
function judged(name, counts, { code, timedOut }) {
  if (timedOut) console.log(`✖ ${name} was stopped: it took too long`);
  else if (counts.passed + counts.failed === 0) console.log(`✖ ${name} ran no test`);
  else if (code === 0 || counts.failed > 0) return counts;
  return add(counts, failure);
}

async function cargoTest(name, args) {
  const result = await run("cargo", ["test", "--no-fail-fast", ...args], {
    cwd: root, show: true, timeoutMs: limits.cargoMs, env: { ...process.env, ...colour },
  });
  return judged(name, fromCargo(result.output), result);
}

const native = (args) => cargoTest("cargo test", args);

function wasm(args) {
  // Node's direct calls of WASI may collect garbage where nothing may move, and crash: nodejs/node#46777.
  const node = [process.execPath, "--disable-warning=ExperimentalWarning", "--no-turbo-fast-api-calls"];
  const runner = [...node, at("scripts", "lib", "wasi-runner.mjs")];
  // Not by the environment variable, which cargo parts at spaces; the path may have some.
  const config = `target.${wasiTarget}.runner=${JSON.stringify(runner)}`;
  return cargoTest("cargo test in WebAssembly", ["--target", wasiTarget, "--config", config, "--lib", "--test", "vortex", ...args]);
}

async function workerFile(file, scratch) {
  const countsPath = join(scratch, `${basename(file)}.json`);
  const result = await run(process.execPath, [
    "--disable-warning=ExperimentalWarning", "--test-force-exit",
    "--test-reporter=spec", "--test-reporter-destination=stdout",
    `--test-reporter=${at("scripts", "lib", "count-reporter.mjs")}`, `--test-reporter-destination=${countsPath}`,
    file,
  ], { cwd: root, timeoutMs: limits.fileMs, env: { ...process.env, ...colour } });
  console.log(`${file}\n${result.output.trimEnd()}`);
  const counts = existsSync(countsPath) ? readFileSync(countsPath, "utf8") : "";
  return judged(file, counts ? JSON.parse(counts) : none, result);
}

async function worker(files) {
  const folder = join("tests", "worker");
  const waiting = files.length ? [...files] : readdirSync(at(folder)).filter((name) => name.endsWith(".test.mjs")).sort().map((name) => join(folder, name));
  const missing = waiting.find((file) => !existsSync(resolve(root, file)));
  if (missing) throw new Failure(`there is no test file ${missing}`);
  const scratch = mkdtempSync(join(tmpdir(), "thermocline-test-"));
  process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
  try {
    await build({ quick: true });
    let counts = none;
    const takeFiles = async () => {
      for (let file; (file = waiting.shift());) {
        const own = await workerFile(file, scratch);
        counts = add(counts, own);
      }
    };
    await Promise.all(Array.from({ length: limits.filesAtOnce }, takeFiles));
    return counts;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.log(`✖ ${error.message}`);
    return failure;
  }
}

const parts = { native, wasm, worker };

await main(async () => {
  const [part, ...args] = process.argv.slice(2);
  if (part && !parts[part]) throw new Failure(`there is no part ${part} of the tests: native, wasm or worker`);
  let counts = none;
  for (const each of part ? [parts[part]] : Object.values(parts)) counts = add(counts, await each(args));
  console.log(line(counts));
  return counts.failed === 0 ? 0 : 1;
});
