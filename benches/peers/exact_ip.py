"""Exact top-k by inner product with the usual Python libraries, one thread, CPU time.

    python benches/peers/exact_ip.py --items items.npy --queries queries.npy [--k 100] [--rounds 5] [--batch 1,256]
                                     [--methods numpy,torch,faiss,scann] [--ids ids.npy]

items.npy is [n, dim] float32, queries.npy [n_queries, dim] float32. Every method answers the same queries in the same
round, so a busy moment of the machine hits all of them. For each batch size b the first b queries are asked in one call.

Prints one JSON array to stdout; an object has: method, n, dim, n_queries, k, cpu_ms_min and cpu_ms_median (process CPU time of
one call), recall (of the ids, against the exact answer in float64, averaged over queries) and ids_checksum (CRC-32 of the
ids in rank order as little-endian u32). A library that is not installed is named on stderr and left out. With --ids the
reference ids of the largest batch are written, [n_queries, k] uint32.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
    os.environ[name] = "1"

import argparse
import json
import statistics
import sys
import time
import zlib

import numpy as np


def numpy_method(items, k):
    def search(queries):
        scores = queries @ items.T
        part = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, part, axis=1), axis=1, kind="stable")
        return np.take_along_axis(part, order, axis=1)

    return search


def torch_method(items, k):
    import torch

    torch.set_num_threads(1)
    items = torch.from_numpy(items)

    def search(queries):
        return torch.topk(torch.from_numpy(queries) @ items.T, k, dim=1).indices.numpy()

    return search


def faiss_method(items, k, blas=None):
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)

    def search(queries):
        default = faiss.cvar.distance_compute_blas_threshold
        if blas is not None:
            faiss.cvar.distance_compute_blas_threshold = blas
        try:
            return index.search(queries, k)[1]
        finally:
            faiss.cvar.distance_compute_blas_threshold = default

    return search


def scann_method(items, k):
    import scann

    index = scann.scann_ops_pybind.builder(items, k, "dot_product").score_brute_force().build()
    index.set_num_threads(1)

    def search(queries):
        if len(queries) == 1:
            return index.search(queries[0])[0][None, :]
        return index.search_batched(queries)[0]

    return search


METHODS = {
    "numpy": numpy_method,
    "torch": torch_method,
    "faiss": faiss_method,
    # FAISS takes a matrix product only above a number of queries; below that it is 2 to 5 times slower.
    "faiss-blas": lambda items, k: faiss_method(items, k, blas=1),
    "scann": scann_method,
}


def reference(items, queries, k):
    """Exact ids: candidates from float32, with slack, ordered by float64 score and then id."""
    ids = np.empty((len(queries), k), np.uint32)
    slack = min(2 * k + 64, len(items))
    for row, query in enumerate(queries):
        near = np.sort(np.argpartition(-(items @ query), slack - 1)[:slack])
        scores = items[near].astype(np.float64) @ query.astype(np.float64)
        ids[row] = near[np.argsort(-scores, kind="stable")[:k]]
    return ids


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", required=True)
    parser.add_argument("--queries", required=True)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", help="sizes, for instance 1,256; default: 1 and all queries")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--ids", help="write the reference ids here")
    options = parser.parse_args()

    items = np.ascontiguousarray(np.load(options.items), dtype=np.float32)
    queries = np.ascontiguousarray(np.load(options.queries), dtype=np.float32)
    if items.ndim != 2 or queries.ndim != 2 or items.shape[1] != queries.shape[1]:
        sys.exit(f"items {items.shape} and queries {queries.shape} must be two matrices of equal width")
    k = options.k
    if not 1 <= k <= len(items):
        sys.exit(f"k is {k}, expected 1 to {len(items)}")
    batches = sorted({int(b) for b in options.batch.split(",")}) if options.batch else sorted({1, len(queries)})
    if batches[0] < 1 or batches[-1] > len(queries):
        sys.exit(f"batch sizes are {batches}, expected 1 to {len(queries)}")

    unknown = set(options.methods.split(",")) - set(METHODS)
    if unknown:
        sys.exit(f"unknown methods {sorted(unknown)}, expected some of {sorted(METHODS)}")
    searches = {}
    for method in options.methods.split(","):
        try:
            searches[method] = METHODS[method](items, k)
        except ImportError as error:
            print(f"{method} left out: {error}", file=sys.stderr)

    truth = reference(items, queries[: batches[-1]], k)
    if options.ids:
        np.save(options.ids, truth)

    results = []
    for batch in batches:
        asked = queries[:batch]
        times = {method: [] for method in searches}
        ids = {method: search(asked) for method, search in searches.items()}  # warm-up
        for _ in range(options.rounds):
            for method, search in searches.items():
                repeats = 10 if batch == 1 and len(items) <= 200_000 else 1
                start = time.process_time_ns()
                for _ in range(repeats):
                    search(asked)
                times[method].append((time.process_time_ns() - start) / 1e6 / repeats)
        for method, found in ids.items():
            found = np.ascontiguousarray(found, dtype="<u4")
            recall = np.mean([np.isin(a, b).mean() for a, b in zip(truth[:batch], found)])
            results.append(
                {
                    "method": method,
                    "n": len(items),
                    "dim": items.shape[1],
                    "n_queries": batch,
                    "k": k,
                    "cpu_ms_min": round(min(times[method]), 4),
                    "cpu_ms_median": round(statistics.median(times[method]), 4),
                    "recall": round(float(recall), 6),
                    "ids_checksum": f"{zlib.crc32(found.tobytes()):08x}",
                }
            )
    json.dump(results, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
