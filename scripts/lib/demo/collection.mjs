// A data set of the demo on its way, and how what is read back is compared with what was written.
import { exactText, parseExact, sameJson } from "../exact-json.mjs";
import { Failure } from "../failure.mjs";

/** The demo's one object. */
export const object = "demo/vega";
export const objectPath = `/v1/${object}`;

/** A data set on its way: what was written, and what became of it. */
export class Collection {
  constructor(name, documents) {
    this.name = name;
    this.path = `${objectPath}/collections/${name}`;
    /** Document texts by id, as they should be read back. */
    this.expected = documents;
    this.imported = this.updated = this.deleted = this.rowsWritten = 0;
    /** The events of the change feed, in order. */
    this.events = [];
    this.tables = {};
  }

  /** The changes of the demo: every tenth movie and every hundredth flight gets new fields, others go. */
  changes(every, patch) {
    const operations = [];
    const operation = (op, id, rest) => operations.push(`{"op":"${op}","collection":"${this.name}","id":"${id}"${rest}}`);
    let position = 0;
    for (const [id, text] of [...this.expected]) {
      position += 1;
      if (position % every === 0) {
        operation("update", id, `,"doc":${patch}`);
        this.expected.set(id, extended(text, patch));
        this.updated += 1;
      } else if (position % every === 7) {
        operation("delete", id, "");
        this.expected.delete(id);
        this.deleted += 1;
      }
    }
    return `{"operations":[${operations}]}`;
  }
}

/** The text of a document with the fields of `patch`, which it does not have. */
export const extended = (text, patch) => `${text.slice(0, -1)},${patch.slice(1)}`;

/** Compares documents by id with what is expected, each of them; the first difference ends the demo. */
export function compare(what, found, expected, parse) {
  for (const [id, document] of found) {
    if (!expected.has(id)) throw new Failure(`${what}: ${id} was never written, or was deleted: ${exactText(document)}`);
    const wanted = parse(expected.get(id));
    if (!sameJson(document, wanted)) throw new Failure(`${what}: expected ${exactText(wanted)}, got ${exactText(document)}`);
  }
}

/** The events alone must make the documents. */
export function replay({ name, events, expected }) {
  const documents = new Map();
  for (const { operation, documentId, after } of events) {
    if (operation === "DELETE") documents.delete(documentId);
    else documents.set(documentId, after);
  }
  const what = `${name}, replayed from the change feed`;
  compare(what, documents, expected, parseExact);
  if (documents.size !== expected.size) throw new Failure(`${what}: ${documents.size} documents, expected ${expected.size}`);
}
