//! The shape of a tree, which is a function of the number of items alone.

use std::ops::Range;
use std::sync::Arc;

use super::TreeError;

/// Most items: codes, and numbers of nodes, stay below 2³².
const MOST: usize = 1 << 30;

/// Shape of the binary tree over `N` items with all leaves on one level.
///
/// Nodes have the codes of a heap: the root is 0, the children of `c` are `2c + 1` and `2c + 2`, level `j` spans the codes
/// `2ʲ − 1 .. 2ʲ⁺¹ − 1`. The items, in their order, are halved again and again, the first half taking the extra one; a leaf that ends
/// early is pushed down along left children to the level `l_max = ⌈log₂ N⌉` of all leaves (the tree of TDM, as its code
/// builds it). So level `j` has `min(2ʲ, N)` nodes: above the leaf level every code has one, and a node just above the leaves may have one
/// child.
///
/// A node is named by its level and its **place**, its rank among the nodes of that level; above the leaves that is `code + 1 − 2ʲ`. A
/// **row** numbers all nodes, level after level, without holes: `2ʲ − 1 + place`.
///
/// ```
/// use rectify_forest::Layout;
///
/// let layout = Layout::new(5)?;
/// assert_eq!((0..=3).map(|level| layout.width(level)).collect::<Vec<_>>(), [1, 2, 4, 5]);
/// assert_eq!((0..5).map(|leaf| layout.code(3, leaf)).collect::<Vec<_>>(), [7, 8, 9, 11, 13]);
/// # Ok::<(), rectify_forest::TreeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    n_items: usize,
    leaf_level: u32,
    /// Of each leaf, its code above the first one of its level; ascending.
    offsets: Arc<[u32]>,
}

impl Layout {
    /// The shape for a number of items.
    ///
    /// # Errors
    /// [`TreeError::Empty`]; [`TreeError::TooMany`] above 2³⁰.
    pub fn new(n_items: usize) -> Result<Self, TreeError> {
        if n_items == 0 {
            return Err(TreeError::Empty);
        }
        if n_items > MOST {
            return Err(TreeError::TooMany { got: n_items, most: MOST });
        }
        let leaf_level = n_items.next_power_of_two().trailing_zeros();
        let mut layout = Self { n_items, leaf_level, offsets: [0].into() };
        if leaf_level > 0 {
            let parents = 0..1u32 << (leaf_level - 1);
            let both =
                |parent: u32| (0..layout.leaves(leaf_level - 1, parent).len() as u32).map(move |c| 2 * parent + c);
            layout.offsets = parents.flat_map(both).collect();
        }
        Ok(layout)
    }

    /// Number of items, which is the number of leaves.
    #[must_use]
    pub const fn n_items(&self) -> usize {
        self.n_items
    }

    /// Level of all leaves (`l_max`); 0 for one item.
    #[must_use]
    pub const fn leaf_level(&self) -> u32 {
        self.leaf_level
    }

    /// Nodes of a level (`c(j)`): `min(2ʲ, N)`.
    #[must_use]
    pub fn width(&self, level: u32) -> usize {
        if level < self.leaf_level { 1 << level } else { self.n_items }
    }

    /// Nodes of all levels.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        (1 << self.leaf_level) - 1 + self.n_items
    }

    /// Row of a node.
    #[must_use]
    pub const fn row(&self, level: u32, place: u32) -> u32 {
        (1 << level) - 1 + place
    }

    /// Heap code of a node.
    ///
    /// # Panics
    /// If there is no such leaf.
    #[must_use]
    pub fn code(&self, level: u32, place: u32) -> u32 {
        (1 << level) - 1 + if level < self.leaf_level { place } else { self.offsets[place as usize] }
    }

    /// Place of the leaf with this code, if there is one.
    #[must_use]
    pub fn leaf_of_code(&self, code: u32) -> Option<u32> {
        let offset = code.checked_sub((1 << self.leaf_level) - 1)?;
        self.offsets.binary_search(&offset).ok().map(|place| place as u32)
    }

    /// Place of the ancestor of a leaf at a level (`b_j(n)`); at the leaf level the leaf itself.
    ///
    /// # Panics
    /// If there is no such leaf, or the level is below the leaves.
    #[must_use]
    pub fn ancestor(&self, leaf: u32, level: u32) -> u32 {
        assert!(level <= self.leaf_level, "level {level} is below the leaves");
        if level == self.leaf_level { leaf } else { self.offsets[leaf as usize] >> (self.leaf_level - level) }
    }

    /// Leaves below a node; their number is its capacity.
    #[must_use]
    pub fn leaves(&self, level: u32, place: u32) -> Range<u32> {
        if level == self.leaf_level {
            return place..place + 1;
        }
        let (mut start, mut size) = (0, self.n_items as u32);
        for bit in (0..level).rev() {
            let left = size.div_ceil(2);
            if place >> bit & 1 == 0 {
                size = left;
            } else {
                start += left;
                size -= left;
            }
        }
        start..start + size
    }

    /// Places of a node's descendants at a deeper level (or of itself at its own).
    ///
    /// # Panics
    /// If `below` is not between `level` and the leaf level.
    #[must_use]
    pub fn descendants(&self, level: u32, place: u32, below: u32) -> Range<u32> {
        assert!(level <= below && below <= self.leaf_level, "level {below} is not below level {level}");
        if below == self.leaf_level {
            return self.leaves(level, place);
        }
        place << (below - level)..(place + 1) << (below - level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(n: usize) -> Vec<u32> {
        let layout = Layout::new(n).unwrap();
        (0..n as u32).map(|leaf| layout.code(layout.leaf_level(), leaf)).collect()
    }

    fn widths(n: usize) -> Vec<usize> {
        let layout = Layout::new(n).unwrap();
        (0..=layout.leaf_level()).map(|level| layout.width(level)).collect()
    }

    /// The builder of the paper, word for word.
    fn build(size: usize, code: u32, depth: u32, deepest: u32, out: &mut Vec<u32>) {
        if size == 1 {
            out.push((depth..deepest).fold(code, |code, _| 2 * code + 1));
        } else {
            build(size.div_ceil(2), 2 * code + 1, depth + 1, deepest, out);
            build(size / 2, 2 * code + 2, depth + 1, deepest, out);
        }
    }

    #[test]
    fn small_trees_have_the_codes_worked_out_by_hand() {
        assert_eq!((codes(1), widths(1)), (vec![0], vec![1]));
        assert_eq!((codes(2), widths(2)), (vec![1, 2], vec![1, 2]));
        assert_eq!((codes(5), widths(5)), (vec![7, 8, 9, 11, 13], vec![1, 2, 4, 5]));
        assert_eq!(codes(6), [7, 8, 9, 11, 12, 13]);
        assert_eq!(codes(8), (7..15).collect::<Vec<_>>());
        assert_eq!(codes(11), [15, 16, 17, 19, 20, 21, 23, 24, 25, 27, 29]);
        assert_eq!(widths(11), [1, 2, 4, 8, 11]);
        assert_eq!(widths(5367), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 5367]);
        assert_eq!(*widths(10_675).last_chunk().unwrap(), [8192, 10_675]);
    }

    #[test]
    fn arithmetic_equals_the_recursive_builder() {
        for n in (1..=300).chain([1000, 3706, 5367, 10_675, 65_537]) {
            let layout = Layout::new(n).unwrap();
            let mut want = Vec::new();
            build(n, 0, 0, layout.leaf_level(), &mut want);
            assert_eq!(codes(n), want, "{n}");
        }
    }

    #[test]
    fn paths_capacities_and_descendants_agree_with_the_codes() {
        assert_eq!(
            std::iter::successors(Some(11u32), |c| c.checked_sub(1).map(|c| c / 2)).collect::<Vec<_>>(),
            [11, 5, 2, 0]
        );
        for n in [1usize, 2, 3, 5, 11, 100, 3706] {
            let layout = Layout::new(n).unwrap();
            let bottom = layout.leaf_level();
            for level in 0..=bottom {
                let mut next = 0;
                for place in 0..layout.width(level) as u32 {
                    let leaves = layout.leaves(level, place);
                    assert_eq!(leaves.start, next, "leaves follow each other");
                    next = leaves.end;
                    let (low, high) = (n >> level, n.div_ceil(1 << level));
                    assert!((low.max(1)..=high).contains(&leaves.len()), "{n} {level} {place}: {leaves:?}");
                    for leaf in leaves.clone() {
                        assert_eq!(layout.ancestor(leaf, level), place);
                        let up = (level..bottom).fold(layout.code(bottom, leaf), |code, _| (code - 1) / 2);
                        assert_eq!(up, layout.code(level, place));
                    }
                    for below in level..=bottom {
                        let places: Vec<u32> = layout.descendants(level, place, below).collect();
                        let mut want: Vec<u32> = leaves.clone().map(|leaf| layout.ancestor(leaf, below)).collect();
                        want.dedup();
                        assert_eq!(places, want);
                    }
                }
                assert_eq!(next as usize, n);
            }
            assert_eq!(layout.n_nodes(), layout.row(bottom, n as u32 - 1) as usize + 1);
        }
    }

    #[test]
    fn a_tree_of_nothing_or_of_too_much_is_refused() {
        assert_eq!(Layout::new(0).unwrap_err().to_string(), "a tree needs at least 1 item, got none");
        assert!(Layout::new(MOST + 1).unwrap_err().to_string().contains("expected at most 1073741824"));
    }
}
