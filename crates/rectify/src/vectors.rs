//! Vectors that were trained anywhere.

use rectify_core::{Factors, Provenance};
use rectify_models::{Kinds, ModelError};

use crate::{Catalogue, People, RecommendError, Recommender, RidgeConfig};

impl Recommender {
    /// Vectors of items and users, row-major, as wide as `dim`, whose inner products are scores; ids in the order of the rows.
    ///
    /// Without users ([`People::nobody`] and no vectors) it answers new people alone.
    ///
    /// # Errors
    /// Tables that are no whole number of rows or hold a value that is not finite, or other numbers of ids.
    pub fn from_vectors(
        items: Catalogue,
        item_vectors: Vec<f32>,
        people: People,
        user_vectors: Vec<f32>,
        dim: usize,
    ) -> Result<Self, RecommendError> {
        let kind = *Kinds::builtin().get("vectors")?;
        let provenance = Provenance { model: kind.name.to_owned(), ..Provenance::default() };
        let factors = Factors::from_vectors(user_vectors, item_vectors, dim, provenance.clone());
        let factors = Box::new(factors.map_err(ModelError::other)?);
        Self::new(kind, factors, items, people, provenance)?.with_fold_in(RidgeConfig::default())
    }
}
