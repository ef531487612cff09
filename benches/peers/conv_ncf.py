"""ConvNCF training in PyTorch: BPR over interaction maps, dense tables, Adagrad, L2 as the authors' code has it.

Prints one JSON line: processor time a sample (an interaction and its negative), the median of the repetitions.

    OMP_NUM_THREADS=1 python benches/peers/conv_ncf.py --repeat 3
"""

import argparse
import json
import statistics
import time

import torch

from all_pairs import ConvNCF

torch.set_num_threads(1)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--items", type=int, default=3706)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(0)
    users, items = torch.nn.Embedding(args.users, args.dim), torch.nn.Embedding(args.items, args.dim)
    for table in (users, items):
        torch.nn.init.normal_(table.weight, std=0.01)
    model = ConvNCF(args.dim, args.channels)
    filters = [layer.weight for layer in model.layers]
    parameters = [users.weight, items.weight, *model.parameters()]
    optimiser = torch.optim.Adagrad(parameters, lr=0.05)

    def step():
        u = torch.randint(args.users, (args.batch,))
        i, j = torch.randint(args.items, (2, args.batch))
        p, q, r = users(u), items(i), items(j)
        loss = torch.nn.functional.softplus(model(p, r) - model(p, q)).sum()
        loss = loss + 0.005 * (p.square().sum() + q.square().sum() + r.square().sum())
        loss = loss + 0.5 * sum(w.square().sum() for w in filters) + 5.0 * model.output.weight.square().sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    step()
    costs = []
    for _ in range(args.repeat):
        start = time.process_time()
        for _ in range(args.steps):
            step()
        costs.append((time.process_time() - start) / (args.steps * args.batch) * 1e6)
    print(json.dumps({"peer": "torch", "cpu_us_per_sample": statistics.median(costs)}))
