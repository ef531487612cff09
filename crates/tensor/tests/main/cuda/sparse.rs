//! Sparse times dense.

use rectify_tensor::Csr;
use rectify_tensor::cuda::DeviceCsr;

use super::{Inputs, SHAPES, devices};

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
