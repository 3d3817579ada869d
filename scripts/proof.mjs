// The long runs, each behind one command that prints its seeds and counts.
//   npm run proof -- histories   tables that random histories came to, read by engines that others wrote
//   npm run proof -- R2          every port call of a flush: failed, failed but happened, crashed before, crashed after
//   npm run proof -- R3          workerd killed under load: nothing acknowledged is lost, no batch is half there
//   npm run proof -- R4          the change feed, by pages, streams and sockets: no gap, no repeat; natively and in workerd
//   npm run proof -- R5          clients at once and evictions: each document's history is linearisable
//   npm run proof -- R10         test vectors of tokens, and every route by every role
//   npm run proof -- load        64 clients of one object, with their latencies
//   npm run proof -- R6          commits of unknown outcome: nothing that is referred to is ever missing
//   npm run proof -- R1          the same seeds give the same trace, then random histories (as npm run soak) and commits
//   npm run proof -- R9          the HTTP interface asked by Schemathesis for all that its OpenAPI document has
//   … --full                     as much as the figure asks for, at most 10 minutes; without it a minute, as CI has it
//   … --seed N                   from this seed
// Building in release comes first and takes its own time. The exit code is 1 when anything was wrong.
import { parseArgs } from "node:util";
import { Failure, main } from "./lib/failure.mjs";
import { at, root } from "./lib/paths.mjs";
import { plain, run } from "./lib/process.mjs";
import { step } from "./lib/progress.mjs";
import { preparePython } from "./lib/python.mjs";
import { comparePython, writtenByTest } from "./conformance.mjs";
import { askEverything } from "../conformance/http.mjs";

const limits = { buildMs: 30 * 60_000, runMs: 20 * 60_000 };

/** Runs tests of a binary in release, and prints the lines in which they tell what they did. */
async function tests(binary, names, env = {}) {
  const build = ["test", "--release", "--no-run", "--test", binary];
  const built = await step(`building ${binary} in release`, () => run("cargo", build, { cwd: root, timeoutMs: limits.buildMs }));
  if (built.code !== 0) {
    console.log(built.output.trimEnd());
    throw new Failure(`${binary} could not be built`);
  }
  const started = performance.now();
  const args = ["test", "--release", "--test", binary, "--", "--nocapture", ...(names.length ? ["--exact", ...names] : [])];
  const { code, output, timedOut } = await run("cargo", args, { cwd: root, timeoutMs: limits.runMs, env: { ...process.env, ...env } });
  const text = plain(output);
  const seconds = Math.round((performance.now() - started) / 1_000);
  const [, passed = "0"] = text.match(/^test result: .* (\d+) passed;/m) ?? [];
  if (code !== 0 || timedOut || passed === "0") {
    console.log(text.trimEnd().split("\n").slice(-150).join("\n"));
    const set = Object.entries(env).map(([name, value]) => `${name}=${value} `).join("");
    throw new Failure(`${binary} ${timedOut ? "did not end" : "failed"}; again by:\n  ${set}cargo ${args.join(" ")}`);
  }
  for (const line of text.split("\n")) if (/\d/.test(line) && !/^(test |running|\s*$)|Running|Finished|Compiling/.test(line)) console.log(line);
  console.log(`${binary}: ${passed} passed in ${seconds} s`);
}

/** Has a test write tables, and engines that others wrote read them. */
async function read(name, binary, test, env) {
  await preparePython("conformance", "installing the foreign readers");
  const { warehouse, output } = await step(`writing ${name}`, () => writtenByTest(name, binary, test, { env, release: true }));
  console.log(output.split("\n").filter((line) => /^(seeds|history_model|R6)/.test(line)).join("\n"));
  const { failed } = await comparePython(warehouse);
  if (failed > 0) throw new Failure(`${failed} tables were read otherwise than they were written; they are in ${warehouse}`);
}

/** Proves it in workerd. */
async function inWorkerd(name, { full, seed }) {
  const args = [at("scripts", "worker-proof.mjs"), name, ...(full ? ["--full"] : []), "--seed", String(seed)];
  const { code } = await run(process.execPath, args, { cwd: root, stdio: "inherit" });
  if (code !== 0) throw new Failure(`${name} went wrong in workerd, see above`);
}

const figures = {
  histories: ({ full, seed }) => read("histories", "history_model", "foreign::writes_histories_for_foreign_readers",
    { PROPTEST_RNG_SEED: seed, PROPTEST_CASES: full ? 200 : 20 }),
  R1: async ({ full, seed }) => {
    const traced = { PROPTEST_RNG_SEED: seed, PROPTEST_CASES: full ? 100 : 10 };
    await tests("history_model", ["the_same_seeds_make_the_same_trace"], traced);
    const soak = [at("scripts", "soak.mjs"), "--minutes", full ? "8" : "0.5", "--seed", String(seed)];
    const { code } = await run(process.execPath, soak, { cwd: root, stdio: "inherit" });
    if (code !== 0) throw new Failure("a random history failed, see above");
  },
  R2: ({ full }) => tests("archive_faults", full ? [] : ["any_call_of_a_flush_may_happen_and_be_told_as_failed"]),
  R4: async ({ full, seed }) => {
    const env = { SEED: seed, EVENTS: full ? 1_000_000 : 60_000 };
    await tests("change_feed", ["proof::readers_that_switch_transports_over_restarts_and_archivings_miss_and_repeat_nothing"], env);
    await inWorkerd("R4", { full, seed });
  },
  R3: (how) => inWorkerd("R3", how),
  R5: (how) => inWorkerd("R5", how),
  R10: async () => {
    await tests("access", []);
    const worker = [at("scripts", "test.mjs"), "worker", at("tests", "worker", "access.test.mjs")];
    const { code } = await run(process.execPath, worker, { cwd: root, stdio: "inherit" });
    if (code !== 0) throw new Failure("a role or a token was judged wrong in workerd, see above");
  },
  load: (how) => inWorkerd("load", how),
  R6: async ({ full, seed }) => {
    const env = { SEED: seed, COMMITS: full ? 1_000 : 60 };
    await tests("iceberg_commits", ["no_referenced_file_is_missing_after_any_step_of_commits_of_unknown_outcome"], env);
    await read("commits", "iceberg_commits", "writes_every_50th_commit_for_foreign_readers", env);
  },
  R9: async ({ full, seed }) => {
    const { failed, cases } = await askEverything({ seed, seconds: full ? 280 : 25 });
    if (failed > 0) throw new Failure("the worker answers otherwise than its OpenAPI document says, see above");
    if (full && cases < 10_000) throw new Failure(`expected at least 10000 requests, got ${cases}`);
    console.log(`R9: ${cases} requests`);
  },
};

function options() {
  try {
    const { values, positionals } = parseArgs({ options: { full: { type: "boolean", default: false }, seed: { type: "string" } }, allowPositionals: true });
    const seed = Number(values.seed ?? Math.floor(Date.now() / 1_000));
    const unknown = positionals.find((name) => !figures[name]);
    if (unknown || !positionals.length) throw new Error(`expected some of ${Object.keys(figures).join(", ")}, got ${unknown ?? "none"}`);
    if (!Number.isSafeInteger(seed) || seed < 0 || seed > 9_000_000_000) throw new Error("expected --seed to be a whole number up to 9000000000");
    return { full: values.full, seed, names: positionals };
  } catch (error) {
    throw new Failure(error.message);
  }
}

await main(async () => {
  const { names, ...how } = options();
  for (const name of names) {
    console.log(`${name}, ${how.full ? "in full" : "short"}, from seed ${how.seed}`);
    const started = performance.now();
    await figures[name](how);
    console.log(`${name}: nothing wrong in ${((performance.now() - started) / 60_000).toFixed(1)} minutes, seed ${how.seed}\n`);
  }
});
