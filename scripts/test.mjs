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

const limits = { cargoMs: 30 * 60_000, fileMs: 3 * 60_000, atOnce: 2 };
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

/** The test binaries of `cargo test` with these arguments, built. */
async function nativeBinaries(args) {
  const build = ["test", "--no-run", "--message-format=json-render-diagnostics", ...args];
  const result = await run("cargo", build, { cwd: root, timeoutMs: limits.cargoMs, env: { ...process.env, ...colour } });
  const lines = result.output.split("\n");
  const isMessage = (text) => text.startsWith('{"reason"');
  if (result.code !== 0) {
    console.log(lines.filter((text) => !isMessage(text)).join("\n"));
    return undefined;
  }
  const built = lines.filter(isMessage).map((text) => JSON.parse(text));
  return built.filter(({ executable, profile }) => executable && profile.test).map(({ executable, target }) => ({ executable, name: target.name }));
}

async function nativeBinary({ executable, name }, filters, args) {
  const result = await run(executable, [...filters, ...args], { cwd: root, timeoutMs: limits.cargoMs, env: { ...process.env, ...colour } });
  const counts = fromCargo(result.output);
  // A filter may be for the tests of another binary.
  if (filters.length && result.code === 0 && counts.passed === 0) return none;
  console.log(`${name}\n${result.output.trimEnd()}`);
  return judged(name, counts, result);
}

/** Cargo's tests, several binaries at once: most of them end with one long test, which leaves the other cores idle. */
async function native(args) {
  const split = args.includes("--") ? args.indexOf("--") : args.length;
  const [ofCargo, ofTests] = [args.slice(0, split), args.slice(split + 1)];
  const filters = ofCargo.filter((arg, i) => !arg.startsWith("-") && !/^--(test|bin|example|package|features)$/.test(ofCargo[i - 1] ?? ""));
  const waiting = await nativeBinaries(ofCargo.filter((arg) => !filters.includes(arg)));
  if (!waiting) return failure;
  const counts = await atOnce(waiting, (binary) => nativeBinary(binary, filters, ofTests));
  if (!args.length) return add(counts, await documented());
  return counts.passed + counts.failed ? counts : failure;
}

/** The examples in the documentation of the code; that there are none is no failure. */
async function documented() {
  const result = await run("cargo", ["test", "--doc"], { cwd: root, timeoutMs: limits.cargoMs });
  if (result.code !== 0) console.log(result.output.trimEnd());
  return result.code === 0 ? fromCargo(result.output) : failure;
}

/** Does `work` with each of `waiting`, some at once, and sums the counts. */
async function atOnce(waiting, work) {
  let counts = none;
  const take = async () => {
    for (let next; (next = waiting.shift()) !== undefined;) {
      const own = await work(next);
      counts = add(counts, own);
    }
  };
  await Promise.all(Array.from({ length: limits.atOnce }, take));
  return counts;
}

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
    return await atOnce(waiting, (file) => workerFile(file, scratch));
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
