// Runs the worker locally with wrangler, its data kept in .wrangler/, and says what to try once it is up.
//   npm start [-- --port 9000]
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "./build.mjs";
import { main } from "./lib/failure.mjs";
import { at, npmBin, root } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";

/** No account, no network: wrangler is not to look anything up or send anything. */
const offline = {
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_LOG_PATH: at(".wrangler", "logs"),
  WRANGLER_REGISTRY_PATH: at(".wrangler", "registry"),
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
};

const examples = (origin) => `
Thermocline is up at ${origin}, without authentication. Try:

  curl ${origin}/v1/demo/1/collections/people/docs -d '{"id":"ada","name":"Ada","born":1815}' -H 'content-type: application/json'
  curl ${origin}/v1/demo/1/collections/people/docs/ada
  curl ${origin}/v1/demo/1/collections/people/query -d '{"where":{"born":{"lt":1900}}}' -H 'content-type: application/json'
  curl ${origin}/v1/demo/1/cdc
  curl ${origin}/v1/demo/1/sync -d '{"force":true}' -H 'content-type: application/json'

Ctrl-C stops it; what was written is there the next time.
`;

async function announce(origin) {
  for (;;) {
    await sleep(300);
    const answer = await fetch(`${origin}/healthz`).catch(() => undefined);
    if (answer?.ok) return console.log(examples(origin));
  }
}

await main(async () => {
  const args = process.argv.slice(2);
  const port = args.includes("--port") ? args[args.indexOf("--port") + 1] : "8787";
  const script = await build({ quick: true });
  announce(`http://localhost:${port}`);
  // wrangler builds again when src/ changes, by the command in wrangler.toml.
  const { code } = await run(npmBin("wrangler"), [
    "dev", script, "--local", "--port", port, "--var", "AUTH_MODE:off",
    "--persist-to", at(".wrangler", "state"), "--show-interactive-dev-session=false", "--log-level=warn",
  ], {
    cwd: root, stdio: ["ignore", "inherit", "inherit"], graceMs: 5000,
    env: { ...process.env, ...offline, THERMOCLINE_BUILD: "quick" },
  });
  process.exit(code);
});
