// P4: how many bytes the columns of a table take in blobs, over Vortex (vortex-data) and Parquet (pyarrow). P6: how long
// decoding them takes in wasm, over pyarrow reading Parquet; and what reading one value by its row looks at. Of real
// tables and of columns that are each of one kind; what is read is compared with what was written before it is timed.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { at } from "../scripts/lib/paths.mjs";
import { pythonIn } from "../scripts/lib/python.mjs";
import { nativeOurs } from "./columns/build.mjs";
import { printDataset } from "./columns/tables.mjs";
import { WasmOurs } from "./columns/wasm-ours.mjs";
import { counted, median } from "./lib/figures.mjs";
import { LineProcess } from "./lib/line-process.mjs";
import { alternate } from "./lib/workers.mjs";

const rounds = 15;
const warmRounds = 4;
const hotRows = 65_536;
const largeRows = 262_144;

/** The one that the goals are about; then what else there is in `columns/datasets.py`. */
const goalDataset = "flights-3m";
export const datasets = [
  goalDataset, "movies", "flights-200k",
  "ids", "uuids", "random-longs", "outliers", "millis", "moments", "prices", "random-doubles", "rare-booleans", "sparse",
  "categories", "urls", "free-text", "json-texts",
];

const mostTouched = 4_096;
const mostDecoded = 1_024;

/** Our blobs of a table, in wasm: written, and read back equal. */
function writtenInWasm(bytes, rowsOfABlob) {
  const ours = new WasmOurs();
  ours.load(bytes, rowsOfABlob);
  ours.run("keep");
  ours.run("verify");
  return ours;
}

/** Everything that is a count. */
function counts(dataset, table, ours, large) {
  const [sizes, forced, points] = ["sizes", "forced", "points"].map((command) => ours.run(command));
  const columns = table.columns.map((column, position) => ({
    ...column,
    ...sizes.columns[position],
    forced: forced.columns[position],
    points: points.columns[position],
  }));
  return { dataset, rows: table.rows, columns, sizes: { ours: sizes.bytes, oursLarge: large.run("sizes").bytes, ...table.sizes } };
}

const medians = (times) => Object.fromEntries(Object.entries(times).map(([name, each]) => [name, median(each)]));

/** Medians of the milliseconds that each takes to read, and to write, all of the table, and to read each column of it. */
async function times({ ours, large, native, peers }, columns) {
  const inWasm = (module, command) => () => module.run(command).ms;
  const natively = (command) => async () => (await native.ask(command)).ms;
  const peer = (command, form, column) => async () => (await peers.ask({ do: command, form, column })).ms;
  const decode = { ours: inWasm(ours, "decode"), oursLarge: inWasm(large, "decode"), native: natively("decode") };
  for (const form of ["snappy", "zstd", "vortex", "compact"]) decode[form] = peer("read", form);
  const encode = { ours: inWasm(ours, "encode"), native: natively("encode"), zstd: peer("write", "zstd") };
  await alternate(warmRounds, decode);
  const decodeMs = medians(await alternate(rounds, decode));
  await alternate(1, encode);
  const encodeMs = medians(await alternate(rounds, encode));
  const byColumn = [];
  for (const [position, { name }] of columns.entries()) {
    const decodeOne = { ours: inWasm(ours, `decode ${position}`), zstd: peer("read", "zstd", name) };
    byColumn.push(columns.length > 1 ? medians(await alternate(rounds, decodeOne)) : decodeMs);
  }
  return { decodeMs, encodeMs, columns: columns.map((column, position) => ({ ...column, decodeMs: byColumn[position] })) };
}

async function measure(dataset, { peers, native }, wanted) {
  const table = await peers.ask({ do: "prepare", dataset });
  const bytes = readFileSync(table.neutral);
  const [ours, large] = [hotRows, largeRows].map((rows) => writtenInWasm(bytes, rows));
  const found = counts(dataset, table, ours, large);
  if (dataset === goalDataset && wanted.includes("P4")) {
    found.jsonBytes = (await peers.ask({ do: "json" })).bytes;
    found.sqliteBytes = (await peers.ask({ do: "sqlite" })).bytes;
  }
  if (!wanted.includes("P6")) return found;
  await native.ask(`load ${hotRows} ${table.neutral}`);
  await native.ask("keep");
  const natively = await native.ask("sizes");
  // Where they are not the same, something in the choice of an encoding depends on the width of a `usize`.
  if (natively.bytes !== found.sizes.ours) console.error(`  ${dataset} is ${natively.bytes} bytes natively and ${found.sizes.ours} in wasm`);
  return { ...found, ...(await times({ ours, large, native, peers }, found.columns)) };
}

const worst = (columns, count) => Math.max(...columns.map(({ points }) => points[count].most));

function addSizes(figures, { dataset, rows, columns, sizes, jsonBytes, sqliteBytes }) {
  const isGoal = dataset === goalDataset;
  const byColumn = columns.map(({ name, type, bytes, zstd, vortex, encodings, forced }) => ({ name, type, bytes, zstd, vortex, encodings, forced }));
  const add = (what, value, note, more) => figures.add({ figure: "P4", what, value, unit: "x", note, ...more });
  const note = `${counted(sizes.ours)} bytes, Vortex ${counted(sizes.vortex)}, Parquet zstd-3 ${counted(sizes.zstd)}`;
  const goal = isGoal ? { goal: 1 } : {};
  add(`${dataset} in blobs of ${counted(hotRows)} rows, over Vortex default`, sizes.ours / sizes.vortex, note, { ...goal, rows, ...sizes, columns: byColumn });
  if (!isGoal) return;
  add(`the same in blobs of ${counted(largeRows)} rows`, sizes.oursLarge / sizes.vortex, `${counted(sizes.oursLarge)} bytes`);
  add(`${dataset} in blobs of ${counted(hotRows)} rows, over JSON text`, sizes.ours / jsonBytes, `${counted(jsonBytes)} bytes of JSON`, { goal: 0.15, jsonBytes });
  add(`the same, over a SQLite file of typed rows`, sizes.ours / sqliteBytes, `${counted(sqliteBytes)} bytes of SQLite`, { sqliteBytes });
}

function addTimes(figures, { dataset, rows, columns, decodeMs, encodeMs }) {
  const isGoal = dataset === goalDataset;
  const perSecond = (ms) => (rows * columns.length) / (ms / 1_000);
  const byColumn = columns.map(({ name, decodeMs: { ours, zstd } }) => ({ name, ours, zstd }));
  const add = (what, ms, peerMs, more) => {
    const note = `${counted(perSecond(ms) / 1e6, 1)} M values/s, the other ${counted(perSecond(peerMs) / 1e6, 1)}`;
    figures.add({ figure: "P6", what, value: peerMs / ms, unit: "x", atLeast: true, note, rounds, ...more });
  };
  const goal = isGoal ? { goal: 2 } : {};
  add(`decode of ${dataset} in wasm, over pyarrow's of zstd`, decodeMs.ours, decodeMs.zstd, { ...goal, decodeMs, encodeMs, columns: byColumn });
  if (!isGoal) return;
  add(`the same in blobs of ${counted(largeRows)} rows`, decodeMs.oursLarge, decodeMs.zstd);
  add("the same natively", decodeMs.native, decodeMs.zstd);
  add("the same in wasm, over Vortex default's", decodeMs.ours, decodeMs.vortex);
  add(`encode of ${dataset} in wasm, over pyarrow's of zstd`, encodeMs.ours, encodeMs.zstd);
  add("the same natively", encodeMs.native, encodeMs.zstd);
}

function addPoints(figures, what, found) {
  const columns = found.flatMap((each) => each.columns);
  const add = (of, unit, goal, count) => figures.add({ figure: "P6", what: `${of}, ${what}`, value: worst(columns, count), unit, goal });
  add("bytes touched for a row", "bytes", mostTouched, "bytesTouched");
  add("values decoded for a row", "count", mostDecoded, "valuesDecoded");
}

export async function columns(figures, _script, wanted, chosen = datasets) {
  const folder = mkdtempSync(join(tmpdir(), "thermocline-columns-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  const vega = at("node_modules", "vega-datasets", "data");
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const peers = new LineProcess(pythonIn("benches/columns"), [at("benches", "columns", "peers.py"), vega, folder], { env });
  const native = new LineProcess(nativeOurs, []);
  const all = [];
  try {
    for (const dataset of chosen) {
      console.error(`measuring ${dataset} …`);
      all.push(await measure(dataset, { peers, native }, wanted));
      printDataset(all.at(-1));
    }
  } finally {
    await Promise.all([peers.end(), native.end()]);
    remove();
    process.off("exit", remove);
  }
  if (wanted.includes("P4")) all.forEach((found) => addSizes(figures, found));
  if (!wanted.includes("P6")) return;
  all.forEach((found) => addTimes(figures, found));
  const goals = all.filter(({ dataset }) => dataset === goalDataset);
  if (goals.length) addPoints(figures, `worst column of ${goalDataset}`, goals);
  if (all.length > goals.length) addPoints(figures, "worst column of all", all);
}
