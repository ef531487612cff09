//! What a caller can get wrong about parameters, matrices and graphs.

use rectify_core::artifact::ArtifactError;

#[cfg(feature = "graph")]
use crate::DeviceError;
use crate::RowUpdate;

/// Parameters on disk that do not fit the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// The file itself.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Other parameters.
    #[error(
        "parameters do not fit the model: list of names is {}, expected {}; was the model changed since?",
        .got.join(", "),
        .expected.join(", ")
    )]
    Names {
        /// Those of the model.
        expected: Vec<String>,
        /// Those of the file.
        got: Vec<String>,
    },
    /// A parameter of another size.
    #[error(
        "parameters do not fit the model: shape of {name} is {got:?}, expected {expected:?}; was the model changed since?"
    )]
    Shape {
        /// Its name.
        name: String,
        /// (rows, columns) in the model.
        expected: [usize; 2],
        /// (rows, columns) in the file.
        got: [usize; 2],
    },
    /// A table of another [`RowUpdate`](crate::RowUpdate), or a dense matrix in place of a table.
    #[error(
        "parameters do not fit the model: row update of {name} is {}, expected {}; was the model changed since?",
        update_name(.got),
        update_name(.expected)
    )]
    Update {
        /// Its name.
        name: String,
        /// In the model; `None` for a dense matrix.
        expected: Option<RowUpdate>,
        /// In the file.
        got: Option<RowUpdate>,
    },
    /// Arrays that are not what one optimiser remembers.
    #[error("parameter {name} comes with the state of two optimizers, or half of one; the file is of no use")]
    State {
        /// Its name in the file.
        name: String,
    },
}

const fn update_name(update: &Option<RowUpdate>) -> &'static str {
    match update {
        Some(RowUpdate::Exact) => "exact",
        Some(RowUpdate::Lazy) => "lazy",
        None => "none (a dense matrix)",
    }
}

/// Arrays that are no compressed sparse row matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// There are no offsets: even a matrix of no rows has one.
    #[error("csr offsets: at position 0 found nothing, expected 0")]
    NoOffsets,
    /// Offsets start at 0.
    #[error("csr offsets: at position 0 found {got}, expected 0")]
    Start {
        /// What stands there.
        got: u64,
    },
    /// Offsets never fall.
    #[error("csr offsets: at position {position} found {got}, expected at least {before}")]
    Falling {
        /// Where.
        position: usize,
        /// The offset before.
        before: u64,
        /// What stands there.
        got: u64,
    },
    /// Offsets end at the number of column indices.
    #[error("csr offsets: at position {position} found {got}, expected {expected}, the number of columns given")]
    End {
        /// The last.
        position: usize,
        /// Number of column indices.
        expected: usize,
        /// What stands there.
        got: u64,
    },
    /// As many values as columns.
    #[error("csr values: found {got}, expected {expected}, one for each column index")]
    Values {
        /// Number of column indices.
        expected: usize,
        /// Number of values.
        got: usize,
    },
    /// A column at or beyond the width.
    #[error("csr columns: at position {position} found {got}, expected less than {n_columns}")]
    Column {
        /// Where.
        position: usize,
        /// Width of the matrix.
        n_columns: usize,
        /// What stands there.
        got: u32,
    },
}

/// What can go wrong while a graph is built or walked.
#[cfg(feature = "graph")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A shape that does not fit.
    #[error("{what} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// What would fit.
        expected: Vec<usize>,
        /// What was given.
        got: Vec<usize>,
    },
    /// No matrix.
    #[error("{what} has shape {got:?}, expected two dimensions")]
    NoMatrix {
        /// Which input.
        what: &'static str,
        /// What was given.
        got: Vec<usize>,
    },
    /// More or fewer of something than another input has.
    #[error("{what} has {got} {of}, expected {expected}")]
    Count {
        /// Which input.
        what: &'static str,
        /// What was counted: rows, columns, numbers.
        of: &'static str,
        /// As many as would fit.
        expected: usize,
        /// As many as were given.
        got: usize,
    },
    /// None of something that there must be one of.
    #[error("{what} has no {of}, expected one at least")]
    Empty {
        /// Which input.
        what: &'static str,
        /// What it lacks.
        of: &'static str,
    },
    /// A row id at or beyond the number of rows.
    #[error("{what}: at position {position} found row {got}, expected less than {n_rows}")]
    Row {
        /// Which list.
        what: String,
        /// Where in it.
        position: usize,
        /// The id.
        got: u32,
        /// Number of rows.
        n_rows: usize,
    },
    /// A number outside its range.
    #[error("{what}: at position {position} found {got}, expected {expected}")]
    Number {
        /// Which list or setting.
        what: &'static str,
        /// Where in it.
        position: usize,
        /// Its range, in words.
        expected: &'static str,
        /// The number.
        got: f32,
    },
    /// A parameter that entered one batch twice: each would get its own gradient and its own step.
    #[error("parameter {name} entered the batch twice; ask once, for all ids together")]
    Twice {
        /// Its name.
        name: String,
    },
    /// A device that cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A failure inside the tensor library.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
