"""LightGCN's early course on Gowalla in PyTorch, by the recipe of the authors' code: as many triples an epoch as there are
training pairs (a user uniformly, one of the user's items, one item that the user does not have), batches of 2,048, embeddings
from N(0, 0.1^2), three layers, their mean, Adam with learning rate 0.001, L2 1e-4 on the layer-0 embeddings of a batch.

    OMP_NUM_THREADS=1 python benches/peers/light_gcn_quality.py $RECTIFY_DATA/gowalla [--epochs 7] [--seed 0] [--self-loops]

Prints one JSON line an epoch: the mean loss, and Recall@20, Precision@20 and NDCG@20 (ideal: min(20, test items) hits at the
top) over the users of test.txt, training items excluded. They are given twice: for the scores themselves, and for the sigmoid
of the scores in 32 bits, which the authors' code ranks by; there the largest scores round to the same number.
--self-loops adds the identity to the adjacency before it is normalised, as an early version of that code did.
"""

import argparse
import json
import os
import time

import numpy
import torch

from light_gcn import normalised_adjacency, read_pairs, step

K = 20


def open_either(folder, name):
    path = os.path.join(folder, name)
    return read_pairs(path if os.path.exists(path) else path + ".gz")


def draw(rng, items_of, starts, counts, keys, n_items, n):
    """Triples as arrays: users, positives, negatives."""
    active = numpy.flatnonzero(counts)
    users = active[rng.integers(len(active), size=n)]
    positives = items_of[starts[users] + (rng.random(n) * counts[users]).astype(numpy.int64)]
    negatives = rng.integers(n_items, size=n)
    while True:
        wanted = users * n_items + negatives
        at = numpy.minimum(numpy.searchsorted(keys, wanted), len(keys) - 1)
        seen = numpy.flatnonzero(keys[at] == wanted)
        if len(seen) == 0:
            return users, positives, negatives
        negatives[seen] = rng.integers(n_items, size=len(seen))


@torch.no_grad()
def final(table, a, n_layers):
    x, total = table, table.clone()
    for _ in range(n_layers):
        x = a @ x
        total += x
    return total / (n_layers + 1)


@torch.no_grad()
def evaluate(vectors, n_users, train, test, block=1024):
    users, items = vectors[:n_users], vectors[n_users:]
    gains = 1 / numpy.log2(numpy.arange(K) + 2)
    ideal = numpy.cumsum(gains)
    tested = numpy.unique(test[0])
    n_test = numpy.bincount(test[0], minlength=n_users)
    keys = numpy.sort(test[0] * len(items) + test[1])
    starts = numpy.searchsorted(train[0], numpy.arange(n_users + 1))
    sums = {"scores": numpy.zeros(3), "sigmoid": numpy.zeros(3)}
    for start in range(0, len(tested), block):
        asked = tested[start : start + block]
        scores = users[torch.from_numpy(asked)] @ items.T
        for name in sums:
            ranked = scores if name == "scores" else torch.sigmoid(scores)
            for row, user in enumerate(asked):
                ranked[row, torch.from_numpy(train[1][starts[user] : starts[user + 1]])] = -1024.0
            top = torch.topk(ranked, K).indices.numpy()
            wanted = asked[:, None] * len(items) + top
            hit = keys[numpy.minimum(numpy.searchsorted(keys, wanted), len(keys) - 1)] == wanted
            n = n_test[asked]
            best = ideal[numpy.minimum(n, K) - 1]
            sums[name] += [(hit.sum(1) / n).sum(), hit.sum() / K, ((hit * gains).sum(1) / best).sum()]
    names = (f"recall@{K}", f"precision@{K}", f"ndcg@{K}")
    return {what: dict(zip(names, (values / len(tested)).round(6))) for what, values in sums.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--self-loops", action="store_true")
    args = parser.parse_args()
    train, test = open_either(args.folder, "train.txt"), open_either(args.folder, "test.txt")
    order = numpy.lexsort((train[1], train[0]))
    train = (train[0][order], train[1][order])
    n_users = 1 + max(train[0].max(), test[0].max())
    n_items = 1 + max(train[1].max(), test[1].max())
    a = normalised_adjacency(*train, n_users, n_items, self_loops=args.self_loops)
    counts = numpy.bincount(train[0], minlength=n_users)
    starts = numpy.cumsum(counts) - counts
    keys = train[0] * n_items + train[1]
    torch.manual_seed(args.seed)
    rng = numpy.random.default_rng(args.seed)
    table = torch.nn.Parameter(0.1 * torch.randn(n_users + n_items, 64))
    optimiser = torch.optim.Adam([table], lr=1e-3, fused=True)
    for epoch in range(1, args.epochs + 1):
        start = time.process_time()
        triples = [torch.from_numpy(ids) for ids in draw(rng, train[1], starts, counts, keys, n_items, len(keys))]
        losses = []
        for at in range(0, len(keys), 2048):
            batch = [ids[at : at + 2048] for ids in triples]
            losses.append(float(step(table, a, n_users, 3, batch, 1e-4, optimiser).detach()))
        seconds = time.process_time() - start
        quality = evaluate(final(table, a, 3), n_users, train, test)
        result = {"epoch": epoch, "loss": round(float(numpy.mean(losses)), 5), "cpu_seconds": round(seconds, 1), **quality}
        print(json.dumps({"peer": "torch", "self_loops": args.self_loops, "seed": args.seed, **result}), flush=True)
