"""GCN-CF training in PyTorch, in its best form on one core: CSR products (MKL), a hand-written backward that uses the
symmetric matrix again, fused Adam.

Reads the pairs of a `user item item ...` file (gzip or plain) and prints one JSON line: CPU milliseconds a step.

    OMP_NUM_THREADS=1 python benches/peers/gcn_cf.py pairs.txt
"""

import argparse
import json
import statistics
import time

import numpy
import torch

from light_gcn import Propagate, normalised_adjacency, read_pairs


class GcnCf(torch.nn.Module):
    """`I + A` is applied as `x + A x`, as the paper writes it."""

    def __init__(self, n, dim):
        super().__init__()
        normal = lambda *shape: torch.nn.Parameter(0.01 + 0.02 * torch.randn(*shape))
        self.table = normal(n, dim)
        self.filters = torch.nn.ParameterList([normal(dim, dim), normal(dim, dim)])
        self.crosses = torch.nn.ParameterList([torch.nn.Parameter(0.01 * torch.randn(n, dim)) for _ in range(2)])
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm1d(dim), torch.nn.BatchNorm1d(dim)])

    def convolve(self, a, x, k):
        x = self.norms[k](x)
        return torch.sigmoid((x + Propagate.apply(a, x)) @ self.filters[k])

    def forward(self, a):
        x1 = x = self.convolve(a, self.table, 0)
        for w in self.crosses:
            x = x + (x * w).sum(1, keepdim=True) * x
        return torch.cat([self.table, x1, self.convolve(a, x, 1)], 1)


def step(model, a, n_users, batch, l2, optimiser):
    users, positives, negatives = batch
    final = model(a)
    u, i, j = final[users], final[positives + n_users], final[negatives + n_users]
    squares = u.pow(2).sum() + i.pow(2).sum() + j.pow(2).sum()
    loss = torch.nn.functional.softplus(-(u * (i - j)).sum(1)).mean() + l2 * squares / len(users)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    users, items = read_pairs(args.pairs)
    n_users, n_items = users.max() + 1, items.max() + 1
    a = normalised_adjacency(users, items, n_users, n_items)
    torch.manual_seed(0)
    model = GcnCf(n_users + n_items, args.dim)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    chosen = numpy.random.default_rng(0).integers(len(users), size=(args.steps, args.batch))
    batches = [
        (torch.from_numpy(users[c]), torch.from_numpy(items[c]), torch.randint(n_items, (args.batch,)))
        for c in chosen
    ]
    times = []
    for repetition in range(args.repeat + 1):
        start = time.process_time()
        for batch in batches:
            step(model, a, n_users, batch, 1e-3, optimiser)
        if repetition > 0:
            times.append(1000 * (time.process_time() - start) / args.steps)
    result = {"step_cpu_ms": round(statistics.median(times), 2), "best": round(min(times), 2)}
    print(json.dumps({"peer": "torch", "model": "gcn_cf", "nnz": 2 * len(users), "batch": args.batch, **result}))
