// Makes what the column benchmarks run: the peers' Python environment, and our own code natively and in wasm, the latter
// as the worker is made: its release profile, its flags of rustc and its wasm-opt.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { optimizeWasm } from "../../scripts/build.mjs";
import { Failure } from "../../scripts/lib/failure.mjs";
import { at, root } from "../../scripts/lib/paths.mjs";
import { run } from "../../scripts/lib/process.mjs";
import { step } from "../../scripts/lib/progress.mjs";
import { preparePython } from "../../scripts/lib/python.mjs";

const crate = at("benches", "columns", "ours");
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target", "columns");
const wasmTarget = "wasm32-unknown-unknown";

export const nativeOurs = resolve(target, "release", "ours");
export const wasmOurs = resolve(target, "ours.wasm");

/**
 * A file with the sections of the worker's manifest that are about its release profile. There our own code is what is
 * linked last, here it is a package among others: it is told to be compiled as it is there.
 */
function releaseProfile() {
  const sections = readFileSync(at("Cargo.toml"), "utf8").split(/^(?=\[)/m).filter((section) => /^\[profile\.release[.\]]/.test(section));
  const level = /^\[profile\.release\]\n(?:.*\n)*?(opt-level = .+)$/m.exec(sections.join(""))[1];
  const path = resolve(target, "profile.toml");
  mkdirSync(target, { recursive: true });
  writeFileSync(path, [...sections, `[profile.release.package.thermocline]\n${level}\n`].join("\n"));
  return path;
}

async function compile(args) {
  const env = { ...process.env, CARGO_TARGET_DIR: target };
  const { code, output } = await run("cargo", ["build", "--quiet", "--release", "--config", releaseProfile(), ...args], { cwd: crate, env });
  if (code === 0) return;
  process.stderr.write(output);
  throw new Failure("benches/columns/ours did not build, see above");
}

/** wasm-opt takes a minute: not for what it has been over already. */
async function optimizeAnew(wasm) {
  const changed = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);
  if (changed(wasmOurs) > Math.max(changed(wasm), changed(at("scripts", "build.mjs")))) return;
  const made = `${wasmOurs}.new`;
  copyFileSync(wasm, made);
  await optimizeWasm(made);
  renameSync(made, wasmOurs);
}

export async function prepareColumns() {
  await preparePython("benches/columns", "installing the peers' formats");
  await step("building the column benchmark", async () => {
    await compile(["--bin", "ours"]);
    await compile(["--lib", "--target", wasmTarget]);
    await optimizeAnew(resolve(target, wasmTarget, "release", "ours.wasm"));
  });
}
