//! Small steps that scorers share.

use rectify_core::{ItemId, QueryError, check_len};

/// Copies the scores of `items` out of the scores of all.
pub(crate) fn pick(all: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
    check_len("out", items.len(), out.len())?;
    for (&item, score) in items.iter().zip(out) {
        *score = *all.get(item.index()).ok_or(QueryError::UnknownItem { item, n_items: all.len() })?;
    }
    Ok(())
}
