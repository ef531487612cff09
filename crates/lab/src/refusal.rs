//! Errors by kind, for programs whose exit code says the kind.

use std::fmt::Display;

use rectify_core::Fault;
use rectify_core::artifact::ArtifactError;
use rectify_data::DataSourceError;
use rectify_data::fetch::FetchError;

/// An error whose cause is known.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    fault: Fault,
    message: String,
}

/// The caller named something that does not exist.
pub fn usage(message: impl Display) -> anyhow::Error {
    refuse(Fault::Usage, message)
}

/// An input is bad.
pub fn input(message: impl Display) -> anyhow::Error {
    refuse(Fault::Input, message)
}

/// An output is in the way, or cannot be written.
pub fn output(message: impl Display) -> anyhow::Error {
    refuse(Fault::Output, message)
}

fn refuse(fault: Fault, message: impl Display) -> anyhow::Error {
    anyhow::Error::new(Refusal { fault, message: message.to_string() })
}

/// Where an error has its cause; nothing for a failure of the work itself.
#[must_use]
pub fn fault(error: &anyhow::Error) -> Option<Fault> {
    error.chain().find_map(|cause| {
        #[cfg(feature = "train")]
        if let Some(error) = cause.downcast_ref::<rectify_models::ModelError>() {
            return error.fault();
        }
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return Some(refusal.fault);
        }
        if let Some(error) = cause.downcast_ref::<DataSourceError>() {
            return error.fault();
        }
        if let Some(FetchError::Io { .. }) = cause.downcast_ref() {
            return Some(Fault::Output);
        }
        cause.downcast_ref::<ArtifactError>().map(ArtifactError::fault)
    })
}

/// The exit code that programs of rectify answer with: 1 for a failure, 2 for the command line, 3 for an input, 4 for an output.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match fault(error) {
        None => 1,
        Some(Fault::Usage) => 2,
        Some(Fault::Input) => 3,
        Some(Fault::Output) => 4,
    }
}
