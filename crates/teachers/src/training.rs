//! What iterative models share: validation by the caller.

use rectify_tensor::train::TrainError;

use crate::FitError;

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
