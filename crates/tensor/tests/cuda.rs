//! Every operation on a device against the processor's, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone. Tolerance: 2·10⁻⁵ of
//! the largest value, since sums run in another order.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use rectify_core::rng::{Rng, Seed};
use rectify_cuda::testing;
use rectify_tensor::cuda::{DeviceCsr, DeviceLabelled, DevicePairs, DeviceParam, GpuOps, PairWidths, Rule, SOURCES};
use rectify_tensor::kernels::{self, Activation, Labelled, Op, Pairs};
use rectify_tensor::{Adagrad, Adam, Csr, DenseParam, Optimizer, RowTable, RowUpdate, Sgd};

/// Random inputs; the seed is in the message of every assertion.
struct Inputs {
    rng: Rng,
    seed: u64,
}

impl Inputs {
    fn fresh() -> Self {
        let seed = testing::fresh_seed();
        Self { rng: Seed(seed).at(0, 0), seed }
    }

    fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.rng.normal() as f32).collect()
    }

    fn places(&mut self, n: usize, below: usize) -> Vec<u32> {
        (0..n).map(|_| self.rng.below(below as u32)).collect()
    }

    #[track_caller]
    fn close(&self, what: &str, got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len(), "{what}, seed {}", self.seed);
        let scale = want.iter().fold(1e-3f32, |high, x| high.max(x.abs()));
        for (at, (got, want)) in got.iter().zip(want).enumerate() {
            let same = (got - want).abs() <= 2e-5 * scale || got == want;
            assert!(same, "{what} at {at}: {got}, expected {want} (largest {scale}), seed {}", self.seed);
        }
    }

    #[track_caller]
    fn close_sum(&self, what: &str, got: f64, want: f64) {
        assert!((got - want).abs() <= 2e-5 * want.abs().max(1.0), "{what}: {got}, expected {want}, seed {}", self.seed);
    }
}

fn skip(why: &str) {
    eprintln!("{why}");
}

/// The devices that are there.
fn devices() -> Vec<GpuOps> {
    testing::devices(skip).into_iter().map(GpuOps::new).collect()
}

/// Row counts and widths around the edges of warps and blocks.
const SHAPES: [(usize, usize); 6] = [(1, 1), (7, 31), (8, 32), (9, 33), (40, 64), (300, 5)];

#[test]
fn every_kernel_file_becomes_ptx_for_hopper() {
    testing::check_ptx(&SOURCES, skip);
}

#[test]
fn gathered_rows_and_their_gradients() {
    for ops in devices() {
        for (n_rows, dim) in SHAPES {
            let mut x = Inputs::fresh();
            let (table, rows) = (x.normals(n_rows * dim), x.places(2 * n_rows + 3, n_rows));
            let n = rows.len();
            let mut want = vec![0.0; n * dim];
            kernels::gather_rows(&table, dim, &rows, &mut want);
            let places = ops.places(&rows, n_rows).unwrap();
            let mut out = ops.gpu().zeros(n * dim).unwrap();
            ops.gather_rows(&ops.gpu().upload(&table).unwrap(), dim, &places, &mut out).unwrap();
            assert_eq!(ops.gpu().download(&out).unwrap(), want);

            let grads = x.normals(n * dim);
            let mut want = vec![0.0; n_rows * dim];
            kernels::scatter_add_rows(&grads, dim, &rows, &mut want);
            let groups = ops.groups(&rows, n_rows).unwrap();
            let mut out = ops.gpu().zeros(n_rows * dim).unwrap();
            ops.sum_groups(&ops.gpu().upload(&grads).unwrap(), dim, &groups, &mut out).unwrap();
            x.close("gradient", &ops.gpu().download(&out).unwrap(), &want);
        }
    }
}

#[test]
fn steps_on_all_rows_on_some_and_on_all_with_some_gradients() {
    let rules = [
        Rule::Adam(Adam { learning_rate: 0.01, weight_decay: 0.02, ..Adam::default() }),
        Rule::Sgd(Sgd { learning_rate: 0.1, weight_decay: 0.0 }),
        Rule::Sgd(Sgd { learning_rate: 0.1, weight_decay: 0.02 }),
    ];
    for ops in devices() {
        for ((n_rows, dim), rule) in SHAPES.into_iter().flat_map(|shape| rules.map(|rule| (shape, rule))) {
            let mut x = Inputs::fresh();
            let (start, optimizer) = (x.normals(n_rows * dim), Optimizer::from(rule));
            for update in [RowUpdate::Exact, RowUpdate::Lazy] {
                let mut here = RowTable::from_values(n_rows, dim, start.clone(), update);
                let mut there = here.clone();
                let mut draw = |t: u32| {
                    let rows: Vec<u32> = (0..n_rows as u32).rev().filter(|row| (row + t).is_multiple_of(3)).collect();
                    let grads = x.normals(rows.len() * dim);
                    (rows, grads)
                };
                let mut param = DeviceParam::from_rows(&ops, &mut there, &rule).unwrap();
                for t in 0..3 {
                    let (rows, grads) = draw(t);
                    here.apply(&rows, &grads, &optimizer);
                    let grads = ops.gpu().upload(&grads).unwrap();
                    ops.step_rows(&mut param, &rule, dim, &rows, update, &grads).unwrap();
                }
                param.into_rows(&ops, &mut there, &rule).unwrap();
                // On the processor it goes on with the memory that came back.
                let (rows, grads) = draw(3);
                for table in [&mut here, &mut there] {
                    table.apply(&rows, &grads, &optimizer);
                    table.settle();
                }
                assert_eq!(here.steps(), there.steps());
                x.close(&format!("{rule:?}, {update:?}"), there.values(), here.values());
            }
            let mut here = DenseParam::from_values([n_rows, dim], start);
            let mut there = here.clone();
            let mut param = DeviceParam::from_dense(&ops, &mut there, &rule).unwrap();
            for _ in 0..3 {
                let grads = x.normals(n_rows * dim);
                here.apply(&grads, &optimizer);
                ops.step(&mut param, &rule, &ops.gpu().upload(&grads).unwrap()).unwrap();
            }
            param.into_dense(&ops, &mut there, &rule).unwrap();
            let grads = x.normals(n_rows * dim);
            [&mut here, &mut there].into_iter().for_each(|param| param.apply(&grads, &optimizer));
            x.close(&format!("{rule:?}, dense"), there.values(), here.values());
        }
    }
}

#[test]
fn a_rule_that_devices_do_not_know_is_named() {
    let error = Rule::try_from(Optimizer::Adagrad(Adagrad::default())).unwrap_err().to_string();
    assert_eq!(error, "optimizer.rule is adagrad, expected adam or sgd on a device; adagrad trains on the processor");
}

#[test]
fn bpr_and_its_gradients() {
    for ops in devices() {
        for (n, dim) in SHAPES {
            let mut x = Inputs::fresh();
            let (n_users, n_items) = (n.div_ceil(2), n + 2);
            let (users, items) = (x.normals(n_users * dim), x.normals(n_items * dim));
            let [u, i, j] = [x.places(n, n_users), x.places(n, n_items), x.places(n, n_items)];
            let (mut d_users, mut d_items) = (vec![0.0; users.len()], vec![0.0; items.len()]);
            let pairs = Pairs {
                users: &u,
                positives: &i,
                negatives: &j,
                user_slots: &u,
                positive_slots: &i,
                negative_slots: &j,
            };
            let want = kernels::bpr(&users, &items, dim, &pairs, 0.3, 0.01, &mut d_users, &mut d_items);

            let gpu = ops.gpu();
            let pairs = DevicePairs::new(&ops, [&u, &i, &j], n_users, n_items).unwrap();
            let (on_users, on_items) = (gpu.upload(&users).unwrap(), gpu.upload(&items).unwrap());
            let (mut got_users, mut got_items) = (gpu.zeros(users.len()).unwrap(), gpu.zeros(items.len()).unwrap());
            let mut run =
                || ops.bpr(&on_users, &on_items, dim, &pairs, 0.3, 0.01, &mut got_users, &mut got_items).unwrap();
            let loss = run();
            assert_eq!(loss.to_bits(), run().to_bits(), "the same bits each time, seed {}", x.seed);
            x.close_sum("loss", loss, want);
            x.close("users", &gpu.download(&got_users).unwrap(), &d_users);
            x.close("items", &gpu.download(&got_items).unwrap(), &d_items);
        }
    }
}

#[test]
fn cross_entropy_of_products_and_its_gradients() {
    for ops in devices() {
        for (n, dim) in SHAPES {
            let mut x = Inputs::fresh();
            let (n_users, n_items) = (n.div_ceil(2), n + 2);
            let (users, items) = (x.normals(n_users * dim), x.normals(n_items * dim));
            let (u, i) = (x.places(n, n_users), x.places(n, n_items));
            let labels: Vec<f32> = x.places(n, 11).iter().map(|t| *t as f32 / 10.0).collect();
            let (mut d_users, mut d_items) = (vec![0.0; users.len()], vec![0.0; items.len()]);
            let samples = Labelled { users: &u, items: &i, labels: &labels, user_slots: &u, item_slots: &i };
            let want = kernels::bce(&users, &items, dim, &samples, 0.3, 0.01, &mut d_users, &mut d_items);

            let gpu = ops.gpu();
            let samples = DeviceLabelled::new(&ops, [&u, &i], &labels, n_users, n_items).unwrap();
            let (on_users, on_items) = (gpu.upload(&users).unwrap(), gpu.upload(&items).unwrap());
            let (mut got_users, mut got_items) = (gpu.zeros(users.len()).unwrap(), gpu.zeros(items.len()).unwrap());
            let loss = ops.bce(&on_users, &on_items, dim, &samples, 0.3, 0.01, &mut got_users, &mut got_items).unwrap();
            x.close_sum("loss", loss, want);
            x.close("users", &gpu.download(&got_users).unwrap(), &d_users);
            x.close("items", &gpu.download(&got_items).unwrap(), &d_items);
        }
    }
}

#[test]
fn products_of_pairs_and_their_gradients() {
    for ops in devices() {
        for (n, dim) in SHAPES {
            let mut x = Inputs::fresh();
            let (n_users, n_items) = (n.div_ceil(2), n + 2);
            let (users, items, slopes) = (x.normals(n_users * dim), x.normals(n_items * dim), x.normals(n * dim));
            let (u, i) = (x.places(n, n_users), x.places(n, n_items));
            let (mut want, mut d_users, mut d_items) =
                (vec![0.0; n * dim], vec![0.0; users.len()], vec![0.0; items.len()]);
            for s in 0..n {
                for k in 0..dim {
                    let (at_user, at_item) = (u[s] as usize * dim + k, i[s] as usize * dim + k);
                    want[s * dim + k] = users[at_user] * items[at_item];
                    d_users[at_user] += slopes[s * dim + k] * items[at_item];
                    d_items[at_item] += slopes[s * dim + k] * users[at_user];
                }
            }
            let gpu = ops.gpu();
            let (on_users, on_items) = (gpu.upload(&users).unwrap(), gpu.upload(&items).unwrap());
            let (at_users, at_items) = (ops.places(&u, n_users).unwrap(), ops.places(&i, n_items).unwrap());
            let widths = PairWidths { gmf: dim, mlp: 0 };
            let (mut product, mut tower) = (gpu.zeros(n * dim).unwrap(), gpu.zeros(0).unwrap());
            ops.read_pairs((&on_users, &on_items), (&at_users, &at_items), widths, &mut product, &mut tower).unwrap();
            assert_eq!(gpu.download(&product).unwrap(), want, "seed {}", x.seed);
            let slopes = gpu.upload(&slopes).unwrap();
            for (what, others, other_of, ids, rows, want) in [
                ("users", &on_items, &at_items, &u, n_users, &d_users),
                ("items", &on_users, &at_users, &i, n_items, &d_items),
            ] {
                let mut d = gpu.zeros(want.len()).unwrap();
                let groups = ops.groups(ids, rows).unwrap();
                ops.product_gradients(others, other_of, &groups, dim, &slopes, &mut d).unwrap();
                x.close(what, &gpu.download(&d).unwrap(), want);
            }
        }
    }
}

#[test]
fn losses_of_numbers() {
    for ops in devices() {
        for n in [1usize, 255, 256, 257, 5000] {
            let mut x = Inputs::fresh();
            let logits: Vec<f32> = x.normals(n).iter().map(|z| 20.0 * z).collect();
            let targets: Vec<f32> = x.places(n, 11).iter().map(|t| *t as f32 / 10.0).collect();
            let gpu = ops.gpu();
            let (z, t) = (gpu.upload(&logits).unwrap(), gpu.upload(&targets).unwrap());
            let (mut want, mut d) = (vec![0.0; n], gpu.zeros(n).unwrap());
            let loss = kernels::bce_with_logits(&logits, &targets, 0.5, &mut want);
            x.close_sum("cross-entropy", ops.bce_with_logits(&z, &t, 0.5, &mut d).unwrap(), loss);
            x.close("cross-entropy", &gpu.download(&d).unwrap(), &want);
            let loss = kernels::hinge(&logits, 1.0, 0.5, &mut want);
            x.close_sum("hinge", ops.hinge(&z, 1.0, 0.5, &mut d).unwrap(), loss);
            x.close("hinge", &gpu.download(&d).unwrap(), &want);

            // The same, of the margins `label · x`.
            let labels: Vec<f32> = x.places(n, 2).iter().map(|t| 2.0 * *t as f32 - 1.0).collect();
            let margins: Vec<f32> = logits.iter().zip(&labels).map(|(z, label)| z * label).collect();
            let loss = kernels::hinge(&margins, 1.0, 0.5, &mut want);
            want.iter_mut().zip(&labels).for_each(|(d, label)| *d *= label);
            let on_labels = gpu.upload(&labels).unwrap();
            x.close_sum("labels", ops.labelled_hinge(&z, &on_labels, 0.5, &mut d).unwrap(), loss);
            x.close("labels", &gpu.download(&d).unwrap(), &want);

            let gaps: Vec<f32> = logits.iter().zip(&targets).map(|(z, t)| z - t).collect();
            let loss = gaps.iter().map(|gap| f64::from(*gap).powi(2) / 2.0).sum();
            let want: Vec<f32> = gaps.iter().map(|gap| 0.5 * gap).collect();
            x.close_sum("squares", ops.half_squares(&z, &t, 0.5, &mut d).unwrap(), loss);
            x.close("squares", &gpu.download(&d).unwrap(), &want);
            let sum: f64 = logits.iter().map(|z| f64::from(*z)).sum();
            assert!((ops.sum(&z).unwrap() - sum).abs() < 1e-9 * n as f64, "seed {}", x.seed);
        }
    }
}

#[test]
fn lists_of_users() {
    for ops in devices() {
        for (n_lists, dim) in SHAPES {
            let mut x = Inputs::fresh();
            let (n_users, n_items, len) = (n_lists + 1, 2 * n_lists, 1 + dim % 7);
            let (users, items) = (x.normals(n_users * dim), x.normals(n_items * dim));
            let (places, slots) = (x.places(n_lists, n_users), x.places(n_lists * len, n_items));
            let mut want = vec![0.0; n_lists * len];
            kernels::list_dots(&users, &items, dim, &places, &slots, &mut want);
            let gpu = ops.gpu();
            let (on_users, on_items) = (gpu.upload(&users).unwrap(), gpu.upload(&items).unwrap());
            let (places, slots) = (ops.places(&places, n_users).unwrap(), ops.places(&slots, n_items).unwrap());
            let mut out = gpu.zeros(n_lists * len).unwrap();
            ops.list_dots(&on_users, &on_items, dim, &places, &slots, &mut out).unwrap();
            x.close("products", &gpu.download(&out).unwrap(), &want);
        }
    }
}

#[test]
fn suffix_sums_of_exponentials_and_their_gradients() {
    for ops in devices() {
        for (k, l) in [(1, 0), (1, 1), (31, 40), (32, 32), (33, 1), (40, 40), (70, 0), (100, 33)] {
            let mut x = Inputs::fresh();
            let rows = 9;
            let scaled = |x: Vec<f32>| x.iter().map(|x| 5.0 * x).collect::<Vec<_>>();
            let (a, b) = (scaled(x.normals(rows * k)), scaled(x.normals(rows * l)));
            let mut want = vec![0.0; rows * k];
            kernels::suffix_log_sum_exp(&a, &b, (k, l), &mut want);
            let gpu = ops.gpu();
            let (on_a, on_b) = (gpu.upload(&a).unwrap(), gpu.upload(&b).unwrap());
            let mut out = gpu.zeros(rows * k).unwrap();
            ops.suffix_log_sum_exp(&on_a, &on_b, (k, l), &mut out).unwrap();
            x.close(&format!("sums, K {k}, L {l}"), &gpu.download(&out).unwrap(), &want);

            let d_out = x.normals(rows * k);
            let (mut want_a, mut want_b) = (vec![0.0; rows * k], vec![0.0; rows * l]);
            kernels::suffix_log_sum_exp_backward((&a, &b, &want), (k, l), &d_out, &mut want_a, &mut want_b);
            let (mut d_a, mut d_b) = (gpu.zeros(rows * k).unwrap(), gpu.zeros(rows * l).unwrap());
            let on_d = gpu.upload(&d_out).unwrap();
            ops.suffix_log_sum_exp_backward((&on_a, &on_b, &out), (k, l), &on_d, &mut d_a, &mut d_b).unwrap();
            x.close("d_a", &gpu.download(&d_a).unwrap(), &want_a);
            x.close("d_b", &gpu.download(&d_b).unwrap(), &want_b);
        }
    }
}

#[test]
fn cross_entropy_of_softmax_laws() {
    for ops in devices() {
        for (rows, width) in SHAPES {
            let mut x = Inputs::fresh();
            let (student, teacher) = (x.normals(rows * width), x.normals(rows * width));
            let mut want = vec![0.0; rows * width];
            let loss = kernels::softmax_cross_entropy(&student, &teacher, width, 0.7, &mut want);
            let gpu = ops.gpu();
            let (s, t) = (gpu.upload(&student).unwrap(), gpu.upload(&teacher).unwrap());
            let mut d = gpu.zeros(rows * width).unwrap();
            x.close_sum("loss", ops.softmax_cross_entropy(&s, &t, width, 0.7, &mut d).unwrap(), loss);
            x.close("gradient", &gpu.download(&d).unwrap(), &want);
        }
    }
}

#[test]
fn chosen_codewords_and_slopes_straight_through() {
    for ops in devices() {
        for (n, n_codewords) in [(1, 1), (9, 31), (8, 32), (20, 256), (5, 300)] {
            let mut x = Inputs::fresh();
            let dim = 17;
            // Few values, so that many are equal.
            let similarity: Vec<f32> = x.places(n * n_codewords, 9).iter().map(|v| *v as f32 / 2.0).collect();
            let codebook = x.normals(n_codewords * dim);
            let (mut want_codes, mut want) = (vec![0; n], vec![0.0; n * dim]);
            kernels::select_codes(&similarity, &codebook, (n_codewords, dim), &mut want_codes, &mut want);
            let gpu = ops.gpu();
            let (on_similarity, on_codebook) = (gpu.upload(&similarity).unwrap(), gpu.upload(&codebook).unwrap());
            let (mut codes, mut out) = (gpu.zeros(n).unwrap(), gpu.zeros(n * dim).unwrap());
            ops.select_codes(&on_similarity, &on_codebook, (n_codewords, dim), &mut codes, &mut out).unwrap();
            assert_eq!(gpu.download(&codes).unwrap(), want_codes, "seed {}", x.seed);
            assert_eq!(gpu.download(&out).unwrap(), want, "seed {}", x.seed);

            let slopes = x.normals(n * n_codewords);
            let (mut spent, mut want) = (similarity.clone(), slopes.clone());
            kernels::straight_through(&mut spent, n_codewords, 0.4, &mut want);
            let mut d = gpu.upload(&slopes).unwrap();
            ops.straight_through(&on_similarity, n_codewords, 0.4, &mut d).unwrap();
            x.close("straight through", &gpu.download(&d).unwrap(), &want);
        }
    }
}

#[test]
fn sparse_times_dense_both_ways() {
    for ops in devices() {
        for (n_rows, dim) in SHAPES {
            let mut x = Inputs::fresh();
            let n_columns = n_rows + 5;
            let degrees = x.places(n_rows, 12);
            let offsets: Vec<u64> = std::iter::once(0)
                .chain(degrees.iter().scan(0, |sum, degree| {
                    *sum += u64::from(*degree);
                    Some(*sum)
                }))
                .collect();
            let n_edges = *offsets.last().unwrap() as usize;
            let matrix = Csr::new(n_columns, offsets, x.places(n_edges, n_columns), x.normals(n_edges)).unwrap();
            let dense = x.normals(n_columns * dim);
            let gpu = ops.gpu();
            let (a, on_dense) = (DeviceCsr::new(&ops, &matrix).unwrap(), gpu.upload(&dense).unwrap());

            let mut want = vec![0.0; n_rows * dim];
            matrix.spmm(&dense, dim, &mut want);
            let mut out = gpu.zeros(n_rows * dim).unwrap();
            ops.spmm(&a, &on_dense, dim, &mut out).unwrap();
            x.close("all rows", &gpu.download(&out).unwrap(), &want);

            let rows: Vec<u32> = (0..n_rows as u32).rev().step_by(2).collect();
            let mut want = vec![0.0; rows.len() * dim];
            matrix.spmm_rows(&rows, &dense, dim, &mut want);
            let mut out = gpu.zeros(rows.len() * dim).unwrap();
            ops.spmm_rows(&a, &ops.places(&rows, n_rows).unwrap(), &on_dense, dim, &mut out).unwrap();
            x.close("some rows", &gpu.download(&out).unwrap(), &want);

            let (g, start) = (x.normals(rows.len() * dim), x.normals(n_columns * dim));
            let mut want = start.clone();
            matrix.spmm_rows_backward(&rows, &g, dim, &mut want);
            let transposed = DeviceCsr::new(&ops, matrix.transpose()).unwrap();
            let slots = ops.slots(&rows, n_rows).unwrap();
            let mut dx = gpu.upload(&start).unwrap();
            ops.spmm_rows_backward(&transposed, &slots, &gpu.upload(&g).unwrap(), dim, &mut dx).unwrap();
            x.close("backward", &gpu.download(&dx).unwrap(), &want);
        }
    }
}

#[test]
fn matrix_products_of_every_transposition() {
    for ops in devices() {
        // The last is higher than a grid.
        for (m, n, k) in [(1, 1, 1), (3, 70, 5), (64, 64, 16), (65, 63, 17), (130, 20, 33), (5, 4, 0), (65_537, 1, 1)] {
            for (op_a, op_b) in [
                (Op::Plain, Op::Plain),
                (Op::Transposed, Op::Plain),
                (Op::Plain, Op::Transposed),
                (Op::Transposed, Op::Transposed),
            ] {
                let mut x = Inputs::fresh();
                let (a, b, c) = (x.normals(m * k), x.normals(k * n), x.normals(m * n));
                let gpu = ops.gpu();
                let (on_a, on_b) = (gpu.upload(&a).unwrap(), gpu.upload(&b).unwrap());
                for beta in [0.0, 0.5] {
                    let mut want = c.clone();
                    kernels::gemm((m, n, k), 1.5, &a, op_a, &b, op_b, beta, &mut want);
                    let mut out = gpu.upload(&c).unwrap();
                    ops.gemm((m, n, k), 1.5, &on_a, op_a, &on_b, op_b, beta, &mut out).unwrap();
                    x.close(&format!("{m} {n} {k} {op_a:?} {op_b:?}"), &gpu.download(&out).unwrap(), &want);
                }
            }
        }
    }
}

#[test]
fn ends_of_layers() {
    let activations = [Activation::Identity, Activation::Relu, Activation::Sigmoid, Activation::Tanh];
    for ops in devices() {
        for (rows, width) in SHAPES {
            for activation in activations {
                let mut x = Inputs::fresh();
                let (z, bias, slopes) = (x.normals(rows * width), x.normals(width), x.normals(rows * width));
                let gpu = ops.gpu();
                let (mut want, mut y) = (z.clone(), gpu.upload(&z).unwrap());
                kernels::bias_act(&mut want, &bias, activation);
                ops.bias_act(&mut y, &gpu.upload(&bias).unwrap(), activation).unwrap();
                x.close("forward", &gpu.download(&y).unwrap(), &want);
                let (mut d_want, mut d) = (slopes.clone(), gpu.upload(&slopes).unwrap());
                kernels::activation_backward(&want, &mut d_want, activation);
                ops.activation_backward(&y, &mut d, activation).unwrap();
                x.close("backward", &gpu.download(&d).unwrap(), &d_want);
                let (mut sums_want, mut sums) = (bias.clone(), gpu.upload(&bias).unwrap());
                kernels::column_sums_add(&slopes, &mut sums_want);
                ops.column_sums_add(&gpu.upload(&slopes).unwrap(), &mut sums).unwrap();
                x.close("column sums", &gpu.download(&sums).unwrap(), &sums_want);
            }
        }
    }
}

#[test]
fn sums_of_columns_weighted_and_centred() {
    for ops in devices() {
        for (rows, width) in [(1, 1), (9, 33), (700, 5), (1500, 40)] {
            let mut x = Inputs::fresh();
            let (a, b, weights) = (x.normals(rows * width), x.normals(rows * width), x.normals(rows));
            let (mean_a, mean_b) = (x.normals(width), x.normals(width));
            let (mut weighted, mut products) = (vec![0.5f32; width + 3], vec![0.0f32; width]);
            for row in 0..rows {
                for k in 0..width {
                    let (a, b) = (a[row * width + k], b[row * width + k]);
                    weighted[2 + k] += weights[row] * a;
                    products[k] += (a - mean_a[k]) * (b - mean_b[k]);
                }
            }
            let gpu = ops.gpu();
            let (on_a, on_b) = (gpu.upload(&a).unwrap(), gpu.upload(&b).unwrap());
            let mut sums = gpu.upload(&vec![0.5f32; width + 3]).unwrap();
            ops.weighted_column_sums_add(&on_a, &gpu.upload(&weights).unwrap(), width, 2, &mut sums).unwrap();
            x.close("weighted", &gpu.download(&sums).unwrap(), &weighted);
            let (mean_a, mean_b) = (gpu.upload(&mean_a).unwrap(), gpu.upload(&mean_b).unwrap());
            let got = ops.covariances((&on_a, &mean_a), (&on_b, &mean_b)).unwrap();
            x.close("centred", &gpu.download(&got).unwrap(), &products);
        }
    }
}

#[test]
fn columns_and_rows_come_and_go() {
    for ops in devices() {
        for (rows, width) in SHAPES {
            let mut x = Inputs::fresh();
            let (wide, a) = (x.normals(rows * (width + 3)), x.normals(rows * (width + 1)));
            let gpu = ops.gpu();
            let mut out = gpu.upload(&a).unwrap();
            ops.copy_columns(&gpu.upload(&wide).unwrap(), (width + 3, 2), width, &mut out, (width + 1, 1)).unwrap();
            let mut want = a.clone();
            for row in 0..rows {
                for k in 0..width {
                    want[row * (width + 1) + 1 + k] = wide[row * (width + 3) + 2 + k];
                }
            }
            assert_eq!(gpu.download(&out).unwrap(), want, "seed {}", x.seed);
            let (table, more) = (x.normals(rows * width), x.normals(rows.div_ceil(2) * width));
            let some: Vec<u32> = (0..rows as u32).step_by(2).collect();
            let mut out = gpu.upload(&table).unwrap();
            ops.add_to_rows(&gpu.upload(&more).unwrap(), &ops.places(&some, rows).unwrap(), width, &mut out).unwrap();
            let mut want = table.clone();
            kernels::scatter_add_rows(&more, width, &some, &mut want);
            x.close("rows", &gpu.download(&out).unwrap(), &want);
            ops.axpy(-0.5, &gpu.upload(&table).unwrap(), &mut out).unwrap();
            want.iter_mut().zip(&table).for_each(|(want, x)| *want -= 0.5 * x);
            x.close("axpy", &gpu.download(&out).unwrap(), &want);
        }
    }
}

#[test]
#[should_panic(expected = "place 5 at 1 is not below 5")]
fn a_place_out_of_range_is_refused_before_it_reaches_the_device() {
    let Some(ops) = devices().pop() else { panic!("place 5 at 1 is not below 5: nothing to test on") };
    let _ = ops.places(&[0, 5], 5);
}
