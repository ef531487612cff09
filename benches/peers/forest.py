"""The preference model of TDM, JTM and DeFoRec trained in PyTorch as its equations stand: the attention unit over
[e_k ; e_k * e_n ; e_n] for every (node, position), pooled windows, batch norm, softmax over the drawn nodes of each level.

Random histories of 69 items over a random tree. Prints one JSON line: CPU microseconds a sample, forward, backward and Adam.

    OMP_NUM_THREADS=1 python benches/peers/forest.py --items 3706 --negatives 40
"""

import argparse
import json
import math
import statistics
import time

import numpy
import torch
from torch import nn

torch.set_num_threads(1)
WINDOWS = [1, 1, 1, 2, 2, 2, 10, 10, 20, 20]


class Preference(nn.Module):
    def __init__(self, n_nodes, dim=24, hidden=36, layers=(128, 64, 32)):
        super().__init__()
        self.nodes = nn.Embedding(n_nodes, dim)
        nn.init.normal_(self.nodes.weight, std=0.01)
        self.first = nn.Linear(3 * dim, hidden)
        self.slope = nn.PReLU(hidden)
        self.out = nn.Linear(hidden, 1)
        widths = [(len(WINDOWS) + 1) * dim, *layers]
        blocks = []
        for n_in, n_out in zip(widths, widths[1:]):
            blocks += [nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.PReLU(n_out)]
        self.layers = nn.Sequential(*blocks, nn.Linear(layers[-1], 1))

    def forward(self, history, group, node):
        """history (groups, 69), group (rows), node (rows) -> (rows)"""
        e = self.nodes(history)[group]
        n = self.nodes(node)
        wide = n.unsqueeze(1).expand_as(e)
        # (rows * 69, 72): PReLU's slopes belong to the second dimension.
        x = torch.cat([e, e * wide, wide], 2).flatten(0, 1)
        a = self.out(self.slope(self.first(x))).view(len(node), -1, 1)
        weighted = a * e
        pooled = [w.mean(1) for w in torch.split(weighted, WINDOWS, 1)]
        return self.layers(torch.cat([*pooled, n], 1)).squeeze(1)


def batch(rng, n_items, batch_size, m):
    """Rows of one batch, with the index of each group's rows and the correction of each."""
    depth = math.ceil(math.log2(n_items))
    histories, groups, nodes, corrections, sizes = [], [], [], [], []
    for _ in range(batch_size):
        items = rng.integers(0, n_items, 70)
        for level in range(1, depth + 1):
            width = min(2**level, n_items)
            places = items if level == depth else items * width // n_items
            others = width - 1
            drawn = numpy.arange(others) if others <= m else rng.integers(0, others, m)
            drawn = drawn + (drawn >= places[0])
            first = 2**level - 1
            histories.append(first + places[1:])
            nodes.append(first + numpy.concatenate([places[:1], drawn]))
            groups.append(numpy.full(len(drawn) + 1, len(groups)))
            correction = 0.0 if others <= m else -math.log(m / others)
            corrections.append(numpy.concatenate([[0.0], numpy.full(len(drawn), correction)]))
            sizes.append(len(drawn) + 1)
    tensor = lambda arrays, dtype: torch.from_numpy(numpy.concatenate(arrays).astype(dtype))
    return (
        torch.from_numpy(numpy.stack(histories).astype(numpy.int64)),
        tensor(groups, numpy.int64),
        tensor(nodes, numpy.int64),
        tensor(corrections, numpy.float32),
        sizes,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=3706)
    parser.add_argument("--negatives", type=int, default=40)
    parser.add_argument("--batch", type=int, default=8, help="larger ones need gigabytes, and are no quicker a sample")
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    rng = numpy.random.default_rng(1)
    torch.manual_seed(1)
    depth = math.ceil(math.log2(args.items))
    model = Preference(2**depth - 1 + args.items)
    adam = torch.optim.Adam(model.parameters(), fused=True)
    times = []
    for step in range(args.steps + 1):
        history, group, node, correction, sizes = batch(rng, args.items, args.batch, args.negatives)
        start = time.process_time()
        o = model(history, group, node) + correction
        padded = torch.nn.utils.rnn.pad_sequence(torch.split(o, sizes), True, -math.inf)
        loss = (torch.logsumexp(padded, 1) - padded[:, 0]).sum() / args.batch
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        if step > 0:
            times.append(1e6 * (time.process_time() - start) / args.batch)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "items": args.items,
                "negatives": args.negatives,
                "batch": args.batch,
                "rows": len(node),
                "cpu_us_per_sample": round(statistics.median(times), 1),
            }
        )
    )


main()
