// The data sets of the demo and the benchmarks, from the npm package vega-datasets, as one JSON text a document.
import { readFileSync } from "node:fs";
import { Failure } from "./failure.mjs";
import { at } from "./paths.mjs";

/** The texts of the objects in a JSON array of objects, untouched: numbers stay spelled as they are in the file. */
function* objectsIn(text) {
  let depth = 0;
  let start = 0;
  for (let position = 0; position < text.length; position++) {
    const character = text[position];
    if (character === '"') {
      while (text[++position] !== '"') if (text[position] === "\\") position++;
    } else if (character === "{") {
      if (depth++ === 0) start = position;
    } else if (character === "}" && --depth === 0) {
      yield text.slice(start, position + 1);
    }
  }
}

/** A file's documents by id. The file has no ids: they are made from the position, so they are the same each time. */
function load(file, prefix, digits) {
  const path = at("node_modules", "vega-datasets", "data", file);
  const documents = new Map();
  let text;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    throw new Failure(`${path} is missing: run \`npm ci\``);
  }
  for (const object of objectsIn(text)) {
    const id = `${prefix}-${String(documents.size + 1).padStart(digits, "0")}`;
    documents.set(id, `{"id":"${id}",${object.slice(1)}`);
  }
  return documents;
}

/** movies.json: 3,201 documents of 16 fields, with nulls, and titles that are numbers. */
export const movies = () => load("movies.json", "m", 4);

/** flights-200k.json: 200,000 documents `{delay, distance, time}`. */
export const flights = () => load("flights-200k.json", "f", 6);
