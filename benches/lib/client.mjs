// One client with one connection that stays open, with as little of its own as there can be.
import { Agent, request } from "node:http";

export class Client {
  #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(url) {
    this.url = new URL(url);
  }

  /** Sends a request and answers `{status, headers, body}`, the body as a Buffer. */
  send(method, path, body, type = "application/json") {
    const headers = body === undefined ? {} : { "content-type": type, "content-length": Buffer.byteLength(body) };
    const { hostname, port } = this.url;
    return new Promise((resolve, reject) => {
      const sent = request({ agent: this.#agent, hostname, port, method, path, headers }, (answer) => {
        const chunks = [];
        answer.on("data", (chunk) => chunks.push(chunk)).on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }));
      });
      sent.on("error", reject).end(body);
    });
  }

  /** As `send`, for a request that must succeed. */
  async ok(...request) {
    const answer = await this.send(...request);
    if (answer.status >= 300) throw new Error(`${request[0]} ${request[1]}: ${answer.status} ${answer.body.toString().slice(0, 500)}`);
    return answer;
  }

  close() {
    this.#agent.destroy();
  }
}
