//! Interactions with everything that travels beside them.

use rectify_core::IdMap;
use serde::{Deserialize, Serialize};

use crate::{Categories, FixedSplit, Interactions, WordCounts};

/// A data set: interactions, the user's own ids, and what else the files tell about items.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name, for reports.
    pub name: String,
    /// Who interacted with what.
    pub interactions: Interactions,
    /// Own ids of users and items.
    pub ids: IdMaps,
    /// Categories of items.
    pub categories: Option<Categories>,
    /// Words of items.
    pub text: Option<WordCounts>,
    /// The split that the files give, over the same ids.
    pub fixed: Option<FixedSplit>,
    /// Where it comes from: what was read, merged and removed.
    pub provenance: Provenance,
}

/// Own ids of users and items.
#[derive(Clone, Debug, PartialEq)]
pub struct IdMaps {
    /// Users.
    pub users: IdMap,
    /// Items.
    pub items: IdMap,
}

/// What became of the rows of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Rows read.
    pub n_rows: u64,
    /// Rows that repeated a pair of the same part and were merged.
    pub n_duplicates: u64,
    /// Pairs of validation and test files that an earlier part had, and that were dropped.
    pub n_repeated: u64,
    /// Steps of reading and cleaning, each with what was left after it.
    pub steps: Vec<Step>,
}

/// Counts after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// Users left.
    pub n_users: usize,
    /// Items left.
    pub n_items: usize,
    /// Pairs left.
    pub n_interactions: usize,
}

impl Step {
    /// Counts of `left`.
    #[must_use]
    pub fn of(what: impl Into<String>, left: &Interactions) -> Self {
        let (n_users, n_items) = (left.n_users(), left.n_items());
        Self { what: what.into(), n_users, n_items, n_interactions: left.n_interactions() }
    }
}
