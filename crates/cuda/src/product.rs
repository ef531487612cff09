//! Matrix products, which training and serving share.

use crate::{Args, Buffer, Gpu, GpuError, Shape, Source};

/// The kernel file.
pub static SOURCE: Source = Source { name: "product", text: include_str!("../kernels/product.cu"), kernels: &["gemm"] };

/// Side of the tile that a block computes.
const TILE: usize = 64;

/// Rows of tiles in a grid, at most; a higher c is taken in turns.
const MAX_HIGH: u32 = 1024;

impl Gpu {
    /// `c ← alpha · op(a) · op(b) + beta · c` with op(a) (m, k), op(b) (k, n), c (m, n), all row-major; `transposed_a` says that a is
    /// stored (k, m), `transposed_b` that b is stored (n, k). Where beta is 0, c is not read.
    ///
    /// Each value is a chain `sⱼ = fma(aⱼ, bⱼ, sⱼ₋₁)` from `s₀ = 0` over rising j, then times alpha.
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
        transposed_a: bool,
        b: &Buffer<f32>,
        transposed_b: bool,
        beta: f32,
        c: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        assert_eq!([a.len(), b.len(), c.len()], [m * k, k * n, m * n], "a, b, c of ({m}, {n}, {k})");
        if m == 0 || n == 0 {
            return Ok(());
        }
        let tiles = |size: usize| u32::try_from(size.div_ceil(TILE)).expect("a size of 32 bits");
        let blocks = [tiles(n), tiles(m).min(MAX_HIGH)];
        let args = Args::new().read(a).read(b).write(c).size(m).size(n).size(k);
        let args = args.size(usize::from(transposed_a)).size(usize::from(transposed_b)).float(alpha).float(beta);
        // SAFETY: the parameters of `gemm` in their order; threads outside the sizes checked above neither read nor write.
        #[expect(unsafe_code, reason = "a launch is a promise about its arguments")]
        unsafe {
            self.run(&SOURCE, "gemm", Shape { blocks, threads: 256 }, args)
        }
    }
}
