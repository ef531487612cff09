//! Matrix products, ends of layers, sums of columns.

use rectify_tensor::kernels::{self, Activation, Op};

use super::{Inputs, SHAPES, devices};

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
