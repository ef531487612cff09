//! What somebody has, as the models that sum over it read it.

use std::borrow::Cow;

use rectify_core::artifact::{Artifact, ArtifactError};
use rectify_core::{Histories, ItemId, Provenance, QueryError};

/// The items of a history, ascending and each once: a sum over them has the same bits in whatever order they came.
///
/// # Errors
/// [`QueryError::UnknownItem`].
pub(super) fn ascending(history: &[ItemId], n_items: usize) -> Result<Cow<'_, [ItemId]>, QueryError> {
    let items = if history.is_sorted_by(|a, b| a < b) {
        Cow::Borrowed(history)
    } else {
        let mut items = history.to_vec();
        items.sort_unstable();
        items.dedup();
        Cow::Owned(items)
    };
    let last = items.last().copied();
    match last {
        Some(item) if item.index() >= n_items => Err(QueryError::UnknownItem { item, n_items }),
        _ => Ok(items),
    }
}

/// A file of version 1, which had its settings as configuration and named its histories otherwise, as one of version 2.
pub(super) fn upgraded(artifact: &Artifact, model: &str) -> Result<Artifact, ArtifactError> {
    let settings: serde_json::Value = artifact.config()?;
    let artifact = Histories::shown_in(artifact, "history.offsets", "history.items");
    Ok(Provenance::new(model, &settings).shown_in(&artifact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_a_set_whose_order_does_not_matter() {
        let items = |ids: &[u32]| ids.iter().copied().map(ItemId).collect::<Vec<_>>();
        assert!(matches!(ascending(&items(&[1, 4]), 5), Ok(Cow::Borrowed(_))));
        assert_eq!(*ascending(&items(&[4, 0, 4, 1]), 5).unwrap(), items(&[0, 1, 4]));
        assert_eq!(*ascending(&[], 0).unwrap(), []);
        let unknown = ascending(&items(&[5, 1]), 5).unwrap_err();
        assert_eq!(unknown, QueryError::UnknownItem { item: ItemId(5), n_items: 5 });
    }
}
