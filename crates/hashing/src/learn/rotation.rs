//! Orthogonal matrices: the rotation that rounding likes best (ITQ), and balanced, decorrelated delegates.

use rectify_core::rng::Seed;
use rectify_tensor::kernels::{Op, gemm};
use rectify_tensor::{linalg, parallel};

/// Rows of a piece of a product.
const PIECE: usize = 512;

/// `out ← rows · matrix`; rows (n, dim), matrix (dim, dim).
pub(super) fn rotate(rows: &[f32], matrix: &[f32], dim: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows.len()];
    parallel::fill_rows(&mut out, dim, PIECE, |first, out| {
        let rows = &rows[first * dim..][..out.len()];
        gemm((out.len() / dim, dim, dim), 1.0, rows, Op::Plain, matrix, Op::Plain, 0.0, out);
    });
    out
}

/// `aᵀ b` in double precision, pieces in order; a and b (n, dim).
fn cross_product(a: &[f32], b: &[f32], dim: usize) -> Vec<f64> {
    let map = |rows: std::ops::Range<usize>| {
        let mut part = vec![0.0; dim * dim];
        let at = rows.start * dim..rows.end * dim;
        gemm((dim, dim, rows.len()), 1.0, &a[at.clone()], Op::Transposed, &b[at], Op::Plain, 0.0, &mut part);
        part
    };
    let fold = |mut sum: Vec<f64>, part: Vec<f32>| {
        sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += f64::from(x));
        sum
    };
    parallel::map_reduce(a.len() / dim, PIECE, map, vec![0.0; dim * dim], fold)
}

/// [`linalg::nearest_orthogonal`] in single precision.
fn nearest_orthogonal(m: &[f64], dim: usize) -> Option<Vec<f32>> {
    Some(linalg::nearest_orthogonal(m, dim)?.into_iter().map(|x| x as f32).collect())
}

/// The rotation R that leaves rows nearest to their signs: minimises `|sign(V R) - V R|²` by turns (iterative quantisation, Gong
/// and Lazebnik, CVPR 2011), from a random start.
///
/// **Shapes**: rows V (n, dim) → R (dim, dim), row-major. `None` if rows are not finite.
pub(super) fn learn(rows: &[f32], dim: usize, rounds: u32, seed: Seed) -> Option<Vec<f32>> {
    let mut rng = seed.stream("rotation").rng();
    // Drawn column by column.
    let mut start = vec![0.0; dim * dim];
    (0..dim * dim).for_each(|at| start[at % dim * dim + at / dim] = rng.normal());
    let mut rotation = nearest_orthogonal(&start, dim)?;
    for _ in 0..rounds {
        let mut codes = rotate(rows, &rotation, dim);
        codes.iter_mut().for_each(|x| *x = if *x >= 0.0 { 1.0 } else { -1.0 });
        rotation = nearest_orthogonal(&cross_product(rows, &codes, dim), dim)?;
    }
    Some(rotation)
}

/// Delegates X of codes B: the balanced (`Xᵀ1 = 0`), decorrelated (`Xᵀ X = n I`) matrix that maximises `tr(Bᵀ X)` (Zhang et al.,
/// "Discrete Collaborative Filtering", SIGIR 2016, Eq. 15).
///
/// With `B̄` the codes minus their column means, it is `√n` times the orthonormal matrix nearest to B̄. Where B̄ lacks rank, the
/// missing directions are completed by random ones, orthogonal to the rest and to 1; where there are fewer than `dim + 1` rows
/// they cannot all exist, and the rest is 0.
///
/// **Shapes**: codes (n, dim) → (n, dim).
pub(super) fn delegates(codes: &[f32], dim: usize, seed: Seed) -> Vec<f32> {
    let n = codes.len() / dim;
    let mut centred = codes.to_vec();
    centre(&mut centred, dim);
    let gram = cross_product(&centred, &centred, dim);
    let Some((values, vectors)) = linalg::symmetric_eigen(&gram, dim) else { return vec![0.0; codes.len()] };
    let floor = 1e-6 * values.iter().fold(1e-9f64, |a, b| a.max(*b));

    // Left singular vectors, one for each eigenvector: B̄ v / σ, or completed.
    let mut left: Vec<Vec<f64>> = Vec::new();
    let mut missing = Vec::new();
    for k in (0..dim).rev() {
        if values[k] > floor {
            let inverse = 1.0 / values[k].sqrt();
            let project =
                |row: &[f32]| row.iter().enumerate().map(|(j, x)| f64::from(*x) * vectors[k * dim + j]).sum::<f64>();
            left.push(centred.chunks_exact(dim).map(|row| project(row) * inverse).collect());
        } else {
            missing.push(k);
        }
    }
    for (at, _) in missing.iter().enumerate() {
        let mut rng = seed.at(0, at as u64);
        let fresh: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        left.push(orthonormal(fresh, &left));
    }
    let order = (0..dim).rev().filter(|k| values[*k] > floor).chain(missing);
    let root = (n as f64).sqrt();
    let mut out = vec![0.0f32; codes.len()];
    let right: Vec<(Vec<f64>, Vec<f64>)> =
        order.zip(left).map(|(k, left)| ((0..dim).map(|j| root * vectors[k * dim + j]).collect(), left)).collect();
    parallel::fill_rows(&mut out, dim, PIECE, |first, out| {
        for (i, row) in out.chunks_exact_mut(dim).enumerate() {
            let mut sums = vec![0.0f64; dim];
            for (right, left) in &right {
                let weight = left[first + i];
                sums.iter_mut().zip(right).for_each(|(sum, v)| *sum += weight * v);
            }
            row.iter_mut().zip(sums).for_each(|(x, sum)| *x = sum as f32);
        }
    });
    out
}

/// `x` made orthogonal to 1 and to `basis`, of length 1; 0 if nothing is left.
fn orthonormal(mut x: Vec<f64>, basis: &[Vec<f64>]) -> Vec<f64> {
    // Twice, since one round of Gram-Schmidt loses digits.
    for _ in 0..2 {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        x.iter_mut().for_each(|x| *x -= mean);
        for b in basis {
            let along: f64 = x.iter().zip(b).map(|(x, b)| x * b).sum();
            x.iter_mut().zip(b).for_each(|(x, b)| *x -= along * b);
        }
    }
    let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = if norm > 1e-6 { 1.0 / norm } else { 0.0 };
    x.iter_mut().for_each(|x| *x *= scale);
    x
}

/// Subtracts the mean row.
pub(super) fn centre(rows: &mut [f32], dim: usize) {
    let n = (rows.len() / dim) as f64;
    let mut mean = vec![0.0f64; dim];
    for row in rows.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / n);
    }
    for row in rows.chunks_exact_mut(dim) {
        row.iter_mut().zip(&mean).for_each(|(x, mean)| *x = (f64::from(*x) - mean) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normals(n: usize) -> Vec<f32> {
        let mut rng = Seed(3).stream("rows").rng();
        (0..n).map(|_| rng.normal() as f32).collect()
    }

    /// `aᵀ b` of columns.
    fn product(a: &[f32], b: &[f32], dim: usize, i: usize, j: usize) -> f64 {
        a.chunks(dim).zip(b.chunks(dim)).map(|(a, b)| f64::from(a[i]) * f64::from(b[j])).sum()
    }

    #[test]
    fn delegates_are_balanced_decorrelated_and_nearer_to_the_codes_than_others() {
        for (n, dim, distinct) in [(50, 8, 50), (40, 12, 3), (9, 12, 9)] {
            // Few distinct rows give codes of low rank.
            let pool = normals(distinct * dim);
            let codes: Vec<f32> = (0..n).flat_map(|i| &pool[i % distinct * dim..][..dim]).map(|x| x.signum()).collect();
            let x = delegates(&codes, dim, Seed(1));
            let full = n > dim;
            for i in 0..dim {
                let sum: f64 = x.iter().skip(i).step_by(dim).map(|x| f64::from(*x)).sum();
                assert!(sum.abs() < 1e-3, "{n} {dim}: column {i} sums to {sum}");
                for j in 0..dim {
                    let want = if i == j { n as f64 } else { 0.0 };
                    assert!(!full || (product(&x, &x, dim, i, j) - want).abs() < 1e-3, "{n} {dim} {i} {j}");
                }
            }
            let trace = |x: &[f32]| (0..dim).map(|i| product(&codes, x, dim, i, i)).sum::<f64>();
            let others = delegates(&normals(n * dim), dim, Seed(2));
            assert!(trace(&x) >= trace(&others) - 1e-3, "{} {}", trace(&x), trace(&others));
        }
    }

    #[test]
    fn a_learned_rotation_is_orthogonal_and_lowers_the_rounding_error() {
        let dim = 6;
        // Rows near the corners of a rotated cube.
        let turn = learn(&normals(10 * dim), dim, 0, Seed(9)).unwrap();
        let cube: Vec<f32> = normals(200 * dim).iter().map(|x| x.signum() + 0.1 * x).collect();
        let rows = rotate(&cube, &turn, dim);
        let error =
            |rotation: &[f32]| -> f32 { rotate(&rows, rotation, dim).iter().map(|x| (x - x.signum()).powi(2)).sum() };
        let (start, end) = (learn(&rows, dim, 0, Seed(1)).unwrap(), learn(&rows, dim, 50, Seed(1)).unwrap());
        for i in 0..dim {
            for j in 0..dim {
                let want = f64::from(u8::from(i == j));
                assert!((product(&end, &end, dim, i, j) - want).abs() < 1e-5);
            }
        }
        assert!(error(&end) < 0.5 * error(&start), "{} {}", error(&end), error(&start));
        assert!(learn(&[f32::NAN; 4], 2, 1, Seed(1)).is_none());
    }

    #[test]
    fn rotations_keep_inner_products() {
        let (dim, rows) = (5, normals(10));
        let turned = rotate(&rows, &learn(&rows, dim, 3, Seed(4)).unwrap(), dim);
        let dot = |x: &[f32]| x[..dim].iter().zip(&x[dim..]).map(|(a, b)| a * b).sum::<f32>();
        assert!((dot(&rows) - dot(&turned)).abs() < 1e-5);
    }
}
