// Python environments with what a requirements file pins, from PyPI; one is made again when the file has changed.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "./failure.mjs";
import { at } from "./paths.mjs";
import { ask, plain, run } from "./process.mjs";
import { step } from "./progress.mjs";

const installMs = 15 * 60_000;

const lastLine = (output) => plain(output).trim().split("\n").pop();

function hostPython() {
  const found = ["python3", "python"].find((name) => ask(name, ["-c", "import sys, venv; sys.exit(sys.version_info < (3, 10))"]) !== undefined);
  if (!found) throw new Failure("Python 3.10 or newer with venv is missing: install it from your distribution (python3, python3-venv)");
  return found;
}

/** The Python that runs in the environment of this folder of the checkout. */
export const pythonIn = (folder) => at(folder, ".venv", "bin", "python");

/** Makes the environment in `.venv` of a folder of the checkout from its `requirements.txt`, unless it is there. */
export async function preparePython(folder, title) {
  const venv = at(folder, ".venv");
  const python = pythonIn(folder);
  const stamp = join(venv, ".installed-from");
  const requirements = at(folder, "requirements.txt");
  const wanted = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && ask(python, ["--version"])) return;
  await step(title, async () => {
    rmSync(venv, { recursive: true, force: true });
    const made = await run(hostPython(), ["-m", "venv", venv]);
    if (made.code !== 0) throw new Failure(`no Python environment could be made: ${lastLine(made.output)}`);
    const args = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements];
    const installed = await run(python, args, { timeoutMs: installMs });
    if (installed.code !== 0) throw new Failure(`pip could not install ${folder}/requirements.txt: ${lastLine(installed.output)}`);
    writeFileSync(stamp, wanted);
  });
}
