// P8: searches of a million perceptual hashes in wasm, over those of faiss on one thread. What is found is compared with what
// faiss's flat index finds before anything is timed; what the index takes is by how much the memory of wasm grows.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "../scripts/lib/failure.mjs";
import { at } from "../scripts/lib/paths.mjs";
import { pythonIn } from "../scripts/lib/python.mjs";
import { counted, median } from "./lib/figures.mjs";
import { LineProcess } from "./lib/line-process.mjs";
import { alternate } from "./lib/workers.mjs";
import { hashBytes, hashesAndQueries, kinds } from "./similarity/hashes.mjs";
import { WasmIndex } from "./similarity/wasm-ours.mjs";

const rounds = 15;
const warmRounds = 2;
const hashCount = 1_000_000;
const goalDistance = 31;
/** Within what bands are for; and beyond, where every hash may have to be looked at. */
const nearDistances = [0, 15, goalDistance];
const farDistances = [32, 48, 64, 90];
const queryCount = { near: 200, far: 40 };

/** Queries of a round: clocks are not what limits it. */
const queriesAt = (distance) => (distance > goalDistance ? queryCount.far : queryCount.near);

/** That ours are the answers of faiss's flat index. Answers what we had to look at, and how much of it the other found. */
async function compare({ ours, peers, queries, folder }, distance) {
  const count = queriesAt(distance);
  const path = join(folder, "answers");
  await peers.ask({ do: "answers", index: "flat", distance, count, path });
  const [expected, { found, candidates, distances }] = [readFileSync(path), ours.search(queries.subarray(0, count * hashBytes), distance)];
  if (!ours.answers(found).equals(expected)) throw new Failure(`within ${distance} were found ${found}, not the ${expected.length / 12} that faiss finds`);
  const multi = distance > goalDistance ? undefined : (await peers.ask({ do: "search", index: "multi", distance, count })).found;
  return { found: found / count, candidates: candidates / count, looked: distances / count, multiRecall: found ? multi / found : 1 };
}

/** Medians of the milliseconds a query. */
async function times({ ours, peers, queries }, distance) {
  const count = queriesAt(distance);
  const some = queries.subarray(0, count * hashBytes);
  const peer = (index) => async () => (await peers.ask({ do: "search", index, distance, count })).ms / count;
  const measures = { ours: () => ours.search(some, distance).ms / count, flat: peer("flat") };
  if (distance <= goalDistance) measures.multi = peer("multi");
  await alternate(warmRounds, measures);
  const all = await alternate(rounds, measures);
  return Object.fromEntries(Object.entries(all).map(([name, each]) => [name, median(each)]));
}

async function measure(kind, peers, folder) {
  const { hashes, queries } = hashesAndQueries(kind, hashCount, queryCount.near);
  const paths = ["hashes", "queries"].map((name) => join(folder, name));
  [hashes, queries].forEach((bytes, number) => writeFileSync(paths[number], bytes));
  const { version, options } = await peers.ask({ do: "load", hashes: paths[0], queries: paths[1] });
  const ours = new WasmIndex();
  const buildMs = ours.build(hashes);
  const { memoryBytes, indexBytes } = ours;
  const found = { kind, version, options, buildMs, memoryBytes, indexBytes, byDistance: new Map() };
  const all = { ours, peers, queries, folder };
  for (const distance of [...nearDistances, ...farDistances]) found.byDistance.set(distance, await compare(all, distance));
  for (const distance of [...nearDistances, ...farDistances]) Object.assign(found.byDistance.get(distance), await times(all, distance));
  return found;
}

function addFigures(figures, { kind, version, options, buildMs, memoryBytes, indexBytes, byDistance }) {
  const add = (what, more) => figures.add({ figure: "P8", what: `${what}, ${kind}`, rounds, faiss: version, faissOptions: options, ...more });
  for (const [distance, { ours, flat, multi, found, candidates, looked, multiRecall }] of byDistance) {
    const more = { distance, oursMs: ours, flatMs: flat, multiMs: multi, found, candidates, looked, multiRecall };
    const note = `${counted(ours, 4)} ms, the other ${counted(flat, 3)} ms; ${counted(looked, 0)} looked at, ${counted(found, 2)} found`;
    if (distance > goalDistance) {
      add(`within ${distance}, time over faiss flat's`, { value: ours / flat, unit: "x", goal: 0.7, note, ...more });
      continue;
    }
    const goals = distance === goalDistance ? [10, 20] : [];
    add(`within ${distance}, as fast as faiss flat`, { value: flat / ours, unit: "x", atLeast: true, goal: goals[0], note, ...more });
    const multiNote = `the other ${counted(multi, 3)} ms, recall ${counted(multiRecall, 4)}`;
    add(`within ${distance}, as fast as faiss MultiHash`, { value: multi / ours, unit: "x", atLeast: true, goal: goals[1], note: multiNote, ...more });
  }
  const note = `${counted(indexBytes / hashCount, 1)} the index by its own count; built in ${counted(buildMs, 0)} ms`;
  add("memory a hash, building it included", { value: memoryBytes / hashCount, unit: "bytes", goal: 80, note, indexBytes, buildMs });
}

export async function similarity(figures) {
  const folder = mkdtempSync(join(tmpdir(), "thermocline-similarity-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const peers = new LineProcess(pythonIn("benches/similarity"), [at("benches", "similarity", "peers.py")], { env });
  try {
    for (const kind of Object.keys(kinds)) {
      console.error(`measuring ${kind} hashes …`);
      addFigures(figures, await measure(kind, peers, folder));
    }
  } finally {
    await peers.end();
    remove();
    process.off("exit", remove);
  }
}
