//! A vector per user, a vector per item: what matrix factorisations leave behind.

use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{
    ExactConfig, ExactError, ExactIndex, Hidden, HiddenWidths, Index, ItemFilter, ItemId, QueryError, Retriever,
    Scorer, Teacher, TopK, UserId, Violation, check_batch, check_len,
};
use serde::{Deserialize, Serialize};

use crate::FitError;

const KIND: &str = "factors";
const VERSION: u32 = 1;

/// The model that made some factors, and its settings: saved with them, so that a file explains itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the model, for instance `ials`.
    pub model: String,
    /// Its configuration.
    pub config: serde_json::Value,
}

/// Frozen user and item vectors with `score(u, i) = p_u · q_i`.
///
/// Scorer, teacher (its hidden vectors are the factors) and index at once; items are searched by core's [`ExactIndex`],
/// whose docs fix the bits of a score. A user without training items has whatever vector the model gave it.
///
/// - **Shapes**: users `[n_users, dim]`, items `[n_items, dim]`, row-major.
#[derive(Clone, Debug)]
pub struct Factors {
    users: Array<f32>,
    items: ExactIndex,
    origin: Origin,
}

impl Factors {
    /// Puts vectors together; both tables have rows of `dim`.
    ///
    /// # Errors
    /// [`ExactError`] if a table is no whole number of rows, or a value of the items is not finite.
    ///
    /// # Panics
    /// If `users` is no whole number of rows or not finite: the model that made it must have checked.
    pub fn new(
        users: impl Into<Array<f32>>,
        items: impl Into<Array<f32>>,
        dim: usize,
        origin: Origin,
    ) -> Result<Self, ExactError> {
        let (users, items) = (users.into(), ExactIndex::build(items, dim, &ExactConfig::default())?);
        let factors = Self { users, items, origin };
        let violations = factors.validate();
        assert!(violations.is_empty(), "factors made by {} are unsound: {}", factors.origin.model, violations[0]);
        Ok(factors)
    }

    /// What a training loop has at the moment.
    ///
    /// # Errors
    /// [`FitError::NotFinite`].
    pub(crate) fn trained(
        model: &'static str,
        config: &impl Serialize,
        users: &[f32],
        items: &[f32],
        dim: usize,
    ) -> Result<Self, FitError> {
        if let Some(at) = users.iter().chain(items).position(|x| !x.is_finite()) {
            let (side, at) = if at < users.len() { ("user", at) } else { ("item", at - users.len()) };
            return Err(FitError::NotFinite { model, what: format!("{side} {}", at / dim) });
        }
        let config = serde_json::to_value(config).expect("a configuration has a JSON form");
        let origin = Origin { model: model.to_owned(), config };
        Ok(Self::new(users.to_vec(), items.to_vec(), dim, origin).expect("rows are whole and finite"))
    }

    /// Width of a vector.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.items.dim()
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.users.len() / self.dim()
    }

    /// All user vectors, row-major `[n_users, dim]`.
    #[must_use]
    pub fn users(&self) -> &[f32] {
        &self.users
    }

    /// All item vectors, row-major `[n_items, dim]`.
    #[must_use]
    pub fn items(&self) -> &[f32] {
        self.items.rows()
    }

    /// The index over the item vectors; ask it with any vector of width `dim`.
    #[must_use]
    pub const fn index(&self) -> &ExactIndex {
        &self.items
    }

    /// Where they come from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The vector of a user.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn user(&self, user: UserId) -> Result<&[f32], QueryError> {
        let start = user.index() * self.dim();
        self.users.get(start..start + self.dim()).ok_or(QueryError::UnknownUser { user, n_users: self.n_users() })
    }

    /// The vector of an item.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`].
    pub fn item(&self, item: ItemId) -> Result<&[f32], QueryError> {
        self.items.row(item).ok_or(QueryError::UnknownItem { item, n_items: Scorer::n_items(self) })
    }
}

impl Scorer for Factors {
    type Query = UserId;

    fn n_items(&self) -> usize {
        Scorer::n_items(&self.items)
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.items.score_into(self.user(*user)?, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.items.score_all_into(self.user(*user)?, out)
    }
}

impl Retriever for Factors {
    type Query = UserId;

    fn n_items(&self) -> usize {
        Scorer::n_items(&self.items)
    }

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.items.top_k(self.user(*user)?, k, filter, out)
    }

    fn top_k_batch(
        &self,
        users: &[&UserId],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(users.len(), filters.len(), out.len())?;
        let vectors = users.iter().map(|user| self.user(**user)).collect::<Result<Vec<_>, _>>()?;
        self.items.top_k_batch(&vectors, k, filters, out)
    }
}

impl Teacher for Factors {
    fn hidden(&self) -> Option<&dyn Hidden> {
        Some(self)
    }
}

impl Hidden for Factors {
    fn widths(&self) -> HiddenWidths {
        HiddenWidths { user: self.dim(), item: self.dim(), pair: 0 }
    }

    fn user_into(&self, user: UserId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.dim(), out.len())?;
        out.copy_from_slice(self.user(user)?);
        Ok(())
    }

    fn item_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.dim(), out.len())?;
        out.copy_from_slice(self.item(item)?);
        Ok(())
    }

    fn pairs_into(&self, _: &[(UserId, ItemId)], _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("factors have no joint vector of a pair; ask for the user's and the item's".into()))
    }
}

impl Index for Factors {
    fn size_bytes(&self) -> usize {
        size_of_val(self.users()) + self.items.size_bytes()
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&self.origin);
        writer.array("users", &[self.n_users(), self.dim()], self.users());
        writer.array("items", &[Scorer::n_items(self), self.dim()], self.items());
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let (items, shape) = artifact.array::<f32>("items")?;
        let dim = shape.get(1).copied().unwrap_or(0);
        let items = ExactIndex::build(items, dim, &ExactConfig::default())
            .map_err(|error| artifact.field_error("items", format!("array has shape {shape:?}: {error}")))?;
        let (users, shape) = artifact.array::<f32>("users")?;
        if shape.len() != 2 || shape[1] != dim || u32::try_from(shape[0]).is_err() {
            let problem = format!("array has shape {shape:?}, expected [n_users, {dim}]");
            return Err(artifact.field_error("users", problem));
        }
        let factors = Self { users, items, origin: artifact.config()? };
        artifact.reject(factors.validate())?;
        Ok(factors)
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = self.items.validate();
        if !self.users.len().is_multiple_of(self.dim()) {
            let problem = format!("{} values are no whole number of rows of {}", self.users.len(), self.dim());
            violations.push(Violation { field: "users".into(), problem });
        }
        if let Some(at) = self.users.iter().position(|x| !x.is_finite()) {
            let problem =
                format!("user {} is not finite at position {}: {}", at / self.dim(), at % self.dim(), self.users[at]);
            violations.push(Violation { field: "users".into(), problem });
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::testing;

    use super::*;

    fn factors(n_users: u16, n_items: u16, dim: u16) -> Factors {
        let wave = |n: u16, step: f32| (0..n * dim).map(|x| (f32::from(x) * step).sin()).collect::<Vec<_>>();
        let origin = Origin { model: "test".into(), config: serde_json::json!({"embedding_dim": dim}) };
        Factors::new(wave(n_users, 0.7), wave(n_items, 1.3), dim.into(), origin).unwrap()
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
        let origin = Origin { model: "test".into(), config: serde_json::Value::Null };
        let write = |users: &[f32], shape: &[usize]| {
            let mut writer = ArtifactWriter::new(KIND, VERSION);
            writer.config(&origin).array("users", shape, users).array("items", &[1, 2], &[1.0f32, 2.0]);
            writer.save(&path, Overwrite::Replace).unwrap();
            Factors::open(&path).unwrap_err().to_string()
        };
        assert!(write(&[1.0; 3], &[1, 3]).contains("users: array has shape [1, 3], expected [n_users, 2]"));
        assert!(write(&[1.0, f32::NAN], &[1, 2]).contains("user 0 is not finite at position 1: NaN"));
    }

    #[test]
    fn items_that_diverged_are_refused() {
        let origin = Origin { model: "test".into(), config: serde_json::Value::Null };
        let error = Factors::new(vec![1.0], vec![f32::INFINITY], 1, origin).unwrap_err();
        assert!(matches!(error, ExactError::NotFinite { .. }));
    }
}
