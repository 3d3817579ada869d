// Builds the worker: `index.js` and `index_bg.wasm`, and nothing else is loaded at run time.
//   node scripts/build.mjs            the release, in build/, held to its size
//   node scripts/build.mjs --quick    quick to compile, in build/quick/, for tests and local work
// A build whose inputs have not changed is left as it is. THERMOCLINE_BUILD=quick means --quick.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure, main } from "./lib/failure.mjs";
import { withLock } from "./lib/lock.mjs";
import { at, npmBin, root, toolBin } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";
import { step } from "./lib/progress.mjs";
import { fingerprint } from "./lib/stamp.mjs";

/** Bytes of gzip -9: more than the gate is refused, the goal is where we want to be. */
const size = { gate: 1_500_000, goal: 1_000_000 };

const modes = {
  release: { folder: "build", profile: "release", args: ["--release"], optimize: true },
  quick: { folder: "build/quick", profile: "wasm-test", args: ["--profile", "wasm-test"], optimize: false },
};

const features = ["simd", "bulk-memory", "sign-ext", "nontrapping-float-to-int", "mutable-globals", "reference-types", "multivalue", "exception-handling"];

/**
 * What wasm-opt is called with, call after call. The first is for size: an eighth less, compressed, than what worker-build's
 * own leaves. It keeps the names for the second, which orders functions by them: what is one generic function for different
 * types then lies side by side, within the window of gzip, and takes 60 KB less. Without -g no names are written.
 */
const optimization = [["-Os", "-g"], ["--reorder-functions-by-name", "--strip-producers"]];

/** worker-build downloads these unless it is told where they are. */
const binaries = () => ({
  WASM_BINDGEN_BIN: toolBin("wasm-bindgen"),
  WASM_OPT_BIN: npmBin("wasm-opt"),
  ESBUILD_BIN: npmBin("esbuild"),
});

/** Runs worker-build, in the checkout unless `cwd` says otherwise. */
export async function workerBuild(args, { cwd = root, env } = {}) {
  const all = { ...process.env, ...binaries(), CARGO_TERM_QUIET: "true", RUST_BACKTRACE: "0", ...env };
  const { code, output } = await run(toolBin("worker-build"), args, { cwd, env: all });
  if (code !== 0) {
    process.stderr.write(output);
    throw new Failure("the worker did not build, see above");
  }
}

/** Runs wasm-opt over a file, in place. */
export async function optimizeWasm(wasm) {
  for (const passes of optimization) {
    const args = [...features.map((name) => `--enable-${name}`), ...passes, wasm, "-o", wasm];
    const { code, output } = await run(npmBin("wasm-opt"), args, { cwd: root });
    if (code !== 0) {
      process.stderr.write(output);
      throw new Failure("wasm-opt failed, see above");
    }
  }
}

async function compile({ folder, args, optimize }) {
  // What a build that was stopped left behind; worker-build would wait for it.
  rmSync(at(folder, ".tmp"), { recursive: true, force: true });
  await workerBuild([...args, "--no-opt", "--out-dir", folder]);
  if (optimize) await optimizeWasm(at(folder, "index_bg.wasm"));
}

/** Builds if need be. Answers the path of `index.js`; `index_bg.wasm` is beside it. */
export async function build({ quick = false } = {}) {
  const name = quick ? "quick" : "release";
  const mode = modes[name];
  const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");
  const depInfo = resolve(target, "wasm32-unknown-unknown", mode.profile, "thermocline.d");
  const [script, wasm, stamp] = ["index.js", "index_bg.wasm", ".stamp"].map((file) => at(mode.folder, file));
  await withLock(at(".tools", `build-${name}.lock`), async () => {
    const isCurrent = [script, wasm, stamp].every(existsSync) && readFileSync(stamp, "utf8") === fingerprint(depInfo, name);
    if (isCurrent) return;
    const started = Date.now();
    rmSync(stamp, { force: true });
    await step(`building the worker (${name})`, () => compile(mode));
    const made = fingerprint(depInfo, name, started);
    if (made) writeFileSync(stamp, made);
  }, (pid) => console.error(`waiting for the build of process ${pid} …`));
  return script;
}

/** The bytes of a build: `{wasm, wasmGzip, script, scriptGzip, total}`, total being what the gate is about. */
export function measure(script) {
  const sizes = (path) => {
    const bytes = readFileSync(path);
    // By gzip itself: Node's own zlib is another, and compresses less.
    return [bytes.length, execFileSync("gzip", ["-9", "-c"], { input: bytes, maxBuffer: bytes.length + 1_024 }).length];
  };
  const [scriptRaw, scriptGzip] = sizes(script);
  const [wasm, wasmGzip] = sizes(script.replace(/index\.js$/, "index_bg.wasm"));
  return { wasm, wasmGzip, script: scriptRaw, scriptGzip, total: wasmGzip + scriptGzip };
}

function report(script) {
  const bytes = measure(script);
  const n = (value) => value.toLocaleString("en-US");
  console.log(`index_bg.wasm ${n(bytes.wasm)} bytes, gzip -9 ${n(bytes.wasmGzip)}`);
  console.log(`index.js      ${n(bytes.script)} bytes, gzip -9 ${n(bytes.scriptGzip)}`);
  console.log(`together      ${n(bytes.total)} bytes gzip -9; gate ${n(size.gate)}, goal ${n(size.goal)}`);
  if (bytes.total > size.gate) throw new Failure(`the worker is ${n(bytes.total - size.gate)} bytes over its gate`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(async () => {
    const quick = process.argv.includes("--quick") || process.env.THERMOCLINE_BUILD === "quick";
    const script = await build({ quick });
    if (!quick) report(script);
  });
}
