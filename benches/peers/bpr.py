"""BPR matrix factorisation in PyTorch, in its best forms on one core: dense tables with fused Adam, sparse gradients with SparseAdam.

    OMP_NUM_THREADS=1 python benches/peers/bpr.py [--users 6040] [--items 3706] [--dim 64] [--batch 1024] [--samples 200000]

A sample is a user, an item and a uniform negative, drawn afresh; negatives are not checked against what the user has.
Prints one JSON line a method: CPU microseconds a sample.
"""

import argparse
import json
import time

import torch

torch.set_num_threads(1)
torch.manual_seed(1)


def train(args, sparse):
    users = torch.nn.Embedding(args.users, args.dim, sparse=sparse)
    items = torch.nn.Embedding(args.items, args.dim, sparse=sparse)
    for table in (users, items):
        torch.nn.init.normal_(table.weight, std=0.01)
    parameters = [users.weight, items.weight]
    optimizer = torch.optim.SparseAdam(parameters) if sparse else torch.optim.Adam(parameters, fused=True)
    pairs = torch.stack([torch.randint(args.users, (args.samples,)), torch.randint(args.items, (args.samples,))], 1)

    def epoch(n):
        order = torch.randperm(len(pairs))[:n]
        for start in range(0, n - args.batch + 1, args.batch):
            user, item = pairs[order[start : start + args.batch]].T
            negative = torch.randint(args.items, (args.batch,))
            u = users(user)
            loss = -torch.nn.functional.logsigmoid((u * (items(item) - items(negative))).sum(1)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return n // args.batch * args.batch

    epoch(10 * args.batch)  # warm-up
    start = time.process_time()
    samples = epoch(args.samples)
    return (time.process_time() - start) / samples * 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--items", type=int, default=3706)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--samples", type=int, default=200_000)
    options = parser.parse_args()
    for name, sparse in (("torch fused Adam", False), ("torch SparseAdam", True)):
        print(json.dumps({"peer": name, "cpu_us_per_sample": train(options, sparse)}), flush=True)
