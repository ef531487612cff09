//! AVX2 with FMA (Haswell, Zen and later): a vector is two registers.

#![expect(unsafe_code, reason = "intrinsics")]

use std::arch::x86_64::*;

use super::{LANES, Level, Simd, Work};

/// Proof that the CPU has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(super) fn at(level: Level) -> Option<Self> {
        (level.usable() >= Level::Avx2).then_some(Self(()))
    }

    #[inline]
    pub(super) fn run<W: Work>(self, work: W) -> W::Out {
        #[target_feature(enable = "avx2,fma")]
        fn entry<W: Work>(simd: Avx2, work: W) -> W::Out {
            work.run(simd)
        }
        // SAFETY: `self` was made by `at`, and a usable level has these features.
        unsafe { entry(self, work) }
    }
}

impl Simd for Avx2 {
    type F = [__m256; 2];
    type I = [__m256i; 2];
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        // SAFETY: `self` proves the features.
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        // SAFETY: `self` proves the features; the array has the 64 bytes that are read.
        unsafe { [_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; LANES]) {
        // SAFETY: `self` proves the features; the array has the 64 bytes that are written.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
        }
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` proves the features.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // SAFETY: `self` proves the features.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }

    #[inline(always)]
    fn not_le(self, a: Self::F, b: Self::F) -> u16 {
        // SAFETY: `self` proves the features.
        let half = |i: usize| unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(a[i], b[i])) as u16 };
        half(0) | half(1) << 8
    }

    #[inline(always)]
    fn dot4_start(self, _: i32) -> Self::I {
        // SAFETY: `self` proves the features.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    fn dot4(self, sum: Self::I, codes: &[u8; 4 * LANES], word: i32) -> Self::I {
        // `maddubs` wants one unsigned side, and sums two products in 16 saturating bits. With magnitudes up to 127 on
        // both sides, and the signs of the codes moved to the word, no sum exceeds 2 · 127² < 2¹⁵.
        // SAFETY: `self` proves the features; the array has the 64 bytes that are read.
        let half = |i: usize| unsafe {
            let codes = _mm256_loadu_si256(codes.as_ptr().add(32 * i).cast());
            let values = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
            let signed = _mm256_sign_epi8(_mm256_set1_epi32(word), values);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(values), signed);
            _mm256_add_epi32(sum[i], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        };
        [half(0), half(1)]
    }

    #[inline(always)]
    fn to_f32(self, x: Self::I) -> Self::F {
        // SAFETY: `self` proves the features.
        unsafe { [_mm256_cvtepi32_ps(x[0]), _mm256_cvtepi32_ps(x[1])] }
    }

    #[inline(always)]
    fn transpose(self, rows: &[&[f32]; LANES], out: &mut [[f32; LANES]]) {
        assert!(rows.iter().all(|row| row.len() == out.len()), "rows as long as the output");
        let whole = out.len() & !3;
        for at in (0..whole).step_by(4) {
            for lane in (0..LANES).step_by(4) {
                // SAFETY: `self` proves the features; each row has four values from `at` on, and each of the four
                // outputs four lanes from `lane` on.
                unsafe {
                    let load = |i: usize| _mm_loadu_ps(rows[lane + i].as_ptr().add(at));
                    let (mut a, mut b, mut c, mut d) = (load(0), load(1), load(2), load(3));
                    _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
                    for (i, column) in [a, b, c, d].into_iter().enumerate() {
                        _mm_storeu_ps(out[at + i][lane..].as_mut_ptr(), column);
                    }
                }
            }
        }
        for at in whole..out.len() {
            for (lane, row) in rows.iter().enumerate() {
                out[at][lane] = row[at];
            }
        }
    }
}
