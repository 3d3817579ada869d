// The Iceberg tables, read by engines that others wrote (PyIceberg, Polars, ClickHouse) and compared row by row.
//   npm run conformance             all parts
//   npm run conformance -- native   tables written natively by the tests' fixture
//   npm run conformance -- worker   tables written by the built worker in workerd, over HTTP
//   npm run conformance -- catalog  the same, read through the worker's REST catalogue and S3 endpoint while it runs
// The last line is `N passed, N failed`.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Failure, main } from "./lib/failure.mjs";
import { at, root } from "./lib/paths.mjs";
import { plain, run } from "./lib/process.mjs";
import { step } from "./lib/progress.mjs";
import { preparePython, pythonIn } from "./lib/python.mjs";
import { withCatalog, writeWorkerTables } from "../conformance/worker.mjs";

const limits = { fixtureMs: 20 * 60_000, readersMs: 10 * 60_000 };
const folder = (...parts) => at("conformance", ...parts);

const lastLine = (output) => plain(output).trim().split("\n").pop();

/** An empty folder to write tables into. */
function freshFolder(name) {
  const path = folder("work", name);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  return path;
}

async function writeNativeTables() {
  const warehouse = freshFolder("native");
  const args = ["test", "--test", "cold_tier", "--", "--ignored", "--exact", "fixture::writes_tables_for_foreign_readers"];
  const { code, output } = await run("cargo", args, { cwd: root, timeoutMs: limits.fixtureMs, env: { ...process.env, THERMOCLINE_FIXTURE_DIR: warehouse } });
  const expected = join(warehouse, "expected.json");
  if (code !== 0 || !existsSync(expected)) {
    console.log(output.trimEnd());
    throw new Failure("the native tables could not be written");
  }
  return warehouse;
}

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

/** Reads a warehouse with every reader. */
const readAll = (warehouse) => compare("readers.py", [warehouse, join(warehouse, "expected.json")]);

/** Writes tables, then has them read. */
async function written(title, write) {
  const warehouse = await step(`writing ${title}`, write);
  console.log(`\n${title}`);
  return readAll(warehouse);
}

/** Has tables read through the worker that wrote them, while it runs. */
function attached() {
  console.log("\nthrough the worker's catalogue");
  return withCatalog(freshFolder("catalog"), (url, warehouse) => compare("catalog.py", [url, warehouse, join(warehouse, "expected.json")]));
}

const parts = {
  native: () => written("tables written natively", writeNativeTables),
  worker: () => written("tables written by the worker", () => writeWorkerTables(freshFolder("worker"))),
  catalog: attached,
};

await main(async () => {
  const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts);
  const unknown = chosen.find((name) => !parts[name]);
  if (unknown) throw new Failure(`there is no part ${unknown}: native, worker or catalog`);
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
