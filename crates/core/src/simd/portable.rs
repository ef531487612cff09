//! The twin of all other levels, in plain Rust.

use super::{LANES, Simd};

/// Plain Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Simd for Portable {
    type F = [f32; LANES];
    type I = [i32; LANES];
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        *x
    }

    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; LANES]) {
        *to = x;
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(always)]
    fn not_le(self, a: Self::F, b: Self::F) -> u16 {
        (0..LANES).fold(0, |mask, i| mask | u16::from(a[i].partial_cmp(&b[i]).is_none_or(|o| o.is_gt())) << i)
    }

    #[inline(always)]
    fn dot4_start(self, _: i32) -> Self::I {
        [0; LANES]
    }

    #[inline(always)]
    fn dot4(self, sum: Self::I, codes: &[u8; 4 * LANES], word: i32) -> Self::I {
        let word = word.to_le_bytes().map(|byte| i32::from(byte as i8));
        std::array::from_fn(|i| (0..4).fold(sum[i], |s, j| s + (i32::from(codes[4 * i + j]) - 128) * word[j]))
    }

    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        x.map(|x| x as f32)
    }

    #[inline(always)]
    fn transpose(self, rows: &[&[f32]; LANES], out: &mut [[f32; LANES]]) {
        for (lane, row) in rows.iter().enumerate() {
            for (out, x) in out.iter_mut().zip(*row) {
                out[lane] = *x;
            }
        }
    }
}
