//! What a caller can get wrong about parameters, optimisers and matrices.

use rectify_core::artifact::ArtifactError;

/// A setting of an optimiser that is out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizerError {
    /// A number outside its range.
    #[error("optimizer.{field} is {got}, expected {expected}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its range, in words.
        expected: &'static str,
        /// What was given.
        got: f64,
    },
    /// A rule that devices do not know.
    #[error("optimizer.rule is {rule}, expected adam or sgd on a device; {rule} trains on the processor")]
    NotOnDevice {
        /// Its name.
        rule: &'static str,
    },
}

/// Settings that nothing can be trained with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value outside its range.
    #[error("{field} is {got}, expected {expected}")]
    Range {
        /// The setting.
        field: &'static str,
        /// The range it must lie in.
        expected: &'static str,
        /// The value found.
        got: String,
    },
    /// A setting of the optimiser.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
}

impl ConfigError {
    /// Fails unless `holds`.
    ///
    /// # Errors
    /// [`ConfigError::Range`].
    pub fn check(
        holds: bool,
        field: &'static str,
        expected: &'static str,
        got: impl std::fmt::Display,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Range { field, expected, got: got.to_string() }) }
    }
}

/// [`ConfigError`] of one of several models.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{model}: {source}")]
pub struct ModelConfigError {
    /// The model whose settings they are.
    pub model: &'static str,
    /// What is wrong with them.
    pub source: ConfigError,
}

impl ModelConfigError {
    /// With the model's name before it.
    #[must_use]
    pub fn of(model: &'static str, source: impl Into<ConfigError>) -> Self {
        Self { model, source: source.into() }
    }

    /// Fails unless `holds`.
    ///
    /// # Errors
    /// [`ConfigError::Range`].
    pub fn check(
        holds: bool,
        model: &'static str,
        field: &'static str,
        expected: &'static str,
        got: impl std::fmt::Display,
    ) -> Result<(), Self> {
        ConfigError::check(holds, field, expected, got).map_err(|source| Self { model, source })
    }
}

/// Parameters on disk that do not fit the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// The file itself.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Another set of parameters.
    #[error("parameters do not fit the model: {field} is {got}, expected {expected}; was the model changed since?")]
    Mismatch {
        /// Which property of which parameter.
        field: String,
        /// What the model has.
        expected: String,
        /// What the file has.
        got: String,
    },
}

/// Arrays that are no compressed sparse row matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Offsets must be one more than the rows, start at 0, never fall, and end at the number of edges.
    #[error("csr offsets: at position {position} found {got}, expected {expected}")]
    Offsets {
        /// Where.
        position: usize,
        /// What would be right.
        expected: String,
        /// What stands there.
        got: String,
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
