//! The best unseen items of every user, by any scorer.

use rayon::prelude::*;
use rectify_core::{ItemFilter, ItemId, QueryError, Scorer, TopK, UserId, select_top_k};

use crate::{ConfigError, SampleError};

/// What a frozen model recommends to every user: its best unseen items with their scores.
///
/// Made once from a teacher, or again and again from a student (student-guided collaborative distillation). A black box
/// suffices: nothing but scores is asked for.
///
/// **Size**: 8 bytes for each of `n_users · depth` entries, plus 4 for each seen item.
#[derive(Clone, Debug, PartialEq)]
pub struct Rankings {
    n_items: usize,
    depth: usize,
    best: Vec<ItemId>,
    scores: Vec<f32>,
    best_offsets: Vec<usize>,
    seen: Vec<ItemId>,
    seen_offsets: Vec<usize>,
}

impl Rankings {
    /// Ranks the items that each user has not seen, and keeps the best `depth`.
    ///
    /// `seen(u)` are the user's training items, ascending. Ties go to the lower item id. A user with fewer than `depth`
    /// unseen items has a shorter list; one who has seen everything has an empty one. Users are ranked in parallel;
    /// the result does not depend on the number of threads.
    ///
    /// # Errors
    /// A `depth` of 0; a teacher with another number of items; a teacher that does not know a user or scores with NaN;
    /// seen items that do not strictly ascend or lie beyond the catalogue. The first failing user is named.
    pub fn new<'a, S: Scorer<Query = UserId> + ?Sized>(
        teacher: &S,
        n_users: usize,
        n_items: usize,
        seen: impl Fn(UserId) -> &'a [ItemId] + Sync,
        depth: usize,
    ) -> Result<Self, SampleError> {
        ConfigError::check(depth > 0, "depth", "at least 1", depth)?;
        if teacher.n_items() != n_items {
            return Err(SampleError::ItemCount { expected: n_items, got: teacher.n_items() });
        }
        let rank = |(scores, top): &mut (Vec<f32>, TopK), u: usize| -> Result<(Vec<ItemId>, Vec<f32>), SampleError> {
            let user = UserId(u as u32);
            let seen = seen(user);
            let failed = |source: QueryError| SampleError::Teacher { user, source };
            let filter = ItemFilter::seen(seen).map_err(failed)?;
            if let Some(last) = seen.last().filter(|last| last.index() >= n_items) {
                return Err(SampleError::SeenItem { user, expected: n_items, got: last.0 });
            }
            teacher.score_all_into(&user, scores).map_err(failed)?;
            select_top_k(scores, depth, &filter, top).map_err(failed)?;
            Ok((top.items().collect(), top.hits().iter().map(|hit| hit.score).collect()))
        };
        let lists: Vec<_> = (0..n_users).into_par_iter().map_init(|| (vec![0.0; n_items], TopK::new()), rank).collect();

        let mut rankings = Self {
            n_items,
            depth,
            best: Vec::with_capacity(n_users * depth.min(n_items)),
            scores: Vec::with_capacity(n_users * depth.min(n_items)),
            best_offsets: vec![0],
            seen: Vec::new(),
            seen_offsets: vec![0],
        };
        for (u, list) in lists.into_iter().enumerate() {
            let (items, scores) = list?;
            rankings.best.extend(items);
            rankings.scores.extend(scores);
            rankings.best_offsets.push(rankings.best.len());
            rankings.seen.extend_from_slice(seen(UserId(u as u32)));
            rankings.seen_offsets.push(rankings.seen.len());
        }
        Ok(rankings)
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.best_offsets.len() - 1
    }

    /// Number of items of the catalogue.
    #[must_use]
    pub const fn n_items(&self) -> usize {
        self.n_items
    }

    /// Length of the longest list that could be kept.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// The best unseen items, best first: position 0 is rank 1.
    ///
    /// # Panics
    /// If the user is unknown, as in every method that takes one.
    #[must_use]
    pub fn best(&self, user: UserId) -> &[ItemId] {
        &self.best[self.best_offsets[user.index()]..self.best_offsets[user.index() + 1]]
    }

    /// Their scores, aligned with [`best`](Self::best).
    #[must_use]
    pub fn scores(&self, user: UserId) -> &[f32] {
        &self.scores[self.best_offsets[user.index()]..self.best_offsets[user.index() + 1]]
    }

    /// The training items, ascending.
    #[must_use]
    pub fn seen(&self, user: UserId) -> &[ItemId] {
        &self.seen[self.seen_offsets[user.index()]..self.seen_offsets[user.index() + 1]]
    }

    /// Number of items that the user has not seen.
    #[must_use]
    pub fn n_unseen(&self, user: UserId) -> usize {
        self.n_items - self.seen(user).len()
    }
}
