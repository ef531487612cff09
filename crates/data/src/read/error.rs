//! What can be wrong with a file, said so that it can be mended.

use std::path::{Path, PathBuf};

use crate::InteractionsError;

/// Why a file or folder could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system said no.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A compressed file that ends early or was changed.
    #[error("{path} is damaged after line {line}: {problem}; fetch or copy it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Lines that could be read.
        line: u64,
        /// What the decompressor found.
        problem: String,
    },
    /// A file without a single row.
    #[error("{path} is empty, expected {expected}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What rows look like.
        expected: &'static str,
    },
    /// A row that is not what the format says.
    #[error("{path}:{line}: found {got}, expected {expected}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What stands there.
        got: String,
        /// What should; with a remedy where one is known.
        expected: String,
    },
    /// A header without a column that is needed.
    #[error(
        "{path}:1: no column for the {role}: found {found}, expected one of {expected}; say which with --{role}-column NAME"
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// User, item, rating, time, or category.
        role: &'static str,
        /// Columns there are.
        found: String,
        /// Names that would be taken.
        expected: String,
    },
    /// A folder without the files needed.
    #[error("{path}: {problem}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is missing or double.
        problem: String,
    },
    /// Two files of one data set that do not fit together.
    #[error("{path} does not fit the other files: {problem}")]
    Mismatch {
        /// The file read later.
        path: PathBuf,
        /// What disagrees.
        problem: String,
    },
    /// A name of a format, split, or option that does not exist.
    #[error("unknown {what} {got:?}, expected one of {expected}")]
    Unknown {
        /// What kind of name.
        what: &'static str,
        /// The name given.
        got: String,
        /// Names there are.
        expected: String,
    },
    /// A file whose ending names no format.
    #[error("{path}: the ending names no format, expected one of {known}; or say --format NAME")]
    Ending {
        /// The file.
        path: PathBuf,
        /// Endings that do.
        known: &'static str,
    },
    /// A format that this build was made without.
    #[error("{path}: this build reads no {format} files; build with feature {feature}")]
    Feature {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// The Cargo feature.
        feature: &'static str,
    },
    /// Rows that are too many to number.
    #[error(transparent)]
    Interactions(#[from] InteractionsError),
}

/// A row error without its place, which only the line reader knows.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) got: String,
    pub(crate) expected: String,
}

impl Problem {
    pub(crate) fn new(got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { got: got.into(), expected: expected.into() }
    }

    /// A problem that quotes a piece of the file.
    pub(crate) fn quote(piece: &[u8], expected: impl Into<String>) -> Self {
        Self::new(quoted(piece), expected)
    }

    pub(crate) fn at(self, path: &Path, line: u64) -> ReadError {
        ReadError::Row { path: path.to_owned(), line, got: self.got, expected: self.expected }
    }
}

/// A piece of a file in quotation marks, cut where it is long.
pub(crate) fn quoted(piece: &[u8]) -> String {
    const MOST: usize = 60;
    let text = String::from_utf8_lossy(&piece[..piece.len().min(MOST)]);
    format!("{text:?}{}", if piece.len() > MOST { "…" } else { "" })
}
