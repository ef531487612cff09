//! Why an artifact cannot be read or written.

use std::path::PathBuf;

use crate::{Fault, Violation};

/// A failure to read or write an artifact. Nothing that was on disk before is harmed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The operating system said no: missing file, no permission, disk full.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The output exists and replacing it was not asked for.
    #[error("{path} exists; choose another path or ask to replace it")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not a safetensors file, or one whose header lies about sizes.
    #[error("{path} is not a sound safetensors file: {problem}")]
    Container {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        problem: String,
    },
    /// A sound file of another kind.
    #[error("{path} holds {got}, expected {expected}")]
    Kind {
        /// The file.
        path: PathBuf,
        /// Kind wanted.
        expected: String,
        /// Kind found.
        got: String,
    },
    /// Written by a newer rectify.
    #[error("{path} has format version {got} of {kind}; this build reads up to {supported}: upgrade rectify")]
    Version {
        /// The file.
        path: PathBuf,
        /// Kind of artifact.
        kind: String,
        /// Newest version understood.
        supported: u32,
        /// Version found.
        got: u32,
    },
    /// Content that differs from what was written.
    #[error("{path} is damaged: checksum of {what} is {got}, expected {expected}; restore it from its source")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Array name, or `header`.
        what: String,
        /// Digest written.
        expected: String,
        /// Digest of what is there.
        got: String,
    },
    /// A missing field, or one that does not parse.
    #[error("{path}: field {field}: {problem}")]
    Field {
        /// The file.
        path: PathBuf,
        /// Array or metadata key.
        field: String,
        /// What was found and expected.
        problem: String,
    },
    /// A sound file whose content breaks rules of its kind.
    #[error("{path} is not a valid {kind}: {}{}", .violations.first().map_or_else(String::new, ToString::to_string),
            if .violations.len() > 1 { format!(" (and {} more)", .violations.len() - 1) } else { String::new() })]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Kind of artifact.
        kind: String,
        /// All that is wrong.
        violations: Vec<Violation>,
    },
}

impl ArtifactError {
    /// Where it has its cause: an output in the way, or a file that is not what it should be.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Exists { .. } | Self::Io { action: "write", .. } => Fault::Output,
            Self::Io { .. }
            | Self::Container { .. }
            | Self::Kind { .. }
            | Self::Version { .. }
            | Self::Checksum { .. }
            | Self::Field { .. }
            | Self::Invalid { .. } => Fault::Input,
        }
    }
}
