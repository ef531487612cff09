//! Beam search from the root to the leaves.

use rectify_core::{Hit, ItemId, Selector, TopK};

use super::{Layout, Tree};

/// What a search needs and leaves nothing in.
#[derive(Clone, Debug)]
pub(crate) struct Beam {
    selector: Selector,
    kept: TopK,
    places: Vec<u32>,
    scores: Vec<f32>,
    n_scored: usize,
}

impl Default for Beam {
    fn default() -> Self {
        Self { selector: Selector::new(0), kept: TopK::new(), places: Vec::new(), scores: Vec::new(), n_scored: 0 }
    }
}

/// The leaves that a search reached, with their scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reached<'a> {
    /// Places on the leaf level, ascending unless the beam cut.
    pub(crate) leaves: &'a [u32],
    pub(crate) scores: &'a [f32],
    /// Nodes scored on all levels.
    pub(crate) n_scored: usize,
}

impl<'a> Reached<'a> {
    /// As items of a tree.
    pub(crate) fn hits(self, tree: &'a Tree) -> impl Iterator<Item = Hit> + use<'a> {
        let item = |leaf: &u32| tree.order()[*leaf as usize];
        self.leaves.iter().zip(self.scores).map(move |(leaf, &score)| Hit::new(item(leaf), score))
    }
}

impl Beam {
    /// Where the last search came to.
    pub(crate) fn reached(&self) -> Reached<'_> {
        Reached { leaves: &self.places, scores: &self.scores, n_scored: self.n_scored }
    }

    /// Walks down with at most `width` nodes a level; `score(level, places, out)` gives their scores.
    ///
    /// DeFoRec, Algorithm 1 (TDM): the children of the kept nodes are scored, the best `width` are kept (of equal scores the lowest code),
    /// until the leaves. A level that the beam keeps whole needs no scores, so the walk starts below the deepest one; a beam as wide as
    /// the leaf level scores every leaf.
    pub(crate) fn search<E>(
        &mut self,
        layout: &Layout,
        width: usize,
        mut score: impl FnMut(u32, &[u32], &mut [f32]) -> Result<(), E>,
    ) -> Result<Reached<'_>, E> {
        let first = Self::first_level(layout, width);
        self.start(layout, first);
        for level in first..=layout.leaf_level() {
            self.scores.clear();
            self.scores.resize(self.places.len(), 0.0);
            score(level, &self.places, &mut self.scores)?;
            self.n_scored += self.places.len();
            if level < layout.leaf_level() {
                self.descend(layout, width, level);
            }
        }
        Ok(self.reached())
    }

    /// The first level whose nodes are scored.
    pub(crate) fn first_level(layout: &Layout, width: usize) -> u32 {
        let bottom = layout.leaf_level();
        let whole = (0..=bottom).rev().find(|&level| layout.width(level) <= width.max(1)).unwrap_or(0);
        (whole + 1).min(bottom)
    }

    /// Begins with all nodes of a level.
    pub(crate) fn start(&mut self, layout: &Layout, level: u32) {
        self.places.clear();
        self.places.extend(0..layout.width(level) as u32);
        self.n_scored = 0;
    }

    /// Goes from the nodes scored, of `level`, to the children of the best.
    pub(crate) fn descend(&mut self, layout: &Layout, width: usize, level: u32) {
        self.selector.reset(width.max(1));
        for (&place, &score) in self.places.iter().zip(&self.scores) {
            self.selector.push(Hit::new(ItemId(place), score));
        }
        self.selector.finish_into(&mut self.kept);
        self.places.clear();
        for node in self.kept.items() {
            self.places.extend(layout.descendants(level, node.0, level + 1));
        }
        // The order of memory, and of codes.
        self.places.sort_unstable();
    }

    /// The nodes at hand, by place.
    #[cfg(feature = "cuda")]
    pub(crate) fn places(&self) -> &[u32] {
        &self.places
    }

    /// Takes the scores of the nodes at hand.
    #[cfg(feature = "cuda")]
    pub(crate) fn take(&mut self, scores: &[f32]) {
        self.scores.clear();
        self.scores.extend_from_slice(scores);
        self.n_scored += scores.len();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Searches where node scores are given by level, and returns the best leaves and the nodes met.
    fn best(levels: &[&[f32]], beam: usize, k: usize) -> (Vec<u32>, usize) {
        let layout = Layout::new(levels.last().unwrap().len()).unwrap();
        let mut searched = Beam::default();
        let reached = searched
            .search(&layout, beam, |level, places, out| {
                for (out, place) in out.iter_mut().zip(places) {
                    *out = levels[level as usize - 1][*place as usize];
                }
                Ok::<(), Infallible>(())
            })
            .unwrap();
        // Whole levels above the first one scored are met, too.
        let whole = (1..layout.leaf_level()).filter(|&level| layout.width(level) <= beam);
        let met = reached.n_scored + whole.map(|level| layout.width(level)).sum::<usize>();
        let mut top = TopK::new();
        top.assign(k, reached.leaves.iter().zip(reached.scores).map(|(leaf, score)| Hit::new(ItemId(*leaf), *score)));
        (top.items().map(|item| item.0).collect(), met)
    }

    #[test]
    fn a_max_heap_gives_its_exact_best_with_a_beam_of_k() {
        let leaves = [0.3, 0.1, 0.25, 0.05, 0.02, 0.08, 0.15, 0.05];
        let levels: [&[f32]; 3] = [&[0.666_667, 0.333_333], &[0.384_615, 0.320_513, 0.102_564, 0.192_308], &leaves];
        let expected: [&[u32]; 4] = [&[0], &[0, 2], &[0, 2, 6], &[0, 2, 6, 1]];
        for (k, met) in [(1, 6), (2, 10), (3, 12), (4, 14)] {
            assert_eq!(best(&levels, k, k), (expected[k - 1].to_vec(), met));
        }
    }

    #[test]
    fn a_beam_finds_what_its_width_lets_it_where_the_tree_is_no_heap() {
        let leaves = [0.3, 0.1, 0.95, 0.05, 0.6, 0.08, 0.15, 0.05];
        let levels: [&[f32]; 3] = [&[0.4, 0.6], &[0.5, 0.2, 0.6, 0.1], &leaves];
        assert_eq!(best(&levels, 1, 2).0, [4, 5]);
        assert_eq!(best(&levels, 2, 2).0, [4, 0]);
        for beam in 3..9 {
            assert_eq!(best(&levels, beam, 2).0, [2, 4]);
        }
    }

    #[test]
    fn nodes_scored_grow_with_the_depth_and_not_with_the_items() {
        let mut beam = Beam::default();
        for (n, expected) in [(1000, 849), (10_000, 1939), (100_000, 2885), (1_000_000, 3842)] {
            let layout = Layout::new(n).unwrap();
            let mut rng = rectify_core::rng::Seed(1).rng();
            let scored = |_: u32, _: &[u32], out: &mut [f32]| {
                out.iter_mut().for_each(|out| *out = rng.unit_f32());
                Ok::<(), Infallible>(())
            };
            let reached = beam.search(&layout, 150, scored).unwrap();
            // Levels below 128 nodes: 256, then twice the beam each, and the leaves, some of whose parents have one child.
            let levels = layout.leaf_level() as usize - 7;
            assert!(reached.n_scored <= 256 + 300 * (levels - 1), "{n}: {}", reached.n_scored);
            assert!(reached.n_scored.abs_diff(expected) < 40, "{n}: {}", reached.n_scored);
        }
    }

    proptest! {
        #[test]
        fn a_beam_as_wide_as_the_leaf_level_is_brute_force(
            scores in prop::collection::vec(-2i8..2, 2..200),
            more in 0usize..3,
        ) {
            let leaves: Vec<f32> = scores.iter().map(|x| f32::from(*x)).collect();
            let layout = Layout::new(leaves.len()).unwrap();
            let upper = vec![0.0; leaves.len()];
            let mut levels: Vec<&[f32]> = (1..layout.leaf_level()).map(|level| &upper[..layout.width(level)]).collect();
            levels.push(&leaves);
            let mut beam = Beam::default();
            let reached = beam.search(&layout, leaves.len() + more, |_, places, out| {
                out.iter_mut().zip(places).for_each(|(out, place)| *out = leaves[*place as usize]);
                Ok::<(), Infallible>(())
            }).unwrap();
            prop_assert_eq!((reached.scores, reached.n_scored), (&leaves[..], leaves.len()));
            // One less no longer keeps the leaves whole, but finds as many as it keeps.
            prop_assert!(best(&levels, leaves.len() - 1, 5).0.len() <= 5);
        }
    }
}
