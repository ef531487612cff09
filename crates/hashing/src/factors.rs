//! A code per user, a code per item: what every method of this crate leaves behind.

use std::path::Path;

use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{
    Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId, Violation, check_batch,
};
use serde::{Deserialize, Serialize};

use crate::{BinaryCodes, CodesError, HammingIndex};

const KIND: &str = "binary-factors";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    code_bits: usize,
    n_items: usize,
    origin: Origin,
}

/// The method that made some codes, and its settings: saved with them, so that a file explains itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the method, for instance `dgcn-bincf`.
    pub model: String,
    /// Its settings, as JSON.
    pub settings: String,
}

/// Frozen codes of users and items with `score(u, i) = code_bits - 2 · hamming(u, i)`, the inner product of ±1 vectors.
///
/// Scorer, teacher (a black box: bits are no vectors to imitate) and index at once; items are searched by
/// [`HammingIndex`], whose docs fix the order of ties.
///
/// ```
/// use rectify_core::{ItemFilter, Retriever, TopK, UserId};
/// use rectify_hashing::{BinaryCodes, BinaryFactors};
///
/// let users = BinaryCodes::from_signs(&[1., 1., -1.], 3)?;
/// let items = BinaryCodes::from_signs(&[1., -1., -1., 1., 1., -1.], 3)?;
/// let factors = BinaryFactors::new(users, &items, Default::default())?;
/// let mut top = TopK::new();
/// factors.top_k(&UserId(0), 1, &ItemFilter::all(), &mut top)?;
/// assert_eq!((top.hits()[0].item.0, top.hits()[0].score), (1, 3.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BinaryFactors {
    users: BinaryCodes,
    items: HammingIndex,
    origin: Origin,
}

impl BinaryFactors {
    /// Puts codes together.
    ///
    /// # Errors
    /// [`CodesError::Widths`] if users and items have codes of different lengths, [`CodesError::TooMany`].
    pub fn new(users: BinaryCodes, items: &BinaryCodes, origin: Origin) -> Result<Self, CodesError> {
        if users.code_bits() != items.code_bits() {
            return Err(CodesError::Widths { users: users.code_bits(), items: items.code_bits() });
        }
        if u32::try_from(users.len()).is_err() {
            return Err(CodesError::TooMany { got: users.len() });
        }
        Ok(Self { users, items: HammingIndex::new(items)?, origin })
    }

    /// Length of a code in bits.
    #[must_use]
    pub const fn code_bits(&self) -> usize {
        self.items.code_bits()
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.users.len()
    }

    /// The users' codes.
    #[must_use]
    pub const fn users(&self) -> &BinaryCodes {
        &self.users
    }

    /// The index over the items' codes; ask it with any code of `code_bits`.
    #[must_use]
    pub const fn index(&self) -> &HammingIndex {
        &self.items
    }

    /// Where they come from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The words of a user's code.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn user(&self, user: UserId) -> Result<&[u64], QueryError> {
        if user.index() < self.n_users() {
            return Ok(self.users.words_of(user.index()));
        }
        Err(QueryError::UnknownUser { user, n_users: self.n_users() })
    }
}

impl Scorer for BinaryFactors {
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

impl Teacher for BinaryFactors {}

impl Retriever for BinaryFactors {
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
        let codes = users.iter().map(|user| self.user(**user)).collect::<Result<Vec<_>, _>>()?;
        self.items.top_k_batch(&codes, k, filters, out)
    }
}

impl Index for BinaryFactors {
    fn size_bytes(&self) -> usize {
        size_of_val(self.users.as_words()) + self.items.size_bytes()
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        let n_items = Scorer::n_items(self);
        writer.config(&Config { code_bits: self.code_bits(), n_items, origin: self.origin.clone() });
        writer.array("users", &[self.n_users(), self.users.words()], self.users.as_words());
        self.items.write_into(&mut writer);
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let Config { code_bits, n_items, origin } = artifact.config()?;
        let items = HammingIndex::read_from(&artifact, code_bits, n_items)?;
        let (users, shape) = artifact.array::<u64>("users")?;
        let words = code_bits.div_ceil(64);
        if shape.len() != 2 || shape[1] != words || u32::try_from(shape[0]).is_err() {
            let problem = format!("array has shape {shape:?}, expected [n_users, {words}]");
            return Err(artifact.field_error("users", problem));
        }
        let users = BinaryCodes::from_words(users, code_bits)
            .map_err(|error| artifact.field_error("users", error.to_string()))?;
        Ok(Self { users, items, origin })
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = self.items.validate();
        if let Err(error) = BinaryCodes::from_words(self.users.as_words().to_vec(), self.code_bits()) {
            violations.push(Violation { field: "users".into(), problem: error.to_string() });
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;
    use rectify_core::testing;

    use super::*;

    fn codes(name: &str, n: usize, code_bits: usize) -> BinaryCodes {
        let mut rng = Seed(5).stream(name).rng();
        let signs: Vec<f32> = (0..n * code_bits).map(|_| rng.unit_f32() - 0.5).collect();
        BinaryCodes::from_signs(&signs, code_bits).unwrap()
    }

    #[test]
    fn binary_factors_keep_every_promise_of_a_scorer_retriever_and_index() {
        for code_bits in [7, 192] {
            let items = codes("items", 300, code_bits);
            let factors = BinaryFactors::new(codes("users", 5, code_bits), &items, Origin::default()).unwrap();
            let users = [&UserId(0), &UserId(4)];
            testing::scorer(&factors, &users);
            testing::scorer_refuses(&factors, &UserId(5));
            testing::retriever(&factors, &users, &testing::Oracle::scorer(&factors));
            testing::retriever_refuses(&factors, &UserId(1), &UserId(5));
            testing::index(&factors, &users);
        }
    }

    #[test]
    fn codes_of_different_lengths_are_refused() {
        let error = BinaryFactors::new(codes("users", 5, 64), &codes("items", 5, 65), Origin::default()).unwrap_err();
        assert_eq!(error.to_string(), "users have codes of 64 bits, items of 65; both must have one length");
    }

    #[test]
    fn a_file_whose_users_have_another_shape_or_stray_bits_is_refused_by_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factors");
        let items = codes("items", 9, 70);
        let factors = BinaryFactors::new(codes("users", 2, 70), &items, Origin::default()).unwrap();
        let refused = |shape: &[usize], words: &[u64]| {
            let mut writer = ArtifactWriter::new(KIND, VERSION);
            writer.config(&Config { code_bits: 70, n_items: 9, origin: Origin::default() });
            writer.array("users", shape, words);
            factors.items.write_into(&mut writer);
            writer.save(&path, Overwrite::Replace).unwrap();
            BinaryFactors::open(&path).unwrap_err().to_string()
        };
        assert!(refused(&[3, 1], &[0; 3]).contains("users: array has shape [3, 1], expected [n_users, 2]"));
        assert!(refused(&[1, 2], &[0, 1 << 6]).contains("code 0 has bits set beyond its 70 bits"));
    }
}
