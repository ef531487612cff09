//! The re-ranker that is served.

use rayon::prelude::*;
use rectify_core::artifact::Array;
use rectify_core::{
    Catalogue, Factors, Hit, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId, all_or_none,
    check_batch,
};

use super::PrmConfig;
use super::network::Pass;

/// A frozen PRM-BASE with the first stage whose lists it puts in order.
///
/// A list is the first stage's best `list_len` items that pass the filter, in the order of their scores here. Asked for more, it goes on
/// with the first stage's next items, each below all before it. As a scorer it answers nothing: what an item is worth depends on the list
/// it stands in.
#[derive(Clone, Debug)]
pub struct Prm {
    pub(super) config: PrmConfig,
    pub(super) first: Factors,
    /// In the order of `arrays`.
    pub(super) weights: Vec<Array<f32>>,
}

impl Prm {
    /// `weights` are those of `arrays`, in their order.
    pub(crate) fn from_parts(config: PrmConfig, first: Factors, weights: Vec<Array<f32>>) -> Self {
        Self { config, first, weights }
    }

    /// The settings it was trained with.
    #[must_use]
    pub const fn config(&self) -> &PrmConfig {
        &self.config
    }

    /// The first stage.
    #[must_use]
    pub const fn first(&self) -> &Factors {
        &self.first
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.first.n_users()
    }

    /// Number of learned values, those of the first stage included.
    #[must_use]
    pub fn n_params(&self) -> usize {
        let own: usize = self.weights.iter().map(|array| array.len()).sum();
        own + self.first.users().len() + self.first.items().len()
    }

    /// Scores of a list in its order, at most `list_len` items.
    fn scores(&self, user: UserId, items: &[ItemId], pass: &mut Pass) -> Result<(), QueryError> {
        let weights: Vec<&[f32]> = self.weights.iter().map(|array| &array[..]).collect();
        pass.forward(&self.config, &weights, tokens(&self.first, user, items)?, None);
        Ok(())
    }

    /// Puts the first stage's answer in a new order.
    fn rank(&self, user: UserId, k: usize, top: &mut TopK, pass: &mut Pass) -> Result<(), QueryError> {
        let items: Vec<ItemId> = top.items().collect();
        let (listed, rest) = items.split_at(items.len().min(self.config.list_len));
        self.scores(user, listed, pass)?;
        if let Some(at) = pass.scores.iter().position(|score| !score.is_finite()) {
            return Err(QueryError::NotFinite { position: listed[at].index(), value: pass.scores[at] });
        }
        let lowest = pass.scores.iter().copied().fold(f32::INFINITY, f32::min);
        // Steps that a number of this size can still show.
        let step = lowest.abs().max(1.0);
        let listed = listed.iter().zip(&pass.scores).map(|(item, score)| Hit::new(*item, *score));
        let below = (1..).zip(rest).map(|(place, item)| Hit::new(*item, lowest - step * place as f32));
        top.assign(k, listed.chain(below));
        Ok(())
    }
}

/// `[p_u ; q_i]` of each item of a list.
pub(crate) fn tokens(first: &Factors, user: UserId, items: &[ItemId]) -> Result<Vec<f32>, QueryError> {
    let own = first.user(user)?;
    let mut tokens = Vec::with_capacity(2 * own.len() * items.len());
    for item in items {
        tokens.extend_from_slice(own);
        tokens.extend_from_slice(first.item(*item)?);
    }
    Ok(tokens)
}

impl Catalogue for Prm {
    fn n_items(&self) -> usize {
        self.first.n_items()
    }
}

impl Retriever for Prm {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.first.top_k(user, k.max(self.config.list_len), filter, out)?;
        let ranked = self.rank(*user, k, out, &mut Pass::default());
        if ranked.is_err() {
            // The first stage's answer is no answer.
            out.clear();
        }
        ranked
    }

    fn top_k_batch(
        &self,
        queries: &[&UserId],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(queries.len(), filters.len(), out)?;
        self.first.top_k_batch(queries, k.max(self.config.list_len), filters, out)?;
        let ranked: Vec<Result<(), QueryError>> = queries
            .par_iter()
            .zip(out.par_iter_mut())
            .map_init(Pass::default, |pass, (user, top)| self.rank(**user, k, top, pass))
            .collect();
        all_or_none(ranked, out)
    }
}

/// Refuses: what an item is worth depends on its list.
impl Scorer for Prm {
    type Query = UserId;

    fn score_into(&self, _: &UserId, _: &[ItemId], _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("PRM scores an item within its list; ask it for lists".into()))
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.score_into(user, &[], out)
    }
}

/// A black box.
impl Teacher for Prm {}
