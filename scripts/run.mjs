// Runs one of the project's scripts: sets the checkout up first, then hands over to a Node that is new enough.
//   node scripts/run.mjs scripts/demo.mjs [arguments]
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { Failure, main } from "./lib/failure.mjs";
import { at, modernNode } from "./lib/paths.mjs";
import { setup } from "./setup.mjs";

await main(async () => {
  const [script, ...args] = process.argv.slice(2);
  if (!script || !existsSync(script)) throw new Failure(`there is no script ${script ?? "named"}`);
  await setup();
  const env = { ...process.env, PATH: at("node_modules", ".bin") + delimiter + process.env.PATH };
  const child = spawn(modernNode(), [resolve(script), ...args], { stdio: "inherit", env });
  // Ctrl-C reaches the child by itself; a signal to this process alone is passed on.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((done) => child.on("exit", (code, signal) => done(code ?? (signal === "SIGINT" ? 130 : 1))));
});
