//! A vector per user, codes per item: what learned codes are served as.

use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, UserId, Violation, check_batch};
use serde::{Deserialize, Serialize};

use crate::index::CodesConfig;
use crate::{CodeIndex, CodesError};

const KIND: &str = "coded-factors";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    items: CodesConfig,
}

/// User vectors with items as codes: `score(u, i) = p_u · y_i` with `y_i` what the codes of i stand for.
///
/// The query is a user; ask [`items`](Self::items) with any other vector. Scores, search and memory are those of
/// [`CodeIndex`], with 4 bytes a dimension of each user added.
///
/// - **Shapes**: users `[n_users, embedding_dim]`, row-major.
///
/// ```
/// use rectify_core::{ItemFilter, Retriever, TopK, UserId};
/// use rectify_quantize::{CodeIndex, CodeShape, CodedFactors, Composition};
///
/// let shape = CodeShape { embedding_dim: 2, n_codebooks: 1, n_codewords: 2, composition: Composition::Sum };
/// let items = CodeIndex::from_codes(shape, &[1., 0., 0., 1.], &[0, 1])?;
/// let model = CodedFactors::new(vec![2., -1., -1., 3.], items)?;
/// let mut top = TopK::new();
/// model.top_k(&UserId(1), 1, &ItemFilter::all(), &mut top)?;
/// assert_eq!((top.hits()[0].item.0, top.hits()[0].score), (1, 3.));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CodedFactors {
    users: Array<f32>,
    items: CodeIndex,
}

impl CodedFactors {
    /// Puts users `[n_users, embedding_dim]` and coded items together.
    ///
    /// # Errors
    /// [`CodesError`]: users that are no whole rows, or not finite.
    pub fn new(users: impl Into<Array<f32>>, items: CodeIndex) -> Result<Self, CodesError> {
        let factors = Self { users: users.into(), items };
        factors.check_users()?;
        Ok(factors)
    }

    fn check_users(&self) -> Result<(), CodesError> {
        let (dim, got) = (self.dim(), self.users.len());
        if !got.is_multiple_of(dim) {
            let (what, shape) = ("users", "users × embedding_dim");
            return Err(CodesError::Length { what, shape, expected: got.next_multiple_of(dim), got });
        }
        match self.users.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(CodesError::UserNotFinite { user: at / dim }),
            None => Ok(()),
        }
    }

    /// Width of a vector.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.items.shape().embedding_dim
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.users.len() / self.dim()
    }

    /// All user vectors, row-major `[n_users, embedding_dim]`.
    #[must_use]
    pub fn users(&self) -> &[f32] {
        &self.users
    }

    /// The coded items.
    #[must_use]
    pub const fn items(&self) -> &CodeIndex {
        &self.items
    }

    /// The vector of a user.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn user(&self, user: UserId) -> Result<&[f32], QueryError> {
        let start = user.index() * self.dim();
        self.users.get(start..start + self.dim()).ok_or(QueryError::UnknownUser { user, n_users: self.n_users() })
    }
}

impl Scorer for CodedFactors {
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

impl Retriever for CodedFactors {
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

impl Index for CodedFactors {
    fn size_bytes(&self) -> usize {
        size_of_val(self.users()) + self.items.size_bytes()
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&Config { items: self.items.config() });
        writer.array("users", &[self.n_users(), self.dim()], self.users());
        self.items.save_into(&mut writer);
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let config: Config = artifact.config()?;
        let items = CodeIndex::load(&artifact, config.items)?;
        let (users, shape) = artifact.array::<f32>("users")?;
        let dim = items.shape().embedding_dim;
        if shape.len() != 2 || shape[1] != dim || u32::try_from(shape[0]).is_err() {
            let problem = format!("array has shape {shape:?}, expected [n_users, {dim}]");
            return Err(artifact.field_error("users", problem));
        }
        let factors = Self { users, items };
        artifact.reject(factors.validate())?;
        Ok(factors)
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = self.items.validate();
        if let Err(error) = self.check_users() {
            violations.push(Violation { field: "users".into(), problem: error.to_string() });
        }
        violations
    }
}
