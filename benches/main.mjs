// Measures a build and prints what it found. Run through scripts/bench.mjs, which makes the build and pins this process.
//   node benches/main.mjs <index.js> [figure …] [--data name …]
import { parseArgs } from "node:util";
import { aggregate } from "./aggregate.mjs";
import { columns } from "./columns.mjs";
import { embeddings } from "./embeddings.mjs";
import { Figures } from "./lib/figures.mjs";
import { firstRequest } from "./first-request.mjs";
import { hotSize } from "./hot-size.mjs";
import { ingest } from "./ingest.mjs";
import { pointRead } from "./point-read.mjs";
import { rowsWritten } from "./rows-written.mjs";
import { similarity } from "./similarity.mjs";
import { size } from "./size.mjs";
import { writeAmplification } from "./write-amplification.mjs";

const benches = [
  [["P12"], "size", size],
  [["P12"], "first requests", firstRequest],
  [["P13"], "point reads", pointRead],
  [["P1"], "rows written", rowsWritten],
  [["P1"], "what merging writes again", writeAmplification],
  [["P2"], "imports", ingest],
  [["P3"], "aggregates", aggregate],
  [["P4"], "sizes in objects", hotSize],
  [["P4", "P6"], "columns", columns],
  [["P8"], "similar hashes", similarity],
  [["P10"], "embeddings", embeddings],
];

const { values, positionals } = parseArgs({ options: { data: { type: "string", multiple: true } }, allowPositionals: true });
const [script, ...wanted] = positionals;
const figures = new Figures();
for (const [known, name, measure] of benches) {
  const chosen = wanted.length ? known.filter((figure) => wanted.includes(figure)) : known;
  if (!chosen.length) continue;
  console.error(`measuring ${name} …`);
  await measure(figures, script, chosen, values.data);
}
figures.print();
