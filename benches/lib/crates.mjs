// Builds the crate of a benchmark, natively and in wasm, the latter as the worker is made: its release profile, its flags of
// rustc and its wasm-opt.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { optimizeWasm } from "../../scripts/build.mjs";
import { Failure } from "../../scripts/lib/failure.mjs";
import { at, root } from "../../scripts/lib/paths.mjs";
import { run } from "../../scripts/lib/process.mjs";

const wasmTarget = "wasm32-unknown-unknown";

/** The crate `benches/<bench>/ours`. */
export class BenchCrate {
  #bench;
  #target;

  constructor(bench) {
    this.#bench = bench;
    this.#target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target", bench);
  }

  /** Where the native program is. */
  get native() {
    return resolve(this.#target, "release", "ours");
  }

  /** Where the wasm is. */
  get wasm() {
    return resolve(this.#target, "ours.wasm");
  }

  async buildNative() {
    await this.#compile(["--bin", "ours"]);
  }

  async buildWasm() {
    await this.#compile(["--lib", "--target", wasmTarget]);
    await this.#optimizeAnew(resolve(this.#target, wasmTarget, "release", "ours.wasm"));
  }

  /**
   * A file with the sections of the worker's manifest that are about its release profile. There our own code is what is
   * linked last, here it is a package among others: it is told to be compiled as it is there.
   */
  #releaseProfile() {
    const sections = readFileSync(at("Cargo.toml"), "utf8").split(/^(?=\[)/m).filter((section) => /^\[profile\.release[.\]]/.test(section));
    const level = /^\[profile\.release\]\n(?:.*\n)*?(opt-level = .+)$/m.exec(sections.join(""))[1];
    const path = resolve(this.#target, "profile.toml");
    mkdirSync(this.#target, { recursive: true });
    writeFileSync(path, [...sections, `[profile.release.package.thermocline]\n${level}\n`].join("\n"));
    return path;
  }

  async #compile(args) {
    const env = { ...process.env, CARGO_TARGET_DIR: this.#target };
    const all = ["build", "--quiet", "--release", "--config", this.#releaseProfile(), ...args];
    const { code, output } = await run("cargo", all, { cwd: at("benches", this.#bench, "ours"), env });
    if (code === 0) return;
    process.stderr.write(output);
    throw new Failure(`benches/${this.#bench}/ours did not build, see above`);
  }

  /** wasm-opt takes a minute: not for what it has been over already. */
  async #optimizeAnew(wasm) {
    const changed = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);
    if (changed(this.wasm) > Math.max(changed(wasm), changed(at("scripts", "build.mjs")))) return;
    const made = `${this.wasm}.new`;
    copyFileSync(wasm, made);
    await optimizeWasm(made);
    renameSync(made, this.wasm);
  }
}
