// What was found of one data set, for people.
import { counted } from "../lib/figures.mjs";

const exactly = (value, digits) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Lines of cells: the first to the left, the others to the right but for what `left` names, which are last. */
function aligned(rows, left = []) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const cell = (text = "", column) => (column === 0 || left.includes(column) ? text.padEnd(widths[column]) : text.padStart(widths[column]));
  return rows.map((row) => `  ${row[0].padEnd(widths[0])}  ${widths.slice(1).map((_, rest) => cell(row[rest + 1], rest + 1)).join("  ")}`.trimEnd());
}

const names = {
  ours: "ours, blobs of 65,536 rows",
  oursLarge: "ours, blobs of 262,144 rows",
  native: "ours, 65,536 rows, natively",
  snappy: "Parquet snappy",
  zstd: "Parquet zstd-3",
  vortex: "Vortex default",
  compact: "Vortex compact",
};

/** A line a form: bytes, and, where they were measured, how quickly all is read and written. */
function forms({ rows, columns, sizes, decodeMs = {}, encodeMs = {} }) {
  const perSecond = (times, form) => (form in times ? exactly((rows * columns.length) / times[form] / 1_000, 1) : "");
  const faster = (times, form) => (form in times ? exactly(times.zstd / times[form], 2) : "");
  const lines = Object.keys(names).filter((form) => form in sizes || form in decodeMs).map((form) => {
    const bytes = sizes[form];
    const size = bytes === undefined ? ["", "", "", ""] : [counted(bytes), exactly(bytes / rows, 3), exactly(bytes / sizes.zstd, 3), exactly(bytes / sizes.vortex, 3)];
    return [names[form], ...size, perSecond(decodeMs, form), faster(decodeMs, form), perSecond(encodeMs, form), faster(encodeMs, form)];
  });
  return aligned([["", "bytes", "a row", "/ zstd", "/ Vortex", "decode M/s", "x zstd", "encode M/s", "x zstd"], ...lines]);
}

/** `{encoding: blobs}` in words, the most frequent first. */
function chosen(encodings) {
  const sorted = Object.entries(encodings).sort(([, left], [, right]) => right - left);
  return sorted.map(([name, blobs]) => (sorted.length > 1 ? `${blobs} ${name}` : name)).join("; ");
}

/** A line a column: its bytes a row, how quickly it is read, what a read by position costs at most, and its encodings. */
function columnLines({ rows, columns }) {
  const lines = columns.map(({ name, type, bytes, zstd, vortex, decodeMs, points, encodings }) => {
    const size = [exactly(bytes / rows, 3), exactly(bytes / zstd, 2), exactly(bytes / vortex, 2)];
    const speed = decodeMs ? [exactly(rows / decodeMs.ours / 1_000, 1), exactly(decodeMs.zstd / decodeMs.ours, 2)] : ["", ""];
    return [name, type, ...size, ...speed, counted(points.bytesTouched.most), counted(points.valuesDecoded.most), chosen(encodings)];
  });
  return aligned([["column", "type", "B a row", "/ zstd", "/ Vortex", "decode M/s", "x zstd", "touched", "decoded", "encodings, of so many blobs"], ...lines], [1, 9]);
}

/** A line a column: bytes a row of its first blob in each encoding that applies. */
function forcedLines({ columns }) {
  const lines = columns.map(({ name, forced }) => {
    const sizes = Object.entries(forced.sizes).sort(([, left], [, right]) => left - right);
    return [name, sizes.map(([encoding, bytes]) => `${encoding} ${exactly(bytes / forced.rows, 3)}`).join(", ")];
  });
  return aligned([["column", "B a row of the first blob, by encoding"], ...lines], [1]);
}

export function printDataset(found) {
  const title = `${found.dataset}: ${counted(found.rows)} rows of ${found.columns.length} column${found.columns.length === 1 ? "" : "s"}`;
  console.log(["", title, "", ...forms(found), "", ...columnLines(found), "", ...forcedLines(found)].join("\n"));
}
