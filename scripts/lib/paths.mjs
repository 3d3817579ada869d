// Where things are in the checkout, and which binaries the scripts use.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
export const at = (...parts) => join(root, ...parts);

export const npmBin = (name) => at("node_modules", ".bin", name);
export const toolBin = (name) => at(".tools", "bin", name);

/** What this Node's version must reach to run miniflare, wrangler and node:sqlite. */
export const newestNodeNeeded = [22, 13];

export function nodeIsNewEnough(version = process.versions.node) {
  const [major, minor] = version.split(".").map(Number);
  return major > newestNodeNeeded[0] || (major === newestNodeNeeded[0] && minor >= newestNodeNeeded[1]);
}

/** The Node to run scripts with: this one, or the one npm installed. */
export function modernNode() {
  if (nodeIsNewEnough()) return process.execPath;
  return existsSync(npmBin("node")) ? npmBin("node") : undefined;
}
