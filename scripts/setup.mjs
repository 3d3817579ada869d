// Makes the checkout ready to build and test: the wasm targets, npm's packages, and the two cargo tools.
// Runs on the Node that is there, before anything is installed; each step that is already right is skipped.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure, main } from "./lib/failure.mjs";
import { withLock } from "./lib/lock.mjs";
import { at, modernNode, newestNodeNeeded, nodeIsNewEnough, npmBin, root, toolBin } from "./lib/paths.mjs";
import { ask, plain, run } from "./lib/process.mjs";
import { step } from "./lib/progress.mjs";

const wasmTargets = ["wasm32-unknown-unknown", "wasm32-wasip1"];
const npmStamp = at("node_modules", ".installed-from");

/** The version Cargo.lock pins a crate at. */
function lockedVersion(crate) {
  const found = readFileSync(at("Cargo.lock"), "utf8").match(new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`));
  if (!found) throw new Failure(`Cargo.lock does not name ${crate}: restore it with \`git checkout Cargo.lock\``);
  return found[1];
}

function checkRust() {
  const version = ask("rustc", ["--version"], { cwd: root })?.match(/\d+\.(\d+)/);
  if (!version || ask("cargo", ["--version"], { cwd: root }) === undefined) {
    throw new Failure("rustc and cargo are missing: install rustup from your distribution or https://rustup.rs, then `rustup toolchain install stable`");
  }
  const needed = readFileSync(at("Cargo.toml"), "utf8").match(/^rust-version = "1\.(\d+)/m)[1];
  if (Number(version[1]) < Number(needed)) {
    throw new Failure(`Rust 1.${version[1]} is too old, 1.${needed} is needed: \`rustup update stable\``);
  }
}

const targetIsThere = (target) => existsSync(ask("rustc", ["--print", "target-libdir", "--target", target], { cwd: root }) ?? "");
const missingTargets = () => wasmTargets.filter((target) => !targetIsThere(target));

async function addTarget(target) {
  if (ask("rustup", ["--version"]) === undefined) {
    throw new Failure(`the Rust target ${target} is missing: install your distribution's package for it, or use rustup`);
  }
  const { code, output } = await run("rustup", ["target", "add", target], { cwd: root });
  if (code !== 0) throw new Failure(`\`rustup target add ${target}\` failed: ${lastLine(output)}`);
}

/** What npm's packages are installed from; a change of it means installing again. */
function npmFingerprint() {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(readFileSync(at("package.json"), "utf8"));
  return createHash("sha256")
    .update(readFileSync(at("package-lock.json")))
    .update(JSON.stringify([dependencies, devDependencies, optionalDependencies]))
    .digest("hex");
}

const npmPackagesAreThere = () => existsSync(npmStamp) && readFileSync(npmStamp, "utf8") === npmFingerprint();

async function installNpmPackages() {
  const own = at("node_modules", ".bin");
  const PATH = process.env.PATH.split(delimiter).filter((folder) => folder !== own).join(delimiter);
  if (ask("npm", ["--version"], { env: { ...process.env, PATH } }) === undefined) {
    throw new Failure("npm is missing: install Node.js with npm, from your distribution or https://nodejs.org");
  }
  const { code, output } = await run("npm", ["ci", "--loglevel=error"], { cwd: root, env: { ...process.env, PATH } });
  if (code !== 0) throw new Failure(`\`npm ci\` failed, is the npm registry reachable? ${firstError(output)}`);
  if (!modernNode()) {
    throw new Failure(`Node ${newestNodeNeeded.join(".")} or newer is needed and npm has none for ${process.platform} ${process.arch}: install one from https://nodejs.org`);
  }
  writeFileSync(npmStamp, npmFingerprint());
}

const tools = () => [
  { crate: "worker-build", bin: "worker-build", version: lockedVersion("worker") },
  { crate: "wasm-bindgen-cli", bin: "wasm-bindgen", version: lockedVersion("wasm-bindgen") },
];

const toolIsThere = ({ bin, version }) => ask(toolBin(bin), ["--version"])?.split(" ").pop() === version;

function checkNativeBuild() {
  if (ask("cc", ["--version"]) === undefined) {
    throw new Failure("a C linker is missing: install one, e.g. `apt-get install build-essential`");
  }
  if (process.platform === "linux" && ask("pkg-config", ["--exists", "openssl"]) === undefined) {
    throw new Failure("OpenSSL's headers are missing (worker-build links it): install them, e.g. `apt-get install pkg-config libssl-dev`");
  }
}

/** Builds a tool from crates.io. Unoptimised compiles in a fraction of the time and is quick enough for one module. */
async function installTool({ crate, bin, version }) {
  const env = { ...process.env, CARGO_PROFILE_DEV_DEBUG: "0", CARGO_INCREMENTAL: "0" };
  const args = ["install", crate, "--version", `=${version}`, "--bin", bin, "--debug", "--force", "--root", at(".tools"), "--target-dir", at(".tools", "target")];
  let { code, output } = await run("cargo", [...args, "--locked"], { cwd: root, env });
  if (code !== 0 && output.includes("failed to select a version")) {
    console.error(`the dependencies ${crate} ${version} was released with are not all in the registry: taking compatible ones`);
    ({ code, output } = await run("cargo", args, { cwd: root, env }));
  }
  if (code !== 0) throw new Failure(`\`cargo install ${crate}@${version}\` failed: ${firstError(output)}`);
  if (!toolIsThere({ bin, version })) throw new Failure(`${crate} was installed but is not ${version}: remove .tools and try again`);
}

async function installTools() {
  try {
    for (const tool of tools()) {
      if (!toolIsThere(tool)) await step(`installing ${tool.crate} ${tool.version}`, () => installTool(tool));
    }
  } finally {
    rmSync(at(".tools", "target"), { recursive: true, force: true });
  }
}

const lines = (output) => plain(output).trim().split("\n");
const lastLine = (output) => lines(output).pop();
const firstError = (output) => lines(output).find((line) => /^(npm error (?!code|errno|syscall|path)\w|error\b)/.test(line)) ?? lastLine(output);

/** Makes everything ready; takes well under a second when it is. */
export async function setup() {
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new Failure(`Node ${process.versions.node} is too old: 20 or newer is needed, from your distribution or https://nodejs.org`);
  }
  checkRust();
  const ready = () => missingTargets().length === 0 && npmPackagesAreThere() && tools().every(toolIsThere);
  if (ready()) return;
  if (!tools().every(toolIsThere)) checkNativeBuild();
  mkdirSync(at(".tools"), { recursive: true });
  await withLock(at(".tools", "lock"), async () => {
    for (const target of missingTargets()) await step(`adding the Rust target ${target}`, () => addTarget(target));
    const packages = npmPackagesAreThere() ? undefined : step("installing npm's packages", installNpmPackages);
    await Promise.all([packages, installTools()]);
  }, (pid) => console.error(`waiting for the setup of process ${pid} …`));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    await setup();
    const node = nodeIsNewEnough() ? process.version : ask(npmBin("node"), ["--version"]);
    console.log(`ready: node ${node}, ${tools().map(({ crate, version }) => `${crate} ${version}`).join(", ")}`);
  });
}
