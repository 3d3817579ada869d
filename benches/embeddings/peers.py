"""Embeddings, and faiss's exact search of them, at the service of benches/embeddings.mjs, on one thread.

    python peers.py

Each line of stdin is a JSON object, answered by one line of JSON.

    {"do": "make", "kind", "count", "dimension", "queries", "paths"}  makes vectors and queries of length 1, writes both as 32-bit
                                               floats to the two files, and indexes the vectors: {"version", "options"}
    {"do": "search", "k"}                      finds the nearest of each query: {"ms"}
    {"do": "answers", "k", "path"}             writes their positions to a file, u32 little-endian: {"found"}
"""

import json
import sys
import time

import faiss
import numpy

# Strangers have a cosine of a half, as those of models have that are not centred.
SHARED = 1.0
CENTRES = 1_000
# How far from its centre a vector lies.
SPREAD = 0.6


def normalised(vectors):
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


class Peers:
    def make(self, kind, count, dimension, queries, paths):
        random = numpy.random.default_rng(7)
        # Few directions have most of the weight, as after training.
        weights = (numpy.arange(1, dimension + 1) ** -0.5).astype("f4")
        weights /= numpy.linalg.norm(weights)
        mean = normalised(random.standard_normal((1, dimension), dtype="f4")) * SHARED
        turn = numpy.linalg.qr(random.standard_normal((dimension, dimension), dtype="f4"))[0]

        def drawn(number):
            return random.standard_normal((number, dimension), dtype="f4") * weights

        if kind == "around a mean":
            vectors = drawn(count + queries)
        else:
            # Centres have unequal numbers of vectors.
            shares = random.pareto(1.5, CENTRES) + 0.1
            of = random.choice(CENTRES, count + queries, p=shares / shares.sum())
            vectors = drawn(CENTRES)[of] + drawn(count + queries) * SPREAD
        vectors = normalised(vectors @ turn + mean).astype("f4")
        self.queries = vectors[count:]
        for part, path in zip((vectors[:count], self.queries), paths):
            part.astype("<f4").tofile(path)
        self.index = faiss.IndexFlatIP(dimension)
        self.index.add(vectors[:count])
        return {"version": faiss.__version__, "options": faiss.get_compile_options().strip()}

    # One query a call, as the other is asked.
    def found(self, k):
        return [self.index.search(query[None, :], k)[1][0] for query in self.queries]

    def search(self, k):
        started = time.perf_counter()
        self.found(k)
        return {"ms": (time.perf_counter() - started) * 1_000}

    def answers(self, k, path):
        found = numpy.stack(self.found(k))
        found.astype("<u4").tofile(path)
        return {"found": int(found.size)}


def main():
    faiss.omp_set_num_threads(1)
    peers = Peers()
    commands = {name: getattr(peers, name) for name in ("make", "search", "answers")}
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        print(json.dumps(commands[do](**command)), flush=True)


main()
