//! What a training loop has at the moment, as factors.

use rectify_core::{Factors, Provenance};
use serde::Serialize;

use crate::FitError;

/// Factors of values that may have diverged.
///
/// # Errors
/// [`FitError::NotFinite`].
pub(crate) fn trained(
    model: &'static str,
    config: &impl Serialize,
    users: &[f32],
    items: &[f32],
    dim: usize,
) -> Result<Factors, FitError> {
    if let Some(at) = users.iter().chain(items).position(|x| !x.is_finite()) {
        let (side, at) = if at < users.len() { ("user", at) } else { ("item", at - users.len()) };
        return Err(FitError::NotFinite { model, what: format!("{side} {}", at / dim) });
    }
    let provenance = Provenance::new(model, config);
    Ok(Factors::from_vectors(users.to_vec(), items.to_vec(), dim, provenance).expect("rows are whole and finite"))
}
