// Child processes: asking a tool something, and running one to its end within a bound.
import { spawn, spawnSync } from "node:child_process";

/** Runs a quick command. Answers its trimmed output, or undefined if it is missing or fails. */
export function ask(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], ...options });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

const running = new Set();

/** Signals a child and all that it started. */
function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

const killGroup = (child) => signalGroup(child, "SIGKILL");

/** Ends a child: at once, or after the time it asked for to do so by itself. */
function stop(child) {
  if (!child.graceMs) return killGroup(child);
  signalGroup(child, "SIGINT");
  return new Promise((done) => {
    setTimeout(() => done(killGroup(child)), child.graceMs);
    child.on("close", done);
  });
}

process.on("exit", () => running.forEach(killGroup));
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(signal, async () => {
    await Promise.all([...running].map(stop));
    process.exit(code);
  });
}

/**
 * Runs a command to its end and answers `{code, output, timedOut}`. `show` passes the output on as it comes.
 * The child has its own process group, so that whatever it leaves behind dies with it: at the end, at the
 * time limit, and when this process is stopped (for which it may be given a `graceMs`).
 */
export function run(command, args, { show = false, timeoutMs, graceMs, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = Object.assign(spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options, detached: true }), { graceMs });
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
    const ended = (settle) => (result) => {
      clearTimeout(timer);
      running.delete(child);
      settle(result);
    };
    child.on("error", ended(reject));
    child.on("exit", () => killGroup(child));
    child.on("close", ended((code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString(), timedOut })));
  });
}

/** Text without terminal colours. */
export const plain = (text) => text.replace(/\x1b\[[0-9;]*m/g, "");
