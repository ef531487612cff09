//! What is learned from: an item, with what its user did before.

use rectify_core::rng::Seed;
use rectify_core::{ItemId, UserId};
use rectify_data::Interactions;

use super::TowersConfig;
use crate::FitError;

/// Users' items, newest first, and every item of a training user that has enough earlier ones.
#[derive(Debug)]
pub(super) struct Samples {
    rows: Vec<Vec<ItemId>>,
    /// User, and place of the target in its row.
    list: Vec<(u32, u32)>,
    history_len: usize,
}

impl Samples {
    /// Samples of `users` (`None`: of everybody).
    pub(super) fn new(train: &Interactions, users: Option<&[UserId]>, config: &TowersConfig) -> Result<Self, FitError> {
        let rows: Option<Vec<Vec<ItemId>>> = train.users().map(|user| train.newest_first(user)).collect();
        let rows = rows.ok_or(FitError::NoTimes)?;
        let known = rows.len();
        if let Some(&user) = users.into_iter().flatten().find(|user| user.index() >= known) {
            return Err(FitError::UnknownUser { user, n_users: known });
        }
        let all: Vec<UserId>;
        let users = match users {
            Some(users) => users,
            None => {
                all = train.users().collect();
                &all
            }
        };
        let of = |user: &UserId| {
            let n = rows[user.index()].len().saturating_sub(config.min_history);
            let user = user.0;
            (0..n as u32).map(move |at| (user, at))
        };
        let list: Vec<(u32, u32)> = users.iter().flat_map(of).collect();
        if list.is_empty() {
            return Err(FitError::NoSamples { n_users: users.len(), min_history: config.min_history });
        }
        Ok(Self { rows, list, history_len: config.history_len })
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn n_users(&self) -> usize {
        self.rows.len()
    }

    /// The part of items (newest first) that counts.
    fn recent<'a>(&self, items: &'a [ItemId]) -> &'a [ItemId] {
        &items[..items.len().min(self.history_len)]
    }

    /// Target of a sample, and the items before it.
    pub(super) fn get(&self, sample: u32) -> (ItemId, &[ItemId]) {
        let (user, at) = self.list[sample as usize];
        let row = &self.rows[user as usize][at as usize..];
        (row[0], self.recent(&row[1..]))
    }

    /// All that a user did, as a query.
    pub(super) fn query(&self, user: usize) -> &[ItemId] {
        self.recent(&self.rows[user])
    }

    /// All samples, in the order of an epoch.
    pub(super) fn order(&self, seed: Seed, epoch: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.list.len() as u32).collect();
        seed.stream("towers/order").at(epoch, 0).shuffle(&mut order);
        order
    }
}
