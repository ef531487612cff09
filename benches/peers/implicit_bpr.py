"""An epoch of BPR in implicit: one sample an interaction, its negative checked against what the user has, plain gradient
descent without locks, one thread.

    OMP_NUM_THREADS=1 python benches/peers/implicit_bpr.py pairs.txt [--dim 64] [--epochs 3]

Reads `user item item ...` lines. Prints one JSON line: CPU microseconds a sample, from the difference between a fit of
1 + epochs and one of 1.
"""

import argparse
import json
import time

import implicit
import numpy as np
import scipy.sparse as sp


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    users, items = [], []
    for line in open(options.pairs):
        user, *its = map(int, line.split())
        users += [user] * len(its)
        items += its
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)))

    def cost(epochs):
        model = implicit.cpu.bpr.BayesianPersonalizedRanking(
            factors=options.dim, iterations=epochs, num_threads=1, verify_negative_samples=True, random_state=1
        )
        start = time.process_time()
        model.fit(matrix, show_progress=False)
        return time.process_time() - start

    one = cost(1)
    per_epoch = (cost(1 + options.epochs) - one) / options.epochs
    print(json.dumps({"peer": "implicit, gradient descent", "cpu_us_per_sample": per_epoch / matrix.nnz * 1e6}))


main()
