// Figures: a table for people, one JSON line each for programs.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus } from "node:os";

export const median = (values) => {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const versionOf = (name) => JSON.parse(readFileSync(createRequire(import.meta.url).resolve(`${name}/package.json`), "utf8")).version;

export const machine = {
  cpu: cpus()[0].model,
  cores: cpus().length,
  coresUsed: availableParallelism(),
  node: process.versions.node,
  workerd: versionOf("workerd"),
  miniflare: versionOf("miniflare"),
};

const rounded = (value) => (typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value);

/** A number for people, in a table or a note; a small one keeps what it has. */
export const counted = (value, digits = Math.abs(value) < 0.05 ? 6 : 3) => value.toLocaleString("en-US", { maximumFractionDigits: digits });

/** What was measured, in the order in which it was. */
export class Figures {
  #lines = [];

  /**
   * Adds one. `goal` is what `value` should be at most (or, with `atLeast`, at least); without it the value just informs.
   * `note` is for people, whatever else is given is for programs.
   */
  add({ figure, what, value, unit, goal, atLeast = false, note, ...more }) {
    const met = goal === undefined ? undefined : atLeast ? value >= goal : value <= goal;
    const details = Object.fromEntries(Object.entries(more).map(([name, detail]) => [name, rounded(detail)]));
    this.#lines.push({ figure, what, value: rounded(value), unit, goal, atLeast: goal === undefined ? undefined : atLeast, met, note, ...details });
  }

  print() {
    console.log(`\n${machine.cpu}, ${machine.cores} cores, ${machine.coresUsed} used; node ${machine.node}, workerd ${machine.workerd}\n`);
    for (const { figure, what, value, unit, goal, atLeast, met, note } of this.#lines) {
      const wanted = goal === undefined ? "" : `${atLeast ? ">=" : "<="} ${counted(goal)}`;
      const verdict = { true: "reached", false: "NOT REACHED" }[met] ?? "";
      console.log(`${figure.padEnd(4)} ${what.padEnd(60)} ${counted(value).padStart(10)} ${unit.padEnd(6)}${wanted.padEnd(14)}${verdict.padEnd(13)}${note ?? ""}`.trimEnd());
    }
    console.log();
    for (const { note, ...line } of this.#lines) console.log(JSON.stringify({ ...line, machine }));
  }
}
