//! Negatives drawn by popularity.

use rectify_core::rng::{Rng, Seed};
use rectify_core::{ItemId, UserId};

use super::SamplerError;
use super::uniform::SeenFilter;
use crate::Interactions;

/// Draws unseen items with probability proportional to a power of their number of users.
///
/// Exponent 0 is uniform, 1 is plain popularity, 0.75 is word2vec's. Items nobody has count as if one user had them, so that
/// they can be drawn. Alias method (Vose 1991): two numbers and one look-up a proposal. A user for whom 16 proposals are
/// all seen gets a uniform unseen item.
#[derive(Clone, Debug)]
pub struct PopularNegatives<'a> {
    seen: SeenFilter<'a>,
    table: AliasTable,
    seed: Seed,
}

impl<'a> PopularNegatives<'a> {
    /// A sampler of items unseen in `seen`, weighted by `count^exponent`.
    ///
    /// # Errors
    /// No items, a user who has them all, or an exponent that is negative or not finite.
    pub fn new(seen: &'a Interactions, exponent: f64, seed: Seed) -> Result<Self, SamplerError> {
        if !(exponent >= 0.0 && exponent.is_finite()) {
            return Err(SamplerError::Exponent { got: exponent });
        }
        let weights: Vec<f64> =
            seen.item_counts().iter().map(|&count| libm::pow(f64::from(count.max(1)), exponent)).collect();
        Ok(Self { seen: SeenFilter::new(seen)?, table: AliasTable::new(&weights), seed })
    }

    /// The negative number `index` of `epoch` for `user`.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    pub fn draw(&self, epoch: u32, index: u64, user: UserId) -> ItemId {
        let mut rng = self.seed.at(epoch, index);
        self.seen.draw(user, &mut rng, |rng| ItemId(self.table.draw(rng)))
    }
}

/// Draws `i` with probability proportional to its weight, in constant time.
#[derive(Clone, Debug)]
pub(crate) struct AliasTable {
    /// Probability that a cell keeps its own number, and the other number it gives.
    cells: Vec<(f32, u32)>,
}

impl AliasTable {
    /// Weights must be positive and finite.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut scaled: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut cells: Vec<(f32, u32)> = (0..weights.len() as u32).map(|i| (1.0, i)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..weights.len() as u32).partition(|&i| scaled[i as usize] < 1.0);
        while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
            let (low_at, high_at) = (low as usize, high as usize);
            cells[low_at] = (scaled[low_at] as f32, high);
            scaled[high_at] -= 1.0 - scaled[low_at];
            if scaled[high_at] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        Self { cells }
    }

    #[inline]
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        let cell = rng.below(self.cells.len() as u32);
        let (own, other) = self.cells[cell as usize];
        if rng.unit_f32() < own { cell } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_draws_follow_the_weights() {
        let weights = [1.0, 5.0, 0.5, 3.5];
        let table = AliasTable::new(&weights);
        let mut rng = Seed(4).rng();
        let mut counts = [0f64; 4];
        (0..100_000).for_each(|_| counts[table.draw(&mut rng) as usize] += 1.0);
        for (count, weight) in counts.iter().zip(weights) {
            let p: f64 = weight / 10.0;
            assert!((count - 1e5 * p).abs() < 4.0 * (1e5 * p * (1.0 - p)).sqrt(), "{counts:?}");
        }
    }

    #[test]
    fn popular_items_come_oftener_but_never_to_those_who_have_them() {
        let pairs: Vec<(u32, u32)> = (0..30).map(|u| (u, 0)).chain((0..10).map(|u| (u, 1))).chain([(31, 2)]).collect();
        let seen = Interactions::from_pairs(32, 3, &pairs).unwrap();
        let sampler = PopularNegatives::new(&seen, 1.0, Seed(3)).unwrap();
        let mut counts = [0u32; 3];
        (0..4000).for_each(|index| counts[sampler.draw(0, index, UserId(31)).index()] += 1);
        assert!(counts[0].abs_diff(3000) < 110 && counts[2] == 0, "{counts:?}");
        assert!((0..100).all(|index| sampler.draw(0, index, UserId(0)) == ItemId(2)));
    }

    #[test]
    fn an_impossible_exponent_is_refused() {
        let seen = Interactions::from_pairs(1, 2, &[(0, 0)]).unwrap();
        for exponent in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(PopularNegatives::new(&seen, exponent, Seed(0)), Err(SamplerError::Exponent { .. })));
        }
    }
}
