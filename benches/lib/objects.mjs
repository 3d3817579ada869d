// What an object tells of itself, and waiting until it is at rest.
import { setTimeout as sleep } from "node:timers/promises";

const restMs = 3_000;
const mostMs = 180_000;

/** `storage` of `GET /v1/{type}/{id}`: the size of the database and, where the build tells them, its segments. */
export async function storageOf(client, object) {
  return JSON.parse((await client.ok("GET", object)).body).storage;
}

/** How many documents of a collection are in each form. */
export async function formsOf(client, collection) {
  return JSON.parse((await client.ok("GET", collection)).body).forms;
}

/** Throws unless all of a collection's documents are in one form. */
export async function assertForm(client, collection, form, documents) {
  const forms = await formsOf(client, collection);
  if (forms[form] !== documents) throw new Error(`${collection}: ${documents} documents in ${form} form are expected: ${JSON.stringify(forms)}`);
}

/** Waits until nothing of the storage has changed for some seconds: the alarm, which seals and merges, has no more to do. */
export async function settled(client, object) {
  const deadline = Date.now() + mostMs;
  let before;
  for (let since = Date.now(); Date.now() - since < restMs; await sleep(100)) {
    const now = await storageOf(client, object);
    // What is in memory changes by being looked at.
    delete now.segments?.cachedBytes;
    const told = JSON.stringify(now);
    if (told !== before) since = Date.now();
    before = told;
    if (Date.now() > deadline) throw new Error(`${object} is not at rest after ${mostMs} ms: ${told}`);
  }
}
