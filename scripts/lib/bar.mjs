// A progress bar on one line of the terminal, for what takes longer than a second. Without a terminal nothing is drawn.

const width = 24;
const clear = "\r\x1b[2K";
let drawn = false;

function erase() {
  if (drawn) process.stdout.write(clear);
  drawn = false;
}

process.on("exit", erase);

/** A bar called `name`. `update(part)` moves it to a part from 0 to 1, `end()` takes it away. */
export function progressBar(name) {
  const started = performance.now();
  let last = started;
  return {
    update(part, note = "") {
      const now = performance.now();
      if (!process.stdout.isTTY || now - started < 1_000 || now - last < 100) return;
      last = now;
      const bounded = Math.min(Math.max(part, 0), 1);
      const full = Math.round(bounded * width);
      const bar = "█".repeat(full) + "░".repeat(width - full);
      const line = `  ${name} ${bar} ${String(Math.floor(bounded * 100)).padStart(3)} % ${note}`;
      process.stdout.write(clear + line.slice(0, (process.stdout.columns ?? 80) - 1));
      drawn = true;
    },
    end: erase,
  };
}
