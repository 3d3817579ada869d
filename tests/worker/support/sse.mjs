// A reader of server-sent events, as the HTML standard tells to parse them.

/** One event of a stream, or what came without data: `{id, event, data}`; comments are `{comment}`. */
function parsed(block) {
  const message = { event: "message" };
  const data = [];
  for (const line of block.split("\n")) {
    const [, field, value] = line.match(/^([^:]*):? ?(.*)$/s);
    if (field === "") message.comment = value;
    else if (field === "data") data.push(value);
    else message[field] = value;
  }
  if (data.length) message.data = data.join("\n");
  return message;
}

export class EventStream {
  #reader;
  #text = "";
  #decoder = new TextDecoder();
  /** The last id that was told, as a browser keeps it. */
  lastId;

  constructor(response, abort) {
    this.response = response;
    this.abort = abort;
    this.#reader = response.body.getReader();
  }

  /** The next block of the stream, whatever it is; undefined at the end. */
  async next() {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const message = parsed(this.#text.slice(0, end));
        this.#text = this.#text.slice(end + 2);
        if (message.id !== undefined) this.lastId = message.id;
        return message;
      }
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  /** The next `count` events with data, parsed. */
  async events(count) {
    const events = [];
    while (events.length < count) {
      const message = await this.next();
      if (!message) throw new Error(`the stream ended after ${events.length} of ${count} events`);
      if (message.data !== undefined) events.push({ ...JSON.parse(message.data), streamId: message.id, streamEvent: message.event });
    }
    return events;
  }

  async close() {
    await this.#reader.cancel().catch(() => {});
    this.abort.abort();
  }
}

/** Opens a stream of an object's feed. */
export async function stream(it, params = {}, headers = {}) {
  const abort = new AbortController();
  const query = new URLSearchParams(params).toString();
  const response = await it.worker.fetch(`${it.path}/cdc${query && `?${query}`}`, { headers: { accept: "text/event-stream", ...headers }, signal: abort.signal });
  if (response.status !== 200) {
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
  }
  return new EventStream(response, abort);
}
