// Whether a build is still that of the present sources: a hash over everything it was made from.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { at, root } from "./paths.mjs";
import { ask } from "./process.mjs";

const always = ["Cargo.toml", "Cargo.lock", "build.rs", ".cargo/config.toml", "rust-toolchain.toml", "package-lock.json", "wrangler.toml"];

/**
 * The files cargo says it read, from its dep-info file: `output: input input …`, spaces escaped.
 * None when the file came here with a copy of another checkout.
 */
function cargoInputs(depInfo) {
  const [output, inputs = ""] = readFileSync(depInfo, "utf8").split("\n")[0].split(/: (.*)/);
  const unescaped = (path) => path.replaceAll("\\ ", " ");
  if (unescaped(output) !== depInfo.replace(/\.d$/, ".wasm")) return undefined;
  return inputs.split(/(?<!\\) /).filter(Boolean).map(unescaped);
}

function filesIn(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/**
 * The hash of what a build with this dep-info file was made from, or undefined when that cannot be told:
 * there was no such build here, an input is gone, or one was changed after `unchangedSince`.
 */
export function fingerprint(depInfo, mode, unchangedSince = Infinity) {
  const read = existsSync(depInfo) && cargoInputs(depInfo);
  if (!read) return undefined;
  const inputs = [...always.map((name) => at(name)).filter(existsSync), ...read];
  const hash = createHash("sha256").update(mode).update(ask("rustc", ["--version"], { cwd: root }) ?? "");
  for (const input of inputs) {
    if (!existsSync(input)) return undefined;
    for (const file of filesIn(input)) {
      if (statSync(file).mtimeMs > unchangedSince) return undefined;
      hash.update(`\0${file}\0`).update(readFileSync(file));
    }
  }
  return hash.digest("hex");
}
