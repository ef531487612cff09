//! The rotation before a product quantiser.

use rectify_core::{QueryError, check_len};
use rectify_tensor::kernels::{Op, gemm};
use rectify_tensor::linalg;

use super::teacher::check_rows;
use crate::FitError;

/// An orthogonal matrix R: what is quantised, and what asks, is `x R`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    dim: usize,
    /// Row-major.
    matrix: Vec<f32>,
}

impl Rotation {
    pub(super) fn identity(dim: usize) -> Self {
        let mut matrix = vec![0.0; dim * dim];
        matrix.iter_mut().step_by(dim + 1).for_each(|x| *x = 1.0);
        Self { dim, matrix }
    }

    /// The rotation that brings the rows of x nearest to those of y (orthogonal Procrustes): `argmin ‖x R − y‖` over
    /// orthogonal R is `U Vᵀ` with `xᵀ y = U S Vᵀ` (Schönemann, Psychometrika 1966).
    ///
    /// # Errors
    /// [`FitError::Rows`], [`FitError::Count`] if the tables are not equally long, [`FitError::Empty`], [`FitError::NotFinite`],
    /// [`FitError::Rotation`].
    pub fn procrustes(x: &[f32], y: &[f32], dim: usize) -> Result<Self, FitError> {
        check_rows("rows to rotate", "row", x, dim)?;
        check_rows("rows to reach", "row", y, dim)?;
        if x.len() != y.len() {
            let (expected, got) = (x.len() / dim, y.len() / dim);
            return Err(FitError::Count { what: "rows to reach", expected, got });
        }
        let mut cross = vec![0.0; dim * dim];
        gemm((dim, dim, x.len() / dim), 1.0, x, Op::Transposed, y, Op::Plain, 0.0, &mut cross);
        let cross: Vec<f64> = cross.into_iter().map(f64::from).collect();
        let rotation = linalg::nearest_orthogonal(&cross, dim).ok_or(FitError::Rotation { dim })?;
        let matrix = rotation.into_iter().map(|x| x as f32).collect();
        Ok(Self { dim, matrix })
    }

    /// The matrix, row-major `[dim, dim]`.
    #[must_use]
    pub fn matrix(&self) -> &[f32] {
        &self.matrix
    }

    /// `out ← rows R` for any number of rows, such as the queries of an index over rotated items.
    ///
    /// # Errors
    /// Rows that are not whole, or `out` of another size.
    pub fn rotate_into(&self, rows: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
        let (n, d) = (rows.len() / self.dim, self.dim);
        check_len("rows to rotate", n * d, rows.len())?;
        check_len("rotated rows", rows.len(), out.len())?;
        gemm((n, d, d), 1.0, rows, Op::Plain, &self.matrix, Op::Plain, 0.0, out);
        Ok(())
    }

    pub(super) fn rotate(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; rows.len()];
        let (n, d) = (rows.len() / self.dim, self.dim);
        gemm((n, d, d), 1.0, rows, Op::Plain, &self.matrix, Op::Plain, 0.0, &mut out);
        out
    }
}
