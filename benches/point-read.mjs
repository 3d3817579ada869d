// P13: a strong read of a hot document, over the usual object's GET of the same document: of one in a segment, where a batch
// or an import of 64 documents or more goes by itself, and of one in row form, where configuration keeps the same batches.
// The empty object shows how much of all is the way there and back.
import { counted, median } from "./lib/figures.mjs";
import { assertForm, settled } from "./lib/objects.mjs";
import { alternate, withWorkers } from "./lib/workers.mjs";

const rounds = 31;
const readsOfARound = 200;
const documents = 1_000;
const object = "/v1/bench/read";
/** Which worker of ours has the documents in which form. */
const forms = { ours: "segment", oursInRows: "row" };

/** A document of about so many bytes. */
function document(id, bytes) {
  const start = { id, name: `document ${id}`, rank: 17, price: 12.5 };
  const filling = Math.max(0, bytes - JSON.stringify({ ...start, text: "" }).length);
  return { ...start, text: "x".repeat(filling) };
}

/** In parts, because the usual object passes each to SQLite as one text, which may have 2 MB. */
async function fill(client, collection, bytes) {
  for (let start = 0; start < documents; start += 200) {
    const lines = Array.from({ length: 200 }, (_, position) => JSON.stringify(document(`d-${start + position}`, bytes)));
    await client.ok("POST", `${collection}/import`, lines.join("\n"), "application/x-ndjson");
  }
}

/** Nothing is pending then, and no alarm runs while reads are timed; the documents stay hot. */
async function rest({ client }) {
  await client.ok("POST", `${object}/sync`, "{}");
  await settled(client, object);
}

const assertForms = (workers, collection) => Promise.all(Object.entries(forms).map(([name, form]) => assertForm(workers[name].client, collection, form, documents)));

/** Medians of the microseconds that a read takes, by worker. */
async function times(workers, collection) {
  const reads = ({ client }) => async () => {
    for (let read = 0; read < readsOfARound; read++) await client.ok("GET", `${collection}/docs/d-${(read * 7) % documents}`);
  };
  const measures = Object.fromEntries(Object.entries(workers).map(([name, worker]) => [name, reads(worker)]));
  await alternate(4, measures);
  const all = await alternate(rounds, measures);
  return Object.fromEntries(Object.entries(all).map(([name, each]) => [name, (median(each) / readsOfARound) * 1_000]));
}

export async function pointRead(figures, script) {
  await withWorkers([...Object.keys(forms), "usual", "empty"], script, async (workers) => {
    for (const bytes of [100, 4_096]) {
      const collection = `${object}/collections/docs_${bytes}`;
      for (const name of [...Object.keys(forms), "usual"]) await fill(workers[name].client, collection, bytes);
      for (const name of Object.keys(forms)) await rest(workers[name]);
      await assertForms(workers, collection);
      const micros = await times(workers, collection);
      await assertForms(workers, collection);
      for (const [name, form] of Object.entries(forms)) {
        const details = { rounds, readsOfARound, form, oursMicros: micros[name], usualMicros: micros.usual, emptyMicros: micros.empty };
        const what = `strong GET of ${counted(bytes)} B in ${form} form, over the usual's`;
        const note = `${counted(details.oursMicros, 0)} µs, the usual object ${counted(details.usualMicros, 0)}, the empty one ${counted(details.emptyMicros, 0)}`;
        figures.add({ figure: "P13", what, value: micros[name] / micros.usual, unit: "x", goal: 1.5, note, ...details });
      }
    }
  });
}
