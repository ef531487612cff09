"""Distillation losses in PyTorch (CPU, one thread), on the shapes of `cargo bench -p rectify-distill --bench losses`.

    OMP_NUM_THREADS=1 python benches/peers/distill.py

Prints CPU milliseconds a call (forward and backward), median and minimum. `modules` is the straightforward way, as in
the DE-RRD authors' public code: one small network an expert, outputs stacked. `batched` is the best we could make of
it: all experts in two products, mixture weights folded into the hidden layer.
"""

import json
import statistics
import time

import torch
from torch import nn

ROWS, K, L = 1024, 40, 40
STUDENT, TEACHER, EXPERTS = 20, 200, 30
HIDDEN = (STUDENT + TEACHER) // 2


def measure(call, seconds=4.0):
    call()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 5:
        before = time.process_time()
        call()
        times.append((time.process_time() - before) * 1e3)
    return {"median_ms": round(statistics.median(times), 3), "min_ms": round(min(times), 3), "runs": len(times)}


def relaxed_ranking(scores):
    """The authors' formula: a cumulative sum from the end over interesting items, plus the uninteresting ones' sum."""
    exponentials = scores.exp()
    interesting = exponentials[:, :K]
    below = interesting.flip(-1).cumsum(dim=1).flip(-1)
    below = below + exponentials[:, K:].sum(1, keepdim=True)
    return -(scores[:, :K].sum(1) - below.log().sum(1)).sum()


def relaxed_ranking_stable(scores):
    """The same, safe at any scores: `logcumsumexp` from the end of the list."""
    ordered = scores.flip(-1)
    return (ordered.logcumsumexp(1)[:, L:] - ordered[:, L:]).sum()


class Modules(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(STUDENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, TEACHER)) for _ in range(EXPERTS)
        )
        self.selection = nn.Sequential(nn.Linear(TEACHER, EXPERTS), nn.Softmax(dim=1))

    def weights(self, t, temperature):
        alpha = self.selection(t)
        gumbel = -torch.log(-torch.log(torch.rand_like(alpha) + 1e-10) + 1e-10)
        return torch.softmax(((alpha + 1e-10).log() + gumbel) / temperature, dim=1)

    def forward(self, v, t, temperature):
        outputs = torch.stack([expert(v) for expert in self.experts], dim=-1)
        z = self.weights(t, temperature).unsqueeze(1)
        return ((t - (outputs * z).sum(-1)) ** 2).sum()


class Batched(Modules):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(STUDENT, EXPERTS * HIDDEN)
        self.output = nn.Parameter(torch.empty(EXPERTS * HIDDEN, TEACHER).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.empty(EXPERTS, TEACHER).uniform_(-0.1, 0.1))
        del self.experts

    def forward(self, v, t, temperature):
        z = self.weights(t, temperature)
        hidden = torch.relu(self.hidden(v)).view(-1, EXPERTS, HIDDEN) * z.unsqueeze(-1)
        return ((t - hidden.view(-1, EXPERTS * HIDDEN) @ self.output - z @ self.bias) ** 2).sum()


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    result = {"torch": torch.__version__}

    scores = torch.randn(ROWS, K + L, requires_grad=True)

    def ranking(loss):
        def call():
            scores.grad = None
            loss(scores).backward()

        return call

    a, b = relaxed_ranking(scores).item(), relaxed_ranking_stable(scores).item()
    assert abs(a - b) < 1e-4 * abs(a), (a, b)
    result["relaxed_ranking/authors"] = measure(ranking(relaxed_ranking))
    result["relaxed_ranking/stable"] = measure(ranking(relaxed_ranking_stable))

    v = torch.randn(ROWS, STUDENT, requires_grad=True)
    t = torch.randn(ROWS, TEACHER)
    for name, model in [("modules", Modules()), ("batched", Batched())]:
        for epoch in [0, 300]:
            temperature = 1e-10 ** (epoch / 1000)

            def call():
                model.zero_grad()
                v.grad = None
                model(v, t, temperature).backward()

            result[f"experts/{name}/epoch_{epoch}"] = measure(call)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
