//! A vector a user, a vector an item: what matrix factorisations leave behind.

use super::{ForUsers, UserVectors, UsersError, WithUsers};
use crate::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use crate::{Catalogue, ExactConfig, ExactError, ExactIndex, Format, ItemId, Provenance, QueryError};

/// Name of the array of item vectors.
const ITEMS: &str = "items";

/// Frozen user and item vectors with `score(u, i) = p_u · q_i`; items are searched by [`ExactIndex`], whose docs fix the bits of a score.
///
/// A user without training items has whatever vector the model gave it.
///
/// - **Shapes**: users `[n_users, dim]`, items `[n_items, dim]`, row-major.
///
/// ```
/// use rectify_core::{Factors, ItemFilter, Provenance, Retriever, TopK, UserId};
///
/// let factors = Factors::from_vectors(vec![1.0, 0.0], vec![0.5, 1.0, 2.0, -1.0], 2, Provenance::default())?;
/// let mut top = TopK::new();
/// factors.top_k(&UserId(0), 1, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.hits()[0].item.0, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Factors = ForUsers<UserVectors, ExactIndex>;

/// Vectors that make no [`Factors`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FactorsError {
    /// Items that cannot be searched.
    #[error("items: {0}")]
    Items(#[from] ExactError),
    /// Users that cannot ask.
    #[error(transparent)]
    Users(#[from] UsersError),
}

impl Factors {
    /// Puts vectors together; both tables have rows of `dim`.
    ///
    /// # Errors
    /// [`FactorsError`]: a table that is no whole number of rows, or a value that is not finite.
    pub fn from_vectors(
        users: impl Into<Array<f32>>,
        items: impl Into<Array<f32>>,
        dim: usize,
        provenance: Provenance,
    ) -> Result<Self, FactorsError> {
        let items = ExactIndex::build(items, dim, &ExactConfig::default())?;
        Ok(Self::new(UserVectors::new(users, dim)?, items, provenance)?)
    }

    /// Width of a vector.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.index().dim()
    }

    /// All item vectors, row-major `[n_items, dim]`.
    #[must_use]
    pub fn items(&self) -> &[f32] {
        self.index().rows()
    }

    /// The vector of an item.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`].
    pub fn item(&self, item: ItemId) -> Result<&[f32], QueryError> {
        self.index().row(item).ok_or(QueryError::UnknownItem { item, n_items: self.n_items() })
    }
}

/// The int8 rows of the first pass are not saved with users: they are made when the file is opened.
impl WithUsers for ExactIndex {
    const FORMAT_WITH_USERS: Format = Format { kind: "factors", version: 2 };

    fn query_width(&self) -> Option<usize> {
        Some(self.dim())
    }

    fn vectors(&self) -> Option<(&[f32], usize)> {
        Some((self.rows(), self.dim()))
    }

    fn write_with_users<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.config_of(prefix, self.config());
        writer.array(&format!("{prefix}{ITEMS}"), &[self.n_items(), self.dim()], self.rows());
    }

    fn read_with_users(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let name = format!("{prefix}{ITEMS}");
        let (items, shape) = artifact.array::<f32>(&name)?;
        let dim = shape.get(1).copied().unwrap_or(0);
        Self::build(items, dim, &artifact.config_of(prefix)?)
            .map_err(|error| artifact.field_error(&name, format!("array has shape {shape:?}: {error}")))
    }

    fn upgraded(artifact: Artifact) -> Result<Artifact, ArtifactError> {
        // Version 1 had it as the configuration.
        let provenance: Provenance = artifact.config()?;
        Ok(provenance.shown_in(&artifact).with_config(&ExactConfig::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Overwrite;
    use crate::{HiddenWidths, Index, Scorer, Teacher, UserId, testing};

    fn factors(n_users: u16, n_items: u16, dim: u16) -> Factors {
        let wave = |n: u16, step: f32| (0..n * dim).map(|x| (f32::from(x) * step).sin()).collect::<Vec<_>>();
        let provenance = Provenance::new("test", &serde_json::json!({"embedding_dim": dim}));
        Factors::from_vectors(wave(n_users, 0.7), wave(n_items, 1.3), dim.into(), provenance).unwrap()
    }

    #[test]
    fn factors_keep_every_promise_of_a_scorer_retriever_and_index() {
        let factors = factors(4, 300, 19);
        let users = [&UserId(0), &UserId(3)];
        testing::scorer(&factors, &users);
        testing::scorer_refuses(&factors, &UserId(4));
        testing::retriever(&factors, &users, &testing::Oracle::scorer(&factors));
        testing::retriever_refuses(&factors, &UserId(1), &UserId(4));
        testing::index(&factors, &users);
    }

    #[test]
    fn the_score_is_the_inner_product_of_the_hidden_vectors() {
        let factors = factors(3, 5, 4);
        let hidden = factors.hidden().unwrap();
        assert_eq!(hidden.widths(), HiddenWidths { user: 4, item: 4, pair: 0 });
        let (mut p, mut q, mut score) = ([0.0; 4], [0.0; 4], [0.0]);
        hidden.user_into(UserId(2), &mut p).unwrap();
        hidden.item_into(ItemId(3), &mut q).unwrap();
        factors.score_into(&UserId(2), &[ItemId(3)], &mut score).unwrap();
        assert!((score[0] - p.iter().zip(&q).map(|(p, q)| p * q).sum::<f32>()).abs() < 1e-6);
        assert!(hidden.user_into(UserId(3), &mut p).is_err());
        assert!(hidden.item_into(ItemId(5), &mut q).is_err());
        assert!(hidden.item_into(ItemId(0), &mut q[..3]).is_err());
        assert!(hidden.pairs_into(&[], &mut []).is_err());
    }

    #[test]
    fn a_file_whose_tables_disagree_is_refused_by_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factors");
        let write = |users: &[f32], shape: &[usize]| {
            let mut writer = ArtifactWriter::new("factors", 2);
            Provenance::default().write(&mut writer);
            writer.config(&ExactConfig::default());
            writer.array("users", shape, users).array("items", &[1, 2], &[1.0f32, 2.0]);
            writer.save(&path, Overwrite::Replace).unwrap();
            Factors::open(&path).unwrap_err().to_string()
        };
        assert!(write(&[1.0; 3], &[1, 3]).contains("users: array has shape [1, 3], expected [n_users, 2]"));
        assert!(write(&[1.0, f32::NAN], &[1, 2]).contains("user 0 is not finite at position 1: NaN"));
    }

    #[test]
    fn a_file_of_version_1_opens_with_its_provenance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factors");
        let mut writer = ArtifactWriter::new("factors", 1);
        writer.config(&serde_json::json!({"model": "ials", "config": {"reg": 2}}));
        writer.array("users", &[1, 2], &[3.0f32, 4.0]).array("items", &[1, 2], &[1.0f32, 2.0]);
        writer.save(&path, Overwrite::Refuse).unwrap();
        let factors = Factors::open(&path).unwrap();
        assert_eq!(factors.provenance(), &Provenance::new("ials", &serde_json::json!({"reg": 2})));
        let mut score = [0.0];
        factors.score_all_into(&UserId(0), &mut score).unwrap();
        assert_eq!(score, [11.0]);
    }

    #[test]
    fn vectors_that_diverged_or_do_not_fit_are_refused() {
        let of = |users: &[f32], items: &[f32], dim| {
            Factors::from_vectors(users.to_vec(), items.to_vec(), dim, Provenance::default()).unwrap_err().to_string()
        };
        assert!(of(&[1.0], &[f32::INFINITY], 1).starts_with("items: "), "{}", of(&[1.0], &[f32::INFINITY], 1));
        assert_eq!(of(&[1.0, f32::NAN], &[1.0], 1), "users: user 1 is not finite at position 0: NaN");
        assert_eq!(of(&[1.0; 3], &[1.0; 4], 2), "users: 3 values are no whole number of rows of 2");
    }
}
