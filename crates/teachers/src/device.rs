//! What trainers on a device share: which settings they know, and whose fault a failure is.

use rectify_tensor::cuda::GpuError;
use rectify_tensor::train::TrainError;
use rectify_tensor::{Adam, Optimizer};

use crate::ConfigError;

/// The settings of Adam, the one rule that devices know.
pub(crate) fn adam(model: &'static str, optimizer: &Optimizer) -> Result<Adam, ConfigError> {
    let got = match optimizer {
        Optimizer::Adam(adam) => return Ok(*adam),
        Optimizer::Sgd(_) => "sgd",
        Optimizer::Adagrad(_) => "adagrad",
    };
    let expected = "adam on a device; other rules train on the processor";
    Err(ConfigError::Range { model, field: "optimizer", expected, got: got.into() })
}

/// A device that failed in an epoch.
pub(crate) fn failed(epoch: u32) -> impl Fn(GpuError) -> TrainError {
    move |error| TrainError::Model { epoch, source: error.into() }
}
