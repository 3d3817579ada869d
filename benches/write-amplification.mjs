// P1, what merging costs: bytes of JSON text that merges put into segments once more, over the bytes that came in by
// batches. The object tells both; archiving is put off. A count, but of one run: what a merge finds depends on when the
// alarm runs.
import { flights } from "../scripts/lib/datasets.mjs";
import { counted } from "./lib/figures.mjs";
import { settled, storageOf } from "./lib/objects.mjs";
import { withWorkers } from "./lib/workers.mjs";

const batches = 400;
const documentsOfABatch = 100;
const object = "/v1/bench/merging";

const batch = (texts) => `{"operations":[${texts.map((doc) => `{"op":"insert","collection":"docs","doc":${doc}}`).join(",")}]}`;

export async function writeAmplification(figures, script) {
  const documents = [...flights().values()];
  await withWorkers(["oursArchivingLate"], script, async ({ oursArchivingLate: { client } }) => {
    const send = (number) => client.ok("POST", `${object}/batch`, batch(documents.slice(number * documentsOfABatch, (number + 1) * documentsOfABatch)));
    await send(0);
    if (!(await storageOf(client, object)).segments) return console.error("  skipped: this build does not tell what went into segments");
    for (let number = 1; number < batches; number++) await send(number);
    await settled(client, object);
    const { segments } = await storageOf(client, object);
    const { count, bytesFromBatches, bytesSealed, bytesMerged } = segments;
    const note = `${counted(bytesMerged)} of ${counted(bytesFromBatches + bytesSealed)} bytes, ${counted(count)} segments left`;
    const what = `bytes merged a byte that came in, ${counted(batches)} batches of ${counted(documentsOfABatch)}`;
    figures.add({ figure: "P1", what, value: bytesMerged / (bytesFromBatches + bytesSealed), unit: "x", note, segments: count, bytesFromBatches, bytesSealed, bytesMerged });
  });
}
