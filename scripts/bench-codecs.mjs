// What codecs in pure Rust make of the pages of our Parquet files, natively, and what Bloom filters on random ids cost and
// spare: tables. Each page that is compressed is decompressed again and compared.
//   npm run bench:codecs
import { resolve } from "node:path";
import { Failure, main } from "./lib/failure.mjs";
import { at, root } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";
import { step } from "./lib/progress.mjs";

const crate = at("benches", "codecs");
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target", "codecs");

async function compile() {
  const env = { ...process.env, CARGO_TARGET_DIR: target };
  const { code, output } = await run("cargo", ["build", "--quiet", "--release"], { cwd: crate, env });
  if (code === 0) return;
  process.stderr.write(output);
  throw new Failure("benches/codecs did not build, see above");
}

await main(async () => {
  await step("building benches/codecs", compile);
  const data = at("node_modules", "vega-datasets", "data");
  const { code } = await run(resolve(target, "release", "codecs"), [data], { cwd: root, stdio: "inherit" });
  return code;
});
