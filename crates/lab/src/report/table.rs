//! Tables as they are before anybody renders them.

use crate::record::Verdict;

/// A table; the first `n_text` columns hold words, the others numbers.
pub(super) struct Table {
    pub(super) caption: String,
    pub(super) n_text: usize,
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    /// The best of its column.
    pub(super) best: bool,
    /// Small print: an interval.
    pub(super) small: Option<String>,
    /// How a claim came out.
    pub(super) verdict: Option<Verdict>,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), best: false, small: None, verdict: None }
    }
}

/// Characters of the widest cell of each column; every row has as many cells as the first.
pub(super) fn column_widths(cells: &[Vec<String>]) -> Vec<usize> {
    let n_columns = cells.first().map_or(0, Vec::len);
    (0..n_columns).map(|c| cells.iter().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect()
}
