"""Top-k by inner product over product-quantised codes with FAISS, one thread, CPU time.

    python benches/peers/codes.py --codebooks codebooks.npy --codes codes.npy --queries queries.npy --batch 1 [--k 100]
                                  [--scores scores.npy]

codebooks.npy is [bytes, 256, dim / bytes] float32, codes.npy [n, bytes] uint8, queries.npy [n_queries, dim] float32; the first
`batch` queries are asked in one call. Nothing is trained. Methods: PQ8 with these codes, whose scores must be those of
--scores, [batch, k] descending; and PQ4 fast-scan with random codes of as many bytes, two to a byte, which is quicker and less
accurate. Prints one JSON line a method: CPU milliseconds of a call (mean of ten for one query).
"""

import argparse
import json
import time

import faiss
import numpy as np

faiss.omp_set_num_threads(1)


def filled(dim, centroids, bits, codes):
    """A quantiser's index with given centroids [parts, 2 ** bits, dim / parts] and packed codes [n, bytes]."""
    index = faiss.IndexPQ(dim, centroids.shape[0], bits, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.ascontiguousarray(centroids, np.float32).ravel(), index.pq.centroids)
    faiss.copy_array_to_vector(np.ascontiguousarray(codes).ravel(), index.codes)
    index.is_trained = True
    index.ntotal = len(codes)
    return index


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codebooks", required=True)
    parser.add_argument("--codes", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--scores")
    options = parser.parse_args()
    codebooks, codes = np.load(options.codebooks), np.load(options.codes)
    queries = np.load(options.queries)[: options.batch]
    n_bytes, dim = codes.shape[1], queries.shape[1]
    rng = np.random.default_rng(1)
    halves = rng.standard_normal((2 * n_bytes, 16, dim // (2 * n_bytes)), dtype=np.float32)
    packed = rng.integers(256, size=codes.shape, dtype=np.uint8)
    methods = {
        "faiss PQ8": filled(dim, codebooks, 8, codes),
        "faiss PQ4 fast-scan": faiss.IndexPQFastScan(filled(dim, halves, 4, packed)),
    }
    repeats = 10 if options.batch == 1 else 1
    for name, index in methods.items():
        scores = index.search(queries, options.k)[0]  # warm-up
        if options.scores and name == "faiss PQ8" and not np.allclose(scores, np.load(options.scores), atol=1e-3):
            raise SystemExit(f"{name} finds other scores than {options.scores}")
        start = time.process_time_ns()
        for _ in range(repeats):
            index.search(queries, options.k)
        cost = (time.process_time_ns() - start) / 1e6 / repeats
        print(json.dumps({"peer": name, "cpu_ms": cost}), flush=True)


main()
