// Child processes: asking a tool something, and running one to its end within a bound.
import { spawn, spawnSync } from "node:child_process";

/** Runs a quick command. Answers its trimmed output, or undefined if it is missing or fails. */
export function ask(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], ...options });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

const running = new Set();

/** Kills a child and all that it started. */
function killGroup(child) {
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

process.on("exit", () => running.forEach(killGroup));
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(signal, () => process.exit(code));
}

/**
 * Runs a command to its end and answers `{code, output, timedOut}`. `show` passes the output on as it comes.
 * The child has its own process group, so that whatever it leaves behind dies with it: at the end, at the
 * time limit, and when this process is stopped.
 */
export function run(command, args, { show = false, timeoutMs, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options, detached: true });
    running.add(child);
    const chunks = [];
    let timedOut = false;
    const timer = timeoutMs && setTimeout(() => { timedOut = true; killGroup(child); }, timeoutMs);
    const collect = (stream, target) => stream?.on("data", (chunk) => {
      chunks.push(chunk);
      if (show) target.write(chunk);
    });
    collect(child.stdout, process.stdout);
    collect(child.stderr, process.stderr);
    child.on("error", (error) => {
      clearTimeout(timer);
      running.delete(child);
      reject(error);
    });
    child.on("exit", () => killGroup(child));
    child.on("close", (code) => {
      clearTimeout(timer);
      running.delete(child);
      resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString(), timedOut });
    });
  });
}

/** Text without terminal colours. */
export const plain = (text) => text.replace(/\x1b\[[0-9;]*m/g, "");
