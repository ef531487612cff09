//! Some samples of a batch: which nodes they touch, and everything between these and the loss.

use std::ops::Range;

use rectify_core::rng::{Rng, Seed};

use super::params::{Blocks, Moments};
use crate::learn::samples::Samples;
use crate::serve::model::Profile;
use crate::serve::model::profile::Part;
use crate::{Objective, PreferenceConfig, Tree};

/// Samples of a piece; a fixed number, so that threads change no bits.
pub(super) const PIECE: usize = 8;

/// One sample at one level. Its first node is the positive one.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Distinct nodes of the history, in the piece's list.
    pub(super) history: Range<usize>,
    pub(super) parts: Range<usize>,
    /// Nodes, in the piece's list, which are its rows.
    pub(super) nodes: Range<usize>,
    /// What is added to the preference of each negative.
    pub(super) correction: f32,
}

/// One layer's rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Before the norm.
    pub(super) z: Vec<f32>,
    /// Gradients: of the outputs, then before the PReLU, then before the norm.
    pub(super) d: Vec<f32>,
    pub(super) moments: Moments,
}

/// Some samples; reused from batch to batch.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) groups: Vec<Group>,
    /// Rows of the table, and then their slots in the batch.
    pub(super) history: Vec<u32>,
    pub(super) history_slots: Vec<u32>,
    pub(super) nodes: Vec<u32>,
    pub(super) node_slots: Vec<u32>,
    pub(super) parts: Vec<Part>,
    pub(super) layers: Vec<Rows>,
    pub(super) outputs: Vec<f32>,
    pub(super) d_outputs: Vec<f32>,
    pub(super) d_history: Vec<f32>,
    pub(super) d_nodes: Vec<f32>,
    pub(super) gradients: Blocks,
    pub(super) loss: f64,
    profile: Profile,
}

/// Draws `m` of the `width − 1` nodes that are not `positive`, or takes all of them if there are no more; returns whether it drew.
fn negatives(
    objective: Objective,
    width: u32,
    positive: u32,
    m: u32,
    rng: &mut Rng,
    mut take: impl FnMut(u32),
) -> bool {
    let others = width - 1;
    let skip = |x: u32| if x < positive { x } else { x + 1 };
    if others <= m {
        (0..others).for_each(|x| take(skip(x)));
        return false;
    }
    match objective {
        Objective::Softmax => (0..m).for_each(|_| take(skip(rng.below(others)))),
        Objective::Binary => rng.sample_distinct(others, m).into_iter().for_each(|x| take(skip(x))),
    }
    true
}

impl Piece {
    /// Takes samples, the first of which is number `first` of its epoch.
    pub(super) fn fill(
        &mut self,
        (samples, chosen): (&Samples<'_>, &[u32]),
        (epoch, first): (u32, usize),
        tree: &Tree,
        config: &PreferenceConfig,
        seed: Seed,
    ) {
        for list in [&mut self.history, &mut self.history_slots, &mut self.nodes, &mut self.node_slots] {
            list.clear();
        }
        self.groups.clear();
        self.parts.clear();
        let layout = tree.layout();
        for (at, &sample) in chosen.iter().enumerate() {
            let (target, history) = samples.get(sample);
            for level in 1..=layout.leaf_level() {
                let (history_start, parts_start, nodes_start) =
                    (self.history.len(), self.parts.len(), self.nodes.len());
                self.profile.fill(tree, level, history, &config.shape);
                self.history.extend_from_slice(&self.profile.rows);
                self.parts.extend_from_slice(&self.profile.parts);
                let positive = tree.ancestor(target, level);
                let (width, m) = (layout.width(level) as u32, config.negatives_of(level));
                // 32 levels at most: each has a place of its own.
                let mut rng = seed.at(epoch, (first + at) as u64 * 32 + u64::from(level));
                let nodes = &mut self.nodes;
                nodes.push(layout.row(level, positive));
                let drew = negatives(config.objective, width, positive, m, &mut rng, |place| {
                    nodes.push(layout.row(level, place));
                });
                let correction = match config.objective {
                    Objective::Softmax if drew => -(f64::from(m) / f64::from(width - 1)).ln() as f32,
                    Objective::Softmax | Objective::Binary => 0.0,
                };
                self.groups.push(Group {
                    history: history_start..self.history.len(),
                    parts: parts_start..self.parts.len(),
                    nodes: nodes_start..self.nodes.len(),
                    correction,
                });
            }
        }
    }

    /// Number of rows: nodes of all groups.
    pub(super) fn n_rows(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negatives_are_others_of_the_level_and_all_of_them_where_there_are_few() {
        for objective in [Objective::Softmax, Objective::Binary] {
            let mut counts = [0u32; 9];
            for draw in 0..9000 {
                let mut rng = Seed(1).at(0, draw);
                let mut seen = Vec::new();
                assert!(negatives(objective, 9, 4, 3, &mut rng, |x| seen.push(x)));
                assert_eq!(seen.len(), 3);
                seen.iter().for_each(|x| counts[*x as usize] += 1);
                if objective == Objective::Binary {
                    assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
                }
            }
            // 27,000 draws over 8 nodes: 3375 each, standard deviation 54.
            assert_eq!(counts[4], 0);
            assert!(counts.iter().filter(|c| **c > 0).all(|c| c.abs_diff(3375) < 4 * 54), "{counts:?}");
            let mut seen = Vec::new();
            assert!(!negatives(objective, 4, 0, 3, &mut Seed(1).rng(), |x| seen.push(x)));
            assert_eq!(seen, [1, 2, 3]);
        }
    }
}
