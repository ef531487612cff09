"""BPR-MF's course on DE-RRD's CiteULike split in PyTorch, by the recipe of the authors' public logs: each training pair once an
epoch with one uniform item that the user does not have, batches of 1,024, the loss summed, d = 20, embeddings from N(0, 0.01^2),
Adam with learning rate 0.001 and coupled weight decay 0.001.

    OMP_NUM_THREADS=1 python benches/peers/bpr_quality.py $RECTIFY_DATA/citeulike-de-rrd [--epochs 201] [--seed 0] [--init-std 0.01]

Prints one JSON line for each epoch of --at (counted from 1): the mean loss and HR@5 of the test items among 499 uniform items
that the user has in no part.
"""

import argparse
import gzip
import json
import os

import numpy
import torch

D, BATCH, CANDIDATES, K = 20, 1024, 499, 5


def read_pairs(folder, name):
    path = os.path.join(folder, name)
    with (open(path) if os.path.exists(path) else gzip.open(path + ".gz", "rt")) as lines:
        return numpy.array([[int(x) for x in line.split()] for line in lines]).T


def draw(rng, users, known, n_items):
    """One item for each of `users` whose pair is not in the sorted keys `known`."""
    items = rng.integers(n_items, size=len(users))
    while True:
        wanted = users * n_items + items
        at = numpy.minimum(numpy.searchsorted(known, wanted), len(known) - 1)
        again = numpy.flatnonzero(known[at] == wanted)
        if len(again) == 0:
            return items
        items[again] = rng.integers(n_items, size=len(again))


def candidates(rng, n_users, known, n_items):
    """(n_users, CANDIDATES) items, distinct in a row, none of them the user's."""
    rows = []
    for user in range(n_users):
        own = known[numpy.searchsorted(known, user * n_items) : numpy.searchsorted(known, (user + 1) * n_items)] % n_items
        drawn = rng.permutation(n_items)[: CANDIDATES + len(own)]
        rows.append(drawn[~numpy.isin(drawn, own)][:CANDIDATES])
    return torch.from_numpy(numpy.array(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--at", type=int, nargs="+", default=[11, 51, 101, 201])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init-std", type=float, default=0.01)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = numpy.random.default_rng(args.seed)
    train, valid, test = (read_pairs(args.folder, f"{part}.txt") for part in ("train", "valid", "test"))
    n_users, n_items = 1 + max(p[0].max() for p in (train, valid, test)), 1 + max(p[1].max() for p in (train, valid, test))
    seen = numpy.sort(train[0] * n_items + train[1])
    every = numpy.sort(numpy.concatenate([p[0] * n_items + p[1] for p in (train, valid, test)]))
    others = candidates(rng, n_users, every, n_items)
    asked, wanted = torch.from_numpy(test[0]), torch.from_numpy(test[1])

    users, items = torch.nn.Embedding(n_users, D), torch.nn.Embedding(n_items, D)
    for table in (users, items):
        torch.nn.init.normal_(table.weight, std=args.init_std)
    optimiser = torch.optim.Adam([users.weight, items.weight], lr=1e-3, weight_decay=1e-3, fused=True)
    for epoch in range(1, max(args.at) + 1):
        order = rng.permutation(train.shape[1])
        triples = [torch.from_numpy(x[order]) for x in (*train, draw(rng, train[0], seen, n_items))]
        total = 0.0
        for at in range(0, len(order), BATCH):
            user, positive, negative = (x[at : at + BATCH] for x in triples)
            loss = -torch.nn.functional.logsigmoid((users(user) * (items(positive) - items(negative))).sum(1)).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach())
        if epoch in args.at:
            with torch.no_grad():
                vectors = users.weight[asked]
                own = (vectors * items.weight[wanted]).sum(1)
                rivals = torch.einsum("ud,ucd->uc", vectors, items.weight[others[asked]])
                hits = ((rivals > own.unsqueeze(1)).sum(1) < K).double().mean()
            result = {"epoch": epoch, "loss": round(total / len(order), 5), f"hr@{K}": round(float(hits), 5)}
            print(json.dumps({"peer": "torch", "seed": args.seed, "init_std": args.init_std, **result}), flush=True)
