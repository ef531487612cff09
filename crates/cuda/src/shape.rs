//! How many threads do a kernel's work.

/// How many threads a launch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Blocks, along x and y.
    pub blocks: [u32; 2],
    /// Threads of a block, along x; a multiple of 32.
    pub threads: u32,
}

impl Shape {
    /// Blocks of 256 threads, as many as give each of `n` things one thread; at most 65,535 blocks, so kernels loop.
    #[must_use]
    pub fn threads_for(n: usize) -> Self {
        Self { blocks: [n.div_ceil(256).clamp(1, 65_535) as u32, 1], threads: 256 }
    }

    /// Blocks of 8 warps, as many as give each of `n` things one warp; at most 65,535 blocks, so kernels loop.
    #[must_use]
    pub fn warps_for(n: usize) -> Self {
        Self { blocks: [n.div_ceil(8).clamp(1, 65_535) as u32, 1], threads: 256 }
    }
}
