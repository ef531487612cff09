//! Who interacted with what: the one immutable value that everything else reads.

use rectify_core::artifact::Array;
use rectify_core::{Histories, ItemId, UserId, Violation};

use crate::{InteractionsBuilder, InteractionsError, Ragged};

/// Distinct (user, item) pairs, sorted both ways, with optional time and weight.
///
/// Arrays are owned or mapped. Cloning an owned one copies it.
///
/// - **Shapes**: items of a user ascend by id and are distinct; times and weights are aligned with them. Users of an item
///   ascend too.
/// - **Units**: times are seconds since 1970-01-01 (or any other ascending number a file gives); weights are ratings,
///   counts, or whatever the file's third column means.
///
/// ```
/// use rectify_core::{ItemId, UserId};
/// use rectify_data::Interactions;
///
/// let seen = Interactions::from_pairs(2, 3, &[(0, 2), (1, 0), (0, 1)])?;
/// assert_eq!(seen.items_of(UserId(0)), [ItemId(1), ItemId(2)]);
/// assert_eq!(seen.users_of(ItemId(0)), [UserId(1)]);
/// # Ok::<(), rectify_data::InteractionsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Interactions {
    pub(crate) by_user: Ragged<ItemId>,
    pub(crate) by_item: Ragged<UserId>,
    pub(crate) times: Option<Array<i64>>,
    pub(crate) weights: Option<Array<f32>>,
}

/// Data without times, which histories are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histories are ordered by time, but the data has no times; give data with times (a time column)")]
pub struct NoTimes;

impl Interactions {
    /// Builds from pairs `(user, item)` in any order; a pair that comes again counts once.
    ///
    /// # Errors
    /// An id at or beyond its count, or more than 2³² − 1 of anything.
    pub fn from_pairs(n_users: usize, n_items: usize, pairs: &[(u32, u32)]) -> Result<Self, InteractionsError> {
        let (users, items) = pairs.iter().map(|&(user, item)| (UserId(user), ItemId(item))).unzip();
        Ok(InteractionsBuilder::from_columns((n_users, n_items), users, items, None, None).build()?.0)
    }

    /// Completes rows by user with their transpose. Rows must be sorted and distinct, ids in range.
    pub(crate) fn from_rows(
        n_items: usize,
        by_user: Ragged<ItemId>,
        times: Option<Vec<i64>>,
        weights: Option<Vec<f32>>,
    ) -> Self {
        let by_item = transpose(&by_user, n_items);
        Self { by_user, by_item, times: times.map(Array::from), weights: weights.map(Array::from) }
    }

    /// Number of users, those without interactions included.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.by_user.n_rows()
    }

    /// Number of items, those without interactions included.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.by_item.n_rows()
    }

    /// Number of pairs.
    #[must_use]
    pub fn n_interactions(&self) -> usize {
        self.by_user.values().len()
    }

    /// Items of a user, ascending.
    ///
    /// # Panics
    /// If there is no such user (as all accessors by id).
    #[must_use]
    #[inline]
    pub fn items_of(&self, user: UserId) -> &[ItemId] {
        self.by_user.row(user.index())
    }

    /// Users of an item, ascending.
    ///
    /// # Panics
    /// If there is no such item.
    #[must_use]
    #[inline]
    pub fn users_of(&self, item: ItemId) -> &[UserId] {
        self.by_item.row(item.index())
    }

    /// Times aligned with [`items_of`](Self::items_of), if times are known.
    #[must_use]
    pub fn times_of(&self, user: UserId) -> Option<&[i64]> {
        self.times.as_ref().map(|times| &times[self.by_user.range(user.index())])
    }

    /// Items of a user by falling time, if times are known; of equal times the highest id counts as the newest, as in the splits.
    #[must_use]
    pub fn newest_first(&self, user: UserId) -> Option<Vec<ItemId>> {
        let times = self.times_of(user)?;
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|&at| times[at]);
        let items = self.items_of(user);
        Some(order.into_iter().rev().map(|at| items[at]).collect())
    }

    /// What each user did, newest first: the queries of models that answer a history.
    ///
    /// # Errors
    /// [`NoTimes`].
    pub fn histories(&self) -> Result<Histories, NoTimes> {
        let rows = self.users().map(|user| self.newest_first(user).ok_or(NoTimes));
        Ok(Histories::from_rows(rows.collect::<Result<Vec<_>, _>>()?))
    }

    /// Weights aligned with [`items_of`](Self::items_of), if weights are known.
    #[must_use]
    pub fn weights_of(&self, user: UserId) -> Option<&[f32]> {
        self.weights.as_ref().map(|weights| &weights[self.by_user.range(user.index())])
    }

    /// Where each user's items start in [`all_items`](Self::all_items): `n_users + 1` numbers.
    #[must_use]
    pub fn user_offsets(&self) -> &[u64] {
        self.by_user.offsets()
    }

    /// Where each item's users start in [`all_users`](Self::all_users): `n_items + 1` numbers.
    #[must_use]
    pub fn item_offsets(&self) -> &[u64] {
        self.by_item.offsets()
    }

    /// Items of all users, user after user.
    #[must_use]
    pub fn all_items(&self) -> &[ItemId] {
        self.by_user.values()
    }

    /// Users of all items, item after item.
    #[must_use]
    pub fn all_users(&self) -> &[UserId] {
        self.by_item.values()
    }

    /// All times, aligned with [`all_items`](Self::all_items).
    #[must_use]
    pub fn all_times(&self) -> Option<&[i64]> {
        self.times.as_deref()
    }

    /// All weights, aligned with [`all_items`](Self::all_items).
    #[must_use]
    pub fn all_weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Whether `user` has `item`.
    #[must_use]
    #[inline]
    pub fn contains(&self, user: UserId, item: ItemId) -> bool {
        self.items_of(user).binary_search(&item).is_ok()
    }

    /// Number of users of each item.
    #[must_use]
    pub fn item_counts(&self) -> Vec<u32> {
        self.item_offsets().windows(2).map(|w| (w[1] - w[0]) as u32).collect()
    }

    /// Number of items of each user.
    #[must_use]
    pub fn user_counts(&self) -> Vec<u32> {
        self.user_offsets().windows(2).map(|w| (w[1] - w[0]) as u32).collect()
    }

    /// All users, in order.
    pub fn users(&self) -> impl ExactSizeIterator<Item = UserId> + use<> {
        (0..self.n_users() as u32).map(UserId)
    }

    /// All pairs, user after user, items ascending.
    pub fn pairs(&self) -> impl Iterator<Item = (UserId, ItemId)> {
        self.users().flat_map(|user| self.items_of(user).iter().map(move |&item| (user, item)))
    }

    /// The pairs whose position in [`all_items`](Self::all_items) satisfies `keep`; users and items keep their ids.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(UserId, usize) -> bool) -> Self {
        let mut offsets = Vec::with_capacity(self.n_users() + 1);
        offsets.push(0u64);
        let mut kept: Vec<usize> = Vec::new();
        for user in self.users() {
            kept.extend(self.by_user.range(user.index()).filter(|&at| keep(user, at)));
            offsets.push(kept.len() as u64);
        }
        let items: Vec<ItemId> = kept.iter().map(|&at| self.all_items()[at]).collect();
        let times = self.all_times().map(|times| kept.iter().map(|&at| times[at]).collect());
        let weights = self.all_weights().map(|weights| kept.iter().map(|&at| weights[at]).collect());
        Self::from_rows(self.n_items(), Ragged::new(offsets, items), times, weights)
    }

    /// All pairs of parts over the same ids, which must not share a pair; times and weights stay where every part has them.
    pub(crate) fn merge<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Result<Self, InteractionsError> {
        let shape = parts.clone().next().map_or((0, 0), |part| (part.n_users(), part.n_items()));
        let (users, items) = parts.clone().flat_map(Self::pairs).unzip();
        let times = parts.clone().map(Self::all_times).collect::<Option<Vec<_>>>().map(|times| times.concat());
        let weights = parts.map(Self::all_weights).collect::<Option<Vec<_>>>().map(|weights| weights.concat());
        Ok(InteractionsBuilder::from_columns(shape, users, items, times, weights).build()?.0)
    }

    /// Bytes of all arrays.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let n = self.n_interactions();
        8 * (self.n_users() + self.n_items() + 2)
            + n * (8 + if self.times.is_some() { 8 } else { 0 } + if self.weights.is_some() { 4 } else { 0 })
    }

    /// Walks the structure and names everything that is wrong with it; empty for a sound one.
    #[must_use]
    pub fn validate(&self) -> Vec<Violation> {
        let mut found = self.by_user.violations("user_offsets");
        found.extend(self.by_item.violations("item_offsets"));
        let mut fail = |field: &str, problem: String| found.push(Violation { field: field.into(), problem });
        let n = self.by_user.values().len();
        if self.by_item.values().len() != n {
            fail("users", format!("{} entries, expected {n} as in items", self.by_item.values().len()));
        }
        for (field, len) in
            [("times", self.times.as_ref().map(|t| t.len())), ("weights", self.weights.as_ref().map(|w| w.len()))]
        {
            if len.is_some_and(|len| len != n) {
                fail(field, format!("{} entries, expected {n} as in items", len.unwrap_or(0)));
            }
        }
        if !found.is_empty() {
            return found; // Rows cannot be walked.
        }
        for user in self.users() {
            let items = self.items_of(user);
            if items.windows(2).any(|w| w[0] >= w[1]) || items.last().is_some_and(|i| i.index() >= self.n_items()) {
                found.push(Violation {
                    field: "items".into(),
                    problem: format!("row of user {user} does not strictly ascend below {}", self.n_items()),
                });
                return found;
            }
        }
        if let Some(at) = self.all_weights().and_then(|w| w.iter().position(|w| !w.is_finite())) {
            found.push(Violation { field: "weights".into(), problem: format!("entry {at} is not finite") });
        }
        if !self.is_transposed() {
            found.push(Violation { field: "users".into(), problem: "not the transpose of items".into() });
        }
        found
    }

    /// Whether users by item are items by user, transposed; both have the same number of entries.
    fn is_transposed(&self) -> bool {
        let mut next = self.item_offsets()[..self.n_items()].to_vec();
        self.pairs().all(|(user, item)| {
            let place = &mut next[item.index()];
            let right = *place < self.item_offsets()[item.index() + 1] && self.all_users()[*place as usize] == user;
            *place += 1;
            right
        })
    }
}

impl PartialEq for Interactions {
    fn eq(&self, other: &Self) -> bool {
        self.by_user == other.by_user
            && self.by_item == other.by_item
            && self.times.as_deref() == other.times.as_deref()
            && self.weights.as_deref() == other.weights.as_deref()
    }
}

/// Counting sort by item; users come out ascending because rows are visited in order.
fn transpose(by_user: &Ragged<ItemId>, n_items: usize) -> Ragged<UserId> {
    let mut offsets = vec![0u64; n_items + 1];
    for item in by_user.values() {
        offsets[item.index() + 1] += 1;
    }
    for i in 0..n_items {
        offsets[i + 1] += offsets[i];
    }
    let mut next = offsets.clone();
    let mut users = vec![UserId(0); by_user.values().len()];
    for (user, row) in by_user.rows().enumerate() {
        for item in row {
            let place = &mut next[item.index()];
            users[*place as usize] = UserId(user as u32);
            *place += 1;
        }
    }
    Ragged::new(offsets, users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_go_from_the_newest_to_the_oldest() {
        let mut builder = InteractionsBuilder::new(3, 4).with_times();
        for (user, item, time) in [(0, 3, 50), (0, 1, 10), (0, 2, 50), (1, 0, 7), (0, 0, 90)] {
            builder.push_event(UserId(user), ItemId(item), time, 1.0);
        }
        let (data, _) = builder.build().unwrap();
        let histories = data.histories().unwrap();
        assert_eq!(histories.n_users(), 3);
        assert_eq!(histories.of(UserId(0)), [0, 3, 2, 1].map(ItemId));
        assert_eq!((histories.of(UserId(1)).len(), histories.of(UserId(2)).len()), (1, 0));
    }

    #[test]
    fn data_without_times_has_no_histories() {
        assert_eq!(Interactions::from_pairs(1, 1, &[(0, 0)]).unwrap().histories(), Err(NoTimes));
    }
}
