//! A teacher's scores of all pairs, asked once.

use rayon::prelude::*;
use rectify_core::{ItemId, QueryError, Scorer, UserId};

/// Scores that are remembered at most: 128 MiB.
pub(super) const MOST: usize = 1 << 25;

/// A teacher whose answers lie in memory: `[n_users, n_items]`.
#[derive(Debug)]
pub(super) struct Remembered {
    n_items: usize,
    scores: Vec<f32>,
}

impl Remembered {
    /// Asks for all pairs.
    pub(super) fn new(teacher: &dyn Scorer<Query = UserId>, n_users: usize) -> Result<Self, QueryError> {
        let n_items = teacher.n_items();
        let mut scores = vec![0.0; n_users * n_items];
        let rows = scores.par_chunks_mut(n_items.max(1)).enumerate();
        let asked: Vec<Result<(), QueryError>> =
            rows.map(|(user, scores)| teacher.score_all_into(&UserId(user as u32), scores)).collect();
        asked.into_iter().collect::<Result<(), _>>()?;
        Ok(Self { n_items, scores })
    }

    fn of(&self, user: UserId) -> Result<&[f32], QueryError> {
        let n_users = self.scores.len() / self.n_items.max(1);
        if user.index() >= n_users {
            return Err(QueryError::UnknownUser { user, n_users });
        }
        Ok(&self.scores[user.index() * self.n_items..][..self.n_items])
    }
}

impl Scorer for Remembered {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let scores = self.of(*user)?;
        for (out, item) in out.iter_mut().zip(items) {
            *out = scores[item.index()];
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        out.copy_from_slice(self.of(*user)?);
        Ok(())
    }
}
