"""NeuMF training in PyTorch, in its best form on one core: dense tables, fused Adam, one forward and backward a batch.

Prints one JSON line a batch size: samples per second of CPU time, the median and the best of the repetitions.

    OMP_NUM_THREADS=1 python benches/peers/neumf.py --batch 512 3072
"""

import argparse
import json
import statistics
import time

import torch

torch.set_num_threads(1)


class NeuMF(torch.nn.Module):
    def __init__(self, n_users, n_items, gmf_dim, mlp_dim, hidden):
        super().__init__()
        self.user_gmf = torch.nn.Embedding(n_users, gmf_dim)
        self.item_gmf = torch.nn.Embedding(n_items, gmf_dim)
        self.user_mlp = torch.nn.Embedding(n_users, mlp_dim)
        self.item_mlp = torch.nn.Embedding(n_items, mlp_dim)
        widths = [2 * mlp_dim, *hidden]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.output = torch.nn.Linear(gmf_dim + widths[-1], 1)
        for table in (self.user_gmf, self.item_gmf, self.user_mlp, self.item_mlp):
            torch.nn.init.normal_(table.weight, std=0.01)
        for layer in (*self.layers, self.output):
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)

    def forward(self, users, items):
        product = self.user_gmf(users) * self.item_gmf(items)
        x = torch.cat([self.user_mlp(users), self.item_mlp(items)], dim=1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.output(torch.cat([product, x], dim=1)).squeeze(1)


def measure(batch, steps, repeat, args):
    torch.manual_seed(0)
    model = NeuMF(args.users, args.items, args.gmf_dim, args.mlp_dim, args.hidden)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss_of = torch.nn.BCEWithLogitsLoss()
    users = torch.randint(args.users, (steps, batch))
    items = torch.randint(args.items, (steps, batch))
    labels = (torch.rand(steps, batch) < 0.2).float()

    def run():
        for u, i, y in zip(users, items, labels):
            optimiser.zero_grad(set_to_none=True)
            loss_of(model(u, i), y).backward()
            optimiser.step()

    run()
    rates = []
    for _ in range(repeat):
        start = time.process_time()
        run()
        rates.append(steps * batch / (time.process_time() - start))
    return {"batch": batch, "samples_per_cpu_s": round(statistics.median(rates)), "best": round(max(rates))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--items", type=int, default=3706)
    parser.add_argument("--gmf-dim", type=int, default=32)
    parser.add_argument("--mlp-dim", type=int, default=64)
    parser.add_argument("--hidden", type=int, nargs="*", default=[128, 64, 32])
    parser.add_argument("--batch", type=int, nargs="+", default=[512, 3072])
    parser.add_argument("--samples", type=int, default=100_000, help="samples a repetition")
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    for batch in args.batch:
        result = measure(batch, max(1, args.samples // batch), args.repeat, args)
        print(json.dumps({"peer": "torch", "model": "neumf", "hidden": args.hidden, **result}), flush=True)
