// Runs the worker locally with wrangler, its data kept in .wrangler/, and says what to try once it is up.
//   npm start [-- --port 9000]
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "./build.mjs";
import { Failure, main } from "./lib/failure.mjs";
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
Thermocline is up at ${origin}, without authentication. Its data is in .wrangler/state/. In another terminal:

  api=${origin}/v1/demo/1
  json='content-type: application/json'

  # Write a document, read it, look for it, see every change so far.
  curl -X PUT $api/collections/people/docs/ada -H "$json" -d '{"name":"Ada","born":1815}'
  curl -i $api/collections/people/docs/ada
  curl $api/collections/people/query -H "$json" -d '{"where":{"born":{"lt":1900}}}'
  curl $api/cdc

  # The alarm archives some seconds after a change: when pendingChanges is 0, read the archive.
  curl $api/sync
  curl $api/collections/people/query -H "$json" -d '{"tiers":["cold"]}'

Ctrl-C stops it; what was written is there the next time.
`;

/** Refuses a port that is taken, before a build is waited for. */
function checkPort(port) {
  if (!/^\d+$/.test(port) || Number(port) < 1 || Number(port) > 65_535) throw new Failure(`expected --port to be a number from 1 to 65535, got ${port}`);
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", () => reject(new Failure(`port ${port} is taken: stop what listens there, or choose another by \`npm start -- --port ${Number(port) + 1}\``)));
    server.listen({ port: Number(port), host: "localhost" }, () => server.close(resolve));
  });
}

async function announce(origin) {
  for (;;) {
    await sleep(300);
    const answer = await fetch(`${origin}/healthz`).catch(() => undefined);
    if (answer?.ok) return console.log(examples(origin));
  }
}

await main(async () => {
  const args = process.argv.slice(2);
  const port = args.includes("--port") ? (args[args.indexOf("--port") + 1] ?? "none") : "8787";
  await checkPort(port);
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
