//! A fixed sparse matrix times a dense tensor.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::support::{expect_rows, expect_shape, matrix, output, slice, tensor_like, with_values};
use crate::{Csr, GraphError};

struct Spmm {
    a: Arc<Csr>,
    /// Only these rows; `None` is all.
    rows: Option<Vec<u32>>,
    dim: usize,
}

impl CustomOp1 for Spmm {
    fn name(&self) -> &'static str {
        "spmm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let n = self.rows.as_ref().map_or(self.a.n_rows(), Vec::len);
        let mut out = vec![0.0; n * self.dim];
        match &self.rows {
            None => self.a.spmm(x, self.dim, &mut out),
            Some(rows) => self.a.spmm_rows(rows, x, self.dim, &mut out),
        }
        Ok(output(out, (n, self.dim)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = vec![0.0; x.elem_count()];
        with_values(grad, |g| {
            match &self.rows {
                None => self.a.transpose().spmm(g, self.dim, &mut dx),
                Some(rows) => self.a.spmm_rows_backward(rows, g, self.dim, &mut dx),
            }
            Ok(())
        })?;
        tensor_like(dx, x).map(Some)
    }
}

/// `A·x`; A (n, m) fixed, x (m, dim) → (n, dim). Its gradient is `Aᵀ·g`, with the transpose made once and kept in A.
///
/// # Errors
/// An x that is no f32 matrix of m rows.
pub fn spmm(a: &Arc<Csr>, x: &Tensor) -> std::result::Result<Tensor, GraphError> {
    let (_, dim) = matrix("x", x)?;
    expect_shape("x", x, &[a.n_columns(), dim])?;
    Ok(x.contiguous()?.apply_op1(Spmm { a: Arc::clone(a), rows: None, dim })?)
}

/// Only some rows of `A·x`: x (m, dim), rows (b) → (b, dim).
///
/// # Errors
/// As [`spmm`], or a row out of range.
pub fn spmm_rows(a: &Arc<Csr>, rows: &[u32], x: &Tensor) -> std::result::Result<Tensor, GraphError> {
    let (_, dim) = matrix("x", x)?;
    expect_shape("x", x, &[a.n_columns(), dim])?;
    expect_rows("rows", rows, a.n_rows())?;
    Ok(x.contiguous()?.apply_op1(Spmm { a: Arc::clone(a), rows: Some(rows.to_vec()), dim })?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, ids_tensor, leaf, tensor};
    use super::*;

    #[test]
    fn products_equal_those_with_the_dense_matrix() {
        let values = vec![0.5, -1.0, 2.0, 0.25, 3.0];
        let a = Arc::new(Csr::new(3, vec![0, 2, 2, 3, 5], vec![0, 2, 1, 1, 2], values).unwrap());
        let dense = tensor(&[0.5, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.25, 3.0], &[4, 3]);
        check(
            &[leaf("x", &[3, 5])],
            |x| Ok(spmm(&a, &x[0])?.sqr()?.sum_all()?),
            |x| Ok(dense.matmul(&x[0])?.sqr()?.sum_all()?),
        );
        let rows = [3u32, 0, 3];
        check(
            &[leaf("x", &[3, 5])],
            |x| Ok(spmm_rows(&a, &rows, &x[0])?.sqr()?.sum_all()?),
            |x| Ok(dense.matmul(&x[0])?.index_select(&ids_tensor(&rows), 0)?.sqr()?.sum_all()?),
        );
        assert!(spmm_rows(&a, &[4], &leaf("x", &[3, 5])).is_err());
        assert!(spmm(&a, &leaf("x", &[4, 5])).is_err());
    }
}
