"""Every user against every item with NeuMF and ConvNCF in PyTorch, and the best k of each user; random weights.

`plain` feeds whole pairs, user by user. `factored` computes the first layer's share of items once and that of a user once a user, adds
them, and writes the products of the GMF branch never: its output weights are folded into the user's vector.

Prints one JSON line a method: processor time a user in microseconds, multiply-adds a pair.

    OMP_NUM_THREADS=1 python benches/peers/all_pairs.py --methods plain factored
"""

import argparse
import json
import time

import torch

torch.set_num_threads(1)


def neumf(args):
    draw = lambda *shape: 0.1 * torch.randn(*shape)
    widths = [2 * args.mlp_dim, *args.hidden]
    return {
        "users": (draw(args.users, args.gmf_dim), draw(args.users, args.mlp_dim)),
        "items": (draw(args.items, args.gmf_dim), draw(args.items, args.mlp_dim)),
        "layers": [(draw(a, b), draw(b)) for a, b in zip(widths, widths[1:])],
        "output": draw(args.gmf_dim + widths[-1]),
    }


def plain(model, user):
    (gmf, mlp), (item_gmf, item_mlp) = model["users"], model["items"]
    x = torch.cat([mlp[user].expand(item_mlp.shape), item_mlp], dim=1)
    for weight, bias in model["layers"]:
        x = torch.addmm(bias, x, weight).relu_()
    return torch.cat([gmf[user] * item_gmf, x], dim=1) @ model["output"]


def factored(model, user, first):
    (gmf, mlp), item_gmf = model["users"], model["items"][0]
    (weight, _), *layers = model["layers"]
    x = (first + mlp[user] @ weight[: mlp.shape[1]]).relu_()
    for weight, bias in layers:
        x = torch.addmm(bias, x, weight).relu_()
    d = gmf.shape[1]
    return torch.addmv(item_gmf @ (gmf[user] * model["output"][:d]), x, model["output"][d:])


class ConvNCF(torch.nn.Module):
    def __init__(self, dim, channels):
        super().__init__()
        depth = dim.bit_length() - 1
        self.layers = torch.nn.ModuleList(
            torch.nn.Conv2d(1 if l == 0 else channels, channels, 2, stride=2) for l in range(depth)
        )
        self.output = torch.nn.Linear(channels, 1)

    def forward(self, users, items):
        x = (users.unsqueeze(2) * items.unsqueeze(1)).unsqueeze(1)
        for layer in self.layers:
            x = torch.relu_(layer(x))
        return self.output(x.flatten(1)).squeeze(1)


def measure(name, args):
    torch.manual_seed(0)
    if name == "conv-ncf":
        users, items = torch.randn(args.users, args.dim), torch.randn(args.items, args.dim)
        model = ConvNCF(args.dim, args.channels)
        score = lambda u: torch.cat([model(users[u].expand(len(i), -1), i) for i in items.split(256)])
        side, cost = args.dim // 2, 0
        for layer in range(len(model.layers)):
            cost += side * side * 4 * (1 if layer == 0 else args.channels) * args.channels
            side //= 2
    else:
        model = neumf(args)
        layers = model["layers"] if name == "plain" else model["layers"][1:]
        cost = sum(weight.numel() for weight, _ in layers) + len(model["output"])
        if name == "plain":
            score = lambda u: plain(model, u)
        else:
            weight, bias = model["layers"][0]
            first = torch.addmm(bias, model["items"][1], weight[args.mlp_dim :])
            score = lambda u: factored(model, u, first)
    n = max(1, args.sample // 16) if name == "conv-ncf" else args.sample
    with torch.inference_mode():
        score(0).topk(args.k)
        start = time.process_time()
        for user in range(n):
            score(user % args.users).topk(args.k)
        spent = time.process_time() - start
    return {"peer": f"torch {name}", "cpu_us_a_user": spent / n * 1e6, "multiply_adds_a_pair": cost}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["plain", "factored"])
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--items", type=int, default=3706)
    parser.add_argument("--gmf-dim", type=int, default=32)
    parser.add_argument("--mlp-dim", type=int, default=64)
    parser.add_argument("--hidden", type=int, nargs="*", default=[128, 64, 32])
    parser.add_argument("--dim", type=int, default=32, help="of ConvNCF")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--sample", type=int, default=64, help="users that are timed; of ConvNCF a sixteenth")
    parser.add_argument("--k", type=int, default=20)
    args = parser.parse_args()
    for method in args.methods:
        print(json.dumps(measure(method, args)), flush=True)
