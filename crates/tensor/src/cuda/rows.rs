//! Rows of tables: gathering, and sums of gradients.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, Groups, Places, check_matrix};

pub(super) static SOURCE: Source = Source {
    name: "rows",
    text: include_str!("../../kernels/rows.cu"),
    kernels: &["gather_rows", "axpy", "sum_segments"],
};

impl GpuOps {
    /// `out[j] = table[rows[j]]`; table (n, dim), out (rows.len(), dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn gather_rows(
        &self,
        table: &Buffer<f32>,
        dim: usize,
        rows: &Places,
        out: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        check_matrix("table", table, rows.below, dim);
        check_matrix("out", out, rows.len(), dim);
        let args = Args::new().read(table).read(&rows.buffer).size(rows.len()).size(dim).write(out);
        self.run(&SOURCE, "gather_rows", Shape::threads_for(rows.len() * dim), args)
    }

    /// `y += a x`.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn axpy(&self, a: f32, x: &Buffer<f32>, y: &mut Buffer<f32>) -> Result<(), GpuError> {
        let n = x.len();
        check_matrix("y", y, n, 1);
        let args = Args::new().float(a).read(x).size(n).write(y);
        self.run(&SOURCE, "axpy", Shape::threads_for(n), args)
    }

    /// `out[g] = Σ grads[at]` over the entries of group g, in their order: the backward of
    /// [`gather_rows`](Self::gather_rows). grads (n, dim), out (groups, dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn sum_groups(
        &self,
        grads: &Buffer<f32>,
        dim: usize,
        groups: &Groups,
        out: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        check_matrix("grads", grads, groups.below, dim);
        check_matrix("out", out, groups.n_groups, dim);
        let args =
            Args::new().read(grads).read(&groups.offsets).read(&groups.at).size(groups.n_groups).size(dim).write(out);
        self.run(&SOURCE, "sum_segments", Shape::warps_for(groups.n_groups), args)
    }

    /// For each row of a table its place among `rows`, or none.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If a row is not below `n_rows`.
    pub fn slots(&self, rows: &[u32], n_rows: usize) -> Result<Slots, GpuError> {
        let mut slots = vec![u32::MAX; n_rows];
        for (slot, row) in rows.iter().enumerate() {
            slots[*row as usize] = slot as u32;
        }
        Ok(Slots { buffer: self.gpu.upload(&slots)?, below: rows.len() })
    }
}

/// For each row of a table its place in a smaller one, or none.
#[derive(Debug)]
pub struct Slots {
    pub(super) buffer: Buffer<u32>,
    pub(super) below: usize,
}
