//! From rows in any order to [`Interactions`].

use rectify_core::{ItemId, UserId};
use serde::{Deserialize, Serialize};

use crate::{Interactions, Ragged};

/// Why rows cannot become [`Interactions`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InteractionsError {
    /// A user id at or beyond the number of users.
    #[error("row {row}: user {got} is out of range, expected below {n_users}")]
    User {
        /// Row, from 0, in the order given.
        row: usize,
        /// Number of users.
        n_users: usize,
        /// Id found.
        got: u32,
    },
    /// An item id at or beyond the number of items.
    #[error("row {row}: item {got} is out of range, expected below {n_items}")]
    Item {
        /// Row, from 0, in the order given.
        row: usize,
        /// Number of items.
        n_items: usize,
        /// Id found.
        got: u32,
    },
    /// More than ids can number.
    #[error("{got} {what} are too many, expected at most {}", u32::MAX)]
    TooMany {
        /// Rows, users or items.
        what: &'static str,
        /// How many there are.
        got: usize,
    },
}

/// What becomes of a pair that comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// The earliest row stays, with its weight; without times, the first one in file order.
    #[default]
    KeepEarliest,
    /// The latest row stays, with its weight; without times, the last one in file order.
    KeepLatest,
    /// Weights are added (a row without one counts 1); the earliest time stays.
    Sum,
}

/// Collects rows, then sorts and merges them.
#[derive(Clone, Debug)]
pub struct InteractionsBuilder {
    n_users: usize,
    n_items: usize,
    users: Vec<UserId>,
    items: Vec<ItemId>,
    times: Option<Vec<i64>>,
    weights: Option<Vec<f32>>,
    duplicates: Duplicates,
}

impl InteractionsBuilder {
    /// A builder for ids below `n_users` and `n_items`.
    #[must_use]
    pub const fn new(n_users: usize, n_items: usize) -> Self {
        Self {
            n_users,
            n_items,
            users: Vec::new(),
            items: Vec::new(),
            times: None,
            weights: None,
            duplicates: Duplicates::KeepEarliest,
        }
    }

    /// From columns of equal length.
    pub(crate) fn from_columns(
        (n_users, n_items): (usize, usize),
        users: Vec<UserId>,
        items: Vec<ItemId>,
        times: Option<Vec<i64>>,
        weights: Option<Vec<f32>>,
    ) -> Self {
        Self { n_users, n_items, users, items, times, weights, duplicates: Duplicates::KeepEarliest }
    }

    /// Keeps the times given to [`push_event`](Self::push_event).
    #[must_use]
    pub fn with_times(mut self) -> Self {
        self.times = Some(vec![0; self.users.len()]);
        self
    }

    /// Keeps the weights given to [`push_event`](Self::push_event).
    #[must_use]
    pub fn with_weights(mut self) -> Self {
        self.weights = Some(vec![1.0; self.users.len()]);
        self
    }

    /// Chooses the rule for pairs that come again.
    #[must_use]
    pub const fn duplicates(mut self, rule: Duplicates) -> Self {
        self.duplicates = rule;
        self
    }

    /// Adds a pair, at time 0 and with weight 1 where these are kept.
    #[inline]
    pub fn push(&mut self, user: UserId, item: ItemId) {
        self.push_event(user, item, 0, 1.0);
    }

    /// Adds a row; time and weight are dropped unless [`with_times`](Self::with_times) and
    /// [`with_weights`](Self::with_weights) asked for them.
    #[inline]
    pub fn push_event(&mut self, user: UserId, item: ItemId, time: i64, weight: f32) {
        self.users.push(user);
        self.items.push(item);
        if let Some(times) = &mut self.times {
            times.push(time);
        }
        if let Some(weights) = &mut self.weights {
            weights.push(weight);
        }
    }

    /// Sorts, merges, transposes; the number beside the result counts the rows that repeated an earlier pair.
    ///
    /// Counting sort by user, then a small sort inside each user: linear in the rows, about 24 bytes a row on top of them.
    ///
    /// # Errors
    /// An id out of range, or more than 2³² − 1 rows, users or items.
    pub fn build(self) -> Result<(Interactions, u64), InteractionsError> {
        for (what, got) in [("rows", self.users.len()), ("users", self.n_users), ("items", self.n_items)] {
            if u32::try_from(got).is_err() {
                return Err(InteractionsError::TooMany { what, got });
            }
        }
        if let Some(row) = self.users.iter().position(|user| user.index() >= self.n_users) {
            return Err(InteractionsError::User { row, n_users: self.n_users, got: self.users[row].0 });
        }
        if let Some(row) = self.items.iter().position(|item| item.index() >= self.n_items) {
            return Err(InteractionsError::Item { row, n_items: self.n_items, got: self.items[row].0 });
        }
        let mut starts = vec![0u32; self.n_users + 1];
        for user in &self.users {
            starts[user.index() + 1] += 1;
        }
        for u in 0..self.n_users {
            starts[u + 1] += starts[u];
        }
        let mut next = starts.clone();
        let mut order = vec![0u32; self.users.len()];
        for (row, user) in self.users.iter().enumerate() {
            let place = &mut next[user.index()];
            order[*place as usize] = row as u32;
            *place += 1;
        }
        drop((next, self.users));

        let mut rows = UserMajor::new(self.n_items, self.times.is_some(), self.weights.is_some(), self.duplicates);
        let mut scratch = Vec::new();
        for user in 0..self.n_users {
            scratch.clear();
            scratch.extend(order[starts[user] as usize..starts[user + 1] as usize].iter().map(|&row| Event {
                item: self.items[row as usize],
                time: self.times.as_ref().map_or(0, |times| times[row as usize]),
                weight: self.weights.as_ref().map_or(1.0, |weights| weights[row as usize]),
            }));
            rows.push_user(&mut scratch);
        }
        drop((order, starts, self.items, self.times, self.weights));
        Ok(rows.finish())
    }
}

/// One row of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) item: ItemId,
    pub(crate) time: i64,
    pub(crate) weight: f32,
}

/// Takes users in order, one after the other: what the builder and the generator share.
pub(crate) struct UserMajor {
    n_items: usize,
    duplicates: Duplicates,
    n_duplicates: u64,
    offsets: Vec<u64>,
    items: Vec<ItemId>,
    times: Option<Vec<i64>>,
    weights: Option<Vec<f32>>,
}

impl UserMajor {
    pub(crate) fn new(n_items: usize, times: bool, weights: bool, duplicates: Duplicates) -> Self {
        Self {
            n_items,
            duplicates,
            n_duplicates: 0,
            offsets: vec![0],
            items: Vec::new(),
            times: times.then(Vec::new),
            weights: weights.then(Vec::new),
        }
    }

    /// Appends the next user, whose events come in file order.
    pub(crate) fn push_user(&mut self, events: &mut [Event]) {
        // Stable, so that equal times keep the order of the file.
        events.sort_by_key(|event| (event.item, event.time));
        for same in events.chunk_by(|a, b| a.item == b.item) {
            self.n_duplicates += same.len() as u64 - 1;
            let kept = match self.duplicates {
                Duplicates::KeepEarliest => same[0],
                Duplicates::KeepLatest => same[same.len() - 1],
                Duplicates::Sum => Event { weight: same.iter().map(|event| event.weight).sum(), ..same[0] },
            };
            self.items.push(kept.item);
            if let Some(times) = &mut self.times {
                times.push(kept.time);
            }
            if let Some(weights) = &mut self.weights {
                weights.push(kept.weight);
            }
        }
        self.offsets.push(self.items.len() as u64);
    }

    pub(crate) fn finish(mut self) -> (Interactions, u64) {
        self.items.shrink_to_fit();
        (
            Interactions::from_rows(self.n_items, Ragged::new(self.offsets, self.items), self.times, self.weights),
            self.n_duplicates,
        )
    }
}
