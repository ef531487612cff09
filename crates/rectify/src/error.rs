//! Why there is no recommendation.

use rectify_core::artifact::ArtifactError;
use rectify_core::{ConfigError, DuplicateName, Fault, QueryError};
use rectify_models::ModelError;

/// A question or a file that a recommender cannot do anything with. Users and items are named by their own ids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecommendError {
    /// No user of that id.
    #[error("user {0:?} is unknown; recommend for what they liked instead, or add their interactions by `update`")]
    UnknownUser(String),
    /// A file without people.
    #[error("this file holds no people (it was written without users); recommend for what somebody liked instead")]
    NoUsers,
    /// No item of that id.
    #[error("item {0:?} is unknown: the catalogue has {1} items, and this is none of their ids")]
    UnknownItem(String, usize),
    /// No category of that name.
    #[error(transparent)]
    UnknownCategory(#[from] rectify_core::UnknownName),
    /// A model that only its own users can ask.
    #[error("a model of kind {kind} answers the people it was trained on alone; {remedy}")]
    NoNewcomers {
        /// The kind.
        kind: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// Vectors, ids or lists whose numbers disagree.
    #[error("{what}: {got} given, expected {expected}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there were.
        got: usize,
    },
    /// An id that two users or two items have.
    #[error("{what}: {problem}")]
    Ids {
        /// `users` or `items`.
        what: &'static str,
        /// Which id.
        problem: DuplicateName,
    },
    /// A setting out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A model that cannot be opened or changed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A question that the index refuses.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A training that could not be done.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Train(#[from] crate::train::TrainError),
}

impl RecommendError {
    /// Where it has its cause; nothing for a failure of the work itself.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::UnknownUser(_) | Self::UnknownItem(..) | Self::UnknownCategory(_) | Self::NoNewcomers { .. } => {
                Some(Fault::Usage)
            }
            Self::NoUsers | Self::Count { .. } | Self::Ids { .. } | Self::Config(_) => Some(Fault::Input),
            Self::Artifact(error) => Some(error.fault()),
            Self::Model(error) => error.fault(),
            Self::Query(_) => None,
            #[cfg(feature = "train")]
            Self::Train(error) => error.fault(),
        }
    }
}
