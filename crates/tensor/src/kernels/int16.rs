//! Products of 16-bit integers with sums of 32 bits: exact, and with AVX-512 VNNI twice as fast as f32.

use super::{Level, kernel};

/// Columns that share a register of 512 bits.
const LANES: usize = 16;

/// `c ← a b`, row-major: a (m, k), b (k, n), c (m, n); `size` is (m, n, k).
///
/// b comes as (k / 2, n) words, each the values of rows 2p (low half) and 2p + 1 of a column. A sum beyond 32 bits wraps; none does
/// whose row of a and column of b have Euclidean lengths of at most 2¹⁵ each.
///
/// Half the time of an f32 product with [`Level::Avx512Vnni`], while b fits the nearest cache; slower than one below that.
///
/// # Panics
/// Unless k is even, n a multiple of 16, and the slices have those sizes.
pub fn int16_product(size: (usize, usize, usize), a: &[i16], b: &[i32], c: &mut [i32]) {
    int16_product_at(Level::best(), size, a, b, c);
}

fn int16_product_at(level: Level, size: (usize, usize, usize), a: &[i16], b: &[i32], c: &mut [i32]) {
    let (m, n, k) = size;
    assert!(k.is_multiple_of(2) && n.is_multiple_of(LANES), "k must be even and n a multiple of 16, got {k} and {n}");
    assert_eq!(a.len(), m * k, "a must hold {m} × {k} values");
    assert_eq!(b.len(), k / 2 * n, "b must hold {k} / 2 × {n} words");
    assert_eq!(c.len(), m * n, "c must hold {m} × {n} values");
    #[cfg(target_arch = "x86_64")]
    if level.usable() >= Level::Avx512Vnni {
        #[expect(unsafe_code, reason = "run-time dispatch to a build with more target features")]
        // SAFETY: a usable level has the features that it stands for; sizes were checked.
        return unsafe { wide::product(size, a, b, c) };
    }
    plain_at(level, size, a, b, c);
}

#[inline(always)]
fn plain_body<const FMA: bool>((_, n, k): (usize, usize, usize), a: &[i16], b: &[i32], c: &mut [i32]) {
    for (i, c) in c.chunks_exact_mut(n.max(1)).enumerate() {
        c.fill(0);
        for (pair, words) in a[i * k..][..k].as_chunks::<2>().0.iter().zip(b.chunks_exact(n)) {
            let (low, high) = (i32::from(pair[0]), i32::from(pair[1]));
            for (c, word) in c.iter_mut().zip(words) {
                let products = low.wrapping_mul(i32::from(*word as i16)).wrapping_add(high.wrapping_mul(word >> 16));
                *c = c.wrapping_add(products);
            }
        }
    }
}

kernel! {
    #[expect(dead_code, reason = "the level is chosen above")]
    fn plain / plain_at(size: (usize, usize, usize), a: &[i16], b: &[i32], c: &mut [i32]) = plain_body
}

#[cfg(target_arch = "x86_64")]
mod wide {
    #![expect(unsafe_code, reason = "intrinsics")]

    use std::arch::asm;
    use std::arch::x86_64::*;

    use super::LANES;

    /// Rows that share a load of the matrix.
    const ROWS: usize = 8;

    /// # Safety
    /// Sizes are as [`super::int16_product_at`] checks them.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn product(size: (usize, usize, usize), a: &[i16], b: &[i32], c: &mut [i32]) {
        let (_, n, _) = size;
        let pairs = n / (2 * LANES) * (2 * LANES);
        // SAFETY: sizes were checked; n is a multiple of LANES, so that the columns from `pairs` on are none or LANES.
        unsafe {
            for j in (0..pairs).step_by(2 * LANES) {
                panel::<2>(j, size, a, b, c);
            }
            if pairs < n {
                panel::<1>(pairs, size, a, b, c);
            }
        }
    }

    /// All rows, `PARTS` registers of columns from `j` on.
    ///
    /// # Safety
    /// a (m, k), c (m, n), `j + PARTS · LANES <= n`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn panel<const PARTS: usize>(j: usize, size: (usize, usize, usize), a: &[i16], b: &[i32], c: &mut [i32]) {
        let (m, ..) = size;
        let groups = m / ROWS * ROWS;
        // SAFETY: rows up to `i + ROWS` (or `i + 1`) exist; the caller vouches for the rest.
        unsafe {
            for i in (0..groups).step_by(ROWS) {
                tile::<ROWS, PARTS>((i, j), size, a, b, c);
            }
            for i in groups..m {
                tile::<1, PARTS>((i, j), size, a, b, c);
            }
        }
    }

    /// Sums of `M` rows and `PARTS` registers of columns.
    ///
    /// # Safety
    /// As [`panel`], and `i + M <= m`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn tile<const M: usize, const PARTS: usize>(
        (i, j): (usize, usize),
        (_, n, k): (usize, usize, usize),
        a: &[i16],
        b: &[i32],
        c: &mut [i32],
    ) {
        let mut sums = [[_mm512_setzero_si512(); PARTS]; M];
        for p in 0..k / 2 {
            // SAFETY: `p < k / 2`; the caller vouches for the rest.
            unsafe {
                let words = b.as_ptr().add(p * n + j);
                let words: [__m512i; PARTS] = std::array::from_fn(|h| _mm512_loadu_si512(words.add(h * LANES).cast()));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let pair = a.as_ptr().add((i + r) * k + 2 * p).cast::<i32>().read_unaligned();
                    let pair = _mm512_set1_epi32(pair);
                    for (sum, words) in sums.iter_mut().zip(words) {
                        // Not the intrinsic: for a CPU that it knows nothing of the compiler makes two slower instructions of it.
                        asm!(
                            "vpdpwssd {}, {}, {}",
                            inout(zmm_reg) *sum,
                            in(zmm_reg) pair,
                            in(zmm_reg) words,
                            options(pure, nomem, nostack, preserves_flags)
                        );
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (h, &sum) in sums.iter().enumerate() {
                // SAFETY: as above.
                unsafe { _mm512_storeu_si512(c.as_mut_ptr().add((i + r) * n + j + h * LANES).cast(), sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;

    use super::*;

    #[test]
    fn every_level_equals_the_definition() {
        let mut rng = Seed(7).stream("int16").rng();
        let mut values = |n: usize, below: u32| -> Vec<i16> {
            (0..n).map(|_| (i64::from(rng.below(2 * below)) - i64::from(below)) as i16).collect()
        };
        for (m, n, k) in [(1, 16, 2), (8, 32, 8), (19, 48, 64), (16, 64, 128), (3, 16, 0), (0, 16, 4)] {
            // Whole range, sums beyond 32 bits: what wraps does so alike.
            for below in [4096, 32768] {
                let (a, b) = (values(m * k, below), values(k * n, below));
                let product = |at: usize, p: usize| i64::from(a[at / n * k + p]) * i64::from(b[p * n + at % n]);
                let want: Vec<i32> = (0..m * n).map(|at| (0..k).map(|p| product(at, p)).sum::<i64>() as i32).collect();
                let word = |at: usize| {
                    let (low, high) = (b[at / n * 2 * n + at % n], b[(at / n * 2 + 1) * n + at % n]);
                    i32::from(low) & 0xffff | i32::from(high) << 16
                };
                let words: Vec<i32> = (0..k / 2 * n).map(word).collect();
                for level in Level::available() {
                    let mut c = vec![-1; m * n];
                    int16_product_at(level, (m, n, k), &a, &words, &mut c);
                    assert_eq!(c, want, "{level:?}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "n a multiple of 16")]
    fn other_widths_are_a_bug() {
        int16_product((1, 17, 2), &[0; 2], &[0; 17], &mut [0; 17]);
    }
}
