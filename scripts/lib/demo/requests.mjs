// The demo's requests that write.
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../failure.mjs";
import { objectPath } from "./collection.mjs";
import { count } from "./steps.mjs";

/** Sends a request, its body a text or a stream, and answers `{headers, text}`; an error ends the demo. */
export async function call(worker, method, path, { body, type = "application/json", ...init } = {}) {
  // A connection of its own: while the alarm computes, workerd answers nothing, and then closes connections that were idle.
  const headers = { connection: "close", ...(body !== undefined && { "content-type": type }) };
  let answer;
  let text;
  try {
    answer = await worker.fetch(path, { method, headers, body, timeoutMs: 120_000, ...init });
    text = await answer.text();
  } catch (error) {
    const last = worker.logs.at(-1);
    throw new Failure(`${method} ${path}: no answer (${error.cause?.message ?? error.message})${last ? `; workerd said: ${last}` : ""}`);
  }
  if (!answer.ok) throw new Failure(`${method} ${path}: ${answer.status} ${text}`);
  return { headers: answer.headers, text };
}

export const rowsWritten = ({ headers }) => Number(headers.get("thermocline-rows-written"));

/** A body of lines that is sent as it is taken, so that its progress can be seen. */
function ndjson(documents, onPart) {
  const lines = [...documents.values()];
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next >= lines.length) return controller.close();
      controller.enqueue(Buffer.from(lines.slice(next, next + 2_000).join("\n") + "\n"));
      next += 2_000;
      onPart(next / lines.length);
    },
  });
}

export async function importAll(worker, collection, bar) {
  const body = ndjson(collection.expected, (part) => bar.update(part));
  const answer = await call(worker, "POST", `${collection.path}/import`, { body, type: "application/x-ndjson", duplex: "half" });
  const { imported, failed, errors } = JSON.parse(answer.text);
  if (failed > 0) throw new Failure(`${failed} documents of ${collection.name} were refused, first line ${errors[0].line}: ${errors[0].detail}`);
  collection.imported = imported;
  collection.rowsWritten += rowsWritten(answer);
  return `${count(imported)} documents in one request`;
}

/** Makes a full snapshot of the object; its answer. */
export async function takeSnapshot(worker, label) {
  return JSON.parse((await call(worker, "POST", `${objectPath}/snapshots`, { body: JSON.stringify({ type: "full", label }) })).text);
}

/** Drops a collection, restores it from a snapshot, and waits for the end of the job. */
export async function dropAndRestore(worker, collection, snapshot, bar) {
  await call(worker, "DELETE", collection.path);
  const body = JSON.stringify({ collections: [collection.name] });
  const { id } = JSON.parse((await call(worker, "POST", `${objectPath}/snapshots/${snapshot.id}/restore`, { body })).text);
  for (;;) {
    const { state, progress, error } = JSON.parse((await call(worker, "GET", `${objectPath}/jobs/${id}`)).text);
    if (state === "done") return;
    if (state === "failed") throw new Failure(`the restore of ${collection.name} failed: ${error}`);
    bar.update(progress.done / progress.total, `${count(progress.done)} files and documents`);
    await sleep(50);
  }
}

export async function change(worker, collection, every, patch) {
  const answer = await call(worker, "POST", `${objectPath}/batch`, { body: collection.changes(every, patch) });
  collection.rowsWritten += rowsWritten(answer);
}
