// One line a step: its name, then how long it took; a sign of life while it lasts.

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** Runs `body` as a step called `name`. */
export async function step(name, body) {
  const started = performance.now();
  console.error(`${name} …`);
  const sign = setInterval(() => console.error(`${name} … ${seconds(started)} so far`), 30_000);
  try {
    const result = await body();
    console.error(`${name}: done in ${seconds(started)}`);
    return result;
  } finally {
    clearInterval(sign);
  }
}
