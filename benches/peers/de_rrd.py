"""DE-RRD on BPR in PyTorch, the straightforward way (CPU, one thread): the whole step, or the plain student's.

    OMP_NUM_THREADS=1 python benches/peers/de_rrd.py [--users 5220] [--items 25182] [--temperature 1.0]

Dense embeddings and Adam with weight decay; experts as one small network each, their outputs stacked, as in the authors'
public code; RRD by a cumulative sum of exponentials. Samples, negatives and lists are uniform draws made beforehand, so that only
the step is timed. Without `--temperature` the student learns alone. Prints one JSON line: CPU microseconds a sample.
"""

import argparse
import json
import time

import torch
from torch import nn

from distill import Modules, relaxed_ranking

STUDENT, TEACHER, BATCH, LISTS = 20, 200, 1024, 80


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=5220)
    parser.add_argument("--items", type=int, default=25182)
    parser.add_argument("--temperature", type=float)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)

    users, items = nn.Embedding(args.users, STUDENT), nn.Embedding(args.items, STUDENT)
    for table in (users, items):
        nn.init.normal_(table.weight, std=0.01)
    teacher_users, teacher_items = 0.1 * torch.randn(args.users, TEACHER), 0.1 * torch.randn(args.items, TEACHER)
    user_experts, item_experts = Modules(), Modules()
    parameters = [users.weight, items.weight]
    guided = args.temperature is not None
    if guided:
        parameters += [*user_experts.parameters(), *item_experts.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, weight_decay=1e-3)
    lists = torch.randint(args.items, (args.users, LISTS))

    def step(user, positive, negative):
        u = users(user)
        loss = -nn.functional.logsigmoid((u * (items(positive) - items(negative))).sum(1)).sum()
        if guided:
            distinct = user.unique()
            scores = torch.bmm(items(lists[distinct]), users(distinct).unsqueeze(-1)).squeeze(-1)
            loss = loss + 0.001 * relaxed_ranking(scores)
            experts = user_experts(users(distinct), teacher_users[distinct], args.temperature)
            for chosen in (positive.unique(), negative.unique()):
                experts = experts + 0.5 * item_experts(items(chosen), teacher_items[chosen], args.temperature)
            loss = loss + 0.01 * experts
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    steps = 6 if guided else 200
    batches = [
        [torch.randint(n, (BATCH,)) for n in (args.users, args.items, args.items)] for _ in range(steps + 2)
    ]
    for batch in batches[:2]:  # warm-up
        step(*batch)
    start = time.process_time()
    for batch in batches[2:]:
        step(*batch)
    print(json.dumps({"cpu_us_per_sample": (time.process_time() - start) / (steps * BATCH) * 1e6}))


if __name__ == "__main__":
    main()
