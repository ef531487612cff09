//! Every interaction once an epoch, in a fresh order, each with uniform negatives: the walk of pairwise training.

use rayon::prelude::*;
use rectify_core::rng::Seed;
use rectify_core::{ItemId, UserId, as_u32s, from_u32s};

use super::{SamplerError, UniformNegatives};
use crate::Interactions;

/// Interactions whose negatives are drawn before they are handed out; a multiple of no batch size in particular.
const DRAWN_AHEAD: usize = 1 << 16;
/// Interactions that a thread draws negatives for at a time.
const PIECE: usize = 1 << 12;

/// Walks over all interactions in batches: each once an epoch, in a fresh order, with items that its user has not seen.
///
/// Order and negatives are functions of the seed, the epoch and the place within it, so a resumed run sees what an
/// uninterrupted one would, and the number of threads changes nothing.
///
/// ```
/// use rectify_core::rng::Seed;
/// use rectify_data::Interactions;
/// use rectify_data::samplers::PositiveBatches;
///
/// let seen = Interactions::from_pairs(2, 9, &[(0, 2), (1, 0), (0, 1)])?;
/// let batches = PositiveBatches::new(&seen, Seed(7))?;
/// let mut sizes = Vec::new();
/// batches.for_each(1, 2, 4, |batch| {
///     sizes.push((batch.users.len(), batch.positives.len(), batch.negatives.len()));
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })?;
/// assert_eq!(sizes, [(2, 2, 8), (1, 1, 4)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PositiveBatches<'a> {
    data: &'a Interactions,
    /// User of each interaction, in the order of `data.all_items()`.
    user_of: Vec<u32>,
    negatives: UniformNegatives<'a>,
    order: Seed,
}

/// Some interactions with their negatives.
#[derive(Clone, Copy, Debug)]
pub struct PositiveBatch<'a> {
    /// Users (n).
    pub users: &'a [u32],
    /// An item of each (n).
    pub positives: &'a [u32],
    /// Items that the user has not seen (n, negatives an interaction).
    pub negatives: &'a [u32],
}

impl<'a> PositiveBatches<'a> {
    /// A walk over `data`; draws come from the streams `order` and `negatives` of `seed`.
    ///
    /// # Errors
    /// No items at all, or a user who has them all.
    pub fn new(data: &'a Interactions, seed: Seed) -> Result<Self, SamplerError> {
        Ok(Self {
            data,
            user_of: data.users().flat_map(|user| std::iter::repeat_n(user.0, data.items_of(user).len())).collect(),
            negatives: UniformNegatives::new(data, seed.stream("negatives"))?,
            order: seed.stream("order"),
        })
    }

    /// Hands out the batches of an epoch, each of `batch_size` interactions but for the last, until one of them fails.
    ///
    /// # Errors
    /// What `use_batch` returned.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn for_each<E>(
        &self,
        epoch: u32,
        batch_size: usize,
        n_negatives: usize,
        mut use_batch: impl FnMut(PositiveBatch<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut order: Vec<u32> = (0..self.user_of.len() as u32).collect();
        self.order.at(epoch, 0).shuffle(&mut order);
        let items = as_u32s(self.data.all_items());
        let drawn_ahead = DRAWN_AHEAD.next_multiple_of(batch_size);
        let (mut users, mut positives, mut negatives) = (Vec::new(), Vec::new(), Vec::new());
        for (block, order) in order.chunks(drawn_ahead).enumerate() {
            users.clear();
            users.extend(order.iter().map(|&at| self.user_of[at as usize]));
            positives.clear();
            positives.extend(order.iter().map(|&at| items[at as usize]));
            negatives.resize(order.len() * n_negatives, ItemId(0));
            if n_negatives > 0 {
                let pieces = users.par_chunks(PIECE).zip(negatives.par_chunks_mut(PIECE * n_negatives));
                pieces.enumerate().for_each(|(piece, (users, out))| {
                    let first = block * drawn_ahead + piece * PIECE;
                    self.negatives.fill(epoch, first as u64, from_u32s::<UserId>(users), out);
                });
            }
            for start in (0..order.len()).step_by(batch_size) {
                let range = start..(start + batch_size).min(order.len());
                use_batch(PositiveBatch {
                    users: &users[range.clone()],
                    positives: &positives[range.clone()],
                    negatives: &as_u32s(&negatives)[range.start * n_negatives..range.end * n_negatives],
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(batches: &PositiveBatches<'_>, epoch: u32, batch_size: usize) -> (Vec<(u32, u32)>, Vec<u32>) {
        let (mut pairs, mut negatives) = (Vec::new(), Vec::new());
        let walked = batches.for_each(epoch, batch_size, 2, |batch| {
            pairs.extend(batch.users.iter().copied().zip(batch.positives.iter().copied()));
            negatives.extend_from_slice(batch.negatives);
            Ok::<(), ()>(())
        });
        assert_eq!(walked, Ok(()));
        (pairs, negatives)
    }

    #[test]
    fn each_interaction_comes_once_an_epoch_with_unseen_items_whatever_the_batch_size() {
        let pairs: Vec<(u32, u32)> =
            (0..400).flat_map(|u| (0..u % 7).map(move |i| (u, (u * 3 + i * 11) % 90))).collect();
        let data = Interactions::from_pairs(400, 90, &pairs).unwrap();
        let batches = PositiveBatches::new(&data, Seed(3)).unwrap();
        let (first, negatives) = epoch(&batches, 1, 64);
        assert_eq!((first.clone(), negatives.clone()), epoch(&batches, 1, 1000), "the batch size changed the draws");
        for ((user, _), drawn) in first.iter().zip(negatives.chunks(2)) {
            assert!(drawn.iter().all(|item| !data.contains(UserId(*user), ItemId(*item))));
        }
        let mut before = 3;
        let stopped = batches.for_each(1, 64, 0, |batch| {
            assert!(batch.negatives.is_empty());
            before -= 1;
            if before > 0 { Ok(()) } else { Err("enough") }
        });
        assert_eq!((stopped, before), (Err("enough"), 0));
        let (second, _) = epoch(&batches, 2, 64);
        assert_ne!(first, second);
        let all: Vec<(u32, u32)> = data.pairs().map(|(user, item)| (user.0, item.0)).collect();
        for mut visited in [first, second] {
            visited.sort_unstable();
            assert_eq!(visited, all);
        }
    }
}
