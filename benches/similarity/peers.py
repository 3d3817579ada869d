"""faiss's exact searches of binary vectors at the service of benches/similarity.mjs, on one thread.

    python peers.py

Each line of stdin is a JSON object, answered by one line of JSON.

    {"do": "load", "hashes", "queries"}        indexes the hashes of a file, 32 bytes each, and keeps the queries of another
    {"do": "search", "index", "distance", "count"}  finds for each of the first queries all within a distance: {"ms", "found"}
    {"do": "answers", "index", "distance", "count", "path"}  writes what it finds to a file: u32 query, position and distance
                                               of each, little-endian, in this order: {"found"}
"""

import json
import sys
import time

import faiss
import numpy

BITS = 256
# As many tables of as many bits as our bands, each looked up with up to one bit turned: the least that finds everything
# within 31.
TABLES, TABLE_BITS, TURNED = 16, 16, 1


class Peers:
    def load(self, hashes, queries):
        hashes, self.queries = (numpy.fromfile(path, dtype="u1").reshape(-1, BITS // 8) for path in (hashes, queries))
        multi = faiss.IndexBinaryMultiHash(BITS, TABLES, TABLE_BITS)
        multi.nflip = TURNED
        self.indexes = {"flat": faiss.IndexBinaryFlat(BITS), "multi": multi}
        for index in self.indexes.values():
            index.add(hashes)
        return {"version": faiss.__version__, "options": faiss.get_compile_options().strip()}

    def range(self, index, distance, count):
        # faiss finds what is nearer than the radius.
        return self.indexes[index].range_search(self.queries[:count], distance + 1)

    def search(self, index, distance, count):
        started = time.perf_counter()
        limits, _, _ = self.range(index, distance, count)
        return {"ms": (time.perf_counter() - started) * 1_000, "found": int(limits[-1])}

    def answers(self, index, distance, count, path):
        limits, distances, positions = self.range(index, distance, count)
        queries = numpy.repeat(numpy.arange(count), numpy.diff(limits.astype("i8")))
        rows = numpy.stack([queries, positions, distances.astype("i8")], axis=1)
        rows[numpy.lexsort((rows[:, 1], rows[:, 2], rows[:, 0]))].astype("<u4").tofile(path)
        return {"found": len(rows)}


def main():
    faiss.omp_set_num_threads(1)
    peers = Peers()
    commands = {name: getattr(peers, name) for name in ("load", "search", "answers")}
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        print(json.dumps(commands[do](**command)), flush=True)


main()
