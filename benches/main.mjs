// Measures a build and prints what it found. Run through scripts/bench.mjs, which makes the build and pins this process.
//   node benches/main.mjs <index.js> [figure …]
import { Figures } from "./lib/figures.mjs";
import { firstRequest } from "./first-request.mjs";
import { ingest } from "./ingest.mjs";
import { pointRead } from "./point-read.mjs";
import { rowsWritten } from "./rows-written.mjs";
import { size } from "./size.mjs";

const benches = [
  ["P12", "size", size],
  ["P12", "first requests", firstRequest],
  ["P13", "point reads", pointRead],
  ["P1", "rows written", rowsWritten],
  ["P2", "imports", ingest],
];

const [script, ...wanted] = process.argv.slice(2);
const figures = new Figures();
for (const [figure, name, measure] of benches) {
  if (wanted.length && !wanted.includes(figure)) continue;
  console.error(`measuring ${name} …`);
  await measure(figures, script);
}
figures.print();
