// A process that answers lines: one of JSON on stdout for each that is written to its stdin.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export class LineProcess {
  #child;
  #lines;
  #ended;

  constructor(command, args, options = {}) {
    this.#child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], ...options });
    this.#ended = new Promise((resolve) => this.#child.on("error", resolve).on("close", resolve));
    // It says on stderr what was wrong; that it is gone is seen by the answer that does not come.
    this.#child.stdin.on("error", () => {});
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Writes a line, or an object as one, and answers what comes back. */
  async ask(question) {
    const line = typeof question === "string" ? question : JSON.stringify(question);
    this.#child.stdin.write(`${line}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.#child.spawnargs.join(" ")} ended at ${line}`);
    return JSON.parse(value);
  }

  /** Ends it: it has nothing more to read. */
  async end() {
    this.#child.stdin.end();
    await this.#ended;
  }
}
