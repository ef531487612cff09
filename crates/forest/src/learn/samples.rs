//! What is learned from: a user's item, with what came before it.

use rectify_core::rng::Seed;
use rectify_core::{Histories, ItemId, UserId};

use super::FitError;

/// Who is learned from.
#[derive(Clone, Copy, Debug)]
pub struct Learners<'a> {
    /// What everybody did.
    pub histories: &'a Histories,
    /// Users whose rows are samples; `None`: all.
    pub users: Option<&'a [UserId]>,
}

impl<'a> Learners<'a> {
    /// Everybody.
    #[must_use]
    pub const fn all(histories: &'a Histories) -> Self {
        Self { histories, users: None }
    }
}

/// Every item of a training user that has enough earlier ones.
#[derive(Clone, Debug)]
pub(crate) struct Samples<'a> {
    histories: &'a Histories,
    /// User, and place of the target in its history.
    list: Vec<(u32, u32)>,
}

impl<'a> Samples<'a> {
    /// All samples of some users: positions with at least `min_history` earlier items.
    pub(crate) fn new(learners: Learners<'a>, n_items: usize, min_history: usize) -> Result<Self, FitError> {
        let Learners { histories, users } = learners;
        histories.check(n_items)?;
        let known = histories.n_users();
        if let Some(&user) = users.into_iter().flatten().find(|user| user.index() >= known) {
            return Err(FitError::UnknownUser { user, n_users: known });
        }
        let n_users = users.map_or(histories.n_users(), <[UserId]>::len);
        let mut list = Vec::new();
        let mut add = |user: UserId| {
            let n = histories.of(user).len().saturating_sub(min_history);
            list.extend((0..n as u32).map(|at| (user.0, at)));
        };
        match users {
            Some(users) => users.iter().copied().for_each(&mut add),
            None => (0..histories.n_users() as u32).map(UserId).for_each(&mut add),
        }
        if list.is_empty() {
            return Err(FitError::NoSamples { n_users, min_history });
        }
        Ok(Self { histories, list })
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Target of a sample, and the items before it, newest first.
    pub(crate) fn get(&self, sample: u32) -> (ItemId, &'a [ItemId]) {
        let (user, at) = self.list[sample as usize];
        let row = &self.histories.of(UserId(user))[at as usize..];
        (row[0], &row[1..])
    }

    /// The samples of an epoch in their order, at most `limit`.
    pub(crate) fn order(&self, seed: Seed, epoch: u32, limit: Option<usize>) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.list.len() as u32).collect();
        seed.stream("forest/order").at(epoch, 0).shuffle(&mut order);
        order.truncate(limit.unwrap_or(usize::MAX));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_an_item_with_the_ones_before_it() {
        let ids = |items: &[u32]| items.iter().copied().map(ItemId).collect::<Vec<_>>();
        let histories = Histories::from_rows([ids(&[3, 1, 2, 0]), ids(&[1]), ids(&[2, 3, 1])]);
        let samples = Samples::new(Learners::all(&histories), 4, 2).unwrap();
        let all: Vec<_> = (0..samples.len() as u32).map(|s| samples.get(s)).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0], (ItemId(3), &ids(&[1, 2, 0])[..]));
        assert_eq!(all[1], (ItemId(1), &ids(&[2, 0])[..]));
        assert_eq!(all[2], (ItemId(2), &ids(&[3, 1])[..]));
        let some = Samples::new(Learners { users: Some(&[UserId(2)]), histories: &histories }, 4, 2).unwrap();
        assert_eq!(some.len(), 1);
        let mut order = samples.order(Seed(1), 3, None);
        order.sort_unstable();
        assert_eq!((order, samples.order(Seed(1), 3, Some(2)).len()), (vec![0, 1, 2], 2));
    }

    #[test]
    fn users_with_too_few_interactions_give_no_sample() {
        let histories = Histories::from_rows([vec![ItemId(0)], vec![]]);
        let error = Samples::new(Learners::all(&histories), 1, 5).unwrap_err().to_string();
        assert!(error.starts_with("no user of 2 has more than 5 interactions"), "{error}");
        let error =
            Samples::new(Learners { users: Some(&[UserId(2)]), histories: &histories }, 1, 5).unwrap_err().to_string();
        assert_eq!(error, "user 2 is to be learned from, but there are histories of 2 users");
    }
}
