//! Two ways to treat the rows without a gradient.

use serde::{Deserialize, Serialize};

/// What happens to the rows that a batch does not touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowUpdate {
    /// What a dense optimiser does: a row without gradient still moves by its momentum and weight decay.
    ///
    /// Done without a pass over the table: a row takes the steps it missed when it is next read ([`RowTable::refresh`](crate::RowTable::refresh)),
    /// with the bits of a dense pass at every step.
    #[default]
    Exact,
    /// They stay: moments and weight decay act on touched rows only, with the table's step count in the bias correction
    /// (PyTorch's `SparseAdam`). Cheaper, and another optimiser: say that it was used.
    Lazy,
}
