"""Exact top-k by Hamming distance with FAISS, one thread, CPU time.

    python benches/peers/hamming.py --items items.npy --queries queries.npy --batch 1 [--k 100] [--distances distances.npy]

items.npy is [n, words] uint64, queries.npy [n_queries, words]; the first `batch` queries are asked in one call. Prints one
JSON line a method: CPU milliseconds of a call (mean of ten for one query). With --distances, [batch, k], another answer is an
error.
"""

import argparse
import json
import time

import faiss
import numpy as np

faiss.omp_set_num_threads(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--distances")
    options = parser.parse_args()
    items = np.load(options.items).view(np.uint8)
    queries = np.load(options.queries).view(np.uint8)[: options.batch]
    index = faiss.IndexBinaryFlat(8 * items.shape[1])
    index.add(items)
    repeats = 10 if options.batch == 1 else 1
    for name, use_heap in (("faiss heap", True), ("faiss counting", False)):
        index.use_heap = use_heap
        distances = np.sort(index.search(queries, options.k)[0], axis=1)  # warm-up
        if options.distances and not np.array_equal(distances, np.load(options.distances)):
            raise SystemExit(f"{name} finds other distances than {options.distances}")
        start = time.process_time_ns()
        for _ in range(repeats):
            index.search(queries, options.k)
        cost = (time.process_time_ns() - start) / 1e6 / repeats
        print(json.dumps({"peer": name, "cpu_ms": cost}), flush=True)


main()
