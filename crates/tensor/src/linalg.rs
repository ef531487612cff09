//! Factorisations of dense matrices, by faer: compiled here once, since they are generic and their callers are many.
//!
//! Each runs on one thread, so that any number of threads gives the same bits. All matrices are row-major slices.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::solvers::{Llt, Solve};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

/// The orthogonal matrix nearest to `m` (n, n): `U Vᵀ` of `m = U Σ Vᵀ`. `None` if m is not finite.
///
/// # Panics
/// If `m` is not n by n.
#[must_use]
pub fn nearest_orthogonal(m: &[f64], n: usize) -> Option<Vec<f64>> {
    let svd = matrix(m, n, n).svd().ok()?;
    let nearest = svd.U() * svd.V().transpose();
    Some(values(&nearest))
}

/// Eigenvalues of the symmetric `m` (n, n), ascending, with their eigenvectors: vector k is row k. `None` if m is not finite.
///
/// # Panics
/// If `m` is not n by n.
#[must_use]
pub fn symmetric_eigen(m: &[f64], n: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    let eigen = matrix(m, n, n).self_adjoint_eigen(Side::Lower).ok()?;
    let (vectors, found) = (eigen.U(), eigen.S().column_vector());
    Some((found.iter().copied().collect(), (0..n * n).map(|at| vectors[(at % n, at / n)]).collect()))
}

/// A positive definite matrix, factored to solve systems with.
#[derive(Debug)]
pub struct Cholesky {
    factor: Llt<f64>,
    n: usize,
}

impl Cholesky {
    /// Factors `m` (n, n). `None` if it is not positive definite.
    ///
    /// # Panics
    /// If `m` is not n by n.
    #[must_use]
    pub fn new(m: &[f64], n: usize) -> Option<Self> {
        Some(Self { factor: matrix(m, n, n).llt(Side::Lower).ok()?, n })
    }

    /// The solution X of `M X = right`, both (n, columns).
    ///
    /// # Panics
    /// If `right` is not n by columns.
    #[must_use]
    pub fn solve(&self, right: &[f64], columns: usize) -> Vec<f64> {
        values(&self.factor.solve(matrix(right, self.n, columns)))
    }
}

/// The inverse of a positive definite matrix (n, n), whole; holds two matrices at a time. `None` if f32 cannot factor it.
///
/// # Panics
/// If `a` is not n by n.
#[must_use]
pub fn invert_positive_definite(mut a: Vec<f32>, n: usize) -> Option<Vec<f32>> {
    assert_eq!(a.len(), n * n, "a matrix of {n} rows and columns");
    // A = LLᵀ, A⁻¹ = L⁻ᵀL⁻¹; only lower triangles are touched. Symmetric, so column-major is row-major.
    let mut scratch = MemBuffer::new(cholesky_in_place_scratch::<f32>(n, Par::Seq, Default::default()));
    let lower = MatMut::from_column_major_slice_mut(&mut a, n, n);
    let regularization = LltRegularization::default();
    cholesky_in_place(lower, regularization, Par::Seq, MemStack::new(&mut scratch), Default::default()).ok()?;
    let mut inverse = vec![0.0f32; n * n];
    let lower = MatRef::from_column_major_slice(&a, n, n);
    invert_lower_triangular(MatMut::from_column_major_slice_mut(&mut inverse, n, n), lower, Par::Seq);
    let factor = MatRef::from_column_major_slice(&inverse, n, n);
    matmul(
        MatMut::from_column_major_slice_mut(&mut a, n, n),
        BlockStructure::TriangularLower,
        Accum::Replace,
        factor.transpose(),
        BlockStructure::TriangularUpper,
        factor,
        BlockStructure::TriangularLower,
        1.0,
        Par::Seq,
    );
    drop(inverse);
    for column in 0..n {
        for row in column + 1..n {
            a[row * n + column] = a[column * n + row];
        }
    }
    a.iter().all(|x| x.is_finite()).then_some(a)
}

fn matrix(values: &[f64], rows: usize, columns: usize) -> Mat<f64> {
    assert_eq!(values.len(), rows * columns, "a matrix of {rows} rows and {columns} columns");
    Mat::from_fn(rows, columns, |i, j| values[i * columns + j])
}

fn values(matrix: &Mat<f64>) -> Vec<f64> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    (0..rows * columns).map(|at| matrix[(at / columns, at % columns)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: [f64; 4] = [2.0, 1.0, 1.0, 3.0];

    #[test]
    fn factors_multiply_back() {
        let (found, vectors) = symmetric_eigen(&M, 2).unwrap();
        assert!(found[0] < found[1]);
        for i in 0..2 {
            for j in 0..2 {
                let entry: f64 = (0..2).map(|k| found[k] * vectors[k * 2 + i] * vectors[k * 2 + j]).sum();
                assert!((entry - M[i * 2 + j]).abs() < 1e-12);
            }
        }
        assert!(nearest_orthogonal(&[f64::NAN; 4], 2).is_none());
        // A rotation by a quarter, scaled: the rotation is the nearest.
        let nearest = nearest_orthogonal(&[0.0, -3.0, 3.0, 0.0], 2).unwrap();
        assert!(nearest.iter().zip([0.0, -1.0, 1.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-12), "{nearest:?}");
    }

    #[test]
    fn systems_are_solved_and_what_is_not_definite_refused() {
        let solution = Cholesky::new(&M, 2).unwrap().solve(&[5.0, 1.0, 10.0, 0.0], 2);
        assert!(solution.iter().zip([1.0, 0.6, 3.0, -0.2]).all(|(a, b)| (a - b).abs() < 1e-12), "{solution:?}");
        assert!(Cholesky::new(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
        let inverse = invert_positive_definite(vec![2.0, 1.0, 1.0, 3.0], 2).unwrap();
        assert!(inverse.iter().zip([0.6, -0.2, -0.2, 0.4]).all(|(a, b)| (a - b).abs() < 1e-6), "{inverse:?}");
        assert!(invert_positive_definite(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
