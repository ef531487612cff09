//! Lists of scores, and chosen codewords.

use rectify_tensor::kernels;

use super::{Inputs, SHAPES, devices};

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
