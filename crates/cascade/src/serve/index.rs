//! A cascade, served.

use rayon::prelude::*;
use rectify_core::{Catalogue, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId};

use super::network::Network;
use crate::{CascadeError, CascadeItems, CascadeParts, Cost, Rejection};

/// A hierarchical decision network over all items: each stage sees only what the ones before it let through.
///
/// With `z = P[u] ⊙ Q[i]` and `x_1 = z`, `x_n = [z ; h_{n−1}]`: module n has `D_n = θ_n · x_n` and `h_n = relu(W_n x_n)`, and the score of
/// a survivor is `y = w · [z ; h_N]`.
///
/// - **First stage**: `θ_1 ⊙ P[u]` is one vector, so it is one product a user with the item table. **Next stages**: layers and heads in
///   one pass over the survivors, which move together after each module.
/// - **Score**: `y`. Rejected items are below all others, the last rejected first and then by ascending D (rounded to 22 bits), at scores
///   of [`REJECTED`](crate::REJECTED) and less. **Fill rule**: a list with fewer survivors than asked for goes on with these.
/// - **Order**: equal scores go to the lower id. **Bits**: the same on every instruction set, for any number of threads.
/// - **Filter**: items are left out of the list, not of the count of rejected ones; under [`Rejection::Share`] they are left out
///   before the first module.
///
/// A cascade without modules is a matrix factorisation: `y = w · z`.
///
/// It is asked by user id, and by anybody's vector through [`items`](Self::items). Users may be none: then only vectors ask.
///
/// ```
/// use rectify_cascade::{CascadeIndex, CascadeParts, ModuleParts, Rejection};
/// use rectify_core::{ItemFilter, TopK, UserId};
///
/// // One module that rejects what points away from the user.
/// let parts = CascadeParts {
///     embedding_dim: 2,
///     users: vec![1.0, 2.0].into(),
///     items: vec![1.0, 1.0, -1.0, 0.5, -1.0, -1.0].into(),
///     modules: vec![ModuleParts { decision: vec![-1.0, -1.0], bias: 0.0, weight: vec![1.0, 0.0, 0.0, 1.0] }],
///     score: vec![1.0, 1.0, 0.0, 0.0],
///     score_bias: 0.0,
/// };
/// let index = CascadeIndex::new(parts, Rejection::learned(1))?;
/// let mut top = TopK::new();
/// let cost = index.search(UserId(0), 2, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.items().map(|item| item.0).collect::<Vec<_>>(), [0, 1]);
/// assert_eq!(cost.entered, [3, 2]); // item 2 never reached the scorer
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CascadeIndex {
    network: Network,
    rejection: Rejection,
    /// What [`Rejection`] says as thresholds; empty for shares.
    thresholds: Vec<f32>,
}

impl CascadeIndex {
    /// Serves a network made anywhere.
    ///
    /// # Errors
    /// [`CascadeError`]: sizes that do not fit, a value that is not finite or weights whose products could be beyond 2⁶⁰ for some pair, a
    /// rule for another number of modules.
    pub fn new(parts: CascadeParts, rejection: Rejection) -> Result<Self, CascadeError> {
        Self::from_network(Network::new(parts)?, rejection)
    }

    pub(super) fn from_network(network: Network, rejection: Rejection) -> Result<Self, CascadeError> {
        let expected = network.n_modules();
        let (got, thresholds) = match &rejection {
            Rejection::Above(thresholds) => (thresholds.len(), thresholds.clone()),
            Rejection::Share(ratios) => (ratios.len(), Vec::new()),
            Rejection::Never => (expected, vec![f32::INFINITY; expected]),
        };
        if got != expected {
            return Err(CascadeError::Rule { expected, got });
        }
        if let Some(at) = thresholds.iter().position(|threshold| threshold.is_nan()) {
            return Err(CascadeError::Threshold { module: at + 1 });
        }
        Ok(Self { network, rejection, thresholds })
    }

    /// The same network under another rule.
    ///
    /// # Errors
    /// [`CascadeError::Rule`], [`CascadeError::Threshold`].
    pub fn with_rejection(self, rejection: Rejection) -> Result<Self, CascadeError> {
        Self::from_network(self.network, rejection)
    }

    /// Width of a vector (`d`).
    #[must_use]
    pub const fn embedding_dim(&self) -> usize {
        self.network.dim
    }

    /// Number of modules (`N`).
    #[must_use]
    pub fn n_modules(&self) -> usize {
        self.network.n_modules()
    }

    /// Number of users.
    #[must_use]
    pub const fn n_users(&self) -> usize {
        self.network.n_users
    }

    /// Which pairs are rejected.
    #[must_use]
    pub const fn rejection(&self) -> &Rejection {
        &self.rejection
    }

    /// Its arrays; those of a mapped file are shared, not copied.
    #[must_use]
    pub fn parts(&self) -> CascadeParts {
        self.network.parts()
    }

    /// What each module rejects above; none for shares.
    pub(super) fn thresholds(&self) -> &[f32] {
        &self.thresholds
    }

    pub(super) const fn network(&self) -> &Network {
        &self.network
    }

    /// The items and modules, asked by the vector of anybody: of known users, and of people who came later.
    #[must_use]
    pub const fn items(&self) -> CascadeItems<'_> {
        CascadeItems::of(self)
    }

    /// The vector of a user.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn user(&self, user: UserId) -> Result<&[f32], QueryError> {
        self.network.user(user)
    }

    /// `D_1 … D_N` and y of a pair, whatever is rejected.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`], [`QueryError::UnknownItem`].
    pub fn values(&self, user: UserId, item: ItemId) -> Result<Vec<f32>, QueryError> {
        self.items().values_of(self.user(user)?, item)
    }

    /// [`Retriever::top_k`] that tells what it cost.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn search(&self, user: UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<Cost, QueryError> {
        out.clear();
        Ok(self.items().best(self.user(user)?, k, filter, out))
    }

    /// What searches for some users cost together, on all items.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn cost(&self, users: &[UserId], k: usize) -> Result<Cost, QueryError> {
        let all = ItemFilter::all();
        let costs: Vec<Result<Cost, QueryError>> =
            users.par_iter().map_init(TopK::new, |top, user| self.search(*user, k, &all, top)).collect();
        let mut total = Cost::new(self.n_modules());
        for cost in costs {
            total.add(&cost?);
        }
        Ok(total)
    }
}

impl Catalogue for CascadeIndex {
    fn n_items(&self) -> usize {
        self.network.n_items
    }
}

impl Retriever for CascadeIndex {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.search(*user, k, filter, out).map(|_| ())
    }
}

/// Scores as lists have them: survivors' y, and rejected items below; [`QueryError::Unsupported`] under [`Rejection::Share`].
impl Scorer for CascadeIndex {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.items().scores_of(self.user(*user)?, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.items().all_scores_of(self.user(*user)?, out)
    }
}

/// A black box: its rows of survivors are no vectors to imitate.
impl Teacher for CascadeIndex {}

#[cfg(test)]
mod tests;
