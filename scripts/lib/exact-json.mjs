// JSON compared by what it says: members in any order, numbers by their text, so that 1.0 is not 1 and 64 bits stay exact.
import { isDeepStrictEqual } from "node:util";

const stringOrNumber = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/** Parses JSON; a number becomes a text that no string of the data is. */
export const parseExact = (text) =>
  JSON.parse(text.replace(stringOrNumber, (token) => (token[0] === '"' ? token : `"\\u0000number ${token}"`)));

/** What was parsed, as JSON text again. */
export const exactText = (value) => JSON.stringify(value).replace(/"\\u0000number ([^"]+)"/g, "$1");

export const sameJson = isDeepStrictEqual;
