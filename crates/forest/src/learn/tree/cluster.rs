//! TDM's tree: clusters of leaf embeddings.

use rectify_core::ItemId;
use rectify_core::rng::Seed;

use crate::{Tree, TreeError, TreeModel};

/// Rounds of 2-means at each node.
const ROUNDS: usize = 10;
/// Items from which on the two halves are worth two threads.
const PARALLEL: usize = 512;

/// Splits items in two equal halves by 2-means of their leaf embeddings, again and again (TDM).
///
/// **Reading**: items are ordered by the squared distance to the first centre less that to the second, and cut in the middle; the first half
/// takes the extra one. Centres start at two items drawn at random.
pub(super) fn learn(model: &TreeModel, seed: Seed) -> Result<Tree, TreeError> {
    let tree = model.tree();
    let layout = tree.layout();
    let embedding = |item: ItemId| model.network().embedding(layout.row(layout.leaf_level(), tree.leaf(item)));
    let mut order: Vec<ItemId> = (0..tree.n_items() as u32).map(ItemId).collect();
    halve(&mut order, 0, 0, &embedding, seed);
    Tree::from_order(order)
}

fn halve<'a>(
    items: &mut [ItemId],
    depth: u32,
    first: u64,
    embedding: &(impl Fn(ItemId) -> &'a [f32] + Sync),
    seed: Seed,
) {
    if items.len() < 2 {
        return;
    }
    let mut rng = seed.at(depth, first);
    let a = rng.below(items.len() as u32) as usize;
    let b = (a + 1 + rng.below(items.len() as u32 - 1) as usize) % items.len();
    let double = |item: ItemId| embedding(item).iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let mut centres = [double(items[a]), double(items[b])];
    let distance = |centre: &[f64], item: ItemId| -> f64 {
        centre.iter().zip(embedding(item)).map(|(c, x)| (c - f64::from(*x)).powi(2)).sum()
    };
    let gap = |centres: &[Vec<f64>; 2], item: ItemId| distance(&centres[0], item) - distance(&centres[1], item);
    for _ in 0..ROUNDS {
        let mut sums = centres.each_ref().map(|centre| vec![0.0; centre.len()]);
        let mut counts = [0.0; 2];
        for &item in items.iter() {
            let side = usize::from(gap(&centres, item) > 0.0);
            counts[side] += 1.0;
            for (sum, x) in sums[side].iter_mut().zip(embedding(item)) {
                *sum += f64::from(*x);
            }
        }
        let mut moved = false;
        for side in 0..2 {
            // A side that nobody is nearest to stays where it is.
            if counts[side] > 0.0 {
                sums[side].iter_mut().for_each(|x| *x /= counts[side]);
                moved |= sums[side] != centres[side];
                centres[side].clone_from(&sums[side]);
            }
        }
        if !moved {
            break;
        }
    }
    let mut keyed: Vec<(f64, ItemId)> = items.iter().map(|item| (gap(&centres, *item), *item)).collect();
    keyed.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
    for (to, (_, item)) in items.iter_mut().zip(keyed) {
        *to = item;
    }
    let n = items.len();
    let middle = n.div_ceil(2);
    let (left, right) = items.split_at_mut(middle);
    let mut left = || halve(left, depth + 1, first, embedding, seed);
    let mut right = || halve(right, depth + 1, first + middle as u64, embedding, seed);
    if n >= PARALLEL {
        rayon::join(left, right);
    } else {
        left();
        right();
    }
}
