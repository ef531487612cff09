"""Full evaluation of all users with the usual Python tools, one thread, CPU time.

    python benches/peers/full_evaluation.py [--ratings ratings.dat.gz] [--rounds 5]
    python benches/peers/full_evaluation.py --folder DIR --k 20|100 [--rounds 1]

The case of `cargo bench -p rectify-eval --bench full_evaluation`: 6,040 users, 3,706 items, 64 factors, a fifth of each user's
million pairs held out, training items excluded. With --ratings (`user::item::rating::time`) the pairs are MovieLens-1M's,
else drawn from a power law. Factors are random on top of popularity, so that lists hit as often as a real model's.

Methods, all asked in every round:
- numpy/k100: blocks of 512 users, one matrix product, argpartition and sort, then recall, precision, HR, MRR, MAP and NDCG at
  5, 10, 20, 50 and 100 with arrays (30 numbers a user);
- implicit/k20, implicit/k100: `ranking_metrics_at_k` (its precision, MAP, NDCG and AUC at one cut-off).

Prints one line a method: CPU milliseconds (minimum, median) and NDCG at its cut-off; all methods must agree on it.

With --folder the case is that of `bench all`: users.npy and items.npy are factors [n, 64], train.npy and test.npy pairs [n, 2],
ndcg.txt the NDCG that must come out. Prints one JSON line a method: the median of its CPU milliseconds at that cut-off (numpy at 100
with the five cut-offs above).
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import gzip
import json
import statistics
import sys
import time

import numpy as np
import scipy.sparse as sp

N_USERS, N_ITEMS, DIM = 6040, 3706, 64


def pairs_of(path):
    if path is None:
        rng = np.random.default_rng(1)
        weights = (np.arange(N_ITEMS) + 1.0) ** -0.8
        users = np.repeat(np.arange(N_USERS), 165)
        items = rng.choice(N_ITEMS, size=len(users), p=weights / weights.sum())
    else:
        with gzip.open(path, "rt") as rows:
            table = np.array([row.split("::")[:2] for row in rows], dtype=np.int64)
        users = np.unique(table[:, 0], return_inverse=True)[1]
        items = np.unique(table[:, 1], return_inverse=True)[1]
    pairs = np.unique(users * N_ITEMS + items)
    return pairs // N_ITEMS, pairs % N_ITEMS


def numpy_metrics(users, items, train, test, cuts, block=512):
    k = max(cuts)
    gain = 1.0 / np.log2(np.arange(k) + 2)
    ideal = np.cumsum(gain)
    values = []
    for start in range(0, len(users), block):
        rows = slice(start, start + block)
        scores = users[rows] @ items.T
        seen = train[rows].tocoo()
        scores[seen.row, seen.col] = -np.inf
        top = np.argpartition(-scores, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
        top = np.take_along_axis(top, order, axis=1)
        truth = test[rows]
        n_true = np.diff(truth.indptr)
        dense = truth.toarray().astype(bool)
        hit = np.take_along_axis(dense, top, axis=1)[n_true > 0]
        n_true = n_true[n_true > 0]
        cumulative = hit.cumsum(1)
        dcg = (hit * gain).cumsum(1)
        precisions = (hit * cumulative / np.arange(1, k + 1)).cumsum(1)
        first = np.where(hit.any(1), hit.argmax(1), k)
        block_values = []
        for cut in cuts:
            n = cumulative[:, cut - 1]
            least = np.minimum(cut, n_true)
            block_values += [
                n / n_true,
                n / cut,
                n > 0,
                np.where(first < cut, 1.0 / (first + 1), 0.0),
                precisions[:, cut - 1] / least,
                dcg[:, cut - 1] / ideal[least - 1],
            ]
        values.append(np.array(block_values, dtype=np.float64))
    return np.concatenate(values, axis=1).mean(axis=1)


def methods_of(users, items, train, test, cuts):
    """Name to a function that returns the NDCG at a cut-off: numpy with all of them at once, implicit with each."""
    methods = {f"numpy/k{max(cuts)}": lambda: numpy_metrics(users, items, train, test, cuts)[-1]}
    try:
        import implicit
        from implicit.evaluation import ranking_metrics_at_k

        model = implicit.cpu.als.AlternatingLeastSquares(factors=items.shape[1])
        model.user_factors, model.item_factors = users, items
        for k in {20, 100} & set(cuts):
            methods[f"implicit/k{k}"] = lambda k=k: ranking_metrics_at_k(
                model, train, test, K=k, show_progress=False, num_threads=1
            )["ndcg"]
    except ImportError:
        print("implicit is not installed: left out", file=sys.stderr)
    return methods


def measured(methods, rounds):
    """CPU milliseconds of every round and the answer, by method."""
    times, answers = {name: [] for name in methods}, {}
    for _ in range(rounds):
        for name, method in methods.items():
            start = time.process_time()
            answers[name] = method()
            times[name].append((time.process_time() - start) * 1e3)
    return times, answers


def of_folder(arguments):
    load = lambda name: np.load(os.path.join(arguments.folder, name))
    users, items = load("users.npy"), load("items.npy")

    def matrix(name):
        pairs = load(name).astype(np.int64)
        ones = np.ones(len(pairs), dtype=np.float32)
        return sp.csr_matrix((ones, pairs.T), shape=(len(users), len(items)))

    cuts = (5, 10, 20, 50, 100) if arguments.k == 100 else (arguments.k,)
    methods = methods_of(users, items, matrix("train.npy"), matrix("test.npy"), cuts)
    methods = {name: method for name, method in methods.items() if name.endswith(f"/k{arguments.k}")}
    times, answers = measured(methods, arguments.rounds)
    expected = float(open(os.path.join(arguments.folder, "ndcg.txt")).read())
    for name, answer in answers.items():
        if abs(answer - expected) > 1e-5:
            sys.exit(f"{name} finds ndcg@{arguments.k} {answer}, expected {expected}")
        peer = name.split("/")[0]
        print(json.dumps({"peer": peer, "cpu_ms": statistics.median(times[name])}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder")
    parser.add_argument("--k", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.folder:
        return of_folder(arguments)

    rng = np.random.default_rng(2)
    users, items = pairs_of(arguments.ratings)
    # A random fifth of each user's pairs, to the nearest whole number.
    order = np.lexsort((rng.random(len(users)), users))
    counts = np.bincount(users, minlength=N_USERS)
    place = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.zeros(len(users), dtype=bool)
    held[order] = place < np.rint(0.2 * np.repeat(counts, counts))

    def matrix(mask):
        ones = np.ones(mask.sum(), dtype=np.float32)
        return sp.csr_matrix((ones, (users[mask], items[mask])), shape=(N_USERS, N_ITEMS))

    train, test = matrix(~held), matrix(held)
    item_factors = (0.1 * rng.standard_normal((N_ITEMS, DIM))).astype(np.float32)
    user_factors = (0.1 * rng.standard_normal((N_USERS, DIM))).astype(np.float32)
    item_factors[:, 0] = np.log1p(np.bincount(items[~held], minlength=N_ITEMS))
    user_factors[:, 0] = 1.0

    methods = methods_of(user_factors, item_factors, train, test, (5, 10, 20, 50, 100))
    times, answers = measured(methods, arguments.rounds)
    for name, samples in times.items():
        low, middle = min(samples), statistics.median(samples)
        print(f"{name:16} {low:9.1f} {middle:9.1f} ms CPU   ndcg {answers[name]:.6f}")
    at_100 = [answer for name, answer in answers.items() if name.endswith("k100")]
    assert max(at_100) - min(at_100) < 1e-5, answers


main()
