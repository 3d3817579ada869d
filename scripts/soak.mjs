// The long run of the native tests that are random: histories of an object against a plain map, histories of the
// storage model, and queries against SQLite. With rising seeds until the time is used; the first failure ends it.
//   npm run soak                      for 8 minutes, from a seed that is the time of day
//   npm run soak -- --minutes 30
//   npm run soak -- --seed 7          from this seed
// Building them in release comes first and takes its own time. The last line has the totals.
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Failure, main } from "./lib/failure.mjs";
import { root } from "./lib/paths.mjs";
import { plain, run } from "./lib/process.mjs";
import { step } from "./lib/progress.mjs";

const limits = { buildMs: 30 * 60_000, runMs: 5 * 60_000, atOnce: 2 };
const reportMs = 30_000;
/** Lines of a failed run that are shown: what failed is told before the history, and the smallest history last. */
const shown = { first: 30, last: 150 };

/** The numbers before these words in a line that a test printed, by word. */
function numbers(output, line) {
  const [, text = ""] = output.match(line) ?? [];
  return Object.fromEntries([...text.matchAll(/(\d+) ([a-z ]+?)(?=,|$| over)/g)].map(([, count, name]) => [name, Number(count)]));
}

const sum = (counts) => counts.reduce((total, count) => total + count, 0);

/** What is run: a test of a binary, each by its own rising seeds, so often in turn; and what it printed that it did. */
const programs = [
  {
    name: "histories", binary: "history_model", test: "random_histories_agree_with_a_plain_map", runs: 2,
    env: (seed) => ({ PROPTEST_RNG_SEED: seed, PROPTEST_CASES: 60 }),
    counts(output) {
      const { histories, operations, events, reads, queries, "rows compared": rows } = numbers(output, /^history_model: (.*)$/m);
      return histories && { histories, operations, events, reads, queries, rows };
    },
  },
  {
    name: "storage model", binary: "storage_model", test: "random::random_histories_keep_every_invariant", runs: 1,
    env: (seed) => ({ PROPTEST_RNG_SEED: seed, PROPTEST_CASES: 8000 }),
    counts(output) {
      const { histories: modelHistories } = numbers(output, /^seed \d+, (\d+ histories)$/m);
      const [, steps = ""] = output.match(/^steps that had an effect: (.*)$/m) ?? [];
      const modelSteps = sum([...steps.matchAll(/\d+/g)].map(Number));
      return modelSteps > 0 && { modelHistories, modelSteps };
    },
  },
  ...["sqlite", "splits"].map((test) => ({
    name: `queries, ${test}`, binary: "queries", test: `model::${test}_answer${test === "sqlite" ? "s" : ""}_the_same`, runs: 1,
    // Each of its collections takes the next seed.
    env: (seed) => ({ QUERY_SEED: seed * 1_000_000, QUERY_CASES: 10_000 }),
    counts(output) {
      const { queries } = numbers(output, /^(?:model|splits): (\d+ queries over .*)$/m);
      return queries && (test === "sqlite" ? { sqliteQueries: queries } : { splitQueries: queries });
    },
  })),
];

const counted = (value) => value.toLocaleString("en-US");
const words = {
  histories: "histories", operations: "operations", events: "events", reads: "reads", queries: "queries", rows: "rows compared",
  modelHistories: "model histories", modelSteps: "model steps",
  sqliteQueries: "queries against SQLite", splitQueries: "queries against another split",
};
const told = (counts) => Object.entries(counts).map(([name, count]) => `${counted(count)} ${words[name]}`).join(", ");

function addTo(total, counts) {
  for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
}

/** The executables of the test binaries, by name. */
async function executables() {
  const binaries = [...new Set(programs.map(({ binary }) => binary))];
  const args = ["test", "--release", "--no-run", "--message-format=json", ...binaries.flatMap((name) => ["--test", name])];
  const { code, output, timedOut } = await run("cargo", args, { cwd: root, timeoutMs: limits.buildMs });
  const messages = output.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  if (code !== 0) {
    for (const { message } of messages) if (message?.level === "error") console.log(message.rendered.trimEnd());
    throw new Failure(timedOut ? "the tests took too long to build" : "the tests could not be built");
  }
  const built = messages.filter(({ reason, executable }) => reason === "compiler-artifact" && executable);
  return new Map(built.map(({ target, executable }) => [target.name, executable]));
}

/** The beginning and the end of what a failed run printed. */
function excerpt(output) {
  const lines = plain(output).trimEnd().split("\n");
  const left = lines.length - shown.first - shown.last;
  if (left <= 0) return lines.join("\n");
  return [...lines.slice(0, shown.first), `… ${left} lines …`, ...lines.slice(-shown.last)].join("\n");
}

const assigned = (env) => Object.entries(env).map(([name, value]) => `${name}=${value}`).join(" ");

/** Runs one test by one seed, and answers what it did. */
async function runOne(program, seed, executable) {
  const env = program.env(seed);
  const { code, output, timedOut } = await run(executable, ["--exact", program.test, "--nocapture"], {
    cwd: root, timeoutMs: limits.runMs, env: { ...process.env, ...env, RUST_BACKTRACE: "0" },
  });
  const counts = code === 0 && program.counts(plain(output));
  if (counts) return counts;
  console.log(excerpt(output));
  const what = timedOut ? `did not end within ${limits.runMs / 60_000} minutes` : code === 0 ? "did not tell what it did" : "failed";
  const replay = `${assigned(env)} cargo test --release --test ${program.binary} -- --exact ${program.test} --nocapture`;
  throw new Failure(`${program.name} with seed ${seed} ${what}; again by:\n  ${replay}`);
}

/** What was done since the last report and in all, by program. */
class Ledger {
  since = new Map();
  total = {};
  runs = 0;

  add(program, seed, counts) {
    const { from = seed, to = seed, counts: before = {} } = this.since.get(program) ?? {};
    addTo(before, counts);
    addTo(this.total, counts);
    this.since.set(program, { from: Math.min(from, seed), to: Math.max(to, seed), counts: before });
    this.runs += 1;
  }

  report() {
    for (const program of programs.filter((each) => this.since.has(each))) {
      const { from, to, counts } = this.since.get(program);
      console.log(`${program.name.padEnd(16)} seeds ${from} to ${to}: ${told(counts)}`);
    }
    this.since.clear();
  }
}

function options() {
  try {
    const { values } = parseArgs({ options: { minutes: { type: "string", default: "8" }, seed: { type: "string" } } });
    const minutes = Number(values.minutes);
    const seed = Number(values.seed ?? Math.floor(Date.now() / 1_000));
    if (!(minutes > 0) || !Number.isSafeInteger(seed * 1_000_000) || seed < 0) throw new Error("expected --minutes above 0 and --seed a whole number up to 9000000000");
    return { minutes, seed };
  } catch (error) {
    throw new Failure(error.message);
  }
}

await main(async () => {
  const { minutes, seed: first } = options();
  const built = await step("building the tests in release", executables);
  console.log(`${minutes} minutes from seed ${first}`);
  const started = performance.now();
  const isOver = () => performance.now() - started > minutes * 60_000;
  const ledger = new Ledger();
  const next = new Map(programs.map((program) => [program, first]));
  const waiting = [];
  const takeRuns = async () => {
    while (!isOver()) {
      if (waiting.length === 0) {
        for (const program of programs) waiting.push(...Array.from({ length: program.runs }, () => program));
      }
      const program = waiting.shift();
      const seed = next.get(program);
      next.set(program, seed + 1);
      ledger.add(program, seed, await runOne(program, seed, built.get(program.binary)));
    }
  };
  const reports = setInterval(() => ledger.report(), reportMs);
  try {
    await Promise.all(Array.from({ length: Math.min(limits.atOnce, availableParallelism()) }, takeRuns));
  } finally {
    clearInterval(reports);
  }
  ledger.report();
  const took = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(`${took} minutes, ${ledger.runs} runs from seed ${first}, 0 failures: ${told(ledger.total)}`);
});
