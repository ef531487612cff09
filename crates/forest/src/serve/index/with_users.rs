//! A forest with the histories of the users that ask it, and histories of people that nobody knew.

use rectify_core::artifact::{Artifact, ArtifactError};
use rectify_core::{FoldIn, Format, ItemId, Provenance, QueryError, WithUsers};
use serde::Deserialize;

use super::{Config, ForestIndex};

/// What version 1 said beside its arrays, which were the same; the numbers are those of the arrays' shapes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Version1 {
    forest: Config,
    n_users: usize,
    n_history_items: usize,
}

impl WithUsers for ForestIndex {
    const FORMAT_WITH_USERS: Format = Format { kind: "forest-for-users", version: 2 };

    fn upgraded(artifact: Artifact) -> Result<Artifact, ArtifactError> {
        let Version1 { forest, n_users, n_history_items } = artifact.config()?;
        artifact.array_shaped::<u64>("histories/offsets", &[n_users.saturating_add(1)])?;
        artifact.array_shaped::<ItemId>("histories/items", &[n_history_items])?;
        Ok(Provenance::default().shown_in(&artifact).with_config(&forest))
    }
}

/// A history is its own query.
impl FoldIn for ForestIndex {
    type Query = [ItemId];

    fn fold_in(&self, history: &[ItemId]) -> Result<Vec<ItemId>, QueryError> {
        self.last().check_query(history)?;
        Ok(history.to_vec())
    }
}
