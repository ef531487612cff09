//! From lists or scores to the ranks of the true items.

use rectify_core::{Hit, ItemId};

/// Ranks (from 1) of the items of `list` that are in `truth`, ascending, into `out`. `truth` must ascend.
pub(crate) fn in_list(list: &[Hit], truth: &[ItemId], out: &mut Vec<u32>) {
    out.clear();
    out.extend((1u32..).zip(list).filter(|(_, hit)| truth.binary_search(&hit.item).is_ok()).map(|(rank, _)| rank));
}

/// What [`in_all`] needs between users.
#[derive(Default)]
pub(crate) struct Counting {
    truth: Vec<u64>,
    counts: Vec<u32>,
}

/// Ranks of the items of `truth` among all items but `excluded`, by their scores in the order of [`Hit`], into `out`.
/// True items that are excluded have no rank. Both lists must ascend; no score may be NaN.
///
/// Nothing is sorted but the truth: each item is counted between the two true items it falls between, and excluded items
/// are taken off again, so the cost is one pass over the scores with a short binary search.
pub(crate) fn in_all(
    scores: &[f32],
    truth: &[ItemId],
    excluded: &[ItemId],
    scratch: &mut Counting,
    out: &mut Vec<u32>,
) {
    let Counting { truth: keys, counts } = scratch;
    let key_of = |item: ItemId| key(item, scores[item.index()]);
    keys.clear();
    keys.extend(truth.iter().filter(|item| excluded.binary_search(item).is_err()).map(|&item| key_of(item)));
    keys.sort_unstable();
    out.clear();
    let Some(&last) = keys.last() else { return };
    // counts[b]: items with exactly b true items at or before them. Those behind the last one do not matter.
    counts.clear();
    counts.resize(keys.len() + 1, 0);
    let place = |key: u64| keys.partition_point(|&true_key| true_key <= key);
    for (i, &score) in scores.iter().enumerate() {
        let key = key(ItemId(i as u32), score);
        if key <= last {
            counts[place(key)] += 1;
        }
    }
    for &item in excluded {
        let key = key_of(item);
        if key <= last {
            counts[place(key)] -= 1;
        }
    }
    let mut before = 0;
    out.extend(counts[..keys.len()].iter().map(|count| {
        before += count;
        before + 1
    }));
}

/// A number that ascends as hits do: score descending, then item ascending.
#[inline]
fn key(item: ItemId, score: f32) -> u64 {
    // The usual trick: flip all bits of negative numbers and the sign of the others, and f32 order is u32 order.
    let bits = (score + 0.0).to_bits();
    let ascending = bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000);
    u64::from(!ascending) << 32 | u64::from(item.0)
}

/// Rank of one true item among others, in the order of [`Hit`]: among equal scores the lower id is better.
pub(crate) fn among(item: ItemId, score: f32, others: &[ItemId], scores: &[f32]) -> u32 {
    let better = |(&other, &s): (&ItemId, &f32)| u32::from(s > score || (s == score && other < item));
    1 + others.iter().zip(scores).map(better).sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(ids: &[u32]) -> Vec<ItemId> {
        ids.iter().map(|&id| ItemId(id)).collect()
    }

    /// The oracle: sort everything, look each true item up.
    fn by_sorting(scores: &[f32], truth: &[ItemId], excluded: &[ItemId]) -> Vec<u32> {
        let mut hits: Vec<Hit> = (0u32..)
            .zip(scores)
            .map(|(i, &score)| Hit::new(ItemId(i), score))
            .filter(|hit| !excluded.contains(&hit.item))
            .collect();
        hits.sort();
        let mut ranks = Vec::new();
        in_list(&hits, truth, &mut ranks);
        ranks
    }

    #[test]
    fn keys_order_as_hits_do() {
        let scores = [f32::NEG_INFINITY, -2.0, -0.0, 0.0, 1e-40, 1.5, f32::INFINITY];
        for a in scores {
            for b in scores {
                for (i, j) in [(0, 1), (1, 0), (1, 1)] {
                    let (i, j) = (ItemId(i), ItemId(j));
                    assert_eq!(key(i, a).cmp(&key(j, b)), Hit::new(i, a).cmp(&Hit::new(j, b)), "{a} {i} {b} {j}");
                }
            }
        }
    }

    #[test]
    fn ties_go_by_item_and_excluded_items_take_no_place() {
        let scores = [0.5, 0.9, 0.5, 0.1, 0.5];
        let mut out = Vec::new();
        in_all(&scores, &ids(&[2, 3]), &ids(&[]), &mut Counting::default(), &mut out);
        assert_eq!(out, [3, 5]);
        in_all(&scores, &ids(&[2, 3]), &ids(&[0, 1]), &mut Counting::default(), &mut out);
        assert_eq!(out, [1, 3]);
        in_all(&scores, &ids(&[2, 3]), &ids(&[2]), &mut Counting::default(), &mut out);
        assert_eq!(out, [4]);
        in_all(&scores, &ids(&[2, 3]), &ids(&[2, 3]), &mut Counting::default(), &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn among_others_equal_scores_go_by_item() {
        let others = ids(&[1, 7, 9]);
        assert_eq!(among(ItemId(5), 0.5, &others, &[0.5, 0.5, 0.1]), 2);
        assert_eq!(among(ItemId(0), 0.5, &others, &[0.5, 0.5, 0.5]), 1);
        assert_eq!(among(ItemId(5), 0.5, &others, &[0.6, 0.4, f32::INFINITY]), 3);
        assert_eq!(among(ItemId(5), 0.0, &others, &[-0.0, 0.0, -1.0]), 2);
        assert_eq!(among(ItemId(5), 0.5, &[], &[]), 1);
    }

    proptest! {
        #[test]
        fn counting_equals_sorting(
            scores in prop::collection::vec((-3i8..3).prop_map(f32::from), 1..60),
            truth in prop::collection::btree_set(0u32..60, 0..20),
            excluded in prop::collection::btree_set(0u32..60, 0..30),
        ) {
            let keep = |set: std::collections::BTreeSet<u32>| -> Vec<ItemId> {
                set.into_iter().map(ItemId).filter(|item| item.index() < scores.len()).collect()
            };
            let (truth, excluded) = (keep(truth), keep(excluded));
            let mut out = vec![7];
            in_all(&scores, &truth, &excluded, &mut Counting::default(), &mut out);
            prop_assert_eq!(out, by_sorting(&scores, &truth, &excluded));
        }
    }
}
