// P1, the part in the request: rows that SQLite writes, by its own count. The archiving and the clean-up after it come
// on top, and so does the alarm, which the platform counts as one row when it is set.
import { flights } from "../scripts/lib/datasets.mjs";
import { counted } from "./lib/figures.mjs";
import { withWorkers } from "./lib/workers.mjs";

const collection = "/v1/bench/rows/collections/docs";
const rows = ({ headers }) => Number(headers["thermocline-rows-written"]);

export async function rowsWritten(figures, script) {
  await withWorkers(["oursArchivingLate", "usual"], script, async ({ oursArchivingLate: ours, usual }) => {
    const both = async (...request) => [rows(await ours.client.ok(...request)), rows(await usual.client.ok(...request))];
    await both("POST", `${collection}/docs`, '{"id":"first"}');
    const add = (what, [value, usualRows], per, goal) =>
      figures.add({ figure: "P1", what, value: value / per, unit: "rows", goal, note: `the usual object ${counted(usualRows / per, 2)}`, usual: usualRows / per });
    add("rows written by one insert, in the request", await both("POST", `${collection}/docs`, '{"id":"one","n":1}'), 1, 2);
    add("rows written by one merge patch", await both("PATCH", `${collection}/docs/one`, '{"n":2}'), 1);
    add("rows written by one delete", await both("DELETE", `${collection}/docs/one`), 1);
    for (const size of [100, 10_000]) {
      const operations = Array.from({ length: size }, (_, position) => ({ op: "insert", collection: "docs", doc: { id: `b-${size}-${position}`, n: position } }));
      const body = JSON.stringify({ operations });
      add(`rows written a document, batch of ${counted(size)}`, await both("POST", "/v1/bench/rows/batch", body), size);
    }
    const documents = [...flights().values()];
    const body = documents.join("\n");
    const imported = await both("POST", "/v1/bench/rows/collections/flights/import", body, "application/x-ndjson");
    add("rows written a document, import of flights-200k", imported, documents.length);
  });
}
