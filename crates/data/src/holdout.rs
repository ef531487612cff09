//! What is held out of training, and who may look at it.

use rectify_core::{ItemId, UserId};

use crate::{Interactions, Ragged};

/// Held-out items of each user, with what the protocol says about ranking them.
#[derive(Clone, Debug, PartialEq)]
pub struct Holdout {
    truth: Ragged<ItemId>,
    candidates: Option<Ragged<ItemId>>,
    excluded: Option<Ragged<ItemId>>,
}

impl Holdout {
    /// Held-out items by user, each row ascending and distinct.
    #[must_use]
    pub const fn new(truth: Ragged<ItemId>) -> Self {
        Self { truth, candidates: None, excluded: None }
    }

    /// The items of `held`, which shares its ids with the training part.
    #[must_use]
    pub fn of(held: &Interactions) -> Self {
        Self::new(held.by_user.clone())
    }

    /// Ranks each user's held-out items among these alone, instead of among all items.
    #[must_use]
    pub fn with_candidates(mut self, candidates: Ragged<ItemId>) -> Self {
        self.candidates = Some(candidates);
        self
    }

    /// Also keeps these out of the lists (rows ascending): items of another held-out part.
    #[must_use]
    pub fn with_excluded(mut self, excluded: Ragged<ItemId>) -> Self {
        self.excluded = Some(excluded);
        self
    }

    /// The part of these users; the others have nothing held out.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(UserId) -> bool) -> Self {
        let rows = (0..self.n_users() as u32).map(UserId);
        let truth = Ragged::from_rows(rows.map(|user| if wanted(user) { self.truth_of(user) } else { &[] }));
        Self { truth, candidates: self.candidates.clone(), excluded: self.excluded.clone() }
    }

    /// Number of users, those without held-out items included.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.truth.n_rows()
    }

    /// Users with at least one held-out item, ascending: the ones that metrics average over.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        (0..self.n_users() as u32).map(UserId).filter(|&user| !self.truth_of(user).is_empty())
    }

    /// Held-out items of a user, ascending.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    pub fn truth_of(&self, user: UserId) -> &[ItemId] {
        self.truth.row(user.index())
    }

    /// The sampled items, ascending, that the held-out ones compete with; they are none of the user's. `None` under full
    /// ranking.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    pub fn candidates_of(&self, user: UserId) -> Option<&[ItemId]> {
        self.candidates.as_ref().map(|candidates| candidates.row(user.index()))
    }

    /// Items, ascending, that must leave a user's list in addition to the training items; mostly none. When ranking the
    /// test part these are the validation items: a model that was picked by them ranks them high.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    pub fn excluded_of(&self, user: UserId) -> &[ItemId] {
        self.excluded.as_ref().map_or(&[], |excluded| excluded.row(user.index()))
    }

    /// Number of held-out pairs.
    #[must_use]
    pub fn n_interactions(&self) -> usize {
        self.truth.values().len()
    }
}

/// The test part of a split, which tuning code cannot reach.
///
/// Only the crate `eval` may call [`unseal`](Self::unseal); `cargo xtask layers` looks.
#[derive(Clone)]
pub struct SealedTest(Holdout);

impl SealedTest {
    /// Seals a held-out part.
    #[must_use]
    pub const fn new(holdout: Holdout) -> Self {
        Self(holdout)
    }

    /// Opens the test part: for `eval`'s test evaluation and nothing else.
    #[must_use]
    pub const fn unseal(&self) -> &Holdout {
        &self.0
    }

    /// Number of held-out pairs, which may be known to anyone.
    #[must_use]
    pub fn n_interactions(&self) -> usize {
        self.0.n_interactions()
    }

    /// Number of users with held-out items, which may be known to anyone.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.0.users().count()
    }
}

impl std::fmt::Debug for SealedTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedTest({} pairs)", self.n_interactions())
    }
}

/// Training, validation and test parts over the same ids.
#[derive(Clone, Debug)]
pub struct Split {
    /// What models are trained on. Under a user-disjoint protocol it holds the first halves (histories) of validation and
    /// test users too: they are what such a user is known by.
    pub train: Interactions,
    /// What settings and epochs are chosen by.
    pub validation: Option<Holdout>,
    /// What is reported, once.
    pub test: SealedTest,
    /// Under a user-disjoint protocol, the users whose whole rows are training samples, ascending; `None`: all users.
    pub training_users: Option<Vec<UserId>>,
}
