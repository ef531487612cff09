//! The arithmetic of a search: one product with the item table, then layers and products over the survivors.
//!
//! Every sum is a chain of fused multiply-adds in a fixed order, on every instruction set: lists have the same bits everywhere.

#![expect(clippy::needless_range_loop, reason = "loops of constant length over several arrays become registers")]

use rectify_core::simd::Level;

/// Floats that are handled together.
pub(super) const LANES: usize = 16;
/// Survivors that share each load of a weight; buffers of rows are whole blocks of them.
pub(super) const ROWS: usize = 8;
/// Groups of items whose chains run side by side.
const GROUPS: usize = 6;

pub(super) type Lanes = [f32; LANES];

/// Compiles a body (`#[inline(always)]`) for every level and picks one at run time.
macro_rules! at_levels {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident, $wide:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
        pub(super) fn $name(level: Level, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
                fn avx512($($arg: $ty),*) {
                    $wide($($arg),*);
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
                fn avx2($($arg: $ty),*) {
                    $body($($arg),*);
                }
                let level = level.usable();
                if level >= Level::Avx512 {
                    #[expect(unsafe_code, reason = "run-time dispatch to a build with more target features")]
                    // SAFETY: a usable level has the features that it stands for.
                    return unsafe { avx512($($arg),*) };
                }
                if level >= Level::Avx2 {
                    #[expect(unsafe_code, reason = "run-time dispatch to a build with more target features")]
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            let _ = level;
            $body($($arg),*);
        }
    };
}

#[inline(always)]
fn first_body(folded: &[f32], bias: f32, items: &[Lanes], out: &mut [Lanes]) {
    let dim = folded.len();
    let mut blocks = out.chunks_exact_mut(GROUPS);
    let mut at = 0;
    for block in &mut blocks {
        let items: [&[Lanes]; GROUPS] = std::array::from_fn(|g| &items[at + g * dim..][..dim]);
        let mut sums = [[0.0; LANES]; GROUPS];
        for (j, x) in folded.iter().enumerate() {
            for g in 0..GROUPS {
                for l in 0..LANES {
                    sums[g][l] = x.mul_add(items[g][j][l], sums[g][l]);
                }
            }
        }
        for g in 0..GROUPS {
            for l in 0..LANES {
                block[g][l] = sums[g][l] + bias;
            }
        }
        at += GROUPS * dim;
    }
    for (out, items) in blocks.into_remainder().iter_mut().zip(items[at..].chunks_exact(dim)) {
        let mut sums = [0.0; LANES];
        for (x, items) in folded.iter().zip(items) {
            for l in 0..LANES {
                sums[l] = x.mul_add(items[l], sums[l]);
            }
        }
        for l in 0..LANES {
            out[l] = sums[l] + bias;
        }
    }
}

at_levels! {
    /// Products of a user's folded vector with groups of sixteen items: `out[g][l] = Σ_j folded[j] · items[g·d + j][l] + bias`.
    fn first(folded: &[f32], bias: f32, items: &[Lanes], out: &mut [Lanes]) = first_body, first_body
}

/// What [`first`] gives one item, from its row.
pub(super) fn first_of(folded: &[f32], bias: f32, item: &[f32]) -> f32 {
    folded.iter().zip(item).fold(0.0f32, |sum, (x, q)| x.mul_add(*q, sum)) + bias
}

#[inline(always)]
fn heads_body(z: &[f32], h: &[f32], weights: &[Lanes], bias: f32, chunks: usize, out: &mut [f32]) {
    let stride = chunks * LANES;
    for (r, out) in out.iter_mut().enumerate() {
        let mut sums = [0.0; LANES];
        for (x, weights) in [(z, &weights[..chunks]), (h, &weights[chunks..])] {
            let (x, _) = x[r * stride..][..stride].as_chunks::<LANES>();
            for (x, w) in x.iter().zip(weights) {
                for l in 0..LANES {
                    sums[l] = x[l].mul_add(w[l], sums[l]);
                }
            }
        }
        let mut half = LANES / 2;
        while half > 0 {
            for l in 0..half {
                sums[l] += sums[l + half];
            }
            half /= 2;
        }
        *out = sums[0] + bias;
    }
}

at_levels! {
    /// Products of rows with a head: `out[r] = w · [z_r ; h_r] + bias`, sixteen chains and then a tree.
    ///
    /// z and h are rows of `chunks · 16`, the weights `2 · chunks`.
    fn heads(z: &[f32], h: &[f32], weights: &[Lanes], bias: f32, chunks: usize, out: &mut [f32]) = heads_body, heads_body
}

/// Four rows and one chunk of outputs at a time: what sixteen registers of 256 bits hold.
#[inline(always)]
fn layer_body(z: &[f32], h: &[f32], weights: &[Lanes], dim: usize, chunks: usize, out: &mut [f32]) {
    const HALF: usize = ROWS / 2;
    let stride = chunks * LANES;
    for (block, out) in out.chunks_exact_mut(HALF * stride).enumerate() {
        for c in 0..chunks {
            let mut sums = [[0.0; LANES]; HALF];
            for (x, weights) in [(z, &weights[..dim * chunks]), (h, &weights[dim * chunks..])] {
                if weights.is_empty() {
                    continue;
                }
                let rows: [&[f32]; HALF] = std::array::from_fn(|r| &x[(block * HALF + r) * stride..][..dim]);
                for k in 0..dim {
                    let w = &weights[k * chunks + c];
                    for r in 0..HALF {
                        for l in 0..LANES {
                            sums[r][l] = rows[r][k].mul_add(w[l], sums[r][l]);
                        }
                    }
                }
            }
            for r in 0..HALF {
                let out = &mut out[r * stride + c * LANES..][..LANES];
                for l in 0..LANES {
                    out[l] = if sums[r][l] > 0.0 { sums[r][l] } else { 0.0 };
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    //! Eight rows and two chunks of outputs at a time: sixteen sums of 512 bits.

    #![expect(unsafe_code, reason = "intrinsics")]

    use std::arch::x86_64::*;

    use super::{LANES, Lanes, ROWS};

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
    pub(super) fn layer(z: &[f32], h: &[f32], weights: &[Lanes], dim: usize, chunks: usize, out: &mut [f32]) {
        let stride = chunks * LANES;
        assert!(out.len().is_multiple_of(ROWS * stride) && z.len() >= out.len() && dim <= stride);
        let deep = weights.len() > dim * chunks;
        assert_eq!(weights.len(), if deep { 2 * dim * chunks } else { dim * chunks });
        assert!(!deep || h.len() >= out.len());
        for block in 0..out.len() / (ROWS * stride) {
            let mut c = 0;
            while c < chunks {
                // SAFETY: the CPU has the features of this function; sizes were checked above, the block is one of `out`, and
                // there are one or two more chunks from `c` on.
                unsafe {
                    if c + 2 <= chunks {
                        tile::<2>(z, h, weights, (dim, chunks, deep), block, c, out);
                        c += 2;
                    } else {
                        tile::<1>(z, h, weights, (dim, chunks, deep), block, c, out);
                        c += 1;
                    }
                }
            }
        }
    }

    /// Outputs of `C` chunks from `c` on for the rows of a block.
    ///
    /// # Safety
    /// z, out and (if deep) h hold the block's rows of `chunks · 16`; weights hold `dim` (deep: twice that) rows of `chunks`;
    /// `c + C <= chunks`, `dim <= chunks · 16`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
    unsafe fn tile<const C: usize>(
        z: &[f32],
        h: &[f32],
        weights: &[Lanes],
        (dim, chunks, deep): (usize, usize, bool),
        block: usize,
        c: usize,
        out: &mut [f32],
    ) {
        let (stride, start) = (chunks * LANES, block * ROWS * chunks * LANES);
        let mut sums = [[_mm512_setzero_ps(); C]; ROWS];
        for part in 0..if deep { 2 } else { 1 } {
            let x = if part == 0 { z } else { h };
            // SAFETY: within the rows and weights that the caller vouches for.
            unsafe {
                let x = x.as_ptr().add(start);
                let weights = weights.as_ptr().add(part * dim * chunks + c);
                for k in 0..dim {
                    let mut w = [_mm512_setzero_ps(); C];
                    for i in 0..C {
                        w[i] = _mm512_loadu_ps(weights.add(k * chunks + i).cast());
                    }
                    for r in 0..ROWS {
                        let x = _mm512_set1_ps(*x.add(r * stride + k));
                        for i in 0..C {
                            sums[r][i] = _mm512_fmadd_ps(x, w[i], sums[r][i]);
                        }
                    }
                }
            }
        }
        for r in 0..ROWS {
            for i in 0..C {
                // SAFETY: as above.
                unsafe {
                    let to = out.as_mut_ptr().add(start + r * stride + (c + i) * LANES);
                    _mm512_storeu_ps(to, _mm512_max_ps(sums[r][i], _mm512_setzero_ps()));
                }
            }
        }
    }
}
#[cfg(target_arch = "x86_64")]
use wide::layer as layer_wide;

at_levels! {
    /// A layer over rows: `out_r = relu(W [z_r ; h_r])`, or of `z_r` alone where there are only `dim · chunks` weights.
    ///
    /// z, h and out are whole blocks of [`ROWS`] rows of `chunks · 16`; the weights are one row of `chunks` for each input.
    fn layer(z: &[f32], h: &[f32], weights: &[Lanes], dim: usize, chunks: usize, out: &mut [f32]) = layer_body, layer_wide
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;

    use super::*;

    fn normals(name: &str, n: usize) -> Vec<f32> {
        let mut rng = Seed(3).stream(name).rng();
        (0..n).map(|_| rng.normal() as f32).collect()
    }

    fn lanes(name: &str, n: usize) -> Vec<Lanes> {
        normals(name, n * LANES).as_chunks().0.to_vec()
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| (x + 0.0).to_bits()).collect()
    }

    #[test]
    fn every_level_gives_the_bits_of_plain_chains() {
        for (dim, groups, rows) in [(1, 1, 8), (5, 7, 16), (16, 6, 8), (32, 13, 40), (50, 3, 24)] {
            let chunks = usize::div_ceil(dim, LANES);
            let stride = chunks * LANES;
            let (folded, items) = (normals("folded", dim), lanes("items", groups * dim));
            let (z, h) = (normals("z", rows * stride), normals("h", rows * stride));
            let weights = lanes("weights", 2 * dim * chunks);
            for level in Level::available() {
                let mut out = vec![[f32::NAN; LANES]; groups];
                first(level, &folded, 0.25, &items, &mut out);
                for (g, l) in (0..groups).flat_map(|g| (0..LANES).map(move |l| (g, l))) {
                    let item: Vec<f32> = (0..dim).map(|j| items[g * dim + j][l]).collect();
                    assert_eq!(out[g][l].to_bits(), first_of(&folded, 0.25, &item).to_bits(), "{level:?} {dim}");
                }

                let mut out = vec![f32::NAN; rows - 3];
                heads(level, &z, &h, &weights[..2 * chunks], -0.5, chunks, &mut out);
                for (r, out) in out.iter().enumerate() {
                    let x = [&z[r * stride..][..stride], &h[r * stride..][..stride]].concat();
                    let mut sums = [0.0f32; LANES];
                    for (k, x) in x.iter().enumerate() {
                        sums[k % LANES] = x.mul_add(weights[k / LANES][k % LANES], sums[k % LANES]);
                    }
                    for half in [8, 4, 2, 1] {
                        for l in 0..half {
                            sums[l] += sums[l + half];
                        }
                    }
                    assert_eq!(out.to_bits(), (sums[0] - 0.5).to_bits(), "{level:?} {dim}");
                }

                for inputs in [dim, 2 * dim] {
                    let mut out = vec![f32::NAN; rows * stride];
                    layer(level, &z, &h, &weights[..inputs * chunks], dim, chunks, &mut out);
                    let want = (0..rows * stride).map(|at| {
                        let (r, o) = (at / stride, at % stride);
                        let x = |k: usize| if k < dim { z[r * stride + k] } else { h[r * stride + k - dim] };
                        let sum = (0..inputs)
                            .fold(0.0f32, |sum, k| x(k).mul_add(weights[k * chunks + o / LANES][o % LANES], sum));
                        sum.max(0.0)
                    });
                    assert_eq!(bits(&out), bits(&want.collect::<Vec<_>>()), "{level:?} {dim} of {inputs}");
                }
            }
        }
    }
}
