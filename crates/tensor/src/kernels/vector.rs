//! Vectors and rows: dot products, sums, gathers.

use super::{check_matrix, kernel, mul_add, prefetch};

/// Rows asked for ahead of their use: about the latency of memory over the time one row of 64 takes.
pub(crate) const AHEAD: usize = 8;

/// Sums 16 lanes as a tree.
#[inline(always)]
pub(crate) fn sum_lanes(lanes: [f32; 16]) -> f32 {
    let mut eight = [0.0; 8];
    for i in 0..8 {
        eight[i] = lanes[i] + lanes[i + 8];
    }
    let four = [eight[0] + eight[4], eight[1] + eight[5], eight[2] + eight[6], eight[3] + eight[7]];
    (four[0] + four[2]) + (four[1] + four[3])
}

#[inline(always)]
pub(crate) fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of a dot product must have one length");
    let (a_chunks, a_tail) = a.as_chunks::<16>();
    let (b_chunks, b_tail) = b.as_chunks::<16>();
    let mut lanes = [[0.0f32; 16]; 2];
    let mut pairs = a_chunks.iter().zip(b_chunks);
    while let Some((x, y)) = pairs.next() {
        for l in 0..16 {
            lanes[0][l] = mul_add::<FMA>(x[l], y[l], lanes[0][l]);
        }
        let Some((x, y)) = pairs.next() else { break };
        for l in 0..16 {
            lanes[1][l] = mul_add::<FMA>(x[l], y[l], lanes[1][l]);
        }
    }
    let [mut even, odd] = lanes;
    for (e, o) in even.iter_mut().zip(odd) {
        *e += o;
    }
    let mut sum = sum_lanes(even);
    for (x, y) in a_tail.iter().zip(b_tail) {
        sum = mul_add::<FMA>(*x, *y, sum);
    }
    sum
}

#[inline(always)]
pub(crate) fn axpy_body<const FMA: bool>(alpha: f32, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "vectors of axpy must have one length");
    for (x, y) in x.iter().zip(y) {
        *y = mul_add::<FMA>(alpha, *x, *y);
    }
}

#[inline(always)]
fn scale_body<const FMA: bool>(alpha: f32, x: &mut [f32]) {
    for x in x {
        *x *= alpha;
    }
}

#[inline(always)]
fn add_assign_body<const FMA: bool>(y: &mut [f32], x: &[f32]) {
    assert_eq!(x.len(), y.len(), "vectors of a sum must have one length");
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

#[inline(always)]
fn squared_norm_body<const FMA: bool>(x: &[f32]) -> f32 {
    dot_body::<FMA>(x, x)
}

#[inline(always)]
fn dots_body<const FMA: bool>(query: &[f32], rows: &[f32], out: &mut [f32]) {
    check_matrix("rows", rows, out.len(), query.len());
    if query.is_empty() {
        out.fill(0.0);
        return;
    }
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = dot_body::<FMA>(query, row);
    }
}

#[inline(always)]
fn gather_rows_body<const FMA: bool>(table: &[f32], dim: usize, rows: &[u32], out: &mut [f32]) {
    check_matrix("the gathered matrix", out, rows.len(), dim);
    if dim == 0 {
        return;
    }
    for (i, (row, out)) in rows.iter().zip(out.chunks_exact_mut(dim)).enumerate() {
        if let Some(next) = rows.get(i + AHEAD) {
            prefetch(table, *next as usize * dim, dim);
        }
        let start = *row as usize * dim;
        out.copy_from_slice(&table[start..start + dim]);
    }
}

#[inline(always)]
fn scatter_add_rows_body<const FMA: bool>(grads: &[f32], dim: usize, rows: &[u32], out: &mut [f32]) {
    check_matrix("the scattered matrix", grads, rows.len(), dim);
    if dim == 0 {
        return;
    }
    for (row, grad) in rows.iter().zip(grads.chunks_exact(dim)) {
        let start = *row as usize * dim;
        for (o, g) in out[start..start + dim].iter_mut().zip(grad) {
            *o += g;
        }
    }
}

kernel! {
    /// Inner product `Σ aᵢ bᵢ`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn dot / dot_at(a: &[f32], b: &[f32]) -> f32 = dot_body
}
kernel! {
    /// `y += alpha · x`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn axpy / axpy_at(alpha: f32, x: &[f32], y: &mut [f32]) = axpy_body
}
kernel! {
    /// `x *= alpha`.
    pub fn scale / scale_at(alpha: f32, x: &mut [f32]) = scale_body
}
kernel! {
    /// `y += x`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn add_assign / add_assign_at(y: &mut [f32], x: &[f32]) = add_assign_body
}
kernel! {
    /// `Σ xᵢ²`.
    pub fn squared_norm / squared_norm_at(x: &[f32]) -> f32 = squared_norm_body
}
kernel! {
    /// Inner products of `query` (dim) with `rows` (out.len(), dim).
    ///
    /// # Panics
    /// If the sizes disagree.
    pub fn dots / dots_at(query: &[f32], rows: &[f32], out: &mut [f32]) = dots_body
}
kernel! {
    /// Copies rows of a `table` (n, dim) to `out` (rows.len(), dim).
    ///
    /// # Panics
    /// If a row is out of range or `out` has another size.
    pub fn gather_rows / gather_rows_at(table: &[f32], dim: usize, rows: &[u32], out: &mut [f32]) = gather_rows_body
}
kernel! {
    /// Adds `grads` (rows.len(), dim) to rows of `out` (n, dim), in order; a row may come many times.
    ///
    /// # Panics
    /// If a row is out of range or `grads` has another size.
    pub fn scatter_add_rows / scatter_add_rows_at(grads: &[f32], dim: usize, rows: &[u32], out: &mut [f32])
        = scatter_add_rows_body
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{LENGTHS, assert_close, normals};
    use super::*;

    #[test]
    fn dot_equals_the_sum_in_double_precision_at_every_level_and_length() {
        for n in LENGTHS {
            let (a, b) = (normals("a", n), normals("b", n));
            let exact: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            for level in Level::available() {
                assert_close(&[dot_at(level, &a, &b)], &[exact as f32], 3e-6 * (n as f32).sqrt().max(1.0));
            }
        }
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn avx512_and_avx2_give_the_same_bits() {
        if Level::best() < Level::Avx512 {
            eprintln!("skipped: this machine has no AVX-512");
            return;
        }
        for n in LENGTHS {
            let (a, b) = (normals("a", n), normals("b", n));
            assert_eq!(dot_at(Level::Avx512, &a, &b).to_bits(), dot_at(Level::Avx2, &a, &b).to_bits(), "length {n}");
        }
    }

    #[test]
    fn elementwise_kernels_equal_their_definition_at_every_level() {
        for n in LENGTHS {
            let (x, y) = (normals("x", n), normals("y", n));
            for level in Level::available() {
                let mut got = y.clone();
                axpy_at(level, 0.3, &x, &mut got);
                let want: Vec<f32> = x.iter().zip(&y).map(|(x, y)| 0.3 * x + y).collect();
                assert_close(&got, &want, 1e-6);
                add_assign_at(level, &mut got, &x);
                scale_at(level, 2.0, &mut got);
                let want: Vec<f32> = want.iter().zip(&x).map(|(w, x)| 2.0 * (w + x)).collect();
                assert_close(&got, &want, 1e-6);
                assert_close(&[squared_norm_at(level, &x)], &[dot_at(level, &x, &x)], 0.0);
            }
        }
    }

    #[test]
    fn scattering_what_was_gathered_counts_each_row() {
        let table = normals("table", 10 * 5);
        let rows = [3u32, 9, 3, 0];
        for level in Level::available() {
            let mut leaf = vec![0.0; 20];
            gather_rows_at(level, &table, 5, &rows, &mut leaf);
            assert_eq!(&leaf[5..10], &table[45..50]);
            let mut back = vec![0.0; 50];
            scatter_add_rows_at(level, &leaf, 5, &rows, &mut back);
            for i in 0..5 {
                assert_eq!(back[15 + i], 2.0 * table[15 + i]);
                assert_eq!(back[i], table[i]);
                assert_eq!(back[5 + i], 0.0);
            }
        }
    }

    #[test]
    fn dots_scores_each_row() {
        let (query, rows) = (normals("q", 20), normals("rows", 60));
        for level in Level::available() {
            let mut out = [0.0; 3];
            dots_at(level, &query, &rows, &mut out);
            for (i, out) in out.iter().enumerate() {
                assert_eq!(*out, dot_at(level, &query, &rows[i * 20..i * 20 + 20]));
            }
        }
    }
}
