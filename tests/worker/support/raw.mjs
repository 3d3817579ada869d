// HTTP written by hand, for what no proper client would send.
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Opens a connection to the worker. */
async function open(worker) {
  const { hostname, port } = new URL(worker.url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return socket;
}

const head = (worker, method, path, headers) =>
  [`${method} ${path} HTTP/1.1`, `Host: ${new URL(worker.url).host}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), "", ""].join("\r\n");

/** Sends a request whose path and headers go out as they are, and answers `{status, head, body}`. */
export async function exchange(worker, method, path, { headers = {}, body = "" } = {}) {
  const socket = await open(worker);
  const length = body ? { "Content-Length": Buffer.byteLength(body) } : {};
  socket.write(head(worker, method, path, { Connection: "close", ...length, ...headers }));
  socket.write(body);
  let text = "";
  const read = () => {
    const [, top, rest] = /^(.*?)\r\n\r\n(.*)$/s.exec(text) ?? [];
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(top)?.[1]);
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(top)?.[1]), head: top, body: rest, isWhole: Buffer.byteLength(rest ?? "") >= length };
  };
  await new Promise((resolve) => {
    // workerd may reset a connection whose request it has answered unread.
    socket.setEncoding("utf8").setTimeout(10_000, resolve).once("close", resolve);
    socket.on("data", (part) => {
      text += part;
      if (read().isWhole) resolve();
    });
  });
  socket.destroy();
  return read();
}

/**
 * Announces `announced` bytes (undefined: chunked encoding without an end), sends `body`, which is less, waits `afterMs`
 * and cuts the connection.
 */
export async function breakOff(worker, method, path, { announced, body, headers = {}, afterMs = 100 }) {
  const socket = await open(worker);
  const framing = announced === undefined ? { "Transfer-Encoding": "chunked" } : { "Content-Length": announced };
  const chunk = body && `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n`;
  socket.write(head(worker, method, path, { "Content-Type": "application/json", ...framing, ...headers }));
  await new Promise((sent) => socket.write(announced === undefined ? chunk : body, sent));
  await sleep(afterMs);
  socket.destroy();
}
