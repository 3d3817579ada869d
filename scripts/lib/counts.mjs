// Counts of checks, and the one line by which scripts hand theirs on.
import { plain } from "./process.mjs";

export const add = (a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed });
export const none = { passed: 0, failed: 0 };
export const failure = { passed: 0, failed: 1 };

export const line = ({ passed, failed }) => `${passed} passed, ${failed} failed`;

/** What `cargo test` printed, a line a test binary, summed. */
export function fromCargo(output) {
  const lines = plain(output).matchAll(/^test result: .* (\d+) passed; (\d+) failed;/gm);
  return [...lines].map(([, passed, failed]) => ({ passed: Number(passed), failed: Number(failed) })).reduce(add, none);
}
