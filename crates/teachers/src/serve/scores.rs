//! Small steps that frozen models share.

use rectify_core::{ItemId, QueryError, Violation, check_len};

/// Copies the scores of `items` out of the scores of all.
pub(super) fn pick(all: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
    check_len("out", items.len(), out.len())?;
    for (&item, score) in items.iter().zip(out) {
        *score = *all.get(item.index()).ok_or(QueryError::UnknownItem { item, n_items: all.len() })?;
    }
    Ok(())
}

/// What is wrong with the values of an array: the first that is not finite.
pub(super) fn not_finite(field: impl Into<String>, values: &[f32]) -> Option<Violation> {
    let at = values.iter().position(|x| !x.is_finite())?;
    let problem = format!("value {at} is {}, expected a finite number", values[at]);
    Some(Violation { field: field.into(), problem })
}
