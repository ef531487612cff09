//! Matrix products whose right side stays in the nearest cache.

use super::{kernel, mul_add};

/// Columns of a panel, and rows that share a load of it: sixteen registers of sums at 256 bits.
const PANEL: usize = 32;
const ROWS: usize = 4;

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
    let mut sums = [[0.0f32; PANEL]; M];
    let rows: [&[f32]; M] = std::array::from_fn(|r| if TURNED { &[][..] } else { &a[(i + r) * k..][..k] });
    for p in 0..k {
        let Some(b) = b[p * n + j..].first_chunk::<PANEL>() else { return };
        let column: [f32; M] = std::array::from_fn(|r| if TURNED { a[p * m + i + r] } else { rows[r][p] });
        for (sums, a) in sums.iter_mut().zip(column) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = mul_add::<FMA>(a, *b, *sum);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let Some(c) = c[(i + r) * n + j..].first_chunk_mut::<PANEL>() else { return };
        if add {
            c.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum);
        } else {
            *c = *sums;
        }
    }
}

#[inline(always)]
fn product<const FMA: bool, const TURNED: bool>(
    size: (usize, usize, usize),
    a: &[f32],
    b: &[f32],
    add: bool,
    c: &mut [f32],
) {
    let (m, n, k) = size;
    assert_eq!(a.len(), m * k, "a must hold {m} × {k} values");
    assert_eq!(b.len(), k * n, "b must hold {k} × {n} values");
    assert_eq!(c.len(), m * n, "c must hold {m} × {n} values");
    let whole = n / PANEL * PANEL;
    for j in (0..whole).step_by(PANEL) {
        let groups = m / ROWS * ROWS;
        for i in (0..groups).step_by(ROWS) {
            tile::<FMA, TURNED, ROWS>((i, j), size, a, b, add, c);
        }
        for i in groups..m {
            tile::<FMA, TURNED, 1>((i, j), size, a, b, add, c);
        }
    }
    if whole == n {
        return;
    }
    // Columns that fill no panel: a row's sums lie in c itself.
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
    pub fn small_product / small_product_at(size: (usize, usize, usize), a: &[f32], b: &[f32], add: bool, c: &mut [f32]) = plain
}

kernel! {
    /// [`small_product`] with a stored (k, m): `c ← aᵀ b`, or `c ← c + aᵀ b` if `add`.
    ///
    /// # Panics
    /// If a slice has another size.
    pub fn small_product_turned / small_product_turned_at(size: (usize, usize, usize), a: &[f32], b: &[f32], add: bool, c: &mut [f32]) = turned
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
                for level in Level::available() {
                    let mut c = vec![f32::NAN; m * n];
                    at(level, size, &a, &b, false, &mut c);
                    assert_close(&c, &want, 2e-5);
                    at(level, size, &a, &b, true, &mut c);
                    let twice: Vec<f32> = want.iter().map(|x| 2.0 * x).collect();
                    assert_close(&c, &twice, 2e-5);
                }
            }
        }
    }
}
