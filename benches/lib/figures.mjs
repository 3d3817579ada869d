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

/** What was measured, in the order in which it was. */
export class Figures {
  #lines = [];

  /** Adds one: `goal` is what `value` should be at most (or, with `atLeast`, at least); without it the value just informs. */
  add({ figure, what, value, unit, goal, atLeast = false, ...more }) {
    const met = goal === undefined ? undefined : atLeast ? value >= goal : value <= goal;
    const details = Object.fromEntries(Object.entries(more).map(([name, detail]) => [name, rounded(detail)]));
    this.#lines.push({ figure, what, value: rounded(value), unit, goal, atLeast: goal === undefined ? undefined : atLeast, met, ...details });
  }

  print() {
    const shown = (value) => (value === undefined ? "" : value.toLocaleString("en-US", { maximumFractionDigits: 3 }));
    console.log(`\n${machine.cpu}, ${machine.cores} cores, ${machine.coresUsed} used; node ${machine.node}, workerd ${machine.workerd}\n`);
    for (const { figure, what, value, unit, goal, atLeast, met } of this.#lines) {
      const wanted = goal === undefined ? "" : `${atLeast ? ">=" : "<="} ${shown(goal)}`;
      const verdict = met === undefined ? "" : met ? "reached" : "NOT REACHED";
      console.log(`${figure.padEnd(4)} ${what.padEnd(62)} ${shown(value).padStart(12)} ${(unit ?? "").padEnd(8)} ${wanted.padEnd(14)} ${verdict}`.trimEnd());
    }
    console.log();
    for (const line of this.#lines) console.log(JSON.stringify({ ...line, machine }));
  }
}
