//! Matrix products, and the ends of dense layers.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, check_matrix};
use crate::kernels::{Activation, Op};

pub(super) static SOURCE: Source = Source {
    name: "dense",
    text: include_str!("../../kernels/dense.cu"),
    kernels: &["bias_act", "activation_backward", "column_parts", "add_parts"],
};

/// The activation's number in `dense.cu`.
const fn number(activation: Activation) -> usize {
    match activation {
        Activation::Identity => 0,
        Activation::Relu => 1,
        Activation::Sigmoid => 2,
        Activation::Tanh => 3,
    }
}

impl GpuOps {
    /// `c ← alpha · op(a) · op(b) + beta · c`, as [`kernels::gemm`](crate::kernels::gemm), in f32.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    #[expect(clippy::too_many_arguments, reason = "the signature that everyone knows from BLAS")]
    pub fn gemm(
        &self,
        (m, n, k): (usize, usize, usize),
        alpha: f32,
        a: &Buffer<f32>,
        op_a: Op,
        b: &Buffer<f32>,
        op_b: Op,
        beta: f32,
        c: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        check_matrix("a", a, m, k);
        check_matrix("b", b, k, n);
        check_matrix("c", c, m, n);
        let transposed = |op| op == Op::Transposed;
        self.gpu.gemm((m, n, k), alpha, a, transposed(op_a), b, transposed(op_b), beta, c)
    }

    /// `y ← act(y + bias)`, in place; y (rows, n), bias (n).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If `y` is no whole number of rows.
    pub fn bias_act(&self, y: &mut Buffer<f32>, bias: &Buffer<f32>, activation: Activation) -> Result<(), GpuError> {
        let (width, len) = (bias.len(), y.len());
        let rows = len.checked_div(width).unwrap_or(0);
        check_matrix("y", y, rows, width);
        let args = Args::new().write(y).read(bias).size(rows).size(width).size(number(activation));
        self.run(&SOURCE, "bias_act", Shape::threads_for(len), args)
    }

    /// `dy ← dy · act'(z)`, in place, from the layer's output y.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn activation_backward(
        &self,
        y: &Buffer<f32>,
        dy: &mut Buffer<f32>,
        activation: Activation,
    ) -> Result<(), GpuError> {
        let n = y.len();
        check_matrix("dy", dy, n, 1);
        let args = Args::new().read(y).write(dy).size(n).size(number(activation));
        self.run(&SOURCE, "activation_backward", Shape::threads_for(n), args)
    }

    /// `sums += Σ_rows x`; x (rows, n), sums (n).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If `x` is no whole number of rows.
    pub fn column_sums_add(&self, x: &Buffer<f32>, sums: &mut Buffer<f32>) -> Result<(), GpuError> {
        let width = sums.len();
        self.columns(x, None, width, 0, sums)
    }

    /// `sums[at..at + width] += Σ_rows weights[row] · x[row]`; x (rows, width), weights (rows).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn weighted_column_sums_add(
        &self,
        x: &Buffer<f32>,
        weights: &Buffer<f32>,
        width: usize,
        at: usize,
        sums: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        check_matrix("x", x, weights.len(), width);
        self.columns(x, Some(weights), width, at, sums)
    }

    fn columns(
        &self,
        x: &Buffer<f32>,
        weights: Option<&Buffer<f32>>,
        width: usize,
        at: usize,
        sums: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        let rows = x.len().checked_div(width).unwrap_or(0);
        check_matrix("x", x, rows, width);
        assert!(at + width <= sums.len(), "{width} columns from {at} on do not fit into {} sums", sums.len());
        if rows == 0 {
            return Ok(());
        }
        // 64 rows a part and thread group, at most 64 parts.
        let n_parts = rows.div_ceil(512).min(64);
        let mut parts = self.gpu.zeros::<f32>(n_parts * width)?;
        let (weighted, weights) = (usize::from(weights.is_some()), weights.unwrap_or(x));
        let args = Args::new().read(x).read(weights).size(weighted).size(rows).size(width).write(&mut parts);
        let blocks = [width.div_ceil(32) as u32, n_parts as u32];
        self.run(&SOURCE, "column_parts", Shape { blocks, threads: 256 }, args)?;
        let args = Args::new().read(&parts).size(n_parts).size(width).size(at).write(sums);
        self.run(&SOURCE, "add_parts", Shape::threads_for(width), args)
    }
}
