//! What trainers on a device share: which rules they know.

use rectify_tensor::Optimizer;
use rectify_tensor::cuda::Rule;

use crate::ConfigError;

/// The rule of a model's settings, if devices know it.
pub(crate) fn rule(model: &'static str, optimizer: &Optimizer) -> Result<Rule, ConfigError> {
    Rule::try_from(*optimizer).map_err(|error| error.of(model))
}
