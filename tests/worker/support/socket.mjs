// A client of the feed over a WebSocket: it keeps what it was sent, and acknowledges when it is told to.
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

export class FeedSocket {
  frames = [];
  pongs = 0;
  #wakes = [];
  /** `{code, reason}` once it is closed. */
  closed;

  constructor(socket, { acknowledge = true } = {}) {
    this.socket = socket;
    this.acknowledges = acknowledge;
    socket.addEventListener("message", ({ data }) => this.#take(data));
    socket.addEventListener("close", ({ code, reason }) => {
      this.closed = { code, reason };
      this.#wake();
    });
    socket.addEventListener("error", () => this.#wake());
  }

  #take(data) {
    if (data === "pong") this.pongs++;
    else {
      const frame = { ...JSON.parse(data), bytes: Buffer.byteLength(data) };
      this.frames.push(frame);
      if (this.acknowledges) this.acknowledge(frame.cursor.sequence);
    }
    this.#wake();
  }

  #wake() {
    this.#wakes.splice(0).forEach((wake) => wake());
  }

  acknowledge(sequence = this.frames.at(-1).cursor.sequence) {
    this.socket.send(JSON.stringify({ ack: sequence }));
  }

  send(data) {
    this.socket.send(data);
  }

  get events() {
    return this.frames.flatMap(({ events }) => events);
  }

  /** Waits until `condition` holds of this client. */
  async until(condition, ms = 15_000) {
    const deadline = Date.now() + ms;
    while (!condition(this)) {
      const left = deadline - Date.now();
      assert.ok(left > 0, `not within ${ms} ms: ${this.events.length} events, closed ${JSON.stringify(this.closed)}`);
      await Promise.race([new Promise((wake) => this.#wakes.push(wake)), sleep(left, undefined, { ref: false })]);
    }
    return this;
  }

  /** The events, once there are `count`. */
  async received(count, ms) {
    await this.until(({ events }) => events.length >= count, ms);
    return this.events;
  }

  async close() {
    this.socket.close();
    await this.until(({ closed }) => closed);
  }
}

/** What an upgrade that is refused is answered: `{status, headers, text, body}`. */
export async function refusal(it, params = {}, headers = {}) {
  const url = new URL(`${it.path}/cdc?${new URLSearchParams(params)}`, it.worker.url);
  const key = Buffer.alloc(16).toString("base64");
  const sent = request(url, { headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": key, ...headers } });
  sent.end();
  const [answer] = await Promise.race([once(sent, "response"), once(sent, "upgrade").then(() => assert.fail("the upgrade is accepted"))]);
  const text = (await answer.toArray()).join("");
  return { status: answer.statusCode, headers: new Headers(answer.headers), text, body: JSON.parse(text) };
}

/** Opens a socket of an object's feed. */
export async function connect(it, params = {}, options = {}) {
  const query = new URLSearchParams(params).toString();
  const url = new URL(`${it.path}/cdc${query && `?${query}`}`, it.worker.url);
  url.protocol = "ws:";
  const socket = new WebSocket(url, { headers: options.headers });
  const feed = new FeedSocket(socket, options);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", ({ error, message }) => reject(error ?? new Error(message)));
  });
  return feed;
}
