"""PyTorch on the shapes of `cargo bench -p rectify-tensor --bench training`: one thread, CPU time, milliseconds.

    OMP_NUM_THREADS=1 python benches/peers/tensor_ops.py

Each line: name, median and minimum of the repetitions.
"""

import statistics
import time
import warnings

import numpy as np
import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
torch.manual_seed(1)
DIM, BATCH = 64, 1024


def measure(name, step, seconds=1.5, repetitions=7):
    """CPU time of one step, over repetitions of about `seconds`."""
    step()
    start = time.process_time()
    step()
    n = max(1, int(seconds / max(time.process_time() - start, 1e-6) / repetitions))
    times = []
    for _ in range(repetitions):
        start = time.process_time()
        for _ in range(n):
            step()
        times.append((time.process_time() - start) / n * 1e3)
    print(f"{name:60} {statistics.median(times):9.4f} {min(times):9.4f}", flush=True)


def bpr(n_users, n_items, kind):
    sparse = kind == "sparse"
    users = torch.nn.Embedding(n_users, DIM, sparse=sparse)
    items = torch.nn.Embedding(n_items, DIM, sparse=sparse)
    parameters = list(users.parameters()) + list(items.parameters())
    if sparse:
        optimizer = torch.optim.SparseAdam(parameters, lr=1e-3)
    else:
        optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=kind == "fused")
    batches = [
        (torch.randint(n_users, (BATCH,)), torch.randint(n_items, (BATCH,)), torch.randint(n_items, (BATCH,)))
        for _ in range(256)
    ]
    turn = iter(range(10**9))

    def step():
        u, i, j = batches[next(turn) % 256]
        optimizer.zero_grad(set_to_none=True)
        e = users(u)
        margins = (e * (items(i) - items(j))).sum(1)
        F.softplus(-margins).mean().backward()
        optimizer.step()

    for _ in range(50):
        step()
    measure(f"bpr_adam_step/batch_1024/dim_64/torch_{kind}/{n_users}x{n_items}", step)


def adam_dense(n):
    w = torch.randn(n)
    w.requires_grad_()
    w.grad = torch.randn(n) * 0.1
    optimizer = torch.optim.Adam([w], lr=1e-3, fused=True)
    measure(f"adam_dense_pass/torch_fused/{n}", optimizer.step)


def spmm():
    n_users, n_items, per_user = 29_858, 40_981, 27
    rng = np.random.default_rng(1)
    u = np.repeat(np.arange(n_users), per_user)
    i = n_users + (rng.random(u.size) ** 2 * n_items).astype(np.int64)
    edges = np.unique(np.stack([np.concatenate([u, i]), np.concatenate([i, u])]), axis=1)
    n = n_users + n_items
    a = torch.sparse_coo_tensor(edges, torch.full((edges.shape[1],), 0.03), (n, n)).coalesce().to_sparse_csr()
    x = torch.randn(n, DIM)
    measure(f"spmm/torch_csr/gowalla_shape/dim_64/{edges.shape[1]}", lambda: a @ x, seconds=4)


def layer(rows, n_in, n_out):
    x = torch.randn(rows, n_in, requires_grad=True)
    linear = torch.nn.Linear(n_in, n_out)
    up = torch.randn(rows, n_out)

    def step():
        x.grad = None
        linear.zero_grad(set_to_none=True)
        torch.relu(linear(x)).backward(up)

    measure(f"linear_relu_forward_backward/torch/{rows}x{n_in}x{n_out}", step)


def ops():
    """Fused losses, forward and backward, from leaves."""
    positive = torch.randn(BATCH, requires_grad=True)
    negative = torch.randn(BATCH, requires_grad=True)
    targets = torch.rand(BATCH)
    student = torch.randn(256, 50, requires_grad=True)
    teacher = torch.randn(256, 50)
    a = torch.randn(256, 40, requires_grad=True)
    b = torch.randn(256, 40, requires_grad=True)

    def relaxed_ranking():
        tail = torch.logsumexp(b, 1, keepdim=True)
        suffix = torch.logcumsumexp(torch.cat([tail, a.flip(1)], 1), 1)[:, 1:].flip(1)
        return (suffix - a).sum()

    for name, loss in [
        ("bpr/1024", lambda: -F.logsigmoid(positive - negative).sum()),
        ("bce_with_logits/1024", lambda: F.binary_cross_entropy_with_logits(positive, targets, reduction="sum")),
        ("softmax_cross_entropy/256x50", lambda: -(F.softmax(teacher / 2, 1) * F.log_softmax(student / 2, 1)).sum()),
        ("suffix_log_sum_exp/256x40+40", relaxed_ranking),
    ]:
        measure(f"graph_op/torch/{name}", lambda loss=loss: loss().backward())


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {'name':47} {'median':>9} {'minimum':>9}")
    for sizes in [(6_040, 3_706), (100_000, 100_000)]:
        for kind in ["foreach", "fused", "sparse"]:
            bpr(*sizes, kind)
    for n in [10_000, 1_000_000]:
        adam_dense(n)
    spmm()
    for shape in [(1024, 64, 64), (3072, 128, 64), (512, 256, 128)]:
        layer(*shape)
    ops()
