//! Learning of a tree for a given model.

mod assign;
mod cluster;
mod matching;

use std::ops::Range;

use rayon::prelude::*;
use rectify_core::ItemId;
use rectify_core::rng::Seed;
use serde::{Deserialize, Serialize};

use self::matching::{Matching, Scores};
use super::samples::{Learners, Samples};
use crate::{ConfigError, FitError, Tree, TreeModel};

/// How a tree is learned from a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TreeRule {
    /// DeFoRec (Feng et al., SIGIR 2022, section 5 and Eq. 10): from the root down, `level_gap` levels at a time, the items of each node go to its
    /// descendants by `score(i, n) = Σ_{samples (u, i)} ln softmax(o_u)[n]`, the softmax over these descendants.
    Softmax {
        /// Levels at a time (`d`), at least 1. The paper's is 7.
        level_gap: u32,
        /// How nodes that fill up are dealt with.
        assignment: Assignment,
        /// Samples of an item that its scores are summed over, at least 1: as many of its samples, drawn at random, and their sums
        /// scaled up. `None`, as in the paper: all.
        #[serde(default)]
        samples_per_item: Option<usize>,
    },
    /// JTM (Zhu et al., NeurIPS 2019): the same with `Σ_{samples} Σ_{nodes v on the way down} ln p_like(v)`.
    Path {
        /// Levels at a time, at least 1.
        level_gap: u32,
        /// How nodes that fill up are dealt with.
        assignment: Assignment,
        /// Samples of an item that its scores are summed over, at least 1: as many of its samples, drawn at random, and their sums
        /// scaled up. `None`, as in the paper: all.
        #[serde(default)]
        samples_per_item: Option<usize>,
    },
    /// TDM (Zhu et al., KDD 2018): items are clustered by their leaf embeddings, in two equal halves again and again.
    Clustering,
}

/// How items share nodes of limited capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assignment {
    /// One after the other, each to its best node with room. **Reading**: the paper names no order; items with more samples come first,
    /// then lower ids.
    Greedy,
    /// All to their best node; then the most overfull one keeps as many as fit (first those that were below it in the old tree, then by
    /// score) and sends the others to their best node that was not yet dealt with, until none is overfull (JTM).
    Rebalance,
}

impl Default for TreeRule {
    fn default() -> Self {
        Self::Softmax { level_gap: 7, assignment: Assignment::Greedy, samples_per_item: None }
    }
}

impl TreeRule {
    /// JTM's, with a gap of 7.
    #[must_use]
    pub const fn jtm() -> Self {
        Self::Path { level_gap: 7, assignment: Assignment::Rebalance, samples_per_item: None }
    }

    /// Checks gap and samples.
    ///
    /// # Errors
    /// The first of them out of its range.
    pub fn validate(self) -> Result<(), ConfigError> {
        let (Self::Softmax { level_gap, samples_per_item, .. } | Self::Path { level_gap, samples_per_item, .. }) = self
        else {
            return Ok(());
        };
        ConfigError::check((1..=16).contains(&level_gap), "level_gap", "1 to 16", level_gap)?;
        ConfigError::check(samples_per_item != Some(0), "samples_per_item", "at least 1", 0)
    }
}

/// Learns a tree for a model: items move, the model stays.
///
/// Samples are those of training (an item with at least `min_history` before it); histories are mapped through the old tree. Items that are
/// no target score 0 everywhere, come last and prefer their old nodes. The result is the same for any number of threads.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Histories`], [`FitError::UnknownUser`], [`FitError::NoSamples`].
pub fn learn_tree(
    model: &TreeModel,
    learners: Learners<'_>,
    min_history: usize,
    rule: TreeRule,
    seed: Seed,
) -> Result<Tree, FitError> {
    rule.validate()?;
    let samples = Samples::new(learners, model.tree().n_items(), min_history)?;
    learn(model, &samples, rule, seed)
}

/// [`learn_tree`] for a valid rule.
pub(crate) fn learn(model: &TreeModel, samples: &Samples<'_>, rule: TreeRule, seed: Seed) -> Result<Tree, FitError> {
    let (scores, level_gap, assignment, limit) = match rule {
        TreeRule::Clustering => return Ok(cluster::learn(model, seed.stream("forest/clusters"))?),
        TreeRule::Softmax { level_gap, assignment, samples_per_item } => {
            (Scores::Softmax, level_gap, assignment, samples_per_item)
        }
        TreeRule::Path { level_gap, assignment, samples_per_item } => {
            (Scores::Path, level_gap, assignment, samples_per_item)
        }
    };
    let old = model.tree();
    let layout = old.layout();
    let matching = Matching::new(model, samples, scores, limit.map(|n| (n, seed.stream("forest/samples of item"))));
    // Items in the order of the nodes they were given so far; at first all are at the root.
    let mut order: Vec<ItemId> = (0..old.n_items() as u32).map(ItemId).collect();
    let mut level = 0;
    while level < layout.leaf_level() {
        let below = (level + level_gap).min(layout.leaf_level());
        let nodes: Vec<Range<u32>> = (0..layout.width(level) as u32).map(|place| layout.leaves(level, place)).collect();
        let groups = split(&mut order, &nodes);
        groups.into_par_iter().enumerate().for_each(|(place, items)| {
            let place = place as u32;
            let children = layout.descendants(level, place, below);
            let capacities: Vec<usize> = children.clone().map(|child| layout.leaves(below, child).len()).collect();
            // More samples first; lower ids among equals.
            items.sort_by_key(|item| (std::cmp::Reverse(matching.n_samples(*item)), *item));
            let scores: Vec<Vec<f32>> = items
                .par_iter()
                .map_init(Default::default, |work, item| matching.scores(*item, (level, place), below, work))
                .collect();
            let former: Vec<Option<usize>> = items
                .iter()
                .map(|item| {
                    let node = old.ancestor(*item, below);
                    children.contains(&node).then(|| (node - children.start) as usize)
                })
                .collect();
            let given = assign::assign(assignment, &scores, &capacities, &former);
            let mut pairs: Vec<(usize, ItemId)> = given.into_iter().zip(items.iter().copied()).collect();
            pairs.sort_unstable();
            for (to, (_, item)) in items.iter_mut().zip(pairs) {
                *to = item;
            }
        });
        level = below;
    }
    Ok(Tree::from_order(order)?)
}

/// Cuts a list into the parts of some ranges, which follow each other.
fn split<'a>(mut list: &'a mut [ItemId], ranges: &[Range<u32>]) -> Vec<&'a mut [ItemId]> {
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        let (part, rest) = list.split_at_mut(range.len());
        parts.push(part);
        list = rest;
    }
    parts
}

#[cfg(test)]
mod tests;
