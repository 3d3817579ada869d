// What one principal may ask of an object in a minute, and what all may.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertProblem, workerWith } from "./support/object.mjs";
import { bearer, hs256 } from "./support/tokens.mjs";

const secret = "a secret of more than thirty-two bytes";

async function limited(budgets) {
  const { it } = await workerWith({ vars: { AUTH_MODE: "jwt", AUTH_SECRET: secret, STORAGE_CONFIG: { budgets } } });
  const as = (sub) => bearer(hs256(secret, { sub, roles: ["writer"], objects: ["*"] }));
  return { it, as };
}

test("a principal who has used up their minute is told when to come again, and others are not kept from it", async () => {
  const { it, as } = await limited({ tokenRequests: 5 });
  for (let n = 0; n < 5; n++) assert.equal((await it.put("films", `f${n}`, {}, as("ann"))).status, 201);
  const refused = await it.put("films", "late", {}, as("ann"));
  assertProblem(refused, 429, { tier: /^api$/ });
  const after = Number(refused.headers.get("retry-after"));
  assert.ok(after > 0 && after <= 12, `${after}`);
  assert.match(refused.body.detail, /budgets\.tokenRequests = 5/);
  // Another token of the same subject does not help; another subject has an allowance of their own.
  assert.equal((await it.get("films", "f1", { headers: { ...as("ann"), "x-other": "1" } })).status, 429);
  assert.equal((await it.get("films", "late", { headers: as("bob") })).status, 404);
});

test("all together are bounded too, but by what reaches the object alone", async () => {
  const { it, as } = await limited({ objectRequests: 4 });
  const strangers = [bearer(hs256("another secret of more than 32 bytes", { sub: "ann" })), bearer(hs256(secret, { sub: "eve", objects: ["demo/other"] })), {}];
  for (let n = 0; n < 4; n++) for (const stranger of strangers) assert.ok([401, 403].includes((await it.put("films", "f", {}, stranger)).status));
  for (const sub of ["ann", "bob", "cid", "dan"]) assert.equal((await it.put("films", sub, {}, as(sub))).status, 201);
  assertProblem(await it.put("films", "f", {}, as("eli")), 429, { tier: /^api$/ });
});

test("a request without its role is a request: whoever tries is soon told to wait, and those who may are not", async () => {
  const { it, as } = await limited({ tokenRequests: 3, objectRequests: 8 });
  const nobody = bearer(hs256(secret, { sub: "eve", roles: [], objects: ["*"] }));
  for (let n = 0; n < 3; n++) assertProblem(await it.put("films", "f", {}, nobody), 403, { tier: /^api$/ });
  for (let n = 0; n < 20; n++) assertProblem(await it.put("films", "f", {}, nobody), 429, { detail: /budgets\.tokenRequests = 3/ });
  for (let n = 0; n < 3; n++) assert.equal((await it.put("films", `f${n}`, {}, as("ann"))).status, 201);
});
