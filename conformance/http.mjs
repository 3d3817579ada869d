// The HTTP interface against its own description: the OpenAPI document checked by a validator that others wrote, and asked for by
// Schemathesis, which makes requests of the document, right ones and wrong ones, and holds every answer against it.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "../scripts/build.mjs";
import { Failure } from "../scripts/lib/failure.mjs";
import { at } from "../scripts/lib/paths.mjs";
import { plain, run } from "../scripts/lib/process.mjs";
import { preparePython, pythonIn } from "../scripts/lib/python.mjs";
import { startWorker } from "../tests/worker/support/miniflare.mjs";
import { bearer, hs256 } from "../tests/worker/support/tokens.mjs";

const folder = "conformance/http";
const document = at("src", "http", "openapi.json");
const secret = "a secret of more than thirty-two bytes";
const canary = "/v1/canary/1/metrics";

/** Everything open, and a token of an admin that ends long after. */
const modes = {
  off: { vars: {}, headers: () => ({}) },
  token: {
    vars: { AUTH_MODE: undefined, AUTH_SECRET: secret },
    headers: () => bearer(hs256(secret, { roles: ["admin"], exp: Math.floor(Date.now() / 1_000) + 3_600 })),
  },
};

/** The name of what answers: it is another when the isolate was started anew, as it is after a panic. */
async function instance(worker, headers) {
  const { status, body } = await worker.json("GET", canary, undefined, headers);
  if (status !== 200) throw new Failure(`the worker does not answer any more: ${status} ${JSON.stringify(body).slice(0, 300)}`);
  return body.warm.since;
}

async function validate() {
  const { code, output } = await run(pythonIn(folder), ["-m", "openapi_spec_validator", document], { timeoutMs: 60_000 });
  console.log(`openapi-spec-validator  ${code === 0 ? "ok" : `FAILED\n${output.trimEnd()}`}`);
  return code === 0;
}

/** Asks after the name of what answers, again and again: it is always one of the last asked for, so that the worker keeps it. */
function watch(worker, headers) {
  const names = new Set();
  let ended = false;
  const watching = (async () => {
    while (!ended) {
      names.add(await instance(worker, headers));
      await sleep(500);
    }
  })();
  watching.catch(() => {});
  return async () => {
    ended = true;
    await watching;
    return names.size;
  };
}

/** Runs Schemathesis for `seconds`; `{code, text}`. */
async function schemathesis(url, { seed, seconds, headers, report }) {
  const sent = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
  const { code, output, timedOut } = await run(pythonIn(folder), [
    "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", document, "--url", String(url), "--checks", "all",
    "--max-time", String(seconds), "--seed", String(seed), "--no-color", "--report-ndjson-path", report, ...sent,
  ], { cwd: at(folder), timeoutMs: (seconds + 120) * 1_000, env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" } });
  return { code: timedOut ? "timed out" : code, text: plain(output).trimEnd() };
}

/** Asks the worker for `seconds`; how many requests were made, and whether nothing was wrong. */
async function ask(mode, { seed, seconds }) {
  const { vars, headers: made } = modes[mode];
  const headers = made();
  const worker = await startWorker({ vars: { ...vars } });
  try {
    const instances = watch(worker, headers);
    const { code, text } = await schemathesis(worker.url, { seed, seconds, headers, report: at("conformance", "work", `http-${mode}.ndjson`) });
    const wrong = code === 0 ? [] : [text];
    if ((await instances()) !== 1) wrong.push("the isolate was started anew while it was asked: something panicked");
    wrong.push(...worker.logs.filter((line) => /panick|unreachable|RuntimeError/i.test(line)));
    const cases = Number(/(\d+) generated/.exec(text)?.[1] ?? 0);
    console.log(`schemathesis  ${mode.padEnd(6)}  ${String(cases).padStart(6)} requests, seed ${seed}  ${wrong.length ? `FAILED\n${wrong.join("\n")}` : "ok"}`);
    if (wrong.length) console.log(`again: npm run proof -- R9 --seed ${seed}`);
    return { cases, isRight: wrong.length === 0 && cases > 0 };
  } finally {
    await worker.dispose();
  }
}

/** Does it all with a seed; how many checks were right and wrong, and of how many requests. */
export async function askEverything({ seed = 1, seconds = 25 } = {}) {
  await preparePython(folder, "installing Schemathesis");
  await build({ quick: true });
  const { openapi } = JSON.parse(readFileSync(document, "utf8"));
  console.log(`OpenAPI ${openapi}, ${seconds} s each`);
  const results = [await validate()];
  let cases = 0;
  for (const mode of Object.keys(modes)) {
    const asked = await ask(mode, { seed, seconds });
    results.push(asked.isRight);
    cases += asked.cases;
  }
  const passed = results.filter(Boolean).length;
  return { passed, failed: results.length - passed, cases };
}
