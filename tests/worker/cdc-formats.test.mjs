// Events in the forms of others: Debezium's envelope, CloudEvents 1.0.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CloudEvent, HTTP, ValidationError } from "cloudevents";
import { assertProblem, exact, useWorker } from "./support/object.mjs";

const { object } = useWorker();

/** An insert, an update and a delete of one document, with numbers that a double would change. */
async function written() {
  const it = object();
  await it.call("POST", "/collections/orders/docs", '{"id":"a/ü","n":1.0,"big":9007199254740993}', { "x-correlation-id": "order-7" });
  await it.patch("orders", "a/ü", { n: 2 });
  await it.remove("orders", "a/ü");
  return it;
}

test("Debezium: the envelope's fields, in the types that its schema gives them", async () => {
  const it = await written();
  const { body, text } = await it.changes({ format: "debezium" });
  const native = (await it.changes()).body;
  assert.deepEqual(body.cursor, native.cursor);
  assert.equal(body.hasMore, false);
  assert.deepEqual(body.events.map(({ op }) => op), ["c", "u", "d"]);
  body.events.forEach((event, position) => {
    const { before = null, after = null, timestamp, sequence, id } = native.events[position];
    assert.deepEqual(Object.keys(event).sort(), ["after", "before", "op", "source", "transaction", "ts_ms"]);
    assert.deepEqual([event.before, event.after, event.transaction, event.ts_ms], [before, after, null, timestamp]);
    const { source } = event;
    for (const field of ["version", "connector", "name", "snapshot", "db", "sequence", "table"]) assert.equal(typeof source[field], "string", field);
    assert.deepEqual([source.ts_ms, source.event_id, source.pos, source.snapshot], [timestamp, id, sequence, "false"]);
    assert.deepEqual([`${source.name}/${source.db}`, source.table, source.connector], [it.name, "orders", "thermocline"]);
    assert.deepEqual(JSON.parse(source.sequence), [`${sequence}`]);
  });
  assert.match(text, /"after":\{"id":"a\/ü","n":1\.0,"big":9007199254740993\}/, "numbers keep their text");
});

/** An event as the CloudEvents SDK reads it, strictly: it throws what is not valid. */
const readByTheSdk = (event) => HTTP.toEvent({ headers: { "content-type": "application/cloudevents+json" }, body: JSON.stringify(event) });

test("CloudEvents: the project's own reader takes every event, alone and as a batch", async () => {
  const it = await written();
  const { body, text } = await it.changes({ format: "cloudevents" });
  const native = (await it.changes()).body;
  assert.deepEqual(body.cursor, native.cursor);
  const batch = HTTP.toEvent({ headers: { "content-type": "application/cloudevents-batch+json" }, body: JSON.stringify(body.events) });
  assert.equal(batch.length, 3);
  body.events.forEach((event, position) => {
    const told = native.events[position];
    const read = readByTheSdk(event);
    assert.ok(read instanceof CloudEvent && read.validate());
    assert.deepEqual([read.id, read.source, read.subject], [told.id, `/v1/${it.name}/collections/orders`, "a/ü"]);
    assert.equal(Date.parse(event.time), told.timestamp);
    assert.equal(Number(event.sequence), told.sequence);
    const { before, after, changedFields } = told;
    assert.deepEqual(event.data, JSON.parse(JSON.stringify({ before, after, changedFields })));
    for (const name of Object.keys(event)) assert.match(name, /^[a-z0-9]+$/);
  });
  assert.deepEqual(body.events.map(({ type }) => type.split(".").at(-1)), ["inserted", "updated", "deleted"]);
  assert.equal(body.events[0].correlationid, "order-7");
  const [first] = exact(text).events;
  assert.deepEqual(first.data.after, { id: "a/ü", n: { number: "1.0" }, big: { number: "9007199254740993" } });
});

test("the SDK refuses what is no CloudEvent, so that taking ours says something", async () => {
  const it = await written();
  const [event] = (await it.changes({ format: "cloudevents" })).body.events;
  for (const broken of [{ ...event, source: "" }, { ...event, type: 5 }, { ...event, Sequence: "1" }]) {
    assert.throws(() => readByTheSdk(broken).validate(), (error) => error instanceof ValidationError || error instanceof TypeError, JSON.stringify(broken));
  }
});

test("formats go with filters and without documents; another format is 400", async () => {
  const it = await written();
  const { events } = (await it.changes({ format: "debezium", documents: false, operations: "UPDATE" })).body;
  assert.deepEqual(events.map(({ before, after, source }) => [before, after, source.pos, source.document_id, source.changed_fields]), [[null, null, 2, "a/ü", ["n"]]]);
  const clouds = (await it.changes({ format: "cloudevents", documents: false })).body.events;
  assert.deepEqual(clouds.map(({ data }) => data), [{}, { changedFields: ["n"] }, {}]);
  for (const format of ["Debezium", "json", ""]) assertProblem(await it.changes({ format }), 400);
});
