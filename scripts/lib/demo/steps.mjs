// The demo's steps as a person sees them: a line each, with a progress bar while one lasts.
import { progressBar } from "../bar.mjs";

export const count = (value) => value.toLocaleString("en-US");
export const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
export const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Runs one step of the demo and prints its name, its time and the note that it answers. */
export async function step(name, body) {
  const started = performance.now();
  const bar = progressBar(name);
  try {
    const note = await body(bar);
    bar.end();
    console.log(`  ✔ ${name.padEnd(36)}${seconds(performance.now() - started).padStart(8)}   ${note ?? ""}`.trimEnd());
  } finally {
    bar.end();
  }
}
