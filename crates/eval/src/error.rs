//! Why something cannot be evaluated.

use std::fmt;

use rectify_core::{ItemId, QueryError, UserId};

use crate::stats::StatsError;
use crate::{Candidates, Metric};

/// An evaluation that cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Parts that speak of different users or items.
    #[error("{what}: expected {expected} as in the training part, got {got}")]
    Shape {
        /// Of which part.
        what: &'static str,
        /// Number in the training part.
        expected: usize,
        /// Number found.
        got: usize,
    },
    /// A held-out item beyond the catalogue, or a row that does not strictly ascend.
    #[error("held-out items of user {user} must strictly ascend below {n_items}, but item {item} does not fit")]
    Truth {
        /// Whose row.
        user: UserId,
        /// The first item that does not fit.
        item: ItemId,
        /// Items in the training part.
        n_items: usize,
    },
    /// A metric of whole rankings asked of a system that only gives lists.
    #[error("{metric} needs scores of chosen items: pass the system as a scorer, not as a retriever")]
    NeedsScorer {
        /// Which metric.
        metric: Metric,
    },
    /// Sampled candidates asked of a system that only gives lists.
    #[error(
        "ranking among sampled candidates needs scores of chosen items: pass the system as a scorer, not as a retriever"
    )]
    SampledNeedsScorer,
    /// Sampled candidates asked of a held-out part that has none for this user.
    #[error("user {user} has no sampled candidates: split with candidates, or rank among unseen items")]
    NoCandidates {
        /// The user.
        user: UserId,
    },
    /// A metric of lists under sampled candidates, where there are none.
    #[error("{metric} is a property of lists, which sampled candidates do not give")]
    NeedsLists {
        /// The metric.
        metric: Metric,
    },
    /// Nobody has anything held out.
    #[error("no user has a held-out item, so there is nothing to average over")]
    NoUsers,
    /// A retriever whose list breaks the rules.
    #[error("the list for user {user} is broken: item {item} {fault}")]
    List {
        /// For whom.
        user: UserId,
        /// Which item.
        item: ItemId,
        /// What is wrong with it.
        fault: ListFault,
    },
    /// A scorer that gave NaN.
    #[error("the score of item {item} for user {user} is NaN")]
    NanScore {
        /// For whom.
        user: UserId,
        /// Of which item.
        item: ItemId,
    },
    /// A system that refused a query.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// How an item breaks a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListFault {
    /// It comes more than once.
    Repeated,
    /// There is no such item.
    Unknown,
    /// The user was not to be offered it.
    Excluded,
}

impl fmt::Display for ListFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "is in it twice",
            Self::Unknown => "is beyond the catalogue",
            Self::Excluded => "was to be kept out",
        })
    }
}

/// Two evaluations that cannot be compared, or one that cannot be summed up.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The metric was not asked for, or has no value per user.
    #[error("{metric} has no values per user in this evaluation; it holds {}", names(held))]
    NoValues {
        /// The metric.
        metric: Metric,
        /// What the evaluation holds.
        held: Vec<Metric>,
    },
    /// Different users.
    #[error("the two evaluations are of different users ({expected} and {got} of them): nothing to pair")]
    Users {
        /// Users of the first.
        expected: usize,
        /// Users of the second.
        got: usize,
    },
    /// Different protocols.
    #[error("one evaluation ranks among {expected}, the other among {got}")]
    Protocols {
        /// Candidates of the first.
        expected: Candidates,
        /// Candidates of the second.
        got: Candidates,
    },
    /// Nothing to put together.
    #[error("no evaluations to pool, expected at least one")]
    NoRepeats,
    /// Too few users, or settings out of range.
    #[error(transparent)]
    Stats(#[from] StatsError),
}

fn names(metrics: &[Metric]) -> String {
    metrics.iter().map(Metric::to_string).collect::<Vec<_>>().join(", ")
}
