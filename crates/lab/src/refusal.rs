//! Errors by kind, since the exit code says the kind.

use std::fmt::Display;
use std::process::ExitCode;

use rectify_core::artifact::ArtifactError;
use rectify_data::fetch::FetchError;

/// Why the program refuses to go on; anything else is a failure (exit code 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line names something that does not exist: exit code 2.
    Usage,
    /// A file or config is wrong: exit code 3.
    Input,
    /// An output exists or cannot be written: exit code 4.
    Output,
}

/// An error of a kind.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    message: String,
}

impl Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// The command line is wrong.
pub(crate) fn usage(message: impl Display) -> anyhow::Error {
    refuse(Kind::Usage, message)
}

/// An input is bad.
pub(crate) fn input(message: impl Display) -> anyhow::Error {
    refuse(Kind::Input, message)
}

/// An output is in the way, or cannot be written.
#[cfg(feature = "train")]
pub(crate) fn output(message: impl Display) -> anyhow::Error {
    refuse(Kind::Output, message)
}

/// A verb that this build cannot carry out.
#[cfg(not(feature = "train"))]
pub(crate) fn needs_train(verb: &str) -> anyhow::Error {
    usage(format!("{verb} needs the feature `train`, which this rectify-lab was built without"))
}

/// A device that this build cannot reach.
#[cfg(not(feature = "cuda"))]
pub(crate) fn needs_cuda() -> anyhow::Error {
    usage(
        "--device cuda: this rectify-lab was built without the feature `cuda`, so there is no CUDA in it; build it with --features \
         cuda, as `cargo xtask` does, or use --device cpu",
    )
}

fn refuse(kind: Kind, message: impl Display) -> anyhow::Error {
    anyhow::Error::new(Refusal { kind, message: message.to_string() })
}

/// The exit code of an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let kind = error.chain().find_map(|cause| {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return Some(refusal.kind);
        }
        if let Some(FetchError::Io { .. }) = cause.downcast_ref() {
            return Some(Kind::Output);
        }
        let error = cause.downcast_ref::<ArtifactError>()?;
        let cannot_write = matches!(error, ArtifactError::Exists { .. } | ArtifactError::Io { action: "write", .. });
        Some(if cannot_write { Kind::Output } else { Kind::Input })
    });
    ExitCode::from(match kind {
        None => 1,
        Some(Kind::Usage) => 2,
        Some(Kind::Input) => 3,
        Some(Kind::Output) => 4,
    })
}
