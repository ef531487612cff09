//! AVX-512 with VNNI (Ice Lake, Zen 4 and later).

#![expect(unsafe_code, reason = "intrinsics")]

use std::arch::x86_64::*;

use super::{LANES, Level, Simd, Work};

/// Proof that the CPU has AVX-512 F, BW and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(super) fn at(level: Level) -> Option<Self> {
        (level.usable() >= Level::Avx512Vnni).then_some(Self(()))
    }

    #[inline]
    pub(super) fn run<W: Work>(self, work: W) -> W::Out {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
        fn entry<W: Work>(simd: Avx512, work: W) -> W::Out {
            work.run(simd)
        }
        // SAFETY: `self` was made by `at`, and a usable level has these features.
        unsafe { entry(self, work) }
    }
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    const WIDE: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m512 {
        // SAFETY: `self` proves the features; the array has the 64 bytes that are read.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32; LANES]) {
        // SAFETY: `self` proves the features; the array has the 64 bytes that are written.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn not_le(self, a: __m512, b: __m512) -> u16 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(a, b) }
    }

    #[inline(always)]
    fn dot4_start(self, sum: i32) -> __m512i {
        // The instruction multiplies the codes as they are, 128 too high.
        // SAFETY: `self` proves the features.
        unsafe { _mm512_set1_epi32(-128 * sum) }
    }

    #[inline(always)]
    fn dot4(self, sum: __m512i, codes: &[u8; 4 * LANES], word: i32) -> __m512i {
        // SAFETY: `self` proves the features; the array has the 64 bytes that are read.
        unsafe { _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(codes.as_ptr().cast()), _mm512_set1_epi32(word)) }
    }

    #[inline(always)]
    fn to_f32(self, x: __m512i) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_cvtepi32_ps(x) }
    }

    #[inline(always)]
    fn transpose(self, rows: &[&[f32]; LANES], out: &mut [[f32; LANES]]) {
        assert!(rows.iter().all(|row| row.len() == out.len()), "rows as long as the output");
        for at in (0..out.len()).step_by(LANES) {
            let width = LANES.min(out.len() - at);
            let mask = (u32::MAX >> (32 - width)) as u16;
            // SAFETY: `self` proves the features; `at + width <= row.len()`, and no more than `width` values are read.
            let columns =
                unsafe { transposed(std::array::from_fn(|i| _mm512_maskz_loadu_ps(mask, rows[i].as_ptr().add(at)))) };
            for (to, column) in out[at..at + width].iter_mut().zip(columns) {
                self.store(column, to);
            }
        }
    }
}

/// A 16 × 16 transpose: pairs, quadruples, then blocks of four columns.
///
/// # Safety
/// The CPU must have AVX-512F.
#[inline(always)]
unsafe fn transposed(r: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: the caller's duty.
    unsafe {
        let pair = |i: usize| {
            let (a, b) = (r[i & !1], r[i | 1]);
            if i & 1 == 0 { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) }
        };
        let p: [__m512; 16] = std::array::from_fn(pair);
        // Row group g, column c of each block of four: rows 4g..4g+4.
        let quad = |i: usize| {
            let (g, c) = (i & !3, i & 3);
            let (a, b) = (_mm512_castps_pd(p[g + c / 2]), _mm512_castps_pd(p[g + 2 + c / 2]));
            _mm512_castpd_ps(if c & 1 == 0 { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
        };
        let q: [__m512; 16] = std::array::from_fn(quad);
        // q[4g + c] holds columns c, 4 + c, 8 + c, 12 + c of row group g, one in each 128-bit block.
        std::array::from_fn(|i| {
            let (block, c) = (i / 4, i % 4);
            let (low, high) = if block % 2 == 0 {
                (
                    _mm512_shuffle_f32x4::<0b10_00_10_00>(q[c], q[4 + c]),
                    _mm512_shuffle_f32x4::<0b10_00_10_00>(q[8 + c], q[12 + c]),
                )
            } else {
                (
                    _mm512_shuffle_f32x4::<0b11_01_11_01>(q[c], q[4 + c]),
                    _mm512_shuffle_f32x4::<0b11_01_11_01>(q[8 + c], q[12 + c]),
                )
            };
            if block < 2 {
                _mm512_shuffle_f32x4::<0b10_00_10_00>(low, high)
            } else {
                _mm512_shuffle_f32x4::<0b11_01_11_01>(low, high)
            }
        })
    }
}
