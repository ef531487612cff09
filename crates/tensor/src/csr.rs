//! Sparse matrices in compressed rows, times dense ones.

use std::sync::OnceLock;

use crate::{CsrError, kernels, parallel};

/// A sparse matrix (n_rows, n_columns): for each row its column indices and values.
///
/// The order of edges within a row is the order of its sum, so equal matrices stored alike give equal bits.
#[derive(Debug)]
pub struct Csr {
    n_columns: usize,
    offsets: Vec<u64>,
    columns: Vec<u32>,
    values: Vec<f32>,
    transpose: OnceLock<Transpose>,
}

#[derive(Debug)]
enum Transpose {
    /// The matrix is symmetric: no second copy.
    Itself,
    Other(Box<Csr>),
}

/// Rows a thread takes at a time: some 100 µs of work at 50 edges a row.
const PIECE: usize = 512;

impl Csr {
    /// Wraps and checks arrays: row r owns edges `offsets[r]..offsets[r + 1]`.
    ///
    /// # Errors
    /// [`CsrError`] naming the first position that breaks a rule.
    pub fn new(n_columns: usize, offsets: Vec<u64>, columns: Vec<u32>, values: Vec<f32>) -> Result<Self, CsrError> {
        match offsets.first() {
            Some(0) => {}
            Some(got) => return Err(CsrError::Start { got: *got }),
            None => return Err(CsrError::NoOffsets),
        }
        for (position, pair) in offsets.windows(2).enumerate() {
            if pair[1] < pair[0] {
                return Err(CsrError::Falling { position: position + 1, before: pair[0], got: pair[1] });
            }
        }
        let last = offsets.len() - 1;
        if offsets[last] != columns.len() as u64 {
            return Err(CsrError::End { position: last, expected: columns.len(), got: offsets[last] });
        }
        if values.len() != columns.len() {
            return Err(CsrError::Values { expected: columns.len(), got: values.len() });
        }
        if let Some(position) = columns.iter().position(|c| *c as usize >= n_columns) {
            return Err(CsrError::Column { position, n_columns, got: columns[position] });
        }
        Ok(Self { n_columns, offsets, columns, values, transpose: OnceLock::new() })
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of columns.
    #[must_use]
    pub const fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Number of stored edges.
    #[must_use]
    pub fn n_edges(&self) -> usize {
        self.columns.len()
    }

    /// Column indices and values of a row.
    ///
    /// # Panics
    /// If `row >= n_rows()`.
    #[must_use]
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let edges = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        (&self.columns[edges.clone()], &self.values[edges])
    }

    /// Offsets, columns and values, as [`new`](Self::new) takes them.
    #[cfg(feature = "cuda")]
    pub(crate) fn arrays(&self) -> (&[u64], &[u32], &[f32]) {
        (&self.offsets, &self.columns, &self.values)
    }

    fn edges(&self) -> kernels::Edges<'_> {
        kernels::Edges { offsets: &self.offsets, columns: &self.columns, values: &self.values }
    }

    /// `out ← A·x`; x (n_columns, dim), out (n_rows, dim). The bits do not depend on the number of threads.
    ///
    /// # Panics
    /// If a matrix has another size.
    pub fn spmm(&self, x: &[f32], dim: usize, out: &mut [f32]) {
        kernels::check_matrix("x", x, self.n_columns, dim);
        kernels::check_matrix("out", out, self.n_rows(), dim);
        parallel::fill_rows(out, dim, PIECE, |first, out| {
            kernels::spmm_range(self.edges(), first..first + out.len() / dim, x, dim, out);
        });
    }

    /// Only some rows of A·x: `out[j] ← (A·x)[rows[j]]`; out (rows.len(), dim). The same bits as [`spmm`](Self::spmm).
    ///
    /// # Panics
    /// If a matrix has another size or a row is out of range.
    pub fn spmm_rows(&self, rows: &[u32], x: &[f32], dim: usize, out: &mut [f32]) {
        kernels::check_matrix("x", x, self.n_columns, dim);
        kernels::check_matrix("out", out, rows.len(), dim);
        parallel::fill_rows(out, dim, PIECE / 8, |first, out| {
            kernels::spmm_rows(self.edges(), &rows[first..first + out.len() / dim], x, dim, out);
        });
    }

    /// Backward of [`spmm_rows`](Self::spmm_rows): `dx += A[rows]ᵀ·g`; g (rows.len(), dim), dx (n_columns, dim).
    ///
    /// # Panics
    /// If a matrix has another size or a row is out of range.
    pub fn spmm_rows_backward(&self, rows: &[u32], g: &[f32], dim: usize, dx: &mut [f32]) {
        kernels::check_matrix("g", g, rows.len(), dim);
        kernels::check_matrix("dx", dx, self.n_columns, dim);
        if dim > 0 {
            kernels::spmm_scatter(self.edges(), rows, g, dim, dx);
        }
    }

    /// Aᵀ, made at the first call and kept; a symmetric matrix returns itself.
    #[must_use]
    pub fn transpose(&self) -> &Self {
        let kept = self.transpose.get_or_init(|| {
            let other = self.transposed();
            let same = other.offsets == self.offsets && other.columns == self.columns && other.values == self.values;
            if same { Transpose::Itself } else { Transpose::Other(Box::new(other)) }
        });
        match kept {
            Transpose::Itself => self,
            Transpose::Other(other) => other,
        }
    }

    fn transposed(&self) -> Self {
        let mut offsets = vec![0u64; self.n_columns + 1];
        for column in &self.columns {
            offsets[*column as usize + 1] += 1;
        }
        for i in 0..self.n_columns {
            offsets[i + 1] += offsets[i];
        }
        let mut next = offsets.clone();
        let (mut columns, mut values) = (vec![0; self.columns.len()], vec![0.0; self.columns.len()]);
        for row in 0..self.n_rows() {
            let (row_columns, row_values) = self.row(row);
            for (column, value) in row_columns.iter().zip(row_values) {
                let at = next[*column as usize] as usize;
                next[*column as usize] += 1;
                (columns[at], values[at]) = (row as u32, *value);
            }
        }
        Self { n_columns: self.n_rows(), offsets, columns, values, transpose: OnceLock::new() }
    }

    /// Bytes of the arrays, without a cached transpose.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.offsets.len() * 8 + self.columns.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, normals};
    use rectify_core::rng::Seed;

    fn random(n_rows: usize, n_columns: usize) -> Csr {
        let (mut offsets, mut columns) = (vec![0], vec![]);
        for row in 0..n_rows {
            let mut rng = Seed(3).at(0, row as u64);
            let degree = rng.below(n_columns.min(9) as u32);
            columns.extend(rng.sample_distinct(n_columns as u32, degree));
            offsets.push(columns.len() as u64);
        }
        let values = normals("values", columns.len());
        Csr::new(n_columns, offsets, columns, values).unwrap()
    }

    #[test]
    fn products_have_the_same_bits_for_one_and_two_threads_and_for_chosen_rows() {
        let a = random(2000, 300);
        let x = normals("x", 300 * 20);
        let product = |threads| {
            let mut out = vec![0.0; 2000 * 20];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| a.spmm(&x, 20, &mut out));
            out
        };
        let one = product(1);
        assert_eq!(one, product(2));
        let rows: Vec<u32> = (0..2000).step_by(7).collect();
        let mut some = vec![0.0; rows.len() * 20];
        a.spmm_rows(&rows, &x, 20, &mut some);
        for (row, got) in rows.iter().zip(some.chunks(20)) {
            assert_eq!(got, &one[*row as usize * 20..][..20]);
        }
    }

    #[test]
    fn the_transpose_is_the_adjoint_and_transposes_back() {
        let a = random(50, 30);
        let (x, g) = (normals("x", 30 * 5), normals("g", 50 * 5));
        let (mut ax, mut atg, mut scattered) = (vec![0.0; 250], vec![0.0; 150], vec![0.0; 150]);
        a.spmm(&x, 5, &mut ax);
        a.transpose().spmm(&g, 5, &mut atg);
        let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        assert!((inner(&ax, &g) - inner(&x, &atg)).abs() < 1e-3);
        a.spmm_rows_backward(&(0..50).collect::<Vec<_>>(), &g, 5, &mut scattered);
        assert_close(&scattered, &atg, 1e-5);
        let back = a.transpose().transpose();
        assert_eq!((&back.offsets, &back.columns, &back.values), (&a.offsets, &a.columns, &a.values));
    }

    #[test]
    fn a_symmetric_matrix_is_its_own_transpose_without_a_copy() {
        let a = Csr::new(2, vec![0, 1, 2], vec![1, 0], vec![0.5, 0.5]).unwrap();
        assert!(std::ptr::eq(a.transpose(), &a));
    }

    #[test]
    fn unsound_arrays_are_refused_by_position() {
        let message = |offsets: &[u64], columns: &[u32], values: &[f32]| {
            Csr::new(3, offsets.to_vec(), columns.to_vec(), values.to_vec()).unwrap_err().to_string()
        };
        assert_eq!(message(&[], &[], &[]), "csr offsets: at position 0 found nothing, expected 0");
        assert_eq!(message(&[1], &[], &[]), "csr offsets: at position 0 found 1, expected 0");
        assert_eq!(message(&[0, 2, 1], &[0], &[1.0]), "csr offsets: at position 2 found 1, expected at least 2");
        assert!(message(&[0, 2], &[0], &[1.0]).starts_with("csr offsets: at position 1 found 2, expected 1"));
        assert_eq!(message(&[0, 1], &[0], &[]), "csr values: found 0, expected 1, one for each column index");
        assert_eq!(message(&[0, 1], &[3], &[1.0]), "csr columns: at position 0 found 3, expected less than 3");
    }
}
