//! Rows and columns that are read, written and added up.

use rectify_tensor::kernels;

use super::{Inputs, SHAPES, devices};

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
