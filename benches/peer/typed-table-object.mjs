// One table of typed columns in a Durable Object's SQLite, as one writes it by hand for queries: what aggregates over
// columns are measured against. Not part of the worker.
//   POST /v1/{type}/{id}/import   NDJSON of events: `{imported}`
//   POST /v1/{type}/{id}/sql      `{sql, args?}`: the rows
import { DurableObject } from "cloudflare:workers";

const table = `CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
  kind TEXT NOT NULL, amount REAL NOT NULL, city TEXT NOT NULL, count INTEGER NOT NULL)`;
const insert = `INSERT INTO events SELECT value->>'id', value->>'seq', value->>'ts', value->>'kind', value->>'amount',
  value->>'city', value->>'count' FROM json_each(?)`;
/** A text that SQLite is given may have 2 MB. */
const linesOfAnInsert = 8_192;

export class TypedTableObject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(table);
  }

  import(lines) {
    for (let start = 0; start < lines.length; start += linesOfAnInsert) {
      this.ctx.storage.transactionSync(() => this.sql.exec(insert, `[${lines.slice(start, start + linesOfAnInsert).join(",")}]`));
    }
    return Response.json({ imported: lines.length });
  }

  query({ sql, args = [] }) {
    const cursor = this.sql.exec(sql, ...args);
    const rows = cursor.toArray();
    return Response.json(rows, { headers: { "thermocline-rows-read": cursor.rowsRead, "thermocline-rows-written": cursor.rowsWritten } });
  }

  async fetch(request) {
    const [, , , , part] = new URL(request.url).pathname.split("/");
    if (part === "import") return this.import((await request.text()).split("\n").filter(Boolean));
    if (part === "sql") return this.query(await request.json());
    return new Response(null, { status: 404 });
  }
}

export default {
  fetch(request, env) {
    const [, , type, id] = new URL(request.url).pathname.split("/");
    return env.OBJECTS.get(env.OBJECTS.idFromName(`${type}/${id}`)).fetch(request);
  },
};
