// P12: the first request of an object that was never there, over that of an empty object: in a running isolate, and
// right after workerd has started, when nothing of the code has run yet.
import { counted, median } from "./lib/figures.mjs";
import { alternate, start, withWorkers } from "./lib/workers.mjs";

const path = (name) => `/v1/bench/${name}/collections/docs/docs/none`;

async function newObjects(script) {
  return withWorkers(["ours", "empty"], script, ({ ours, empty }) => {
    const first = ({ client }) => (round) => client.send("GET", path(`new-${round}`)).then(() => undefined);
    return alternate(101, { ours: first(ours), empty: first(empty) });
  });
}

async function newProcess(kind, script) {
  const { client, stop } = await start(kind, script);
  const started = performance.now();
  await client.send("GET", path("one"));
  const time = performance.now() - started;
  await stop();
  return time;
}

export async function firstRequest(figures, script) {
  const cases = [
    ["first request of a new object, over an empty one's", await newObjects(script)],
    ["the same, the first that workerd serves at all", await alternate(15, { ours: () => newProcess("ours", script), empty: () => newProcess("empty", script) })],
  ];
  for (const [what, { ours, empty }] of cases) {
    const details = { rounds: ours.length, oursMs: median(ours), emptyMs: median(empty) };
    const note = `${counted(details.oursMs, 1)} ms, the empty object ${counted(details.emptyMs, 1)}`;
    figures.add({ figure: "P12", what, value: median(ours) - median(empty), unit: "ms", goal: 50, note, ...details });
  }
}
