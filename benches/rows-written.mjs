// P1, the part in the request: rows that SQLite writes, by its own count; of one document in row form and in a segment, of
// batches and of an import. Sealing, archiving and the clean-up after it come on top, and so does the alarm, which the
// platform counts as one row when it is set: tests/row_costs.rs counts the whole life, and tells it with `--nocapture`.
import { flights } from "../scripts/lib/datasets.mjs";
import { counted } from "./lib/figures.mjs";
import { formsOf } from "./lib/objects.mjs";
import { withWorkers } from "./lib/workers.mjs";

const collection = "/v1/bench/rows/collections/docs";
const sizes = [100, 10_000];
const rows = ({ headers }) => Number(headers["thermocline-rows-written"]);

function batch(size) {
  const operations = Array.from({ length: size }, (_, position) => ({ op: "insert", collection: "docs", doc: { id: `b-${size}-${position}`, n: position } }));
  return JSON.stringify({ operations });
}

export async function rowsWritten(figures, script) {
  await withWorkers(["oursArchivingLate", "usual"], script, async ({ oursArchivingLate: ours, usual }) => {
    const both = async (...request) => [rows(await ours.client.ok(...request)), rows(await usual.client.ok(...request))];
    const add = (what, [value, usualRows], per, goal) =>
      figures.add({ figure: "P1", what, value: value / per, unit: "rows", goal, note: `the usual object ${counted(usualRows / per, 2)}`, usual: usualRows / per });
    const assertForms = async (row, segment) => {
      const told = await formsOf(ours.client, collection);
      if (told.row !== row || told.segment !== segment) throw new Error(`${row} documents in row form and ${segment} in segments are expected: ${JSON.stringify(told)}`);
    };

    await both("POST", `${collection}/docs`, '{"id":"first"}');
    add("rows written by one insert, in the request", await both("POST", `${collection}/docs`, '{"id":"one","n":1}'), 1, 2);
    await assertForms(2, 0);
    add("rows written by one merge patch, in row form", await both("PATCH", `${collection}/docs/one`, '{"n":2}'), 1);
    add("rows written by one delete, in row form", await both("DELETE", `${collection}/docs/one`), 1);
    // The tables of segments are made by the first batch, once in an object's life.
    await both("POST", "/v1/bench/rows/batch", batch(64));
    for (const size of sizes) add(`rows written a document, batch of ${counted(size)}`, await both("POST", "/v1/bench/rows/batch", batch(size)), size);
    await assertForms(1, 10_164);
    add("rows written by one merge patch, in segment form", await both("PATCH", `${collection}/docs/b-100-5`, '{"n":-1}'), 1);
    add("rows written by one delete, in segment form", await both("DELETE", `${collection}/docs/b-100-6`), 1);
    await assertForms(2, 10_162);
    const documents = [...flights().values()];
    const imported = await both("POST", "/v1/bench/rows/collections/flights/import", documents.join("\n"), "application/x-ndjson");
    add("rows written a document, import of flights-200k", imported, documents.length);
  });
}
