// The object most people write, to measure against. Not part of the worker, and not changed: its queries and its
// outbox are what they were; it tells the size of its database besides. SPDX-License-Identifier: Apache-2.0 OR MIT
// The object most people write today: JSON rows, one index, an outbox row an event, trimmed after archiving.
// The peer for PERFORMANCE.md's P1, P2, P3 and P13: run it in the same miniflare as Thermocline, alternating.
// It speaks the part of API.md that those need. No dependencies; class UsualObject, binding OBJECTS.
import { DurableObject } from "cloudflare:workers";

const problem = (status, title, detail) =>
  new Response(JSON.stringify({ type: "about:blank", title, status, detail, retryable: false }), { status, headers: { "content-type": "application/problem+json" } });
class Refused extends Error { constructor(status, detail) { super(detail); this.status = status; } }

export class UsualObject extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS docs (collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (collection, id))`);
    this.sql.exec(`CREATE TABLE IF NOT EXISTS outbox (sequence INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, operation TEXT NOT NULL, collection TEXT NOT NULL, document_id TEXT NOT NULL, timestamp INTEGER NOT NULL, before TEXT, after TEXT)`);
    this.read = this.written = 0;
  }
  run(text, ...args) {
    const cursor = this.sql.exec(text, ...args);
    const rows = cursor.toArray();
    this.read += cursor.rowsRead; this.written += cursor.rowsWritten;
    return rows;
  }
  emit(operation, collection, id, before, after) {
    return this.run(`INSERT INTO outbox (event_id, operation, collection, document_id, timestamp, before, after) VALUES (?,?,?,?,?,?,?) RETURNING sequence`,
      crypto.randomUUID(), operation, collection, id, Date.now(), before ?? null, after ?? null)[0].sequence;
  }
  find(c, id) { return this.run(`SELECT data, version FROM docs WHERE collection = ? AND id = ?`, c, id)[0]; }
  write(op, c, id, doc) {
    const old = this.find(c, id);
    if (op === "insert" && old) throw new Refused(409, `${id} exists`);
    if ((op === "update" || op === "delete") && !old) throw new Refused(404, `${id} does not exist`);
    if (op === "delete") { this.run(`DELETE FROM docs WHERE collection = ? AND id = ?`, c, id); return this.emit("DELETE", c, id, old.data, null); }
    const next = JSON.stringify(op === "update" ? merge(JSON.parse(old.data), doc) : { ...doc, id });
    const sequence = this.emit(old ? "UPDATE" : "INSERT", c, id, old?.data, next);
    this.run(`INSERT INTO docs VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET version = excluded.version, data = excluded.data, updated_at = excluded.updated_at`, c, id, sequence, next, Date.now());
    return sequence;
  }
  async fetch(request) {
    this.read = this.written = 0;
    try {
      const answer = await this.route(request);
      answer.headers.set("thermocline-rows-read", this.read);
      answer.headers.set("thermocline-rows-written", this.written);
      return answer;
    } catch (e) {
      return problem(e.status ?? 500, "refused", e.message);
    }
  }
  async route(request) {
    const url = new URL(request.url);
    const [, , , , part, c, sub, ...rest] = url.pathname.split("/").map(decodeURIComponent);
    const id = rest.join("/"), m = request.method, tx = (f) => this.ctx.storage.transactionSync(f);
    const json = (v, status = 200) => Response.json(v, { status });
    if (!part && m === "GET") return json({ storage: { databaseSize: this.sql.databaseSize } });
    if (part === "collections" && !sub && m === "PUT") return json({ name: c });
    if (part === "collections" && sub === "docs") {
      if (m === "GET") { const d = this.find(c, id); if (!d) throw new Refused(404, id); return new Response(d.data, { headers: { "content-type": "application/json", etag: `"${d.version}"` } }); }
      if (m === "DELETE") return tx(() => json({ sequence: this.write("delete", c, id) }));
      let doc; try { doc = await request.json(); } catch { throw new Refused(400, "not JSON"); }
      const op = { POST: "insert", PUT: "upsert", PATCH: "update" }[m];
      return tx(() => json({ sequence: this.write(op, c, id || doc.id || crypto.randomUUID(), doc) }, m === "POST" ? 201 : 200));
    }
    if (part === "batch") {
      const { operations } = await request.json();
      return tx(() => { const s = operations.map((o) => this.write(o.op, o.collection, o.id ?? o.doc.id, o.doc)); return json({ firstSequence: s[0], lastSequence: s.at(-1) }); });
    }
    if (part === "collections" && sub === "import") {
      const lines = (await request.text()).split("\n").filter(Boolean);
      const first = (this.run(`SELECT max(sequence) s FROM outbox`)[0].s ?? 0) + 1;
      for (let i = 0; i < lines.length; i += 5000) tx(() => {
        const chunk = "[" + lines.slice(i, i + 5000).join(",") + "]", now = Date.now(), base = first + i - 1;
        this.run(`INSERT INTO outbox (event_id, operation, collection, document_id, timestamp, after) SELECT lower(hex(randomblob(16))), 'INSERT', ?, value->>'id', ?, value FROM json_each(?)`, c, now, chunk);
        this.run(`INSERT INTO docs SELECT ?, value->>'id', ? + key + 1, value, ? FROM json_each(?)`, c, base, now, chunk);
      });
      return json({ imported: lines.length, failed: 0, firstSequence: first, lastSequence: first + lines.length - 1, errors: [] });
    }
    if (part === "collections" && sub === "export") return new Response(this.run(`SELECT data FROM docs WHERE collection = ? ORDER BY id`, c).map((r) => r.data + "\n").join(""));
    if (part === "cdc") {
      const after = Math.max(0, Number(url.searchParams.get("after") ?? -1)), limit = Number(url.searchParams.get("limit") ?? 100);
      const events = this.run(`SELECT * FROM outbox WHERE sequence > ? ORDER BY sequence LIMIT ?`, after, limit + 1).map((r) => ({ id: r.event_id, operation: r.operation, collection: r.collection, documentId: r.document_id, timestamp: r.timestamp, sequence: r.sequence, ...(r.before ? { before: JSON.parse(r.before) } : {}), ...(r.after ? { after: JSON.parse(r.after) } : {}) }));
      const hasMore = events.length > limit; if (hasMore) events.pop();
      return json({ events, cursor: { sequence: events.at(-1)?.sequence ?? after, timestamp: Date.now() }, hasMore });
    }
    if (part === "sql") { const { sql, args = [] } = await request.json(); return json(this.run(sql, ...args)); } // for the benchmark's own queries
    if (part === "trim") { const { sequence } = await request.json(); this.run(`DELETE FROM outbox WHERE sequence <= ?`, sequence); return json({}); }
    throw new Refused(404, url.pathname);
  }
}
function merge(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const out = target && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [k, v] of Object.entries(patch)) v === null ? delete out[k] : (out[k] = merge(out[k], v));
  return out;
}
export default {
  fetch(request, env) {
    const [, , type, id] = new URL(request.url).pathname.split("/");
    return env.OBJECTS.get(env.OBJECTS.idFromName(`${type}/${id}`)).fetch(request);
  },
};
