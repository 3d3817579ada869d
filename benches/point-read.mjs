// P13: a strong read of a hot document, over the usual object's GET of the same document. The empty object shows how
// much of both is the way there and back.
import { counted, median } from "./lib/figures.mjs";
import { alternate, withWorkers } from "./lib/workers.mjs";

const rounds = 31;
const readsOfARound = 200;
const documents = 1_000;

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

export async function pointRead(figures, script) {
  await withWorkers(["ours", "usual", "empty"], script, async (workers) => {
    for (const bytes of [100, 4_096]) {
      const collection = `/v1/bench/read/collections/docs_${bytes}`;
      for (const name of ["ours", "usual"]) await fill(workers[name].client, collection, bytes);
      // Nothing is pending then, and no alarm runs while reads are timed; the documents stay hot.
      await workers.ours.client.ok("POST", "/v1/bench/read/sync", "{}");
      const reads = ({ client }) => async () => {
        for (let read = 0; read < readsOfARound; read++) await client.ok("GET", `${collection}/docs/d-${(read * 7) % documents}`);
      };
      const measures = Object.fromEntries(Object.entries(workers).map(([name, worker]) => [name, reads(worker)]));
      await alternate(4, measures);
      const times = await alternate(rounds, measures);
      const perRead = (name) => (median(times[name]) / readsOfARound) * 1_000;
      const details = { rounds, readsOfARound, oursMicros: perRead("ours"), usualMicros: perRead("usual"), emptyMicros: perRead("empty") };
      const what = `strong GET of a ${counted(bytes)} B document, over the usual object's`;
      const note = `${counted(details.oursMicros, 0)} µs, the usual object ${counted(details.usualMicros, 0)}, the empty one ${counted(details.emptyMicros, 0)}`;
      figures.add({ figure: "P13", what, value: perRead("ours") / perRead("usual"), unit: "x", goal: 1.5, note, ...details });
    }
  });
}
