//! A teacher's scores of all pairs, asked once.

use rayon::prelude::*;
use rectify_core::{Catalogue, ItemId, QueryError, Scorer, UserId, check_len};

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

impl Catalogue for Remembered {
    fn n_items(&self) -> usize {
        self.n_items
    }
}

impl Scorer for Remembered {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        let scores = self.of(*user)?;
        for (out, &item) in out.iter_mut().zip(items) {
            *out = *scores.get(item.index()).ok_or(QueryError::UnknownItem { item, n_items: self.n_items })?;
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.n_items, out.len())?;
        out.copy_from_slice(self.of(*user)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::testing;

    use super::*;

    /// Every pair has a score of its own.
    struct Numbered;

    impl Catalogue for Numbered {
        fn n_items(&self) -> usize {
            7
        }
    }

    impl Scorer for Numbered {
        type Query = UserId;

        fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            out.iter_mut().zip(items).for_each(|(out, item)| *out = (10 * user.0 + item.0) as f32);
            Ok(())
        }

        fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
            out.iter_mut().enumerate().for_each(|(item, out)| *out = (10 * user.0 + item as u32) as f32);
            Ok(())
        }
    }

    #[test]
    fn memory_keeps_the_promises_of_a_scorer() {
        let remembered = Remembered::new(&Numbered, 3).unwrap();
        testing::scorer(&remembered, &[&UserId(0), &UserId(2)]);
        testing::scorer_refuses(&remembered, &UserId(3));
        let mut scores = [0.0; 2];
        remembered.score_into(&UserId(2), &[ItemId(6), ItemId(1)], &mut scores).unwrap();
        assert_eq!(scores, [26.0, 21.0]);
    }
}
