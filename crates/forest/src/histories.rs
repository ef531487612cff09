//! What users did, newest first.

use rectify_core::{ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, UserId};

use crate::HistoryError;

/// Items of each user, newest first: the queries of a forest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histories {
    offsets: Vec<u64>,
    items: Vec<ItemId>,
}

impl Histories {
    /// Collects rows, each newest first.
    pub fn from_rows<R: AsRef<[ItemId]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let (mut offsets, mut items) = (vec![0], Vec::new());
        for row in rows {
            items.extend_from_slice(row.as_ref());
            offsets.push(items.len() as u64);
        }
        Self { offsets, items }
    }

    /// Items of each user by falling time; of equal times the highest id counts as the newest, as in the splits.
    ///
    /// # Errors
    /// [`HistoryError::NoTimes`].
    #[cfg(feature = "train")]
    pub fn from_interactions(interactions: &rectify_data::Interactions) -> Result<Self, HistoryError> {
        let rows = interactions.users().map(|user| interactions.newest_first(user).ok_or(HistoryError::NoTimes));
        Ok(Self::from_rows(rows.collect::<Result<Vec<_>, _>>()?))
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Items of a user, newest first.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    pub fn of(&self, user: UserId) -> &[ItemId] {
        self.row(user.index())
    }

    fn row(&self, user: usize) -> &[ItemId] {
        &self.items[self.offsets[user] as usize..self.offsets[user + 1] as usize]
    }

    pub(crate) fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    pub(crate) fn items(&self) -> &[ItemId] {
        &self.items
    }

    /// Wraps what [`offsets`](Self::offsets) and [`items`](Self::items) gave; `Err` is the first position that does not rise from 0 to
    /// the number of items.
    pub(crate) fn from_parts(offsets: Vec<u64>, items: Vec<ItemId>) -> Result<Self, usize> {
        if offsets.first() != Some(&0) {
            return Err(0);
        }
        if let Some(at) = offsets.windows(2).position(|w| w[1] < w[0]) {
            return Err(at + 1);
        }
        if offsets[offsets.len() - 1] != items.len() as u64 {
            return Err(offsets.len() - 1);
        }
        Ok(Self { offsets, items })
    }

    /// Fails unless every item is below `n_items`.
    ///
    /// # Errors
    /// [`HistoryError::UnknownItem`].
    pub fn check(&self, n_items: usize) -> Result<(), HistoryError> {
        for user in 0..self.n_users() {
            if let Some(&item) = self.row(user).iter().find(|item| item.index() >= n_items) {
                return Err(HistoryError::UnknownItem { user: UserId(user as u32), item, n_items });
            }
        }
        Ok(())
    }
}

/// Something that answers histories, asked by users whose histories are known.
#[derive(Clone, Debug)]
pub struct ForUsers<R> {
    inner: R,
    histories: Histories,
}

impl<R> ForUsers<R> {
    /// Puts histories before a retriever or scorer.
    #[must_use]
    pub const fn new(inner: R, histories: Histories) -> Self {
        Self { inner, histories }
    }

    /// What answers.
    #[must_use]
    pub const fn inner(&self) -> &R {
        &self.inner
    }

    /// What answers, back.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// What answers, and the histories, back.
    #[must_use]
    pub fn into_parts(self) -> (R, Histories) {
        (self.inner, self.histories)
    }

    /// The histories.
    #[must_use]
    pub const fn histories(&self) -> &Histories {
        &self.histories
    }

    fn history(&self, user: UserId) -> Result<&[ItemId], QueryError> {
        let n_users = self.histories.n_users();
        if user.index() < n_users {
            Ok(self.histories.of(user))
        } else {
            Err(QueryError::UnknownUser { user, n_users })
        }
    }
}

impl<R: Retriever<Query = [ItemId]>> Retriever for ForUsers<R> {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.inner.n_items()
    }

    fn top_k(&self, query: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        self.inner.top_k(self.history(*query)?, k, filter, out)
    }
}

impl<S: Scorer<Query = [ItemId]>> Scorer for ForUsers<S> {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.inner.n_items()
    }

    fn score_into(&self, query: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.inner.score_into(self.history(*query)?, items, out)
    }

    fn score_all_into(&self, query: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.inner.score_all_into(self.history(*query)?, out)
    }
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;
    use rectify_data::{Interactions, InteractionsBuilder};

    #[test]
    fn histories_go_from_the_newest_to_the_oldest() {
        let mut builder = InteractionsBuilder::new(3, 4).with_times();
        for (user, item, time) in [(0, 3, 50), (0, 1, 10), (0, 2, 50), (1, 0, 7), (0, 0, 90)] {
            builder.push_event(UserId(user), ItemId(item), time, 1.0);
        }
        let (data, _) = builder.build().unwrap();
        let histories = Histories::from_interactions(&data).unwrap();
        assert_eq!(histories.n_users(), 3);
        assert_eq!(histories.of(UserId(0)), [0, 3, 2, 1].map(ItemId));
        assert_eq!((histories.of(UserId(1)).len(), histories.of(UserId(2)).len()), (1, 0));
    }

    #[test]
    fn data_without_times_is_refused() {
        let data = Interactions::from_pairs(1, 1, &[(0, 0)]).unwrap();
        let error = Histories::from_interactions(&data).unwrap_err().to_string();
        assert!(error.starts_with("histories are ordered by time, but the data has no times"), "{error}");
    }

    #[test]
    fn unknown_items_are_named() {
        let error = Histories::from_rows([vec![], vec![ItemId(4)]]).check(4).unwrap_err().to_string();
        assert_eq!(error, "the history of user 1 holds item 4, expected ids below 4");
    }
}
