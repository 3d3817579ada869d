// P2, a first figure: documents a second of an import of flights-200k.json, over the usual object's import of the same
// bytes, each round into an object of its own. Both write the documents and their events; archiving is put off.
import { flights } from "../scripts/lib/datasets.mjs";
import { counted, median } from "./lib/figures.mjs";
import { alternate, withWorkers } from "./lib/workers.mjs";

const rounds = 15;

export async function ingest(figures, script) {
  const documents = [...flights().values()];
  const body = Buffer.from(documents.join("\n"));
  await withWorkers(["oursArchivingLate", "usual"], script, async ({ oursArchivingLate: ours, usual }) => {
    const into = ({ client }) => async (round) => {
      const answer = await client.ok("POST", `/v1/bench/ingest-${round}/collections/flights/import`, body, "application/x-ndjson");
      const { imported } = JSON.parse(answer.body);
      if (imported !== documents.length) throw new Error(`${imported} of ${documents.length} documents were imported`);
    };
    const measures = { ours: into(ours), usual: into(usual) };
    for (const [name, measure] of Object.entries(measures)) await measure(`warm-${name}`);
    const times = await alternate(rounds, measures);
    const perSecond = (name) => documents.length / (median(times[name]) / 1_000);
    const details = { rounds, oursPerSecond: perSecond("ours"), usualPerSecond: perSecond("usual") };
    const value = perSecond("ours") / perSecond("usual");
    const note = `${counted(details.oursPerSecond, 0)} documents/s, the usual object ${counted(details.usualPerSecond, 0)}`;
    figures.add({ figure: "P2", what: "import of flights-200k, over the usual object's speed", value, unit: "x", goal: 1, atLeast: true, note, ...details });
  });
}
