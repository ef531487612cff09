//! What iterative models share: validation by the caller, sums and means.

use rectify_tensor::train::TrainError;
use serde::{Deserialize, Serialize};

use crate::FitError;

/// How a batch's losses are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Their mean; the same learning rate suits any batch size.
    #[default]
    Mean,
    /// Their sum, as DE-RRD trains. With Adam it differs from the mean in how much weight decay counts.
    Sum,
}

impl Reduction {
    /// What the loss of each of `n` samples is multiplied with.
    pub(crate) fn scale(self, n: usize) -> f32 {
        match self {
            Self::Mean => 1.0 / n as f32,
            Self::Sum => 1.0,
        }
    }
}

/// Measures a model on held-out data; higher is better. Its errors come back inside [`TrainError::Model`].
pub type Validate<'a, M> = &'a mut dyn FnMut(&M) -> Result<f64, Box<dyn std::error::Error + Send + Sync>>;

/// Turns a measure of the served model into what the training loop asks for.
pub(crate) fn validate_with<S, M>(
    validate: Validate<'_, M>,
    model: impl Fn(&S) -> Result<M, FitError>,
) -> impl FnMut(&mut S, u32) -> Result<f64, TrainError> {
    move |step, epoch| {
        let fail = |source| TrainError::Model { epoch, source };
        let model = model(step).map_err(|error| fail(error.into()))?;
        validate(&model).map_err(fail)
    }
}
