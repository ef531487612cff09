//! Candidates: several distinct unseen items at once.

use rectify_core::ItemId;
use rectify_core::rng::Rng;

/// `amount` distinct items out of `0..n_items` without those of `seen` (ascending, distinct), each subset equally likely;
/// ascending. `None` if there are too few.
#[must_use]
pub fn sample_unseen(seen: &[ItemId], n_items: usize, amount: usize, rng: &mut Rng) -> Option<Vec<ItemId>> {
    let n_unseen = n_items - seen.len();
    if amount > n_unseen {
        return None;
    }
    // Draw ranks among the unseen items, then shift each past the seen items before it.
    let mut passed = 0;
    let ranks = rng.sample_distinct(n_unseen as u32, amount as u32);
    Some(
        ranks
            .into_iter()
            .map(|rank| {
                while passed < seen.len() && seen[passed].index() <= rank as usize + passed {
                    passed += 1;
                }
                ItemId(rank + passed as u32)
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;

    use super::*;

    #[test]
    fn all_unseen_items_come_when_all_are_asked_for() {
        let seen = [0, 1, 4, 6].map(ItemId);
        let all = sample_unseen(&seen, 8, 4, &mut Seed(1).rng()).unwrap();
        assert_eq!(all, [2, 3, 5, 7].map(ItemId));
        assert_eq!(sample_unseen(&seen, 8, 5, &mut Seed(1).rng()), None);
        assert_eq!(sample_unseen(&[], 0, 0, &mut Seed(1).rng()), Some(Vec::new()));
    }

    #[test]
    fn every_unseen_item_is_equally_likely() {
        let seen = [1, 2, 5].map(ItemId);
        let mut counts = [0u32; 9];
        for index in 0..30_000 {
            for item in sample_unseen(&seen, 9, 2, &mut Seed(2).at(0, index)).unwrap() {
                counts[item.index()] += 1;
            }
        }
        // 10,000 each; sigma = sqrt(30000 · 1/3 · 2/3) = 82.
        for (item, &count) in counts.iter().enumerate() {
            let expected = if seen.contains(&ItemId(item as u32)) { 0 } else { 10_000 };
            assert!((i64::from(count) - expected).abs() <= if expected == 0 { 0 } else { 330 }, "{counts:?}");
        }
    }
}
