//! Matrix products whose right side stays in the nearest cache.

use super::{kernel, mul_add};

/// Columns of a panel.
const PANEL: usize = 32;
/// Columns of a part of it.
const LANES: usize = 16;
/// Rows that share a load of a panel.
const ROWS: usize = 2;

/// Sums of `M` rows and a panel. With `TURNED`, a is stored (k, m).
#[inline(always)]
fn tile<const FMA: bool, const TURNED: bool, const M: usize>(
    (i, j): (usize, usize),
    (m, n, k): (usize, usize, usize),
    a: &[f32],
    b: &[f32],
    add: bool,
    c: &mut [f32],
) {
    let mut sums = [[[0.0f32; LANES]; PANEL / LANES]; M];
    for p in 0..k {
        let b = b[p * n + j..][..PANEL].as_chunks::<LANES>().0;
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = if TURNED { a[p * m + i + r] } else { a[(i + r) * k + p] };
            for (sums, b) in sums.iter_mut().zip(b) {
                for l in 0..LANES {
                    sums[l] = mul_add::<FMA>(x, b[l], sums[l]);
                }
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let c = c[(i + r) * n + j..][..PANEL].as_chunks_mut::<LANES>().0;
        for (c, sums) in c.iter_mut().zip(sums) {
            for l in 0..LANES {
                c[l] = if add { c[l] + sums[l] } else { sums[l] };
            }
        }
    }
}

fn check((m, n, k): (usize, usize, usize), a: &[f32], b: &[f32], c: &[f32]) {
    assert_eq!(a.len(), m * k, "a must hold {m} × {k} values");
    assert_eq!(b.len(), k * n, "b must hold {k} × {n} values");
    assert_eq!(c.len(), m * n, "c must hold {m} × {n} values");
}

#[inline(always)]
fn product<const FMA: bool, const TURNED: bool>(
    size: (usize, usize, usize),
    a: &[f32],
    b: &[f32],
    add: bool,
    c: &mut [f32],
) {
    check(size, a, b, c);
    let (m, n, _) = size;
    for j in (0..n / PANEL * PANEL).step_by(PANEL) {
        let groups = m / ROWS * ROWS;
        for i in (0..groups).step_by(ROWS) {
            tile::<FMA, TURNED, ROWS>((i, j), size, a, b, add, c);
        }
        for i in groups..m {
            tile::<FMA, TURNED, 1>((i, j), size, a, b, add, c);
        }
    }
    last_columns::<FMA, TURNED>(size, a, b, add, c);
}

/// Columns that fill no panel: a row's sums lie in c itself.
#[inline(always)]
fn last_columns<const FMA: bool, const TURNED: bool>(
    (m, n, k): (usize, usize, usize),
    a: &[f32],
    b: &[f32],
    add: bool,
    c: &mut [f32],
) {
    let whole = n / PANEL * PANEL;
    if whole == n {
        return;
    }
    for (i, c) in c.chunks_exact_mut(n).enumerate() {
        let c = &mut c[whole..];
        if !add {
            c.fill(0.0);
        }
        for (p, b) in b.chunks_exact(n).enumerate() {
            let a = if TURNED { a[p * m + i] } else { a[i * k + p] };
            c.iter_mut().zip(&b[whole..]).for_each(|(c, b)| *c = mul_add::<FMA>(a, *b, *c));
        }
    }
}

/// The same sums in registers by hand: what the compiler makes of the plain loop runs at half the speed. Each sum adds its terms in the
/// plain loop's order, so that the bits are the same.
///
/// A tile is `$rows` rows of two registers: as many as the CPU has registers for.
#[cfg(target_arch = "x86_64")]
macro_rules! by_hand {
    (
        $name:ident, $features:literal, $lanes:literal, $rows:literal,
        $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $fused:ident
    ) => {
        mod $name {
            #![expect(unsafe_code, reason = "intrinsics")]

            use std::arch::x86_64::*;

            use super::{PANEL, check, last_columns};

            const COLUMNS: usize = 2 * $lanes;
            const _: () = assert!(PANEL % COLUMNS == 0);

            #[target_feature(enable = $features)]
            pub(super) fn plain(size: (usize, usize, usize), a: &[f32], b: &[f32], add: bool, c: &mut [f32]) {
                product::<false>(size, a, b, add, c);
            }

            #[target_feature(enable = $features)]
            pub(super) fn turned(size: (usize, usize, usize), a: &[f32], b: &[f32], add: bool, c: &mut [f32]) {
                product::<true>(size, a, b, add, c);
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn product<const TURNED: bool>(
                size: (usize, usize, usize),
                a: &[f32],
                b: &[f32],
                add: bool,
                c: &mut [f32],
            ) {
                check(size, a, b, c);
                let (m, n, _) = size;
                for j in (0..n / PANEL * PANEL).step_by(COLUMNS) {
                    let groups = m / $rows * $rows;
                    // SAFETY: sizes were checked; the rows of each tile and the columns from j on lie within them.
                    unsafe {
                        for i in (0..groups).step_by($rows) {
                            tile::<TURNED, $rows>((i, j), size, a, b, add, c);
                        }
                        match m - groups {
                            0 => {}
                            1 => tile::<TURNED, 1>((groups, j), size, a, b, add, c),
                            2 => tile::<TURNED, 2>((groups, j), size, a, b, add, c),
                            3 => tile::<TURNED, 3>((groups, j), size, a, b, add, c),
                            rest => {
                                tile::<TURNED, 4>((groups, j), size, a, b, add, c);
                                for i in groups + 4..groups + rest {
                                    tile::<TURNED, 1>((i, j), size, a, b, add, c);
                                }
                            }
                        }
                    }
                }
                last_columns::<true, TURNED>(size, a, b, add, c);
            }

            /// # Safety
            /// The slices are as `check` wants them, `i + M <= m` and `j + COLUMNS <= n`.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn tile<const TURNED: bool, const M: usize>(
                (i, j): (usize, usize),
                (m, n, k): (usize, usize, usize),
                a: &[f32],
                b: &[f32],
                add: bool,
                c: &mut [f32],
            ) {
                let (start, between_rows, along) = if TURNED { (i, 1, m) } else { (i * k, k, 1) };
                let mut sums = [[$zero(); 2]; M];
                for p in 0..k {
                    // SAFETY: `p < k`; the caller vouches for the rest.
                    unsafe {
                        let b = b.as_ptr().add(p * n + j);
                        let b = [$load(b), $load(b.add($lanes))];
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let x = $splat(*a.get_unchecked(start + r * between_rows + p * along));
                            for (sum, b) in sums.iter_mut().zip(b) {
                                *sum = $fused(x, b, *sum);
                            }
                        }
                    }
                }
                for (r, sums) in sums.iter().enumerate() {
                    for (h, &sum) in sums.iter().enumerate() {
                        // SAFETY: as above.
                        unsafe {
                            let c = c.as_mut_ptr().add((i + r) * n + j + h * $lanes);
                            let sum = if add { $add($load(c), sum) } else { sum };
                            $store(c, sum);
                        }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
by_hand!(
    avx512,
    "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma",
    16,
    8,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_fmadd_ps
);
#[cfg(target_arch = "x86_64")]
by_hand!(
    avx2,
    "avx2,fma",
    8,
    6,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_fmadd_ps
);

#[inline(always)]
fn plain<const FMA: bool>(size: (usize, usize, usize), a: &[f32], b: &[f32], add: bool, c: &mut [f32]) {
    product::<FMA, false>(size, a, b, add, c);
}

#[inline(always)]
fn turned<const FMA: bool>(size: (usize, usize, usize), a: &[f32], b: &[f32], add: bool, c: &mut [f32]) {
    product::<FMA, true>(size, a, b, add, c);
}

kernel! {
    /// `c ← a b`, or `c ← c + a b` if `add`; all row-major, nothing copied or packed.
    ///
    /// Four times as quick as [`gemm`](super::gemm) while b fits the nearest cache (k · n up to some ten thousand values) and n is a
    /// multiple of 32; beyond that [`gemm`](super::gemm) is the better choice.
    ///
    /// - **Shapes**: `size` is (m, n, k); a (m, k), b (k, n), c (m, n).
    ///
    /// # Panics
    /// If a slice has another size.
    pub fn small_product / small_product_at(size: (usize, usize, usize), a: &[f32], b: &[f32], add: bool, c: &mut [f32]) = plain, avx512 = avx512::plain, avx2 = avx2::plain
}

kernel! {
    /// [`small_product`] with a stored (k, m): `c ← aᵀ b`, or `c ← c + aᵀ b` if `add`.
    ///
    /// # Panics
    /// If a slice has another size.
    pub fn small_product_turned / small_product_turned_at(size: (usize, usize, usize), a: &[f32], b: &[f32], add: bool, c: &mut [f32]) = turned, avx512 = avx512::turned, avx2 = avx2::turned
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, normals};
    use super::super::{Level, Op, gemm};
    use super::*;

    #[test]
    fn every_level_and_both_layouts_equal_gemm() {
        for size in [(1, 1, 1), (5, 7, 3), (4, 32, 8), (9, 64, 17), (130, 70, 32), (33, 256, 12), (3, 40, 0)] {
            let (m, n, k) = size;
            let (a, b) = (normals("a", m * k), normals("b", k * n));
            for (op, at) in [
                (Op::Plain, small_product_at as fn(Level, (usize, usize, usize), &[f32], &[f32], bool, &mut [f32])),
                (Op::Transposed, small_product_turned_at),
            ] {
                let mut want = vec![0.0; m * n];
                gemm(size, 1.0, &a, op, &b, Op::Plain, 0.0, &mut want);
                let mut fused = Vec::new();
                for level in Level::available() {
                    let mut c = vec![f32::NAN; m * n];
                    at(level, size, &a, &b, false, &mut c);
                    assert_close(&c, &want, 2e-5);
                    at(level, size, &a, &b, true, &mut c);
                    let twice: Vec<f32> = want.iter().map(|x| 2.0 * x).collect();
                    assert_close(&c, &twice, 2e-5);
                    if level >= Level::Avx2 {
                        fused.push(c);
                    }
                }
                assert!(fused.iter().all(|c| *c == fused[0]), "{size:?}: levels that fuse give the same bits");
            }
        }
    }
}
