"""Training in PyTorch on a GPU: BPR, NeuMF, GCN-CF and LightRec in their best forms, the peers of `cargo xtask bench all --device cuda`.

    python benches/peers/cuda_training.py [--device cuda] [--only bpr] [--repeat 5] [--pairs pairs.txt]

Dense tables, fused Adam, samples drawn on the device; GCN-CF multiplies with a CSR matrix and uses the symmetric matrix again in its
backward. GCN-CF reads the pairs of a `user item item ...` file; without one it draws as many at random. Prints one JSON line a model:
microseconds on the wall a sample, the median and the best of the repetitions, the device synchronised before each reading.
"""

import argparse
import json
import statistics
import sys
import time

import numpy
import torch
import torch.nn.functional as F

USERS, ITEMS, DIM = 6040, 3706, 64


class Bpr(torch.nn.Module):
    batch = 1024

    def __init__(self, device):
        super().__init__()
        self.users = torch.nn.Embedding(USERS, DIM, device=device)
        self.items = torch.nn.Embedding(ITEMS, DIM, device=device)
        for table in (self.users, self.items):
            torch.nn.init.normal_(table.weight, std=0.01)

    def loss(self, device):
        user, item, negative = (torch.randint(n, (self.batch,), device=device) for n in (USERS, ITEMS, ITEMS))
        return -F.logsigmoid((self.users(user) * (self.items(item) - self.items(negative))).sum(1)).mean()


class NeuMf(torch.nn.Module):
    batch = 512

    def __init__(self, device):
        super().__init__()
        from neumf import NeuMF

        self.network = NeuMF(USERS, ITEMS, 32, 64, [128, 64, 32]).to(device)

    def loss(self, device):
        user, item = torch.randint(USERS, (self.batch,), device=device), torch.randint(ITEMS, (self.batch,), device=device)
        label = (torch.rand(self.batch, device=device) < 0.2).float()
        return F.binary_cross_entropy_with_logits(self.network(user, item), label)


class Graph(torch.nn.Module):
    batch = 2048

    def __init__(self, device, pairs):
        super().__init__()
        from gcn_cf import GcnCf
        from light_gcn import normalised_adjacency, read_pairs

        if pairs:
            users, items = read_pairs(pairs)
        else:
            draw = numpy.random.default_rng(0)
            drawn = numpy.unique(draw.integers(6022, size=500_000) * 3043 + draw.integers(3043, size=500_000))
            users, items = drawn // 3043, drawn % 3043
        self.n_users, self.n_items = int(users.max()) + 1, int(items.max()) + 1
        self.a = normalised_adjacency(users, items, self.n_users, self.n_items).to(device)
        self.pairs = torch.from_numpy(numpy.stack([users, items])).to(device)
        self.network = GcnCf(self.n_users + self.n_items, DIM).to(device)

    def loss(self, device):
        users, items = self.pairs[:, torch.randint(self.pairs.shape[1], (self.batch,), device=device)]
        final = self.network(self.a)
        negatives = torch.randint(self.n_items, (self.batch,), device=device)
        u, i, j = final[users], final[items + self.n_users], final[negatives + self.n_users]
        squares = u.pow(2).sum() + i.pow(2).sum() + j.pow(2).sum()
        return F.softplus(-(u * (i - j)).sum(1)).mean() + 1e-3 * squares / self.batch


class Light(torch.nn.Module):
    batch = 1024

    def __init__(self, device):
        super().__init__()
        import lightrec

        users, items = 0.5 * torch.randn(lightrec.USERS, lightrec.DIM), 0.5 * torch.randn(lightrec.ITEMS, lightrec.DIM)
        self.module, self.network = lightrec, lightrec.LightRec(users, items).to(device)

    def loss(self, device):
        l, n = self.module, self.batch
        user = torch.randint(l.USERS, (n,), device=device)
        decoded = self.network.decode(torch.randint(l.ITEMS, (n + n * l.NEGATIVES,), device=device))
        p = self.network.users(user)
        liked = (p * decoded[:n]).sum(-1, keepdim=True)
        others = (p.unsqueeze(1) * decoded[n:].view(n, l.NEGATIVES, l.DIM)).sum(-1)
        return F.softplus(others - liked).mean() + l.L2 / (2 * n) * (p.square().sum() + decoded.square().sum())


def measure(model, device, steps, repeat):
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=1e-3, fused=True)

    def run(n):
        for _ in range(n):
            optimizer.zero_grad(set_to_none=True)
            model.loss(device).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    run(max(3, steps // 10))
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run(steps)
        times.append((time.perf_counter() - start) / steps / model.batch * 1e6)
    return {"us_per_sample": round(statistics.median(times), 4), "best": round(min(times), 4)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", choices=["bpr", "neumf", "gcn-cf", "light-rec"])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--pairs")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("error: this PyTorch sees no CUDA device; use --device cpu to check the script")
    place = torch.device(args.device)
    models = {"bpr": Bpr, "neumf": NeuMf, "gcn-cf": lambda d: Graph(d, args.pairs), "light-rec": Light}
    for name, build in models.items():
        if args.only in (None, name):
            torch.manual_seed(0)
            result = measure(build(place), place, args.steps, args.repeat)
            print(json.dumps({"peer": f"torch {torch.__version__} {args.device}", "model": name, **result}), flush=True)
