//! Rows of a sparse matrix times a dense one.

use std::ops::Range;

use super::{kernel, mul_add, prefetch};

/// A sparse matrix as its arrays; row r owns edges `offsets[r]..offsets[r + 1]`.
#[derive(Clone, Copy)]
pub(crate) struct Edges<'a> {
    pub(crate) offsets: &'a [u64],
    pub(crate) columns: &'a [u32],
    pub(crate) values: &'a [f32],
}

impl Edges<'_> {
    #[inline(always)]
    fn of(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }
}

/// Rows of x asked for ahead of their use.
const AHEAD: usize = 16;

/// `out[W]` ← Σ over the edges of `value · x[column]`, columns `at..at + W` of x. The sum stays in registers.
#[inline(always)]
fn row_block<const FMA: bool, const W: usize>(
    a: Edges<'_>,
    edges: Range<usize>,
    last: usize,
    x: &[f32],
    dim: usize,
    at: usize,
    out: &mut [f32],
) {
    let mut sums = [0.0f32; W];
    let ahead = &a.columns[..last];
    let first = edges.start;
    for (e, (column, value)) in a.columns[edges.clone()].iter().zip(&a.values[edges]).enumerate() {
        if let Some(next) = ahead.get(first + e + AHEAD) {
            prefetch(x, *next as usize * dim + at, W);
        }
        let start = *column as usize * dim + at;
        let source: &[f32; W] = x[start..start + W].first_chunk().expect("a slice of W holds W");
        for l in 0..W {
            sums[l] = mul_add::<FMA>(*value, source[l], sums[l]);
        }
    }
    out[at..at + W].copy_from_slice(&sums);
}

/// One row of the product. Rows of x are asked for up to edge `last`.
#[inline(always)]
fn row_product<const FMA: bool>(a: Edges<'_>, row: usize, last: usize, x: &[f32], dim: usize, out: &mut [f32]) {
    let edges = a.of(row);
    let mut at = 0;
    while at + 64 <= dim {
        row_block::<FMA, 64>(a, edges.clone(), last, x, dim, at, out);
        at += 64;
    }
    while at + 16 <= dim {
        row_block::<FMA, 16>(a, edges.clone(), last, x, dim, at, out);
        at += 16;
    }
    if at < dim {
        let tail = &mut out[at..];
        tail.fill(0.0);
        for (column, value) in a.columns[edges.clone()].iter().zip(&a.values[edges]) {
            let start = *column as usize * dim + at;
            for (o, x) in tail.iter_mut().zip(&x[start..]) {
                *o = mul_add::<FMA>(*value, *x, *o);
            }
        }
    }
}

#[inline(always)]
fn spmm_range_body<const FMA: bool>(a: Edges<'_>, rows: Range<usize>, x: &[f32], dim: usize, out: &mut [f32]) {
    // The edges of successive rows follow each other, so the next row's x is asked for while this one is summed.
    let last = a.columns.len();
    for (row, out) in rows.zip(out.chunks_exact_mut(dim)) {
        row_product::<FMA>(a, row, last, x, dim, out);
    }
}

#[inline(always)]
fn spmm_rows_body<const FMA: bool>(a: Edges<'_>, rows: &[u32], x: &[f32], dim: usize, out: &mut [f32]) {
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(dim)) {
        row_product::<FMA>(a, *row as usize, a.of(*row as usize).end, x, dim, out);
    }
}

#[inline(always)]
fn spmm_scatter_body<const FMA: bool>(a: Edges<'_>, rows: &[u32], g: &[f32], dim: usize, out: &mut [f32]) {
    for (row, g) in rows.iter().zip(g.chunks_exact(dim)) {
        let edges = a.of(*row as usize);
        let columns = &a.columns[edges.clone()];
        for (e, (column, value)) in columns.iter().zip(&a.values[edges]).enumerate() {
            if let Some(next) = columns.get(e + AHEAD) {
                prefetch(out, *next as usize * dim, dim);
            }
            let start = *column as usize * dim;
            for (o, g) in out[start..start + dim].iter_mut().zip(g) {
                *o = mul_add::<FMA>(*value, *g, *o);
            }
        }
    }
}

kernel! {
    /// Successive rows of A·x; sizes are checked by `Csr`.
    pub(crate) fn spmm_range / spmm_range_at(a: Edges<'_>, rows: Range<usize>, x: &[f32], dim: usize, out: &mut [f32])
        = spmm_range_body
}
kernel! {
    /// Rows of A·x in the order of `rows`; sizes are checked by `Csr`.
    pub(crate) fn spmm_rows / spmm_rows_at(a: Edges<'_>, rows: &[u32], x: &[f32], dim: usize, out: &mut [f32])
        = spmm_rows_body
}
kernel! {
    /// `out += A[rows]ᵀ·g`, one row of A after the other; sizes are checked by `Csr`.
    pub(crate) fn spmm_scatter / spmm_scatter_at(a: Edges<'_>, rows: &[u32], g: &[f32], dim: usize, out: &mut [f32])
        = spmm_scatter_body
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{assert_close, normals};
    use super::*;

    #[test]
    fn products_equal_the_plain_loop_at_every_level_and_width() {
        // Rows of 0, 1, 12 and 3 edges over 9 columns.
        let offsets = [0u64, 0, 1, 13, 16];
        let columns: Vec<u32> = (0..16).map(|e| (e * 5 + e / 4) % 9).collect();
        let values = normals("values", 16);
        for dim in [1, 7, 16, 20, 64, 83, 128] {
            let x = normals("x", 9 * dim);
            let mut want = vec![0.0f32; 4 * dim];
            for row in 0..4 {
                for e in offsets[row] as usize..offsets[row + 1] as usize {
                    for k in 0..dim {
                        want[row * dim + k] += values[e] * x[columns[e] as usize * dim + k];
                    }
                }
            }
            for level in Level::available() {
                let mut out = vec![f32::NAN; 4 * dim];
                let a = Edges { offsets: &offsets, columns: &columns, values: &values };
                spmm_range_at(level, a, 0..4, &x, dim, &mut out);
                assert_close(&out, &want, 1e-5);
                let mut some = vec![f32::NAN; 2 * dim];
                spmm_rows_at(level, a, &[2, 0], &x, dim, &mut some);
                assert_eq!(some, [&out[2 * dim..3 * dim], &out[..dim]].concat());

                // ⟨A x, g⟩ = ⟨x, Aᵀ g⟩ for the chosen rows.
                let g = normals("g", 2 * dim);
                let mut back = vec![0.0; 9 * dim];
                spmm_scatter_at(level, a, &[3, 2], &g, dim, &mut back);
                let rows: Vec<f32> = [&want[3 * dim..], &want[2 * dim..3 * dim]].concat();
                let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                let (left, right) = (inner(&rows, &g), inner(&x, &back));
                assert!((left - right).abs() < 1e-4 * left.abs().max(1.0), "{left} {right}");
            }
        }
    }
}
