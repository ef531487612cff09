//! Matrix products and the ends of dense layers.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, check_matrix};
use crate::kernels::{Activation, Op};

pub(super) static SOURCE: Source = Source {
    name: "dense",
    text: include_str!("../../kernels/dense.cu"),
    kernels: &["gemm", "bias_act", "activation_backward", "column_sums_add"],
};

/// Side of the tile that a block computes.
const TILE: usize = 64;

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
    /// If sizes disagree, or c has more than 4 million rows.
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
        if m == 0 || n == 0 {
            return Ok(());
        }
        let tiles = |size: usize| u32::try_from(size.div_ceil(TILE)).expect("a size of 32 bits");
        let blocks = [tiles(n), tiles(m)];
        assert!(blocks[1] < 65_536, "c has {m} rows, more than a grid is high");
        let transposed = |op| usize::from(op == Op::Transposed);
        let args = Args::new().read(a).read(b).write(c).size(m).size(n).size(k);
        let args = args.size(transposed(op_a)).size(transposed(op_b)).float(alpha).float(beta);
        self.run(&SOURCE, "gemm", Shape { blocks, threads: 256 }, args)
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

    /// `sums += Σ_rows x`, row after row; x (rows, n), sums (n).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If `x` is no whole number of rows.
    pub fn column_sums_add(&self, x: &Buffer<f32>, sums: &mut Buffer<f32>) -> Result<(), GpuError> {
        let width = sums.len();
        let rows = x.len().checked_div(width).unwrap_or(0);
        check_matrix("x", x, rows, width);
        let args = Args::new().read(x).size(rows).size(width).write(sums);
        self.run(&SOURCE, "column_sums_add", Shape::threads_for(width), args)
    }
}
