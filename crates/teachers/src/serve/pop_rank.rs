//! Everybody gets what most people took.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{
    Catalogue, Format, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId, Violation,
    check_len, select_top_k,
};

use super::scores::pick;

/// Popularity: `score(u, i)` = number of users who have item i, the same for every user.
///
/// No parameters, no personalisation: the floor that every other model has to clear. Counts are exact up to 2²⁴.
#[derive(Clone, Debug)]
pub struct PopRank {
    n_users: usize,
    counts: Array<f32>,
}

impl PopRank {
    /// What `n_users` took: the count of each item.
    ///
    /// # Errors
    /// A count that is negative or not finite.
    pub fn from_counts(n_users: usize, counts: impl Into<Array<f32>>) -> Result<Self, Violation> {
        let model = Self { n_users, counts: counts.into() };
        model.validate().pop().map_or(Ok(model), Err)
    }

    /// Number of users.
    #[must_use]
    pub const fn n_users(&self) -> usize {
        self.n_users
    }

    /// The count of each item.
    #[must_use]
    pub fn counts(&self) -> &[f32] {
        &self.counts
    }

    fn check(&self, user: UserId) -> Result<(), QueryError> {
        if user.index() < self.n_users {
            return Ok(());
        }
        Err(QueryError::UnknownUser { user, n_users: self.n_users })
    }
}

impl Catalogue for PopRank {
    fn n_items(&self) -> usize {
        self.counts.len()
    }
}

impl Scorer for PopRank {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.check(*user)?;
        pick(&self.counts, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.check(*user)?;
        check_len("out", self.counts.len(), out.len())?;
        out.copy_from_slice(&self.counts);
        Ok(())
    }
}

impl Retriever for PopRank {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        self.check(*user)?;
        select_top_k(&self.counts, k, filter, out)
    }
}

impl Teacher for PopRank {}

impl Index for PopRank {
    fn format() -> Format {
        Format { kind: "pop-rank", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        size_of_val(&*self.counts)
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.text(&format!("{prefix}n_users"), &self.n_users.to_string());
        writer.array(&format!("{prefix}counts"), &[self.counts.len()], &self.counts);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let key = format!("{prefix}n_users");
        let text = artifact.text(&key)?;
        let n_users: u32 = text.parse().map_err(|_| artifact.field_error(&key, format!("{text:?} is not a number")))?;
        Ok(Self { n_users: n_users as usize, counts: artifact.array(&format!("{prefix}counts"))?.0 })
    }

    fn validate(&self) -> Vec<Violation> {
        let wrong = self.counts.iter().position(|c| !(c.is_finite() && *c >= 0.0));
        let problem = |at: usize| format!("item {at} has count {}", self.counts[at]);
        wrong.map(|at| Violation { field: "counts".into(), problem: problem(at) }).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::testing;

    use super::*;

    #[test]
    fn pop_rank_keeps_every_promise_of_a_scorer_retriever_and_index() {
        let model = PopRank::from_counts(4, vec![0.0, 3.0, 1.0]).unwrap();
        let users = [&UserId(0), &UserId(3)];
        testing::scorer(&model, &users);
        testing::scorer_refuses(&model, &UserId(4));
        testing::retriever(&model, &users, &testing::Oracle::scorer(&model));
        testing::retriever_refuses(&model, &UserId(0), &UserId(4));
        testing::index(&model, &users);
        let refused = PopRank::from_counts(4, vec![0.0, -1.0]).unwrap_err();
        assert_eq!(refused.to_string(), "counts: item 1 has count -1");
    }
}
