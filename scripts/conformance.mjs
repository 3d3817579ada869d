// The Iceberg tables, read by engines that others wrote (PyIceberg, Polars, ClickHouse) and compared row by row.
//   npm run conformance             both parts
//   npm run conformance -- native   tables written natively by the tests' fixture
//   npm run conformance -- worker   tables written by the built worker in workerd, over HTTP
// The last line is `N passed, N failed`.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure, main } from "./lib/failure.mjs";
import { at, root } from "./lib/paths.mjs";
import { ask, plain, run } from "./lib/process.mjs";
import { step } from "./lib/progress.mjs";
import { writeWorkerTables } from "../conformance/worker.mjs";

const limits = { installMs: 15 * 60_000, fixtureMs: 20 * 60_000, readersMs: 10 * 60_000 };
const folder = (...parts) => at("conformance", ...parts);
const venv = (...parts) => folder(".venv", ...parts);
const python = venv("bin", "python");
const stamp = venv(".installed-from");

const lastLine = (output) => plain(output).trim().split("\n").pop();

function hostPython() {
  const found = ["python3", "python"].find((name) => ask(name, ["-c", "import sys, venv; sys.exit(sys.version_info < (3, 10))"]) !== undefined);
  if (!found) throw new Failure("Python 3.10 or newer with venv is missing: install it from your distribution (python3, python3-venv)");
  return found;
}

async function preparePython() {
  const requirements = folder("requirements.txt");
  const wanted = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && ask(python, ["--version"])) return;
  await step("installing the foreign readers", async () => {
    rmSync(venv(), { recursive: true, force: true });
    const made = await run(hostPython(), ["-m", "venv", venv()]);
    if (made.code !== 0) throw new Failure(`no Python environment could be made: ${lastLine(made.output)}`);
    const args = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements];
    const installed = await run(python, args, { timeoutMs: limits.installMs });
    if (installed.code !== 0) throw new Failure(`pip could not install conformance/requirements.txt: ${lastLine(installed.output)}`);
    writeFileSync(stamp, wanted);
  });
}

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

/** Reads a warehouse with every reader; how many tables were right and wrong. */
async function compare(warehouse) {
  const { code, output, timedOut } = await run(python, [folder("readers.py"), warehouse, join(warehouse, "expected.json")], {
    timeoutMs: limits.readersMs,
    // Polars plans by itself only with a package that no registry check pins here.
    env: { ...process.env, POLARS_ICEBERG_PLANNER: "pyiceberg", PYTHONDONTWRITEBYTECODE: "1" },
  });
  console.log(output.trimEnd());
  const counts = lastLine(output).match(/^(\d+) passed, (\d+) failed$/);
  if (!counts || timedOut) throw new Failure(`the readers did not come to an end (exit code ${code})`);
  return { passed: Number(counts[1]), failed: Number(counts[2]) };
}

const parts = {
  native: { title: "tables written natively", write: writeNativeTables },
  worker: { title: "tables written by the worker", write: () => writeWorkerTables(freshFolder("worker")) },
};

await main(async () => {
  const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts);
  const unknown = chosen.find((name) => !parts[name]);
  if (unknown) throw new Failure(`there is no part ${unknown}: native or worker`);
  await preparePython();
  const total = { passed: 0, failed: 0 };
  for (const name of chosen) {
    const { title, write } = parts[name];
    const warehouse = await step(`writing ${title}`, write);
    console.log(`\n${title}`);
    const counts = await compare(warehouse);
    total.passed += counts.passed;
    total.failed += counts.failed;
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
});
