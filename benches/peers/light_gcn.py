"""LightGCN training in PyTorch, in its best form on one core: CSR products (MKL), a hand-written backward that uses the
symmetric adjacency again, fused Adam.

Reads the pairs of a `user item item ...` file (gzip or plain) and prints one JSON line: CPU milliseconds a step.

    OMP_NUM_THREADS=1 python benches/peers/light_gcn.py $RECTIFY_DATA/gowalla/train.txt.gz
"""

import argparse
import gzip
import json
import statistics
import time
import warnings

import numpy
import scipy.sparse
import torch

torch.set_num_threads(1)
warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")


def read_pairs(path):
    users, items = [], []
    with (gzip.open(path, "rt") if path.endswith(".gz") else open(path)) as lines:
        for line in lines:
            ids = [int(x) for x in line.split()]
            users += [ids[0]] * (len(ids) - 1)
            items += ids[1:]
    return numpy.array(users), numpy.array(items)


def normalised_adjacency(users, items, n_users, n_items, self_loops=False):
    n = n_users + n_items
    one_way = scipy.sparse.coo_matrix((numpy.ones(len(users), numpy.float32), (users, items + n_users)), (n, n))
    a = (one_way + one_way.T).tocsr()
    if self_loops:
        a = a + scipy.sparse.identity(n, numpy.float32, "csr")
    degree = numpy.asarray(a.sum(1)).ravel()
    d = 1 / numpy.sqrt(numpy.maximum(degree, 1))
    a = (scipy.sparse.diags(d) @ a @ scipy.sparse.diags(d)).tocsr().astype(numpy.float32)
    a.sort_indices()
    # 64-bit indices: on the machine measured the 32-bit product is a third slower.
    index = lambda x: torch.from_numpy(x.astype(numpy.int64))
    return torch.sparse_csr_tensor(index(a.indptr), index(a.indices), torch.from_numpy(a.data), a.shape)


class Propagate(torch.autograd.Function):
    """`A x` for a symmetric `A`, whose backward is `A g`: torch's own would transpose and convert `A` each time."""

    @staticmethod
    def forward(ctx, a, x):
        ctx.a = a
        return a @ x

    @staticmethod
    def backward(ctx, g):
        return None, ctx.a @ g


def step(table, a, n_users, n_layers, batch, l2, optimiser):
    users, positives, negatives = batch
    x, total = table, table
    for _ in range(n_layers):
        x = Propagate.apply(a, x)
        total = total + x
    final = total / (n_layers + 1)
    i, j = positives + n_users, negatives + n_users
    margin = (final[users] * (final[i] - final[j])).sum(1)
    squares = table[users].pow(2).sum() + table[i].pow(2).sum() + table[j].pow(2).sum()
    loss = torch.nn.functional.softplus(-margin).mean() + l2 * 0.5 * squares / len(users)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    users, items = read_pairs(args.pairs)
    n_users, n_items = users.max() + 1, items.max() + 1
    a = normalised_adjacency(users, items, n_users, n_items)
    torch.manual_seed(0)
    table = torch.nn.Parameter(0.1 * torch.randn(n_users + n_items, args.dim))
    optimiser = torch.optim.Adam([table], lr=1e-3, fused=True)
    chosen = numpy.random.default_rng(0).integers(len(users), size=(args.steps, args.batch))
    batches = [
        (torch.from_numpy(users[c]), torch.from_numpy(items[c]), torch.randint(n_items, (args.batch,)))
        for c in chosen
    ]
    times = []
    for repetition in range(args.repeat + 1):
        start = time.process_time()
        for batch in batches:
            step(table, a, n_users, args.layers, batch, 1e-4, optimiser)
        if repetition > 0:
            times.append(1000 * (time.process_time() - start) / args.steps)
    result = {"step_cpu_ms": round(statistics.median(times), 2), "best": round(min(times), 2)}
    print(json.dumps({"peer": "torch", "model": "light_gcn", "nnz": 2 * len(users), "batch": args.batch, **result}))
