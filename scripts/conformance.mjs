// The Iceberg tables, read by engines that others wrote (PyIceberg, Polars, ClickHouse, Apache's Rust implementation)
// and compared row by row; and tables that another engine wrote, read by this project's own reader.
//   npm run conformance              all parts
//   npm run conformance -- native    tables written natively by the tests' fixture, and checked by fsck too
//   npm run conformance -- worker    tables written by the built worker in workerd, over HTTP, and checked by fsck too
//   npm run conformance -- catalog   the same, read through the worker's REST catalogue and S3 endpoint while it runs
//   npm run conformance -- metrics   an object's metrics, read by Prometheus' own parser
//   npm run conformance -- http      the HTTP interface, by its OpenAPI document; `npm run proof -- R9` asks for longer
//   npm run conformance -- histories tables that random histories came to; `npm run proof -- histories` plays more
//   npm run conformance -- foreign   tables written by PyIceberg
// The last line is `N passed, N failed`.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure, main } from "./lib/failure.mjs";
import { at, root } from "./lib/paths.mjs";
import { plain, run } from "./lib/process.mjs";
import { step } from "./lib/progress.mjs";
import { preparePython, pythonIn } from "./lib/python.mjs";
import { askEverything } from "../conformance/http.mjs";
import { withCatalog, writeWorkerTables } from "../conformance/worker.mjs";

const limits = { fixtureMs: 20 * 60_000, readersMs: 10 * 60_000, buildMs: 20 * 60_000, tableMs: 60_000 };
const folder = (...parts) => at("conformance", ...parts);
const targetFolder = process.env.CARGO_TARGET_DIR ?? at("target");

const lastLine = (output) => plain(output).trim().split("\n").pop();

/** An empty folder to write tables into. */
function freshFolder(name) {
  const path = folder("work", name);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  return path;
}

/** Has an ignored test write a warehouse into a folder; what it printed. */
export async function writtenByTest(name, binary, test, { env, release = false } = {}) {
  const warehouse = freshFolder(name);
  const args = ["test", ...(release ? ["--release"] : []), "--test", binary, "--", "--ignored", "--exact", test, "--nocapture"];
  const all = { ...process.env, ...env, THERMOCLINE_FIXTURE_DIR: warehouse };
  const { code, output } = await run("cargo", args, { cwd: root, timeoutMs: limits.fixtureMs, env: all });
  if (code === 0 && existsSync(join(warehouse, "expected.json"))) return { warehouse, output: plain(output) };
  console.log(output.trimEnd());
  throw new Failure(`the tables of ${test} could not be written`);
}

const writeNativeTables = async () => (await writtenByTest("native", "cold_tier", "fixture::writes_tables_for_foreign_readers")).warehouse;

const historiesTest = ["history_model", "foreign::writes_histories_for_foreign_readers"];
const writeHistories = async () => (await writtenByTest("histories", ...historiesTest)).warehouse;

/** Runs one of the programs here that compare; how many checks were right and wrong. */
async function compare(program, args) {
  const { code, output, timedOut } = await run(pythonIn("conformance"), [folder(program), ...args], {
    timeoutMs: limits.readersMs,
    // Polars plans by itself only with a package that no registry check pins here.
    env: { ...process.env, POLARS_ICEBERG_PLANNER: "pyiceberg", PYTHONDONTWRITEBYTECODE: "1" },
  });
  console.log(output.trimEnd());
  const counts = lastLine(output).match(/^(\d+) passed, (\d+) failed$/);
  if (!counts || timedOut) throw new Failure(`the readers did not come to an end (exit code ${code})`);
  return { passed: Number(counts[1]), failed: Number(counts[2]) };
}

/** Reads a warehouse with the engines that have Python packages; how many tables were right and wrong. */
export const comparePython = (warehouse) => compare("readers.py", [warehouse, join(warehouse, "expected.json")]);

/** Runs cargo to its end, or says what it printed. */
async function cargo(args, cwd, what) {
  const { code, output } = await run("cargo", args, { cwd, timeoutMs: limits.buildMs });
  if (code === 0) return;
  console.log(output.trimEnd());
  throw new Failure(`${what} could not be built`);
}

/** Reads a warehouse with Apache's Rust implementation. What it cannot read is a skip, which it says with a reason. */
async function compareRust(warehouse) {
  const target = join(targetFolder, "conformance");
  await step("building the reader in Rust", () => cargo(["build", "--locked", "--target-dir", target], folder("rust"), "the reader in Rust"));
  const reader = join(target, "debug", "thermocline-conformance");
  const { output, timedOut } = await run(reader, [warehouse, join(warehouse, "expected.json")], { timeoutMs: limits.readersMs });
  console.log(plain(output).trimEnd().split("\n").filter((line) => !line.startsWith("Error:")).join("\n"));
  const counts = plain(output).match(/^(\d+) passed, (\d+) failed, (\d+) skipped$/m);
  if (!counts || timedOut) throw new Failure("the reader in Rust did not come to an end");
  return { passed: Number(counts[1]), failed: Number(counts[2]) };
}

const examples = () => step("building the tools", () => cargo(["build", "--examples"], root, "the tools"));
const example = (name) => join(targetFolder, "debug", "examples", name);

/** Checks the tables of a warehouse against themselves, each a test. */
async function checkThemselves(warehouse) {
  await examples();
  const total = { passed: 0, failed: 0 };
  for (const { metadata } of JSON.parse(readFileSync(join(warehouse, "expected.json"), "utf8")).tables) {
    const { code, output } = await run(example("fsck"), [warehouse, dirname(dirname(metadata))], { timeoutMs: limits.tableMs });
    console.log(`fsck        ${output.trimEnd()}`);
    total[code === 0 && output.includes(": 0 findings") ? "passed" : "failed"] += 1;
  }
  return total;
}

/** Tables of another writer, each read by this project's own reader; `foreign.json` has what they hold. */
async function writeForeignTables() {
  const warehouse = freshFolder("foreign");
  const { code, output } = await run(pythonIn("conformance"), [folder("foreign.py"), "write", warehouse], { timeoutMs: limits.readersMs });
  if (code === 0) return warehouse;
  console.log(output.trimEnd());
  throw new Failure("PyIceberg could not write its tables");
}

async function compareForeign(warehouse) {
  await examples();
  const total = { passed: 0, failed: 0 };
  for (const table of JSON.parse(readFileSync(join(warehouse, "foreign.json"), "utf8")).tables) {
    const rows = join(warehouse, `${table.name}.rows`);
    const read = await run(example("rows"), [warehouse, table.folder, table.metadata], { timeoutMs: limits.tableMs });
    writeFileSync(rows, read.output);
    const compare = [folder("foreign.py"), "compare", join(warehouse, "foreign.json"), table.name, rows];
    const { code, output } = read.code === 0 ? await run(pythonIn("conformance"), compare, { timeoutMs: limits.tableMs }) : read;
    console.log(`cold::read  ${table.name.padEnd(18)}  ${String(table.rows.length).padStart(6)}  ${code === 0 ? "ok" : `FAILED\n${output.trimEnd()}`}`);
    total[code === 0 ? "passed" : "failed"] += 1;
  }
  return total;
}

/** Writes tables, then has them read by each reader; how many checks were right and wrong. */
async function written(title, write, readers) {
  const warehouse = await step(`writing ${title}`, write);
  console.log(`\n${title}`);
  const total = { passed: 0, failed: 0 };
  for (const reader of readers) {
    const { passed, failed } = await reader(warehouse);
    total.passed += passed;
    total.failed += failed;
  }
  return total;
}

/** Has tables read through the worker that wrote them, while it runs. */
function attached() {
  console.log("\nthrough the worker's catalogue");
  return withCatalog(freshFolder("catalog"), (url, warehouse) => compare("catalog.py", [url, warehouse, join(warehouse, "expected.json")]));
}

/** Has an object's metrics read by Prometheus' own parser. */
function parsed() {
  console.log("\nmetrics");
  return withCatalog(freshFolder("metrics"), (url) => compare("metrics.py", [url]));
}

/** Has all that the OpenAPI document has asked for, right and wrong. */
function asked() {
  console.log("\nthe HTTP interface");
  mkdirSync(folder("work"), { recursive: true });
  return askEverything();
}

const writeWorker = () => writeWorkerTables(freshFolder("worker"));
const parts = {
  native: () => written("tables written natively", writeNativeTables, [comparePython, compareRust, checkThemselves]),
  worker: () => written("tables written by the worker", writeWorker, [comparePython, compareRust, checkThemselves]),
  catalog: attached,
  metrics: parsed,
  http: asked,
  histories: () => written("tables that random histories came to", writeHistories, [comparePython]),
  foreign: () => written("tables written by PyIceberg", writeForeignTables, [compareForeign]),
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(async () => {
  const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts);
  const unknown = chosen.find((name) => !parts[name]);
  if (unknown) throw new Failure(`there is no part ${unknown}: ${Object.keys(parts).join(", ")}`);
  await preparePython("conformance", "installing the foreign readers");
  const total = { passed: 0, failed: 0 };
  for (const name of chosen) {
    const counts = await parts[name]();
    total.passed += counts.passed;
    total.failed += counts.failed;
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
});
