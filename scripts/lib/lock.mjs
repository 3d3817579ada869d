// A lock between processes of one checkout: a file that names its holder.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Takes the lock, or answers its holder's pid (0 when the file is just being written or removed). */
function tryTake(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
    return undefined;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return 0;
  }
}

/** Runs `body` while holding the lock at `path`; a lock whose holder is gone is taken over. */
export async function withLock(path, body, onWait = () => {}) {
  mkdirSync(dirname(path), { recursive: true });
  for (let tries = 0; ; tries++) {
    const holder = tryTake(path);
    if (holder === undefined) break;
    if (tries === 0) onWait(holder);
    const stale = holder === 0 ? tries > 20 : !isAlive(holder);
    if (stale) rmSync(path, { force: true });
    await sleep(200);
  }
  const release = () => rmSync(path, { force: true });
  process.on("exit", release);
  try {
    return await body();
  } finally {
    process.off("exit", release);
    release();
  }
}
