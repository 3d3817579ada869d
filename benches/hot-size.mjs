// P4 in an object: bytes of the database with a data set's documents, over those of the NDJSON that they came from and over
// the usual object's database with the same. First with all events not archived yet, then with all of them archived (ours)
// and trimmed (the usual object); an object without documents shows what the tables of ours take by themselves.
import { flights, movies } from "../scripts/lib/datasets.mjs";
import { counted } from "./lib/figures.mjs";
import { assertForm, settled, storageOf } from "./lib/objects.mjs";
import { withWorkers } from "./lib/workers.mjs";

const datasets = { "flights-200k": flights, movies };

const bytesOf = async ({ client }, object) => (await storageOf(client, object)).databaseSize;

async function imported({ client }, object, documents) {
  const answer = await client.ok("POST", `${object}/collections/docs/import`, documents.join("\n"), "application/x-ndjson");
  const { imported: count, lastSequence } = JSON.parse(answer.body);
  if (count !== documents.length) throw new Error(`${count} of ${documents.length} documents were imported`);
  return lastSequence;
}

/** The bytes of both objects in both states. */
async function measure({ late, ours, usual }, object, documents) {
  for (const worker of [late, ours]) {
    await imported(worker, object, documents);
    await settled(worker.client, object);
    await assertForm(worker.client, `${object}/collections/docs`, "segment", documents.length);
  }
  const lastSequence = await imported(usual, object, documents);
  const pending = { ours: await bytesOf(late, object), usual: await bytesOf(usual, object) };
  await ours.client.ok("POST", `${object}/sync`, "{}");
  await settled(ours.client, object);
  await assertForm(ours.client, `${object}/collections/docs`, "segment", documents.length);
  await usual.client.ok("POST", `${object}/trim`, JSON.stringify({ sequence: lastSequence }));
  return { pending, archived: { ours: await bytesOf(ours, object), usual: await bytesOf(usual, object) } };
}

function add(figures, what, { ours, usual }, more) {
  const note = `${counted(ours)} bytes, NDJSON ${counted(more.ndjsonBytes)}, the usual object ${counted(usual)}`;
  const details = { oursBytes: ours, usualBytes: usual, ...more };
  figures.add({ figure: "P4", what: `${what}, over NDJSON`, value: ours / more.ndjsonBytes, unit: "x", note, ...details });
  figures.add({ figure: "P4", what: `${what}, over the usual`, value: ours / usual, unit: "x", ...details });
}

export async function hotSize(figures, script, _wanted, chosen = Object.keys(datasets)) {
  const names = Object.keys(datasets).filter((name) => chosen.includes(name));
  if (!names.length) return;
  await withWorkers(["oursArchivingLate", "ours", "usual"], script, async ({ oursArchivingLate: late, ours, usual }) => {
    await late.client.ok("PUT", "/v1/bench/nothing/collections/docs", "{}");
    const emptyBytes = await bytesOf(late, "/v1/bench/nothing");
    for (const name of names) {
      const documents = [...datasets[name]().values()];
      const details = { documents: documents.length, ndjsonBytes: Buffer.byteLength(documents.join("\n")), emptyBytes };
      const { pending, archived } = await measure({ late, ours, usual }, `/v1/bench/size-${name}`, documents);
      add(figures, `database with ${name} and its events`, pending, details);
      add(figures, `database with ${name}, events archived`, archived, details);
    }
  });
}
