// The hashes that are searched, and the queries: the same in every run.
import { readFileSync } from "node:fs";
import { at } from "../../scripts/lib/paths.mjs";
import { Failure } from "../../scripts/lib/failure.mjs";

export const hashBytes = 32;

/** Real PDQ hashes, of photographs and of changed copies of them; the variable names another such file, one hash a line. */
const realHashes = process.env.PDQ_HASHES ?? at("benches", "similarity", "pdq-hashes.txt");

/** Numbers that repeat with their seed (SFC32). */
class Numbers {
  #state;

  constructor(seed) {
    this.#state = new Uint32Array([seed, 0x9e37_79b9, 0x243f_6a88, 1]);
    for (let i = 0; i < 16; i++) this.next();
  }

  next() {
    const s = this.#state;
    const sum = (s[0] + s[1] + s[3]++) >>> 0;
    s[0] = s[1] ^ (s[1] >>> 9);
    s[1] = s[2] + (s[2] << 3);
    s[2] = ((s[2] << 21) | (s[2] >>> 11)) + sum;
    return sum;
  }

  below(bound) {
    return Math.floor((this.next() / 2 ** 32) * bound);
  }

  fill(bytes) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.next() >>> 24;
  }

  /** Turns so many different bits of a hash. */
  turn(hash, bits) {
    const turned = new Set();
    while (turned.size < bits) turned.add(this.below(256));
    for (const bit of turned) hash[bit >> 3] ^= 1 << (bit & 7);
  }
}

function hashesOf(count, make) {
  const bytes = new Uint8Array(count * hashBytes);
  for (let i = 0; i < count; i++) make(bytes.subarray(i * hashBytes, (i + 1) * hashBytes), i);
  return bytes;
}

const at32 = (bytes, number) => bytes.subarray(number * hashBytes, (number + 1) * hashBytes);

function uniform(count, numbers) {
  return hashesOf(count, (hash) => numbers.fill(hash));
}

/**
 * What makes buckets full: of each 100 hashes 1 is all zeros (images of one colour), 4 are copies of others, 30 are near
 * copies of one of 10,000, 15 have four bands of one of 16 values each (images with the same border); the others are random.
 */
function skewed(count, numbers) {
  const originals = uniform(10_000, numbers);
  const values = uniform(16, numbers);
  return hashesOf(count, (hash) => {
    const kind = numbers.below(100);
    if (kind < 1) return;
    if (kind < 35) {
      hash.set(at32(originals, numbers.below(10_000)));
      if (kind >= 5) numbers.turn(hash, numbers.below(40));
      return;
    }
    numbers.fill(hash);
    if (kind < 50) for (let band = 0; band < 4; band++) hash.set(at32(values, numbers.below(16)).subarray(band * 2, band * 2 + 2), band * 8);
  });
}

/** Half of them real ones, each with up to 31 bits turned; half of them random. */
function real(count, numbers) {
  const lines = readFileSync(realHashes, "utf8").split("\n").filter(Boolean);
  if (!lines.length || lines.some((line) => !/^[0-9a-f]{64}$/i.test(line))) throw new Failure(`expected ${realHashes} to have a hash of 64 hexadecimal digits a line`);
  const known = lines.map((line) => Buffer.from(line, "hex"));
  return hashesOf(count, (hash, number) => {
    if (number % 2) return numbers.fill(hash);
    hash.set(known[numbers.below(known.length)]);
    numbers.turn(hash, number < known.length * 2 ? 0 : numbers.below(32));
  });
}

export const kinds = { uniform, skewed, real };

/** So many hashes of a kind, and queries: half of them near one of the hashes (0 to 31 bits turned), half random. */
export function hashesAndQueries(kind, count, queries) {
  const numbers = new Numbers(1 + Object.keys(kinds).indexOf(kind));
  const hashes = kinds[kind](count, numbers);
  const wanted = hashesOf(queries, (query, number) => {
    if (number % 2) return numbers.fill(query);
    query.set(at32(hashes, numbers.below(count)));
    numbers.turn(query, numbers.below(32));
  });
  return { hashes, queries: wanted };
}
