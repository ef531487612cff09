//! Rows of a sparse matrix times a dense one.

use super::vector::AHEAD;
use super::{kernel, mul_add, prefetch};

/// `out[W]` ← Σ over the row's edges of `value · x[column]`, columns `at..at + W` of x. The sum stays in registers.
#[inline(always)]
fn row_block<const FMA: bool, const W: usize>(
    columns: &[u32],
    values: &[f32],
    x: &[f32],
    dim: usize,
    at: usize,
    out: &mut [f32],
) {
    let mut sums = [0.0f32; W];
    for (e, (column, value)) in columns.iter().zip(values).enumerate() {
        if let Some(next) = columns.get(e + AHEAD) {
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

#[inline(always)]
fn spmm_rows_of_body<const FMA: bool>(
    rows: &mut dyn Iterator<Item = usize>,
    offsets: &[u64],
    columns: &[u32],
    values: &[f32],
    x: &[f32],
    dim: usize,
    out: &mut [f32],
) {
    for (row, out) in rows.zip(out.chunks_exact_mut(dim)) {
        let edges = offsets[row] as usize..offsets[row + 1] as usize;
        let (columns, values) = (&columns[edges.clone()], &values[edges]);
        let mut at = 0;
        while at + 64 <= dim {
            row_block::<FMA, 64>(columns, values, x, dim, at, out);
            at += 64;
        }
        while at + 16 <= dim {
            row_block::<FMA, 16>(columns, values, x, dim, at, out);
            at += 16;
        }
        if at < dim {
            let tail = &mut out[at..];
            tail.fill(0.0);
            for (column, value) in columns.iter().zip(values) {
                let start = *column as usize * dim + at;
                for (o, x) in tail.iter_mut().zip(&x[start..]) {
                    *o = mul_add::<FMA>(*value, *x, *o);
                }
            }
        }
    }
}

#[inline(always)]
fn spmm_scatter_body<const FMA: bool>(
    rows: &[u32],
    offsets: &[u64],
    columns: &[u32],
    values: &[f32],
    g: &[f32],
    dim: usize,
    out: &mut [f32],
) {
    for (row, g) in rows.iter().zip(g.chunks_exact(dim)) {
        let edges = offsets[*row as usize] as usize..offsets[*row as usize + 1] as usize;
        let (columns, values) = (&columns[edges.clone()], &values[edges]);
        for (e, (column, value)) in columns.iter().zip(values).enumerate() {
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
    /// Rows of A·x in the order of `rows`; sizes are checked by `Csr`.
    pub(crate) fn spmm_rows_of / spmm_rows_of_at(
        rows: &mut dyn Iterator<Item = usize>,
        offsets: &[u64],
        columns: &[u32],
        values: &[f32],
        x: &[f32],
        dim: usize,
        out: &mut [f32],
    ) = spmm_rows_of_body
}
kernel! {
    /// `out += A[rows]ᵀ·g`, one row of A after the other; sizes are checked by `Csr`.
    pub(crate) fn spmm_scatter / spmm_scatter_at(
        rows: &[u32],
        offsets: &[u64],
        columns: &[u32],
        values: &[f32],
        g: &[f32],
        dim: usize,
        out: &mut [f32],
    ) = spmm_scatter_body
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
                spmm_rows_of_at(level, &mut (0..4), &offsets, &columns, &values, &x, dim, &mut out);
                assert_close(&out, &want, 1e-5);

                // ⟨A x, g⟩ = ⟨x, Aᵀ g⟩ for the chosen rows.
                let g = normals("g", 2 * dim);
                let mut back = vec![0.0; 9 * dim];
                spmm_scatter_at(level, &[3, 2], &offsets, &columns, &values, &g, dim, &mut back);
                let rows: Vec<f32> = [&want[3 * dim..], &want[2 * dim..3 * dim]].concat();
                let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                let (left, right) = (inner(&rows, &g), inner(&x, &back));
                assert!((left - right).abs() < 1e-4 * left.abs().max(1.0), "{left} {right}");
            }
        }
    }
}
