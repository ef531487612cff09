//! How well items fit nodes, by a model and the samples of training.

use rectify_core::ItemId;
use rectify_core::rng::Seed;

use crate::TreeModel;
use crate::learn::samples::Samples;
use crate::serve::model::{Profile, Scratch};

/// What is added up over the samples of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scores {
    /// Log softmax over the nodes.
    Softmax,
    /// Log sigmoids of the nodes on the way down.
    Path,
}

/// The samples of each item.
pub(super) struct Matching<'a> {
    model: &'a TreeModel,
    samples: &'a Samples<'a>,
    scores: Scores,
    offsets: Vec<usize>,
    /// Those that count come first.
    of_item: Vec<u32>,
    /// How many of an item count.
    limit: usize,
}

/// What scoring needs and leaves nothing in.
#[derive(Debug, Default)]
pub(super) struct Work {
    profile: Profile,
    scratch: Scratch,
    rows: Vec<u32>,
    preferences: Vec<f32>,
    path: Vec<f64>,
}

/// `sums += ln softmax(o)`.
pub(super) fn add_log_softmax(o: &[f32], sums: &mut [f64]) {
    let max = o.iter().fold(f64::NEG_INFINITY, |max, x| max.max(f64::from(*x)));
    let log_sum = max + o.iter().map(|x| (f64::from(*x) - max).exp()).sum::<f64>().ln();
    for (sum, x) in sums.iter_mut().zip(o) {
        *sum += f64::from(*x) - log_sum;
    }
}

/// `ln σ(o)`.
pub(super) fn log_sigmoid(o: f32) -> f64 {
    let o = f64::from(o);
    o.min(0.0) - (-o.abs()).exp().ln_1p()
}

impl<'a> Matching<'a> {
    /// With a limit, as many samples of an item count, drawn by the seed.
    pub(super) fn new(
        model: &'a TreeModel,
        samples: &'a Samples<'a>,
        scores: Scores,
        limit: Option<(usize, Seed)>,
    ) -> Self {
        let mut offsets = vec![0; model.tree().n_items() + 1];
        let all = 0..samples.len() as u32;
        for sample in all.clone() {
            offsets[samples.get(sample).0.index() + 1] += 1;
        }
        for i in 1..offsets.len() {
            offsets[i] += offsets[i - 1];
        }
        let mut next = offsets.clone();
        let mut of_item = vec![0; samples.len()];
        for sample in all {
            let place = &mut next[samples.get(sample).0.index()];
            of_item[*place] = sample;
            *place += 1;
        }
        if let Some((n, seed)) = limit {
            for (item, ends) in offsets.windows(2).enumerate().filter(|(_, ends)| ends[1] - ends[0] > n) {
                seed.at(0, item as u64).shuffle(&mut of_item[ends[0]..ends[1]]);
            }
        }
        Self { model, samples, scores, offsets, of_item, limit: limit.map_or(usize::MAX, |(n, _)| n) }
    }

    /// Samples whose target is an item.
    pub(super) fn n_samples(&self, item: ItemId) -> usize {
        self.offsets[item.index() + 1] - self.offsets[item.index()]
    }

    /// Scores of an item for the descendants of a node (level, place) at a level below it.
    pub(super) fn scores(&self, item: ItemId, (level, place): (u32, u32), below: u32, work: &mut Work) -> Vec<f32> {
        let layout = self.model.tree().layout();
        let mut sums = vec![0.0f64; layout.descendants(level, place, below).len()];
        let own = &self.of_item[self.offsets[item.index()]..self.offsets[item.index() + 1]];
        let counted = &own[..own.len().min(self.limit)];
        for &sample in counted {
            let (_, history) = self.samples.get(sample);
            match self.scores {
                Scores::Softmax => {
                    self.preferences(history, (level, place), below, work);
                    add_log_softmax(&work.preferences, &mut sums);
                }
                Scores::Path => {
                    let mut path = std::mem::take(&mut work.path);
                    path.clear();
                    path.push(0.0);
                    for on_way in level + 1..=below {
                        self.preferences(history, (level, place), on_way, work);
                        let parents = layout.descendants(level, place, on_way - 1);
                        let nodes = layout.descendants(level, place, on_way);
                        let mut next = Vec::with_capacity(nodes.len());
                        // The children of each parent follow those of the one before.
                        for (above, parent) in path.iter().zip(parents) {
                            for node in layout.descendants(on_way - 1, parent, on_way) {
                                next.push(above + log_sigmoid(work.preferences[(node - nodes.start) as usize]));
                            }
                        }
                        path = next;
                    }
                    for (sum, x) in sums.iter_mut().zip(&path) {
                        *sum += x;
                    }
                    work.path = path;
                }
            }
        }
        let scale = own.len() as f64 / counted.len().max(1) as f64;
        sums.into_iter().map(|sum| (scale * sum) as f32).collect()
    }

    /// Preferences for the descendants of a node at a level.
    fn preferences(&self, history: &[ItemId], (level, place): (u32, u32), below: u32, work: &mut Work) {
        let (tree, network) = (self.model.tree(), self.model.network());
        work.profile.fill(tree, below, history, network.shape());
        work.rows.clear();
        work.rows.extend(tree.layout().descendants(level, place, below).map(|node| tree.layout().row(below, node)));
        work.preferences.resize(work.rows.len(), 0.0);
        network.score(&work.profile, &work.rows, &mut work.scratch, &mut work.preferences);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_worked_out_by_hand() {
        let mut sums = [0.0; 3];
        add_log_softmax(&[1.0, 0.0, -1.0], &mut sums);
        add_log_softmax(&[0.5, 0.5, 0.0], &mut sums);
        for (got, want) in sums.iter().zip([-1.365_626, -2.365_626, -3.865_626]) {
            assert!((got - want).abs() < 1e-5, "{got} {want}");
        }
        let path = log_sigmoid(1.0) + log_sigmoid(0.5);
        assert!((path + 0.787_338_7).abs() < 1e-6, "{path}");
        assert!(log_sigmoid(-1000.0).is_finite() && log_sigmoid(1000.0) == 0.0);
    }
}
