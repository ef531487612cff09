//! Rows of a leaf, and inner products of rows of two leaves.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::support::{expect_rows, matrix, output, slice, tensor_like, with_values};
use crate::{GraphError, kernels};

struct Gather {
    ids: Vec<u32>,
    dim: usize,
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = vec![0.0; self.ids.len() * self.dim];
        kernels::gather_rows(slice(storage, layout)?, self.dim, &self.ids, &mut out);
        Ok(output(out, (self.ids.len(), self.dim)))
    }

    fn bwd(&self, leaf: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut d_leaf = vec![0.0; leaf.elem_count()];
        with_values(grad, |g| {
            kernels::scatter_add_rows(g, self.dim, &self.ids, &mut d_leaf);
            Ok(())
        })?;
        tensor_like(d_leaf, leaf).map(Some)
    }
}

/// Rows of a leaf: leaf (n, dim), ids (b) → (b, dim). A row may come many times; its gradients add up in order.
///
/// # Errors
/// An id at or beyond n, or a leaf that is no f32 matrix.
pub fn gather(leaf: &Tensor, ids: &[u32]) -> std::result::Result<Tensor, GraphError> {
    let (n, dim) = matrix("leaf", leaf)?;
    expect_rows("ids", ids, n)?;
    Ok(leaf.contiguous()?.apply_op1(Gather { ids: ids.to_vec(), dim })?)
}

struct GatherDot {
    left: Vec<u32>,
    right: Vec<u32>,
    dim: usize,
}

impl GatherDot {
    fn row<'a>(&self, matrix: &'a [f32], id: u32) -> &'a [f32] {
        &matrix[id as usize * self.dim..][..self.dim]
    }
}

impl CustomOp2 for GatherDot {
    fn name(&self) -> &'static str {
        "gather-dot"
    }

    fn cpu_fwd(&self, sa: &CpuStorage, la: &Layout, sb: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (slice(sa, la)?, slice(sb, lb)?);
        let pairs = self.left.iter().zip(&self.right);
        let out: Vec<f32> = pairs.map(|(i, j)| kernels::dot(self.row(a, *i), self.row(b, *j))).collect();
        let n = out.len();
        Ok(output(out, n))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut da, mut db) = (vec![0.0; a.elem_count()], vec![0.0; b.elem_count()]);
        with_values(a, |av| {
            with_values(b, |bv| {
                with_values(grad, |g| {
                    for ((i, j), g) in self.left.iter().zip(&self.right).zip(g) {
                        let (at, bt) = (*i as usize * self.dim, *j as usize * self.dim);
                        kernels::axpy(*g, self.row(bv, *j), &mut da[at..at + self.dim]);
                        kernels::axpy(*g, self.row(av, *i), &mut db[bt..bt + self.dim]);
                    }
                    Ok(())
                })
            })
        })?;
        Ok((Some(tensor_like(da, a)?), Some(tensor_like(db, b)?)))
    }
}

/// Inner products of rows: `out[s] = left[left_ids[s]] · right[right_ids[s]]`; left (n, dim), right (m, dim) → (b).
///
/// # Errors
/// Id lists of two lengths, an id out of range, or leaves that are no f32 matrices of one width.
pub fn gather_dot(
    left: &Tensor,
    left_ids: &[u32],
    right: &Tensor,
    right_ids: &[u32],
) -> std::result::Result<Tensor, GraphError> {
    let ((n, dim), (m, right_dim)) = (matrix("left", left)?, matrix("right", right)?);
    if dim != right_dim {
        return Err(GraphError::Count { what: "right", of: "columns", expected: dim, got: right_dim });
    }
    if left_ids.len() != right_ids.len() {
        let (expected, got) = (left_ids.len(), right_ids.len());
        return Err(GraphError::Count { what: "right", of: "ids", expected, got });
    }
    expect_rows("left ids", left_ids, n)?;
    expect_rows("right ids", right_ids, m)?;
    let op = GatherDot { left: left_ids.to_vec(), right: right_ids.to_vec(), dim };
    Ok(left.contiguous()?.apply_op2(&right.contiguous()?, op)?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, ids_tensor, leaf};
    use super::*;

    #[test]
    fn gather_equals_index_select() {
        let ids = [2u32, 0, 2, 2, 4];
        check(
            &[leaf("x", &[5, 7])],
            |x| Ok(gather(&x[0], &ids)?.sqr()?.sum_all()?),
            |x| Ok(x[0].index_select(&ids_tensor(&ids), 0)?.sqr()?.sum_all()?),
        );
    }

    #[test]
    fn gather_dot_equals_the_product_of_gathered_rows() {
        let (i, j) = ([0u32, 3, 3, 1], [2u32, 2, 0, 1]);
        check(
            &[leaf("a", &[4, 19]), leaf("b", &[3, 19])],
            |x| Ok(gather_dot(&x[0], &i, &x[1], &j)?.sqr()?.sum_all()?),
            |x| {
                let (a, b) = (x[0].index_select(&ids_tensor(&i), 0)?, x[1].index_select(&ids_tensor(&j), 0)?);
                Ok((a * b)?.sum(1)?.sqr()?.sum_all()?)
            },
        );
    }

    #[test]
    fn ids_and_shapes_that_do_not_fit_are_named() {
        let (a, b) = (leaf("a", &[4, 3]), leaf("b", &[2, 5]));
        let error = gather(&a, &[1, 4]).unwrap_err().to_string();
        assert_eq!(error, "ids: at position 1 found row 4, expected less than 4");
        let error = gather_dot(&a, &[0], &b, &[0]).unwrap_err().to_string();
        assert_eq!(error, "right has 5 columns, expected 3");
        assert!(gather_dot(&a, &[0], &a, &[0, 1]).is_err());
        assert!(gather(&a.flatten_all().unwrap(), &[0]).is_err());
    }
}
