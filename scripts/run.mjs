// Runs one of the project's scripts: sets the checkout up first, then hands over to a Node that is new enough.
//   node scripts/run.mjs scripts/demo.mjs [arguments]
import { existsSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { Failure, main } from "./lib/failure.mjs";
import { at, modernNode } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";
import { setup } from "./setup.mjs";

await main(async () => {
  const [script, ...args] = process.argv.slice(2);
  if (!script || !existsSync(script)) throw new Failure(`there is no script ${script ?? "named"}`);
  await setup();
  const env = { ...process.env, PATH: at("node_modules", ".bin") + delimiter + process.env.PATH };
  const { code } = await run(modernNode(), [resolve(script), ...args], { stdio: "inherit", env, graceMs: 10_000 });
  return code;
});
