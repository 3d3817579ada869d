// What each candidate crate costs the worker in bytes of gzip -9: a table, one JSON line a figure, and last the
// size of the real worker. Built as the worker is: opt-level s, LTO, wasm-bindgen, wasm-opt.
//   npm run bench:size [-- parquet pco]
import { readFileSync } from "node:fs";
import { build, measure, workerBuild } from "./build.mjs";
import { main } from "./lib/failure.mjs";
import { at } from "./lib/paths.mjs";
import { step } from "./lib/progress.mjs";

const crate = at("benches", "crate-sizes");
const target = at("target", "crate-sizes");

/** The crate's features, by its manifest. */
function candidates() {
  const features = readFileSync(`${crate}/Cargo.toml`, "utf8").split("\n[features]\n")[1].split("\n[")[0];
  return [...features.matchAll(/^([\w-]+) = /gm)].map(([, name]) => name);
}

async function sizeWith(feature) {
  const folder = `${target}/built/${feature ?? "baseline"}`;
  const features = feature ? ["--features", feature] : [];
  const args = ["--release", "--out-dir", folder, ...features];
  await step(`building with ${feature ?? "no candidate"}`, () => workerBuild(args, { cwd: crate, env: { CARGO_TARGET_DIR: target } }));
  return measure(`${folder}/index.js`);
}

const columns = (name, gzip, raw) => console.log(name.padEnd(24) + gzip.padStart(14) + raw.padStart(14));
const counted = (value) => value.toLocaleString("en-US");

function print(figures) {
  columns("", "gzip -9 bytes", "raw wasm");
  for (const { name, gzip, raw } of figures) columns(name, counted(gzip), counted(raw));
  for (const figure of figures) console.log(JSON.stringify({ bench: "crate-size", ...figure }));
}

await main(async () => {
  const chosen = process.argv.slice(2);
  const alone = await sizeWith();
  const added = [];
  for (const name of chosen.length ? chosen : candidates()) {
    const { total, wasm } = await sizeWith(name);
    added.push({ name: `+ ${name}`, gzip: total - alone.total, raw: wasm - alone.wasm });
  }
  added.sort((a, b) => b.gzip - a.gzip);
  print([{ name: "the worker crate alone", gzip: alone.total, raw: alone.wasm }, ...added]);
  const { total, wasm } = measure(await build());
  print([{ name: "thermocline", gzip: total, raw: wasm }]);
});
