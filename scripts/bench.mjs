// Measures the release build against the goals it has: a table, then one JSON line a figure. Nothing here is a test.
//   npm run bench                             all figures
//   npm run bench -- P13 P2                   these only
//   npm run bench -- P4 --data flights-3m     of columns, these data sets only (may be given more than once)
//   npm run bench -- --script <index.js> …    of another build
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { at, root } from "./lib/paths.mjs";
import { ask, run } from "./lib/process.mjs";
import { datasets } from "../benches/columns.mjs";
import { prepareColumns } from "../benches/columns/build.mjs";
import { prepareEmbeddings } from "../benches/embeddings/build.mjs";
import { prepareSimilarity } from "../benches/similarity/build.mjs";

const known = ["P1", "P2", "P3", "P4", "P6", "P8", "P10", "P12", "P13"];
/** These need the crate and the peers of benches/columns. */
const ofColumns = ["P4", "P6"];
/** These need no worker. */
const withoutWorker = ["P6", "P8", "P10"];
const options = { script: { type: "string" }, data: { type: "string", multiple: true } };

/** Everything on one core, the client too, so that what is compared has the same to itself. */
function pinned() {
  const core = String(availableParallelism() - 1);
  return ask("taskset", ["-c", core, "true"]) === undefined ? [] : ["taskset", "-c", core];
}

await main(async () => {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const unknown = positionals.find((figure) => !known.includes(figure));
  if (unknown) throw new Failure(`there is no figure ${unknown} here: ${known.join(", ")}`);
  const strange = values.data?.find((name) => !datasets.includes(name));
  if (strange) throw new Failure(`there is no data set ${strange} here: ${datasets.join(", ")}`);
  if (values.script && !existsSync(values.script)) throw new Failure(`there is no ${values.script}`);
  const wanted = positionals.length ? positionals : known;
  const needsWorker = wanted.some((figure) => !withoutWorker.includes(figure));
  const script = values.script ? resolve(values.script) : needsWorker ? await build() : "";
  if (wanted.some((figure) => ofColumns.includes(figure))) await prepareColumns();
  if (wanted.includes("P8")) await prepareSimilarity();
  if (wanted.includes("P10")) await prepareEmbeddings();
  const data = (values.data ?? []).flatMap((name) => ["--data", name]);
  const [command, ...args] = [...pinned(), process.execPath, at("benches", "main.mjs"), script, ...positionals, ...data];
  const { code } = await run(command, args, { cwd: root, stdio: "inherit", graceMs: 5_000 });
  return code;
});
