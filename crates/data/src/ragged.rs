//! Rows of unequal length in two flat arrays.

use rectify_core::Violation;
use rectify_core::artifact::{Array, Element};

/// Rows of unequal length: row `r` is `values[offsets[r]..offsets[r + 1]]`. Owned or mapped.
#[derive(Clone)]
pub struct Ragged<T> {
    offsets: Array<u64>,
    values: Array<T>,
}

impl<T: Element> Ragged<T> {
    /// Wraps offsets that are known to be sound.
    pub(crate) fn new(offsets: impl Into<Array<u64>>, values: impl Into<Array<T>>) -> Self {
        let ragged = Self { offsets: offsets.into(), values: values.into() };
        debug_assert!(ragged.violations("rows").is_empty());
        ragged
    }

    /// Wraps arrays from a file; [`violations`](Self::violations) must be asked before any row is.
    pub(crate) const fn unchecked(offsets: Array<u64>, values: Array<T>) -> Self {
        Self { offsets, values }
    }

    /// Collects rows.
    pub fn from_rows<R: AsRef<[T]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let (mut offsets, mut values) = (vec![0], Vec::new());
        for row in rows {
            values.extend_from_slice(row.as_ref());
            offsets.push(values.len() as u64);
        }
        Self::new(offsets, values)
    }

    /// `n_rows` empty rows.
    #[must_use]
    pub fn empty(n_rows: usize) -> Self {
        Self::new(vec![0; n_rows + 1], Vec::new())
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Row `r`.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    #[inline]
    pub fn row(&self, r: usize) -> &[T] {
        &self.values[self.range(r)]
    }

    /// Positions of row `r` in [`values`](Self::values).
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    #[inline]
    pub fn range(&self, r: usize) -> std::ops::Range<usize> {
        self.offsets[r] as usize..self.offsets[r + 1] as usize
    }

    /// All rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[T]> {
        (0..self.n_rows()).map(|r| self.row(r))
    }

    /// Where rows start: `n_rows + 1` numbers, from 0 to the number of values.
    #[must_use]
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// All values, row after row.
    #[must_use]
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// What is wrong with the offsets.
    pub(crate) fn violations(&self, field: &str) -> Vec<Violation> {
        let problem = if self.offsets.first() != Some(&0) {
            Some("offsets must start at 0".to_owned())
        } else if self.offsets.last() != Some(&(self.values.len() as u64)) {
            Some(format!("offsets end at {:?}, expected {}", self.offsets.last(), self.values.len()))
        } else {
            let falls = self.offsets.windows(2).position(|w| w[0] > w[1]);
            falls.map(|row| format!("offsets fall at row {row}"))
        };
        problem.map(|problem| Violation { field: field.to_owned(), problem }).into_iter().collect()
    }
}

impl<T: Element + PartialEq> PartialEq for Ragged<T> {
    fn eq(&self, other: &Self) -> bool {
        *self.offsets == *other.offsets && *self.values == *other.values
    }
}

impl<T: Element> std::fmt::Debug for Ragged<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows, {} values", self.n_rows(), self.values.len())
    }
}
