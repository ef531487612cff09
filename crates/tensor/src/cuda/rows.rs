//! Rows of tables: gathering, sums of gradients, Adam.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, Groups, Places, check_matrix};
use crate::Adam;

pub(super) static SOURCE: Source = Source {
    name: "rows",
    text: include_str!("../../kernels/rows.cu"),
    kernels: &["gather_rows", "axpy", "sum_segments", "adam_dense", "adam_rows", "adam_table"],
};

/// A table on a device with the two moments of Adam.
#[derive(Debug)]
pub struct DeviceAdam {
    /// The values (rows, dim).
    pub values: Buffer<f32>,
    pub(super) first: Buffer<f32>,
    pub(super) second: Buffer<f32>,
    /// Steps taken.
    pub(super) t: u64,
}

impl DeviceAdam {
    /// Uploads values; moments are 0.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn new(ops: &GpuOps, values: &[f32]) -> Result<Self, GpuError> {
        let gpu = ops.gpu();
        let (first, second) = (gpu.zeros(values.len())?, gpu.zeros(values.len())?);
        Ok(Self { values: gpu.upload(values)?, first, second, t: 0 })
    }

    /// Values, first moments, second moments and the step number, for checkpoints.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn download(&self, ops: &GpuOps) -> Result<([Vec<f32>; 3], u64), GpuError> {
        let gpu = ops.gpu();
        Ok(([gpu.download(&self.values)?, gpu.download(&self.first)?, gpu.download(&self.second)?], self.t))
    }

    /// The three buffers, and the constants of the next step as the kernels' last parameters.
    fn next<'a>(&mut self, adam: &Adam) -> ([f32; 8], [&mut Buffer<f32>; 3])
    where
        Self: 'a,
    {
        self.t += 1;
        let (c, s) = (adam.constants(), adam.scale(self.t));
        let constants = [
            c.beta1,
            c.beta2,
            c.one_minus_beta1,
            c.one_minus_beta2,
            c.epsilon,
            c.weight_decay,
            s.step_size,
            s.inverse_root,
        ];
        (constants, [&mut self.values, &mut self.first, &mut self.second])
    }
}

fn floats(args: Args<'_>, values: [f32; 8]) -> Args<'_> {
    values.into_iter().fold(args, Args::float)
}

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

    /// One step of Adam on every value.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn adam_dense(&self, param: &mut DeviceAdam, adam: &Adam, grads: &Buffer<f32>) -> Result<(), GpuError> {
        let n = param.values.len();
        check_matrix("grads", grads, n, 1);
        let (constants, [w, m, v]) = param.next(adam);
        let args = Args::new().write(w).write(m).write(v).read(grads).size(n);
        self.run(&SOURCE, "adam_dense", Shape::threads_for(n), floats(args, constants))
    }

    /// One step of Adam on the rows of a batch alone (lazy rows); grads (rows.len(), dim), no row twice.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn adam_rows(
        &self,
        param: &mut DeviceAdam,
        adam: &Adam,
        dim: usize,
        rows: &Places,
        grads: &Buffer<f32>,
    ) -> Result<(), GpuError> {
        check_matrix("values", &param.values, rows.below, dim);
        check_matrix("grads", grads, rows.len(), dim);
        let (constants, [w, m, v]) = param.next(adam);
        let args = Args::new().write(w).write(m).write(v).read(&rows.buffer).read(grads).size(rows.len()).size(dim);
        self.run(&SOURCE, "adam_rows", Shape::threads_for(rows.len() * dim), floats(args, constants))
    }

    /// One step of Adam on every row of a table, of which a batch gives some a gradient (exact rows): `slots[row]` is the row's place in
    /// grads (n, dim), or `u32::MAX`.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn adam_table(
        &self,
        param: &mut DeviceAdam,
        adam: &Adam,
        dim: usize,
        slots: &Slots,
        grads: &Buffer<f32>,
    ) -> Result<(), GpuError> {
        let n_rows = slots.buffer.len();
        check_matrix("values", &param.values, n_rows, dim);
        check_matrix("grads", grads, slots.below, dim);
        let (constants, [w, m, v]) = param.next(adam);
        let args = Args::new().write(w).write(m).write(v).read(&slots.buffer).read(grads).size(n_rows).size(dim);
        self.run(&SOURCE, "adam_table", Shape::threads_for(n_rows * dim), floats(args, constants))
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
