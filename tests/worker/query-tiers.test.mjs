// Random conditions find the same documents hot and cold: what statistics spare a cold query changes no answer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { useWorker } from "./support/object.mjs";

const { object } = useWorker();
const collections = 25;
const queriesEach = 20;

/** Random numbers from a seed, printed so that a failure can be run again (SEED=…). */
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
function randomness(state) {
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit) => Math.floor(next() * limit);
  return { below, pick: (items) => items[below(items.length)], chance: (share) => next() < share };
}
const { below, pick, chance } = randomness(seed);

const fields = ["a", "b", "c.d", "c", "_seq", "_ts", "_extra", "A", "id"];
const scalars = [0, 1, 2, -1, 1.5, 2.0, 1e3, 100, 9007199254740993, "", "a", "ab", "b", "1", "2024-02-29", "é", true, false];
const value = () => (chance(0.15) ? null : chance(0.15) ? pick([[], [1], {}, { d: pick(scalars) }, { d: { e: 1 } }]) : pick(scalars));

/** Documents whose fields have mostly one type in a collection, so that columns and strays both happen. */
function documents() {
  const types = Object.fromEntries(fields.map((field) => [field, pick([[0, 1, 2, 100], [1, 1.5, 1e3], ["a", "ab", "b"], [true, false], scalars])]));
  return Array.from({ length: 1 + below(8) }, (_, n) => {
    const document = { id: `${pick(["a", "b", "x"])}${n}` };
    for (const field of fields.slice(0, -1)) if (chance(0.6)) document[field] = chance(0.8) ? pick(types[field]) : value();
    return document;
  });
}

function condition(depth = 0) {
  if (depth < 3 && chance(0.4)) {
    const parts = Array.from({ length: below(3) + (chance(0.9) ? 1 : 0) }, () => condition(depth + 1));
    return pick([{ and: parts }, { or: parts }, { not: condition(depth + 1) }]);
  }
  const comparison = pick([
    () => ({ [pick(["eq", "ne", "lt", "lte", "gt", "gte"])]: pick(scalars) }),
    () => ({ in: Array.from({ length: below(4) }, () => pick(scalars)) }),
    () => ({ between: [pick(scalars), pick(scalars)] }),
    () => ({ prefix: pick(["", "a", "b", "é"]) }),
    () => ({ isNull: chance(0.5) }),
  ])();
  return { [pick([...fields, "c.d.e", "none"])]: comparison };
}

test(`hot and cold agree on random conditions and orders (SEED=${seed})`, async () => {
  const it = object();
  const names = Array.from({ length: collections }, (_, n) => `c${n}`);
  const all = new Map(names.map((name) => [name, documents()]));
  await it.ok("POST", "/batch", { operations: names.flatMap((collection) => all.get(collection).map((doc) => ({ op: "insert", collection, doc }))) });
  await it.sync();
  for (const collection of names) {
    await Promise.all(Array.from({ length: queriesEach }, async () => {
      const query = { where: condition(), orderBy: [{ column: pick(fields), direction: pick(["asc", "desc"]) }], limit: 3 + below(9) };
      const [hot, cold] = await Promise.all([it.rows(collection, query), it.rows(collection, { ...query, tiers: ["cold"] })]);
      assert.deepEqual(cold, hot, `${JSON.stringify(query)} over ${JSON.stringify(all.get(collection))}`);
    }));
  }
});
