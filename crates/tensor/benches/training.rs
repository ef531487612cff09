//! Whole training steps and their parts, one thread, CPU time: `cargo bench -p rectify-tensor --bench training`.
//!
//! The shapes are those of `benches/peers/tensor_ops.py`, which measures PyTorch on them.

mod cpu_time;

use std::time::Duration;

use cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion, criterion_group};
use rectify_core::rng::Seed;
use rectify_tensor::{
    Csr, DistinctRows, Graph, GraphError, Init, Optimizer, ParamStore, RowTable, RowUpdate, Tensor, constant, kernels,
    ops, variable,
};

/// As in the binaries: the system allocator maps and unmaps every large buffer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIM: usize = 64;
const BATCH: usize = 1024;

struct Bpr {
    users: RowTable,
    items: RowTable,
    batches: Vec<[Vec<u32>; 3]>,
    distinct: [DistinctRows; 2],
    slots: [Vec<u32>; 3],
    grads: [Vec<f32>; 2],
    dense: bool,
    next: usize,
}

impl Bpr {
    fn new(n_users: u32, n_items: u32, update: RowUpdate, dense: bool) -> Self {
        let batches = (0..256)
            .map(|b| {
                let mut rng = Seed(1).at(0, b);
                let mut draw = |n: u32| (0..BATCH).map(|_| rng.below(n)).collect::<Vec<u32>>();
                [draw(n_users), draw(n_items), draw(n_items)]
            })
            .collect();
        let table = |n: u32, name: &str| {
            RowTable::new(n as usize, DIM, Init::Normal { std: 0.1 }, Seed(1).stream(name), update)
        };
        Self {
            users: table(n_users, "users"),
            items: table(n_items, "items"),
            batches,
            distinct: [DistinctRows::new(n_users as usize), DistinctRows::new(n_items as usize)],
            slots: Default::default(),
            grads: Default::default(),
            dense,
            next: 0,
        }
    }

    fn step(&mut self, optimizer: &Optimizer) -> f64 {
        let [u, p, n] = &self.batches[self.next % 256];
        self.next += 1;
        let [du, di] = &mut self.distinct;
        let [us, ps, ns] = &mut self.slots;
        du.index(u, us);
        di.index(p, ps);
        ns.clear();
        di.add(n, ns);
        let [gu, gi] = &mut self.grads;
        let (rows_u, rows_i) =
            if self.dense { (self.users.n_rows(), self.items.n_rows()) } else { (du.rows().len(), di.rows().len()) };
        gu.clear();
        gu.resize(rows_u * DIM, 0.0);
        gi.clear();
        gi.resize(rows_i * DIM, 0.0);
        let slots = if self.dense { [u, p, n] } else { [&*us, &*ps, &*ns] };
        let pairs = kernels::Pairs {
            users: u,
            positives: p,
            negatives: n,
            user_slots: slots[0],
            positive_slots: slots[1],
            negative_slots: slots[2],
        };
        let (users, items) = (self.users.refresh(du.rows()), self.items.refresh(di.rows()));
        let loss = kernels::bpr(users, items, DIM, &pairs, 1.0 / BATCH as f32, 0.0, gu, gi);
        if self.dense {
            self.users.apply_dense(gu, optimizer);
            self.items.apply_dense(gi, optimizer);
        } else {
            self.users.apply(du.rows(), gu, optimizer);
            self.items.apply(di.rows(), gi, optimizer);
        }
        loss
    }
}

fn bpr(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("bpr_adam_step/batch_1024/dim_64");
    let adam = Optimizer::adam(1e-3);
    for (n_users, n_items) in [(6_040, 3_706), (100_000, 100_000)] {
        for (name, update, dense) in [
            ("dense_pass", RowUpdate::Exact, true),
            ("exact", RowUpdate::Exact, false),
            ("lazy", RowUpdate::Lazy, false),
        ] {
            let mut model = Bpr::new(n_users, n_items, update, dense);
            // Past the first steps, where no row has momentum and exact rows have nothing to catch up on.
            (0..300).for_each(|_| {
                model.step(&adam);
            });
            group.bench_function(BenchmarkId::new(name, format!("{n_users}x{n_items}")), |b| {
                b.iter(|| model.step(&adam));
            });
        }
    }
    group.finish();
}

/// An epoch of a table whose rows all move at every step: 113 batches of 2,000 of 25,181 rows.
fn weight_decay(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("exact_epoch_weight_decay/25181_rows");
    let adam = Optimizer::adam(1e-3).with_weight_decay(1e-3);
    for dim in [20, 200] {
        let mut table = RowTable::new(25_181, dim, Init::Normal { std: 0.01 }, Seed(1), RowUpdate::Exact);
        let grads = Init::Normal { std: 0.1 }.draw(2_000, dim, Seed(2));
        let mut epoch = 0;
        group.bench_function(BenchmarkId::from_parameter(dim), |b| {
            b.iter(|| {
                epoch += 1;
                for step in 0..113 {
                    let rows = Seed(3).at(epoch, step).sample_distinct(25_181, 2_000);
                    table.refresh(&rows);
                    table.apply(&rows, &grads, &adam);
                }
                table.settle();
            });
        });
    }
    group.finish();
}

fn adam_dense(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("adam_dense_pass");
    for n in [10_000, 1_000_000] {
        let mut table = RowTable::new(n / 10, 10, Init::Normal { std: 0.1 }, Seed(1), RowUpdate::Exact);
        let grads = Init::Normal { std: 0.1 }.draw(n, 1, Seed(2));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| table.apply_dense(&grads, &Optimizer::adam(1e-3)));
        });
    }
    group.finish();
}

fn spmm(c: &mut Criterion<CpuTime>) {
    // The size of LightGCN's graph on Gowalla: 29,858 users and 40,981 items, 810,128 pairs, both directions.
    let (n_users, n_items, per_user) = (29_858u32, 40_981u32, 27);
    let mut edges: Vec<(u32, u32)> = (0..n_users)
        .flat_map(|u| {
            let mut rng = Seed(1).at(0, u64::from(u));
            // Popular items are drawn more often: the square of a uniform number.
            (0..per_user)
                .map(move |_| (u, n_users + (rng.unit_f64().powi(2) * f64::from(n_items)) as u32))
                .flat_map(|(u, i)| [(u, i), (i, u)])
        })
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let n = (n_users + n_items) as usize;
    let mut offsets = vec![0u64; n + 1];
    edges.iter().for_each(|(r, _)| offsets[*r as usize + 1] += 1);
    (0..n).for_each(|r| offsets[r + 1] += offsets[r]);
    let columns = edges.iter().map(|(_, c)| *c).collect();
    let a = Csr::new(n, offsets, columns, vec![0.03; edges.len()]).expect("a sound matrix");
    let x = Init::Normal { std: 0.1 }.draw(n, DIM, Seed(3));
    let mut out = vec![0.0; n * DIM];
    let mut group = c.benchmark_group("spmm");
    group.bench_function(BenchmarkId::new("gowalla_shape/dim_64", a.n_edges()), |b| {
        b.iter(|| a.spmm(&x, DIM, &mut out));
    });
    group.finish();
}

fn layer(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("linear_relu_forward_backward");
    for (rows, n_in, n_out) in [(1024, 64, 64), (3072, 128, 64), (512, 256, 128)] {
        let draw = |n: usize, s| Init::Normal { std: 0.1 }.draw(n, 1, Seed(s));
        let (x, w, bias, up) = (draw(rows * n_in, 1), draw(n_in * n_out, 2), draw(n_out, 3), draw(rows * n_out, 4));
        let (mut y, mut dy) = (vec![0.0; rows * n_out], vec![0.0; rows * n_out]);
        let (mut dx, mut dw, mut db) = (vec![0.0; rows * n_in], vec![0.0; n_in * n_out], vec![0.0; n_out]);
        let relu = kernels::Activation::Relu;
        group.bench_function(BenchmarkId::from_parameter(format!("{rows}x{n_in}x{n_out}")), |b| {
            b.iter(|| {
                kernels::linear_bias_act(&x, &w, &bias, relu, &mut y);
                dy.copy_from_slice(&up);
                dw.fill(0.0);
                db.fill(0.0);
                kernels::linear_bias_act_backward(&x, &w, &y, relu, &mut dy, Some(&mut dx), &mut dw, &mut db);
            });
        });
    }
    group.finish();
}

fn graph_step(c: &mut Criterion<CpuTime>) {
    let mut store = ParamStore::new(Seed(1));
    let init = Init::Normal { std: 0.1 };
    let (n_users, n_items) = (6_040, 3_706);
    let users = store.add_rows("users", n_users, DIM, init, RowUpdate::Exact);
    let items = store.add_rows("items", n_items, DIM, init, RowUpdate::Exact);
    let mut graph = Graph::new();
    let mut next = 0;
    let mut step = || -> Result<f32, GraphError> {
        let mut rng = Seed(1).at(0, next % 256);
        next += 1;
        let mut draw = |n: usize, amount: usize| (0..amount).map(|_| rng.below(n as u32)).collect::<Vec<u32>>();
        let (u, i) = (draw(n_users, BATCH), draw(n_items, 2 * BATCH));
        let mut batch = graph.batch(&mut store);
        let (user_leaf, u) = batch.rows(users, &u)?;
        let (item_leaf, i) = batch.rows(items, &i)?;
        let positive = ops::gather_dot(&user_leaf, &u, &item_leaf, &i[..BATCH])?;
        let negative = ops::gather_dot(&user_leaf, &u, &item_leaf, &i[BATCH..])?;
        let loss = (ops::bpr(&positive, &negative)? / BATCH as f64)?;
        batch.step(&loss, &Optimizer::adam(1e-3))
    };
    (0..100).for_each(|_| {
        step().expect("a sound graph");
    });
    c.bench_function("bpr_adam_step/batch_1024/dim_64/graph_exact/6040x3706", |b| b.iter(&mut step));
}

fn graph_ops(c: &mut Criterion<CpuTime>) {
    let draw = |n: usize, shape: &[usize], s| {
        let values = Init::Normal { std: 1.0 }.draw(n, 1, Seed(s));
        constant(&values, shape).expect("a sound shape")
    };
    let leaf = |n: usize, shape: &[usize], s| variable(&draw(n, shape, s)).expect("a copy");
    let (positive, negative) = (leaf(BATCH, &[BATCH], 1), leaf(BATCH, &[BATCH], 2));
    let targets = Init::Zeros.draw(BATCH, 1, Seed(3));
    let student = leaf(256 * 50, &[256, 50], 4);
    let teacher = Init::Normal { std: 1.0 }.draw(256 * 50, 1, Seed(5));
    let (a, b) = (leaf(256 * 40, &[256, 40], 6), leaf(256 * 40, &[256, 40], 7));
    let mut group = c.benchmark_group("graph_op");
    let mut bench = |name: &str, loss: &dyn Fn() -> Result<Tensor, GraphError>| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| loss().and_then(|loss| Ok(loss.backward()?)).expect("a sound graph"));
        });
    };
    bench("bpr/1024", &|| ops::bpr(&positive, &negative));
    bench("bce_with_logits/1024", &|| ops::bce_with_logits(&positive, &targets));
    bench("softmax_cross_entropy/256x50", &|| ops::softmax_cross_entropy(&student, &teacher, 2.0));
    bench("suffix_log_sum_exp/256x40+40", &|| Ok((ops::suffix_log_sum_exp(&a, &b)? - &a)?.sum_all()?));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    targets = bpr, weight_decay, graph_step, adam_dense, spmm, layer, graph_ops
}

fn main() {
    // One thread: peers are measured on one, too.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the first pool");
    benches();
}
