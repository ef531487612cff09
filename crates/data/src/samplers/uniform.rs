//! One uniform negative a positive, redrawn each epoch: the hot loop of pairwise training.

use rectify_core::rng::{Rng, Seed};
use rectify_core::{ItemId, UserId};

use super::SamplerError;
use crate::Interactions;

/// Bits of filter for each item of a user: one probe in sixteen of an unseen item needs the binary search too.
const BITS_PER_ITEM: usize = 16;

/// Rejections before the draw is made by rank, which always succeeds.
const MAX_REJECTIONS: u32 = 16;

/// Draws items uniformly among those a user has not seen.
///
/// A draw proposes an item and asks whether the user has it. Each user owns a small bit table (about two bytes an
/// interaction, one hash function): a clear bit proves that the item is unseen, with one load and no hard-to-predict branch; a
/// set bit is settled by binary search. After 16 rejections (users who have seen nearly everything) the item is chosen by its
/// rank among the unseen ones instead; both ways are exactly uniform.
#[derive(Clone, Debug)]
pub struct UniformNegatives<'a> {
    seen: SeenFilter<'a>,
    seed: Seed,
}

impl<'a> UniformNegatives<'a> {
    /// A sampler of items unseen in `seen`; `seed` should be a stream of its own.
    ///
    /// # Errors
    /// No items at all, or a user who has them all.
    pub fn new(seen: &'a Interactions, seed: Seed) -> Result<Self, SamplerError> {
        Ok(Self { seen: SeenFilter::new(seen)?, seed })
    }

    /// The negative number `index` of `epoch` for `user`.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    #[inline]
    pub fn draw(&self, epoch: u32, index: u64, user: UserId) -> ItemId {
        self.draw_with(user, &mut self.seed.at(epoch, index))
    }

    /// The next negative for `user` out of a generator.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    #[inline]
    pub fn draw_with(&self, user: UserId, rng: &mut Rng) -> ItemId {
        let n_items = self.seen.interactions.n_items() as u32;
        self.seen.draw(user, rng, |rng| ItemId(rng.below(n_items)))
    }

    /// Fills `out` with `out.len() / users.len()` negatives for each of `users`: those of the positives numbered
    /// `first_index..` of `epoch`, the same items as [`draw`](Self::draw)'s generator would give one after the other.
    ///
    /// - **Shapes**: `users` (n), `out` (n, m) row-major.
    ///
    /// # Panics
    /// If `out` is not a whole number of rows, or there is no such user.
    pub fn fill(&self, epoch: u32, first_index: u64, users: &[UserId], out: &mut [ItemId]) {
        if users.is_empty() {
            assert!(out.is_empty(), "negatives for no positive");
            return;
        }
        let per_positive = out.len() / users.len();
        assert_eq!(per_positive * users.len(), out.len(), "negatives must be a whole number a positive");
        if per_positive == 0 {
            return;
        }
        for (at, (user, row)) in users.iter().zip(out.chunks_exact_mut(per_positive)).enumerate() {
            let mut rng = self.seed.at(epoch, first_index + at as u64);
            row.iter_mut().for_each(|item| *item = self.draw_with(*user, &mut rng));
        }
    }
}

/// A fast answer to "has this user this item?".
#[derive(Clone, Debug)]
pub(super) struct SeenFilter<'a> {
    pub(super) interactions: &'a Interactions,
    bits: Vec<u64>,
    /// Where a user's bits start (in words), and 64 minus the logarithm of their number.
    tables: Vec<(u32, u32)>,
}

impl<'a> SeenFilter<'a> {
    pub(super) fn new(interactions: &'a Interactions) -> Result<Self, SamplerError> {
        let n_items = interactions.n_items();
        if n_items == 0 {
            return Err(SamplerError::NoItems);
        }
        if let Some(user) = interactions.users().find(|&user| interactions.items_of(user).len() == n_items) {
            return Err(SamplerError::NoUnseen { user, n_items });
        }
        let (mut bits, mut tables) = (Vec::new(), Vec::with_capacity(interactions.n_users()));
        for user in interactions.users() {
            let items = interactions.items_of(user);
            let n_bits = (items.len() * BITS_PER_ITEM).next_power_of_two().max(64);
            let (start, shift) = (bits.len(), 64 - n_bits.trailing_zeros());
            bits.resize(start + n_bits / 64, 0);
            for item in items {
                let bit = hash(*item, shift);
                bits[start + bit / 64] |= 1u64 << (bit % 64);
            }
            tables.push((start as u32, shift));
        }
        Ok(Self { interactions, bits, tables })
    }

    #[inline]
    pub(super) fn contains(&self, user: UserId, item: ItemId) -> bool {
        let (start, shift) = self.tables[user.index()];
        let bit = hash(item, shift);
        self.bits[start as usize + bit / 64] >> (bit % 64) & 1 == 1 && self.interactions.contains(user, item)
    }

    /// Proposes until an unseen item comes.
    #[inline]
    pub(super) fn draw(&self, user: UserId, rng: &mut Rng, propose: impl Fn(&mut Rng) -> ItemId) -> ItemId {
        for _ in 0..MAX_REJECTIONS {
            let item = propose(rng);
            if !self.contains(user, item) {
                return item;
            }
        }
        self.draw_by_rank(user, rng)
    }

    /// The item at a random rank among the unseen ones.
    #[cold]
    fn draw_by_rank(&self, user: UserId, rng: &mut Rng) -> ItemId {
        let seen = self.interactions.items_of(user);
        let rank = rng.below((self.interactions.n_items() - seen.len()) as u32);
        // seen[j] - j unseen items come before seen[j], and this number never falls with j.
        let mut j = 0;
        let mut end = seen.len();
        while j < end {
            let middle = (j + end) / 2;
            if seen[middle].0 - middle as u32 <= rank {
                j = middle + 1;
            } else {
                end = middle;
            }
        }
        ItemId(rank + j as u32)
    }
}

/// Fibonacci hashing: the top bits of a product with 2⁶⁴ over the golden ratio.
#[inline]
fn hash(item: ItemId, shift: u32) -> usize {
    (u64::from(item.0).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n_items: u32, rows: &[&[u32]]) -> Interactions {
        let pairs: Vec<(u32, u32)> =
            rows.iter().enumerate().flat_map(|(u, row)| row.iter().map(move |&i| (u as u32, i))).collect();
        Interactions::from_pairs(rows.len(), n_items as usize, &pairs).unwrap()
    }

    #[test]
    fn draws_are_unseen_and_uniform_even_for_users_who_saw_nearly_everything() {
        let nearly_all: Vec<u32> = (0..97).chain(98..99).collect();
        let seen = rows(100, &[&nearly_all, &[3, 50], &[]]);
        let sampler = UniformNegatives::new(&seen, Seed(5)).unwrap();
        for (user, n_unseen) in [(0u32, 2u32), (1, 98), (2, 100)] {
            let mut counts = vec![0u32; 100];
            let n = 1000 * n_unseen;
            for index in 0..u64::from(n) {
                counts[sampler.draw(1, index, UserId(user)).index()] += 1;
            }
            for item in 0..100u32 {
                let count = counts[item as usize];
                if seen.contains(UserId(user), ItemId(item)) {
                    assert_eq!(count, 0);
                } else {
                    // sigma below 32; 98 + 100 + 2 cells.
                    assert!(count.abs_diff(1000) < 130, "user {user}, item {item}: {count}");
                }
            }
        }
    }

    #[test]
    fn a_batch_equals_single_draws_and_epochs_differ() {
        let seen = rows(1000, &[&[1, 2, 3], &[7]]);
        let sampler = UniformNegatives::new(&seen, Seed(5)).unwrap();
        let users = [0, 1, 1, 0].map(UserId);
        let mut batch = [ItemId(0); 4];
        sampler.fill(3, 10, &users, &mut batch);
        let single: Vec<ItemId> = (0..4).map(|at| sampler.draw(3, 10 + at as u64, users[at])).collect();
        assert_eq!(batch, single[..]);
        let mut next = [ItemId(0); 4];
        sampler.fill(4, 10, &users, &mut next);
        assert_ne!(batch, next);
    }

    #[test]
    fn a_user_with_every_item_is_refused_by_name() {
        let error = UniformNegatives::new(&rows(2, &[&[0], &[0, 1]]), Seed(1)).unwrap_err();
        assert_eq!(error, SamplerError::NoUnseen { user: UserId(1), n_items: 2 });
        assert_eq!(UniformNegatives::new(&rows(0, &[]), Seed(1)).unwrap_err(), SamplerError::NoItems);
    }
}
