//! Losses and products of a user and an item each.

use rectify_tensor::cuda::{DeviceLabelled, DevicePairs, PairWidths};
use rectify_tensor::kernels::{self, Labelled, Pairs};

use super::{Inputs, SHAPES, devices};

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
