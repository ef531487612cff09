//! What graph convolutions need between their products.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, Places, check_matrix};

pub(super) static SOURCE: Source = Source {
    name: "graph",
    text: include_str!("../../kernels/graph.cu"),
    kernels: &[
        "covariance_parts",
        "affine_rows",
        "combine_columns",
        "cross_steps",
        "cross_steps_backward",
        "copy_columns",
        "add_to_rows",
    ],
};

impl GpuOps {
    /// `Σ_rows (y − mean_y)(x − mean_x)`, column by column; x and y (rows, width), means and result (width).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn covariances(
        &self,
        (x, mean_x): (&Buffer<f32>, &Buffer<f32>),
        (y, mean_y): (&Buffer<f32>, &Buffer<f32>),
    ) -> Result<Buffer<f32>, GpuError> {
        let width = mean_x.len();
        let rows = x.len().checked_div(width).unwrap_or(0);
        check_matrix("x", x, rows, width);
        check_matrix("y", y, rows, width);
        check_matrix("mean_y", mean_y, 1, width);
        let n_parts = rows.div_ceil(512).clamp(1, 64);
        let mut parts = self.gpu.zeros::<f32>(n_parts * width)?;
        let args = Args::new().read(x).read(mean_x).read(y).read(mean_y).size(rows).size(width).write(&mut parts);
        let blocks = [width.div_ceil(32).max(1) as u32, n_parts as u32];
        self.run(&SOURCE, "covariance_parts", Shape { blocks, threads: 256 }, args)?;
        let mut sums = self.gpu.zeros(width)?;
        self.column_sums_add(&parts, &mut sums)?;
        Ok(sums)
    }

    /// `p ← p a + weight b`, in place; p (rows, dim), one weight a row, a and b (dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn affine_rows(
        &self,
        p: &mut Buffer<f32>,
        weights: &Buffer<f32>,
        a: &Buffer<f32>,
        b: &Buffer<f32>,
    ) -> Result<(), GpuError> {
        let (rows, dim, len) = (weights.len(), a.len(), p.len());
        check_matrix("p", p, rows, dim);
        check_matrix("b", b, 1, dim);
        let args = Args::new().write(p).read(weights).read(a).read(b).size(rows).size(dim);
        self.run(&SOURCE, "affine_rows", Shape::threads_for(len), args)
    }

    /// `d ← a d + b (x − mean) + c`, in place, column by column; d and x (rows, dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn combine_columns(
        &self,
        d: &mut Buffer<f32>,
        x: &Buffer<f32>,
        mean: &Buffer<f32>,
        [a, b, c]: [&Buffer<f32>; 3],
    ) -> Result<(), GpuError> {
        let (dim, len) = (mean.len(), x.len());
        let rows = len.checked_div(dim).unwrap_or(0);
        check_matrix("x", x, rows, dim);
        check_matrix("d", d, rows, dim);
        [a, b, c].into_iter().for_each(|row| check_matrix("a factor", row, 1, dim));
        let args = Args::new().write(d).read(x).read(mean).read(a).read(b).read(c).size(rows).size(dim);
        self.run(&SOURCE, "combine_columns", Shape::threads_for(len), args)
    }

    /// Two cross steps row by row: `x₂ = c₁ x`, `out = c₂ x₂` with gains `c₁ = 1 + w₁·x`, `c₂ = 1 + w₂·x₂`; all (rows, dim), gains
    /// (rows, 2).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn cross_steps(
        &self,
        x: &Buffer<f32>,
        [w1, w2]: [&Buffer<f32>; 2],
        dim: usize,
        gains: &mut Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        let rows = gains.len() / 2;
        [x, w1, w2].into_iter().for_each(|matrix| check_matrix("x or a weight", matrix, rows, dim));
        check_matrix("out", out, rows, dim);
        let args = Args::new().read(x).read(w1).read(w2).size(rows).size(dim).write(gains).write(out);
        self.run(&SOURCE, "cross_steps", Shape::warps_for(rows), args)
    }

    /// Backward of [`cross_steps`](Self::cross_steps): d comes as the gradient of its output and leaves as that of x; those of the weights
    /// are written.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn cross_steps_backward(
        &self,
        x: &Buffer<f32>,
        [w1, w2]: [&Buffer<f32>; 2],
        dim: usize,
        gains: &Buffer<f32>,
        d: &mut Buffer<f32>,
        [d_w1, d_w2]: [&mut Buffer<f32>; 2],
    ) -> Result<(), GpuError> {
        let rows = gains.len() / 2;
        [x, w1, w2, &*d, &*d_w1, &*d_w2].into_iter().for_each(|m| check_matrix("a matrix", m, rows, dim));
        let args = Args::new().read(x).read(w1).read(w2).read(gains).size(rows).size(dim);
        self.run(&SOURCE, "cross_steps_backward", Shape::warps_for(rows), args.write(d).write(d_w1).write(d_w2))
    }

    /// Columns `from..from + width` of x, whose rows are `wide` across, become columns `to..to + width` of out.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If the columns are not there, or the numbers of rows differ.
    pub fn copy_columns(
        &self,
        x: &Buffer<f32>,
        (wide, from): (usize, usize),
        width: usize,
        out: &mut Buffer<f32>,
        (out_wide, to): (usize, usize),
    ) -> Result<(), GpuError> {
        assert!(
            from + width <= wide && to + width <= out_wide,
            "{width} columns from {from} of {wide} to {to} of {out_wide}"
        );
        let rows = x.len().checked_div(wide).unwrap_or(0);
        check_matrix("x", x, rows, wide);
        check_matrix("out", out, rows, out_wide);
        let args = Args::new().read(x).size(wide).size(from).size(rows).size(width).write(out).size(out_wide).size(to);
        self.run(&SOURCE, "copy_columns", Shape::threads_for(rows * width), args)
    }

    /// `table[rows[j]] += x[j]`, no row twice; x (rows.len(), width).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn add_to_rows(
        &self,
        x: &Buffer<f32>,
        rows: &Places,
        width: usize,
        table: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        check_matrix("x", x, rows.len(), width);
        check_matrix("table", table, rows.below, width);
        let args = Args::new().read(x).read(&rows.buffer).size(rows.len()).size(width).write(table);
        self.run(&SOURCE, "add_to_rows", Shape::threads_for(x.len()), args)
    }
}
