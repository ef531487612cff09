//! Interactions with everything that travels beside them.

use crate::{Categories, FixedSplit, IdMaps, Interactions, WordCounts};

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
}
