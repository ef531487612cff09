//! Sparse × dense, forward and backward.

use rectify_cuda::{Args, Shape, Source};

use super::rows::Slots;
use super::{Buffer, GpuError, GpuOps, Places, check_matrix};
use crate::Csr;

pub(super) static SOURCE: Source =
    Source { name: "csr", text: include_str!("../../kernels/csr.cu"), kernels: &["spmm", "spmm_rows", "spmm_some"] };

/// A sparse matrix on a device.
#[derive(Debug)]
pub struct DeviceCsr {
    offsets: Buffer<u64>,
    columns: Buffer<u32>,
    values: Buffer<f32>,
    n_rows: usize,
    n_columns: usize,
}

impl DeviceCsr {
    /// Uploads a matrix.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn new(ops: &GpuOps, matrix: &Csr) -> Result<Self, GpuError> {
        let (offsets, columns, values) = matrix.arrays();
        let gpu = ops.gpu();
        Ok(Self {
            offsets: gpu.upload(offsets)?,
            columns: gpu.upload(columns)?,
            values: gpu.upload(values)?,
            n_rows: matrix.n_rows(),
            n_columns: matrix.n_columns(),
        })
    }

    /// Number of rows.
    #[must_use]
    pub const fn n_rows(&self) -> usize {
        self.n_rows
    }
}

impl GpuOps {
    /// `out ← A·x`, as [`Csr::spmm`]; x (n_columns, dim), out (n_rows, dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn spmm(&self, a: &DeviceCsr, x: &Buffer<f32>, dim: usize, out: &mut Buffer<f32>) -> Result<(), GpuError> {
        check_matrix("x", x, a.n_columns, dim);
        check_matrix("out", out, a.n_rows, dim);
        let args = Args::new().read(&a.offsets).read(&a.columns).read(&a.values).size(a.n_rows);
        self.run(&SOURCE, "spmm", Shape::warps_for(a.n_rows), args.read(x).size(dim).write(out))
    }

    /// `out[j] ← (A·x)[rows[j]]`, as [`Csr::spmm_rows`].
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn spmm_rows(
        &self,
        a: &DeviceCsr,
        rows: &Places,
        x: &Buffer<f32>,
        dim: usize,
        out: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        assert!(rows.below <= a.n_rows, "rows must be below {}", a.n_rows);
        check_matrix("x", x, a.n_columns, dim);
        check_matrix("out", out, rows.len(), dim);
        let args = Args::new().read(&a.offsets).read(&a.columns).read(&a.values).read(&rows.buffer).size(rows.len());
        self.run(&SOURCE, "spmm_rows", Shape::warps_for(rows.len()), args.read(x).size(dim).write(out))
    }

    /// `dx += A[rows]ᵀ·g`, as [`Csr::spmm_rows_backward`], from Aᵀ and the place of each row of A in g.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn spmm_rows_backward(
        &self,
        transposed: &DeviceCsr,
        slots: &Slots,
        g: &Buffer<f32>,
        dim: usize,
        dx: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        let n = transposed.n_rows;
        assert_eq!(slots.buffer.len(), transposed.n_columns, "each row of A needs its place in g");
        check_matrix("g", g, slots.below, dim);
        check_matrix("dx", dx, n, dim);
        let a = transposed;
        let args = Args::new().read(&a.offsets).read(&a.columns).read(&a.values).size(n).read(&slots.buffer);
        self.run(&SOURCE, "spmm_some", Shape::warps_for(n), args.read(g).size(dim).write(dx))
    }
}
