//! Small symmetric positive definite systems: Gram matrices of a few rows, and their Cholesky solution.
//!
//! Matrices are `[dim, stride]`, row-major, `stride` = [`padded`]`(dim)`: whole registers a row, padding zero. Only the upper
//! triangle is read.

use super::vector::sum_lanes;
use super::{kernel, mul_add};

const LANES: usize = 16;
/// Rows of a tile of the Gram matrix: its 4 × 16 sums fit the registers of AVX2.
const TILE: usize = 4;
/// Pivot rows that the rest of the matrix is updated with at a time, so that it is read and written an eighth as often.
const PANEL: usize = 8;

/// `dim` rounded up to whole registers.
#[must_use]
#[inline]
pub const fn padded(dim: usize) -> usize {
    dim.next_multiple_of(LANES)
}

#[inline(always)]
fn gram_add_body<const FMA: bool>(rows: &[f32], stride: usize, scale: f32, gram: &mut [f32]) {
    assert!(stride.is_multiple_of(LANES) && stride > 0, "rows must be padded to whole registers");
    assert!(rows.len().is_multiple_of(stride), "a matrix must be rows of {stride}");
    let dim = gram.len() / stride;
    assert!(gram.len().is_multiple_of(stride) && dim <= stride, "gram must be at most [stride, stride]");
    for column in (0..stride).step_by(LANES) {
        for first in (0..dim.min(column + LANES)).step_by(TILE) {
            // Rows of `gram` past its end are computed and dropped.
            let mut sums = [[0.0f32; LANES]; TILE];
            for row in rows.chunks_exact(stride) {
                let right: &[f32; LANES] = row[column..].first_chunk().expect("a row is whole registers");
                let left: &[f32; TILE] = row[first..].first_chunk().expect("a register is whole tiles");
                for t in 0..TILE {
                    for l in 0..LANES {
                        sums[t][l] = mul_add::<FMA>(left[t], right[l], sums[t][l]);
                    }
                }
            }
            for (t, sums) in sums.iter().enumerate().take(dim - first) {
                let out = &mut gram[(first + t) * stride + column..][..LANES];
                for l in 0..LANES {
                    out[l] = mul_add::<FMA>(scale, sums[l], out[l]);
                }
            }
        }
    }
}

kernel! {
    /// `gram += scale · XᵀX` for the rows X, its upper triangle at least.
    ///
    /// - **Shapes**: rows (n, stride), gram (dim, stride) with dim <= stride; stride a multiple of 16, padding zero.
    ///
    /// # Panics
    /// If the shapes are others.
    pub fn gram_add / gram_add_at(rows: &[f32], stride: usize, scale: f32, gram: &mut [f32]) = gram_add_body
}

/// `target[from..] -= Σₜ factors[t] · panel[t][from..]`, by whole registers.
#[inline(always)]
fn subtract_rows<const FMA: bool, const N: usize>(
    target: &mut [f32],
    panel: &[f32],
    stride: usize,
    factors: &[f32; N],
    from: usize,
) {
    for at in (from / LANES * LANES..stride).step_by(LANES) {
        let out: &mut [f32; LANES] = target[at..].first_chunk_mut().expect("a row is whole registers");
        // A copy stays in a register; what `out` points to would be stored after each row.
        let mut sums = *out;
        for t in 0..N {
            let row: &[f32; LANES] = panel[t * stride + at..].first_chunk().expect("a row is whole registers");
            for l in 0..LANES {
                sums[l] = mul_add::<FMA>(-factors[t], row[l], sums[l]);
            }
        }
        *out = sums;
    }
}

#[inline(always)]
fn cholesky_solve_body<const FMA: bool>(a: &mut [f32], stride: usize, b: &mut [f32]) -> bool {
    let dim = b.len();
    assert!(stride.is_multiple_of(LANES) && dim <= stride, "rows must be padded to whole registers");
    assert_eq!(a.len(), dim * stride, "a must be [dim, stride]");
    // A = UᵀU row by row, in panels; y = U⁻ᵀb on the way.
    for first in (0..dim).step_by(PANEL) {
        let last = (first + PANEL).min(dim);
        for k in first..last {
            let (done, row) = a.split_at_mut(k * stride);
            let row = &mut row[..stride];
            for j in first..k {
                let above = &done[j * stride..(j + 1) * stride];
                let factor = above[k];
                subtract_rows::<FMA, 1>(row, above, stride, &[factor], k);
                b[k] = mul_add::<FMA>(-factor, b[j], b[k]);
            }
            let pivot = row[k];
            // Written so that NaN is refused.
            if !(pivot > 0.0 && pivot.is_finite()) {
                return false;
            }
            let scale = 1.0 / pivot.sqrt();
            for x in &mut row[k / LANES * LANES..] {
                *x *= scale;
            }
            b[k] *= scale;
        }
        let (panel, rest) = a.split_at_mut(last * stride);
        let panel = &panel[first * stride..];
        for (i, row) in (last..dim).zip(rest.chunks_exact_mut(stride)) {
            // There are rows left only below a whole panel.
            let mut factors = [0.0; PANEL];
            for t in 0..PANEL {
                factors[t] = panel[t * stride + i];
                b[i] = mul_add::<FMA>(-factors[t], b[first + t], b[i]);
            }
            subtract_rows::<FMA, PANEL>(row, panel, stride, &factors, i);
        }
    }
    // x = U⁻¹y.
    for k in (0..dim).rev() {
        let row = &a[k * stride..k * stride + dim];
        let mut lanes = [0.0f32; LANES];
        let (left, right) = (row[k + 1..].as_chunks::<LANES>(), b[k + 1..].as_chunks::<LANES>());
        for (u, x) in left.0.iter().zip(right.0) {
            for l in 0..LANES {
                lanes[l] = mul_add::<FMA>(u[l], x[l], lanes[l]);
            }
        }
        let mut sum = sum_lanes(lanes);
        for (u, x) in left.1.iter().zip(right.1) {
            sum = mul_add::<FMA>(*u, *x, sum);
        }
        b[k] = (b[k] - sum) / row[k];
    }
    true
}

kernel! {
    /// Replaces `b` by the solution x of `A x = b` and `a` by its Cholesky factor; false if A is not positive definite
    /// in single precision (`a` and `b` are then undefined).
    ///
    /// - **Shapes**: b (dim), a (dim, stride), its upper triangle; stride a multiple of 16.
    ///
    /// # Panics
    /// If the shapes are others.
    pub fn cholesky_solve / cholesky_solve_at(a: &mut [f32], stride: usize, b: &mut [f32]) -> bool = cholesky_solve_body
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{assert_close, normals};
    use super::*;

    fn padded_rows(n: usize, dim: usize) -> Vec<f32> {
        let x = normals("gram", n * dim);
        let mut rows = vec![0.0; n * padded(dim)];
        for (row, x) in rows.chunks_exact_mut(padded(dim)).zip(x.chunks_exact(dim)) {
            row[..dim].copy_from_slice(x);
        }
        rows
    }

    #[test]
    fn the_gram_matrix_is_the_sum_of_outer_products_at_every_level() {
        for (n, dim) in [(0, 3), (1, 1), (5, 16), (7, 17), (40, 50)] {
            let (stride, rows) = (padded(dim), padded_rows(n, dim));
            for level in Level::available() {
                let mut gram = vec![1.0; dim * stride];
                gram_add_at(level, &rows, stride, 0.5, &mut gram);
                for i in 0..dim {
                    for j in i..dim {
                        let want = 1.0 + 0.5 * rows.chunks_exact(stride).map(|r| r[i] * r[j]).sum::<f32>();
                        assert_close(&[gram[i * stride + j]], &[want], 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn the_solution_times_the_matrix_is_the_right_side_at_every_level() {
        for dim in [1, 2, 7, 8, 9, 16, 17, 31, 64, 65] {
            let (stride, rows) = (padded(dim), padded_rows(dim + 3, dim));
            let b = normals("right side", dim);
            for level in Level::available() {
                let mut a = vec![0.0; dim * stride];
                gram_add_at(level, &rows, stride, 1.0, &mut a);
                for k in 0..dim {
                    a[k * stride + k] += 1.0;
                }
                let matrix = a.clone();
                let mut x = b.clone();
                assert!(cholesky_solve_at(level, &mut a, stride, &mut x));
                let at = |i: usize, j: usize| matrix[i.min(j) * stride + i.max(j)];
                let back: Vec<f32> = (0..dim).map(|i| (0..dim).map(|j| at(i, j) * x[j]).sum()).collect();
                assert_close(&back, &b, 1e-3);
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused() {
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let mut a = vec![0.0; 2 * 16];
            (a[0], a[17]) = (1.0, bad);
            assert!(!cholesky_solve(&mut a, 16, &mut [1.0, 1.0]), "{bad}");
        }
    }
}
