"""LightRec's training step in PyTorch, one thread, CPU time; the peer of `cargo xtask bench all --only light-rec`.

    OMP_NUM_THREADS=1 python benches/peers/lightrec.py [none|inner-product]

Gowalla's shape: 29,858 users, 40,981 items, 32 dimensions, four codebooks of 256, 1,024 interactions with five negatives a
step. Written as the authors' public code does it: every occurring item is encoded, the hard code is a one-hot matrix with
`hard + soft - soft.detach()`, the decoded item its product with the codebook, gradients by autograd. Adam is PyTorch's
fastest on the CPU (`fused`). Prints one JSON object: peer, cpu_us_per_sample (median over steps, of an interaction with its negatives).
"""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

USERS, ITEMS, DIM = 29_858, 40_981, 32
CODEBOOKS, CODEWORDS, TEMPERATURE = 4, 256, 0.9
BATCH, NEGATIVES, L2 = 1024, 5, 1e-3


class LightRec(nn.Module):
    def __init__(self, users, items):
        super().__init__()
        self.users = nn.Embedding.from_pretrained(users.clone(), freeze=False)
        self.items = nn.Embedding.from_pretrained(items, freeze=True)
        self.forms = nn.ParameterList(nn.init.xavier_normal_(torch.empty(DIM, DIM)) for _ in range(CODEBOOKS))
        self.codebooks = nn.ParameterList(
            nn.init.xavier_normal_(torch.empty(CODEWORDS, DIM)) for _ in range(CODEBOOKS)
        )

    def decode(self, ids):
        left = self.items(ids)
        total = torch.zeros_like(left)
        for form, codebook in zip(self.forms, self.codebooks):
            similarity = left @ form @ codebook.t()
            soft = (similarity / TEMPERATURE).softmax(-1)
            hard = F.one_hot(similarity.argmax(-1), CODEWORDS).to(soft.dtype)
            part = (hard + soft - soft.detach()) @ codebook
            total = total + part
            left = left - part
        return total


def main():
    distillation = sys.argv[1] if len(sys.argv) > 1 else "inner-product"
    torch.set_num_threads(1)
    torch.manual_seed(0)
    users, items = 0.5 * torch.randn(USERS, DIM), 0.5 * torch.randn(ITEMS, DIM)
    model = LightRec(users, items)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3, fused=True)
    teacher_gram = users.t() @ users

    def step():
        user = torch.randint(USERS, (BATCH,))
        positive, negative = torch.randint(ITEMS, (BATCH,)), torch.randint(ITEMS, (BATCH * NEGATIVES,))
        optimizer.zero_grad()
        ids = torch.cat([positive, negative])
        decoded = model.decode(ids)
        p = model.users(user)
        liked = (p * decoded[:BATCH]).sum(-1, keepdim=True)
        others = (p.unsqueeze(1) * decoded[BATCH:].view(BATCH, NEGATIVES, DIM)).sum(-1)
        loss = F.softplus(others - liked).mean() + L2 / (2 * BATCH) * (p.square().sum() + decoded.square().sum())
        if distillation == "inner-product":
            q, everyone = model.items(ids), model.users.weight
            cross, gram = users.t() @ everyone, everyone.t() @ everyone
            gap = (q @ teacher_gram * q).sum() - 2 * (q @ cross * decoded).sum() + (decoded @ gram * decoded).sum()
            loss = loss + 0.1 * gap / (USERS * len(ids))
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    times, start = [], time.perf_counter()
    while len(times) < 10 or (len(times) < 40 and time.perf_counter() - start < 10):
        before = time.process_time()
        step()
        times.append(time.process_time() - before)
    print(json.dumps({"peer": "torch fused Adam", "cpu_us_per_sample": statistics.median(times) / BATCH * 1e6}))


if __name__ == "__main__":
    main()
