// Format and lints, natively and for wasm: three checks. The last line is `N passed, N failed`.
import { add, failure, line, none } from "./lib/counts.mjs";
import { main } from "./lib/failure.mjs";
import { root } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";

const checks = [
  ["fmt", "--check"],
  ["clippy", "--all-targets", "--", "-D", "warnings"],
  ["clippy", "--target", "wasm32-unknown-unknown", "--", "-D", "warnings"],
];

await main(async () => {
  let counts = none;
  for (const args of checks) {
    const { code } = await run("cargo", args, { cwd: root, show: true });
    console.log(`${code === 0 ? "✔" : "✖"} cargo ${args.join(" ")}`);
    counts = add(counts, code === 0 ? { passed: 1, failed: 0 } : failure);
  }
  console.log(line(counts));
  return counts.failed === 0 ? 0 : 1;
});
