//! Why there is no such model.

use std::path::PathBuf;

use rectify_core::artifact::ArtifactError;
use rectify_core::{Fault, UnknownName, UsersError, with_suggestion};

/// An error of whoever wrote a kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Settings that nothing can be made with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A field that is unknown or of another type.
    #[error("{}", with_suggestion(&.0.to_string()))]
    Form(serde_json::Error),
    /// A value out of its range, or values that do not go together.
    #[error(transparent)]
    Values(BoxError),
    /// A part that is wrong.
    #[error("{part}: {problem}")]
    Part {
        /// The table.
        part: &'static str,
        /// What is wrong with it.
        problem: BoxError,
    },
    /// Settings of another member of the family.
    #[error("{what} a model of kind {got}, not {expected}; name the other kind")]
    OtherKind {
        /// What makes it one.
        what: &'static str,
        /// The kind they make.
        got: &'static str,
        /// The kind that was named.
        expected: &'static str,
    },
    /// A loss that is another kind's.
    #[error("loss is {got}, but this kind has \"{expected}\"; name the other kind")]
    OtherLoss {
        /// What was said.
        got: serde_json::Value,
        /// The kind's.
        expected: &'static str,
    },
    /// A table that says nothing.
    #[error("{table} says nothing; give it {expected}")]
    Empty {
        /// The table.
        table: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// A way of serving, of a model that has but one.
    #[error("a model of this kind is served in one way only")]
    OneWay,
}

/// What a kind asks of a teacher beyond its scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeacherForm {
    /// Any model will do.
    Any,
    /// Vectors of users and items, and nothing else: a factorisation.
    Factors,
    /// Another cascade.
    Cascade,
}

/// A model that cannot be named, trained, kept or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No kind of that name.
    #[error(transparent)]
    UnknownKind(#[from] UnknownName),
    /// A kind of rectify that this program was built without.
    #[error(
        "models of kind {kind} are not in this program; build it with feature `{feature}` of the crate `rectify` (or `rectify-models`)"
    )]
    NotBuilt {
        /// The kind.
        kind: String,
        /// What it is behind.
        feature: &'static str,
    },
    /// Settings that the kind does not take.
    #[error("settings of {kind}: {problem}")]
    Settings {
        /// The kind.
        kind: &'static str,
        /// What is wrong with them.
        problem: SettingsError,
    },
    /// A way of serving that the kind does not have.
    #[error("serve_variants of {kind}: {problem}")]
    Variant {
        /// The kind.
        kind: &'static str,
        /// What is wrong with it.
        problem: SettingsError,
    },
    /// A kind that learns from another model, without one.
    #[error("a model of kind {kind} learns from another; name it as teacher")]
    NoTeacher {
        /// The kind.
        kind: &'static str,
    },
    /// A kind that learns from data alone, with a teacher.
    #[error("a model of kind {kind} has no use for teacher '{teacher}'")]
    UselessTeacher {
        /// The kind.
        kind: &'static str,
        /// The teacher's name.
        teacher: String,
    },
    /// A teacher of another form than the kind can use.
    #[error("{kind} {why}")]
    TeacherForm {
        /// The kind.
        kind: &'static str,
        /// What it takes, and what to name.
        why: &'static str,
    },
    /// A kind that learns from words, on data without.
    #[error("a model of kind {kind} learns from the words of items, and the data have none")]
    NoText {
        /// The kind.
        kind: &'static str,
    },
    /// A kind that this build only opens.
    #[error("this build cannot train a model of kind {kind}: {remedy}")]
    CannotTrain {
        /// The kind.
        kind: &'static str,
        /// What would.
        remedy: &'static str,
    },
    /// A kind that trains on the CPU alone, on a device.
    #[error("{kind} has no trainer on a device; use the CPU")]
    NotOnDevice {
        /// The kind.
        kind: &'static str,
    },
    /// A device that is not there or does not work.
    #[error("{0}")]
    Device(String),
    /// A training that failed.
    #[error("training {kind}{}", .place.as_ref().map_or_else(String::new, |place| format!(" on {place}")))]
    Training {
        /// The kind.
        kind: &'static str,
        /// The device, if it was one.
        place: Option<String>,
        /// The reason.
        source: Box<Self>,
    },
    /// What the code of a kind, or whoever measures a model, said.
    #[error(transparent)]
    Other(BoxError),
    /// A file of a model that cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Users and items that do not fit.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// A model whose users cannot be taken from it.
    #[error("its users are part of its network; only its own users can ask it")]
    UsersInside,
    /// A model to which no item can be added.
    #[error("its items are part of what it learned; train again with the new ones")]
    ItemsFixed,
    /// Users of another form than the model asks with.
    #[error("users come as {got}, the model is asked with {expected}")]
    UsersForm {
        /// What was given.
        got: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// A stored model that cannot be opened.
    #[error("remove {} to train it again", .about.display())]
    Stored {
        /// The file that says it was finished.
        about: PathBuf,
        /// Why not.
        source: Box<Self>,
    },
    /// A note in the store that is not what it should be.
    #[error("{} is damaged; remove it", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file of the store that the operating system refuses.
    #[error("cannot {action} {}: {reason}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        reason: std::io::Error,
    },
    /// A search that measured nothing: without validation data there is nothing to choose by.
    #[error("a search without validation data")]
    BlindSearch,
}

impl ModelError {
    /// An error of the code of a kind.
    pub fn other(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self::Other(other),
        }
    }

    /// Where it has its cause; nothing for a training that failed.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::UnknownKind(_)
            | Self::Settings { .. }
            | Self::Variant { .. }
            | Self::NoTeacher { .. }
            | Self::UselessTeacher { .. }
            | Self::TeacherForm { .. }
            | Self::NoText { .. }
            | Self::UsersInside
            | Self::ItemsFixed
            | Self::UsersForm { .. } => Some(Fault::Input),
            Self::NotBuilt { .. } | Self::CannotTrain { .. } | Self::NotOnDevice { .. } | Self::Device(_) => {
                Some(Fault::Usage)
            }
            Self::Training { source, .. } | Self::Stored { source, .. } => source.fault(),
            Self::Artifact(error) => Some(error.fault()),
            Self::Io { action: "make the folder", .. } => Some(Fault::Output),
            Self::Other(error) => fault_of(&**error),
            Self::Users(_) | Self::Damaged { .. } | Self::Io { .. } | Self::BlindSearch => None,
        }
    }
}

/// The fault of an error of unknown type, or of what caused it.
fn fault_of(error: &(dyn std::error::Error + 'static)) -> Option<Fault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<ModelError>() {
            return error.fault();
        }
        if let Some(error) = error.downcast_ref::<ArtifactError>() {
            return Some(error.fault());
        }
        next = error.source();
    }
    None
}
