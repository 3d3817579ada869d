// A bucket binding that fails when it is told to, over a real one of Miniflare's.
//
// workerd's R2 has no switch for faults. So the worker's COLD is wrapped: this module's class passes every call on, unless
// the test's process, asked first, says which status R2 is to answer with. The errors are as R2's bindings throw them.

const wrapper = `
class R2Bucket {
  constructor({ INNER, FAULTS }) {
    for (const name of ["head", "get", "put", "delete", "list"]) {
      this[name] = async (...args) => {
        const answer = await FAULTS.fetch("http://faults/" + name);
        if (!answer.ok) throw new Error(name + ": " + (await answer.text()));
        return INNER[name](...args);
      };
    }
  }
}
export default (env) => new R2Bucket(env);
`;

/** What R2 says with a status, code and all. */
const messages = {
  429: "Reduce your concurrent request rate for the same object. (10058)",
  500: "We encountered an internal error. Please try again. (10001)",
  503: "Service unavailable. (10043)",
};

/** What becomes of the calls of one bucket, and how many there were. */
export class Faults {
  /** The status that every call fails with; 0 for none. */
  status = 0;
  /** Calls so far, those that failed included, by name. */
  calls = {};

  answer(name) {
    this.calls[name] = (this.calls[name] ?? 0) + 1;
    return this.status ? { body: messages[this.status], status: this.status } : { body: "", status: 200 };
  }

  get total() {
    return Object.values(this.calls).reduce((sum, count) => sum + count, 0);
  }
}

const scriptName = "flaky-bucket";

/** The main worker's options with its COLD wrapped, and the worker that wraps it. `BEHIND` is the bucket itself. */
export function wrapped(main, faults, respond) {
  const { COLD: bucket } = main.r2Buckets;
  const through = { ...main, r2Buckets: { BEHIND: bucket }, wrappedBindings: { COLD: { scriptName } } };
  const serviceBindings = {
    FAULTS(request) {
      const { body, status } = faults.answer(new URL(request.url).pathname.slice(1));
      return respond(body, { status });
    },
  };
  return [through, { name: scriptName, modules: true, script: wrapper, r2Buckets: { INNER: bucket }, serviceBindings }];
}
