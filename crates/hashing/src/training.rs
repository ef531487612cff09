//! What the methods share: errors, validation by the caller, and the way from real rows to codes.

use rectify_core::QueryError;
use rectify_data::Interactions;
use rectify_data::samplers::SamplerError;
use rectify_tensor::ModelConfigError as ConfigError;
use rectify_tensor::train::TrainError;
use serde::Serialize;

use crate::{BinaryCodes, BinaryFactors, CodesError, Origin};

/// Measures codes on held-out data; higher is better. Its errors come back inside [`TrainError::Model`].
pub type Validate<'a> = &'a mut dyn FnMut(&BinaryFactors) -> Result<f64, Box<dyn std::error::Error + Send + Sync>>;

/// Why codes could not be learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// An impossible setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing to learn from.
    #[error("no interactions to learn from ({n_users} users, {n_items} items); check the input and the split")]
    Empty {
        /// Users of the data.
        n_users: usize,
        /// Items of the data.
        n_items: usize,
    },
    /// Data that negatives cannot be drawn for.
    #[error(transparent)]
    Negatives(#[from] SamplerError),
    /// A teacher that cannot be learned from.
    #[error("the teacher has {what} {got}, expected {expected}; train it on the same data, or choose another start")]
    Teacher {
        /// What does not fit.
        what: &'static str,
        /// What would.
        expected: usize,
        /// What was found.
        got: usize,
    },
    /// A teacher that refused a question.
    #[error("the teacher: {0}")]
    Query(#[from] QueryError),
    /// Features that do not belong to the data.
    #[error("{what} have {got} {unit}, expected {expected}")]
    Features {
        /// Whose features.
        what: &'static str,
        /// What is counted.
        unit: &'static str,
        /// How many are needed.
        expected: usize,
        /// How many were found.
        got: usize,
    },
    /// A regression that rounding made unsolvable.
    #[error("{model}: the Gram matrix of the features is not positive definite; raise `ridge`, or scale the features")]
    Singular {
        /// The method.
        model: &'static str,
    },
    /// Vectors that are no longer numbers.
    #[error("{model} diverged: {source}; lower the learning rate")]
    Diverged {
        /// The method.
        model: &'static str,
        /// Whose vector.
        source: CodesError,
    },
    /// Vectors that make no codes.
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// A failure of the training loop, of validation, or of a checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl FitError {
    /// Fails unless `holds`.
    pub(crate) fn check_features(
        what: &'static str,
        unit: &'static str,
        holds: bool,
        expected: usize,
        got: usize,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::Features { what, unit, expected, got }) }
    }

    /// Fails if there is nothing to learn from.
    pub(crate) fn check_not_empty(train: &Interactions) -> Result<(), Self> {
        if train.n_interactions() > 0 {
            return Ok(());
        }
        Err(Self::Empty { n_users: train.n_users(), n_items: train.n_items() })
    }
}

/// Turns a measure of codes into what the training loop asks for.
pub(crate) fn validate_with<S>(
    validate: Validate<'_>,
    codes: impl Fn(&S) -> Result<BinaryFactors, FitError>,
) -> impl FnMut(&mut S, u32) -> Result<f64, TrainError> {
    move |step, epoch| {
        let fail = |source| TrainError::Model { epoch, source };
        let codes = codes(step).map_err(|error| fail(error.into()))?;
        validate(&codes).map_err(fail)
    }
}

/// The name and settings of a method.
pub(crate) fn origin(model: &str, config: &impl Serialize) -> Origin {
    let settings = serde_json::to_string(config).expect("settings have a JSON form");
    Origin { model: model.to_owned(), settings }
}

/// Signs of real rows as codes.
pub(crate) fn signs(
    model: &'static str,
    config: &impl Serialize,
    users: &[f32],
    items: &[f32],
    code_bits: usize,
) -> Result<BinaryFactors, FitError> {
    let codes = |rows: &[f32]| match BinaryCodes::from_signs(rows, code_bits) {
        Err(source @ CodesError::NotANumber { .. }) => Err(FitError::Diverged { model, source }),
        other => Ok(other?),
    };
    Ok(BinaryFactors::new(codes(users)?, &codes(items)?, origin(model, config))?)
}
