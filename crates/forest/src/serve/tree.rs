//! Which item is at which leaf.

use std::path::Path;

use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::rng::Seed;
use rectify_core::{ItemId, Violation};
use serde::{Deserialize, Serialize};

use super::{Layout, TreeError};

const KIND: &str = "item-tree";
const VERSION: u32 = 1;
pub(crate) const LEAF_CODES: &str = "leaf_codes";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    n_items: usize,
}

/// A tree over items: a [`Layout`] and the bijection π between items and leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    layout: Layout,
    /// Leaf of each item.
    leaves: Vec<u32>,
    /// Item of each leaf.
    items: Vec<ItemId>,
}

impl Tree {
    /// The tree whose leaves, from left to right, are the items of `order`.
    ///
    /// # Errors
    /// No items, or an order that does not hold each of the ids `0..n` once.
    pub fn from_order(order: Vec<ItemId>) -> Result<Self, TreeError> {
        let layout = Layout::new(order.len())?;
        let n_items = order.len();
        let mut leaves = vec![u32::MAX; n_items];
        for (position, &item) in order.iter().enumerate() {
            let leaf = leaves.get_mut(item.index()).ok_or(TreeError::UnknownItem { position, item, n_items })?;
            if *leaf != u32::MAX {
                return Err(TreeError::Twice { item, position });
            }
            *leaf = position as u32;
        }
        Ok(Self { layout, leaves, items: order })
    }

    /// The tree in which item `i` is at the leaf with code `codes[i]`.
    ///
    /// A cycle cannot be written in codes, whose parents are arithmetic; what can be wrong is a code that is no leaf, and a leaf
    /// taken twice, which leaves another one empty.
    ///
    /// # Errors
    /// [`TreeError::NotALeaf`], [`TreeError::SharedLeaf`], or a number of items that has no tree.
    pub fn from_leaf_codes(codes: &[u32]) -> Result<Self, TreeError> {
        let layout = Layout::new(codes.len())?;
        let level = layout.leaf_level();
        let mut order = vec![ItemId(u32::MAX); codes.len()];
        for (item, &code) in (0..).map(ItemId).zip(codes) {
            let Some(leaf) = layout.leaf_of_code(code) else {
                let n_items = codes.len();
                let (first, last) = (layout.code(level, 0), layout.code(level, n_items as u32 - 1));
                return Err(TreeError::NotALeaf { item, code, n_items, first, last, level });
            };
            let place = &mut order[leaf as usize];
            if place.0 != u32::MAX {
                return Err(TreeError::SharedLeaf { first: *place, second: item, code });
            }
            *place = item;
        }
        Self::from_order(order)
    }

    /// Items in random order.
    ///
    /// # Errors
    /// A number of items that has no tree.
    pub fn random(n_items: usize, seed: Seed) -> Result<Self, TreeError> {
        Layout::new(n_items)?;
        let mut order: Vec<ItemId> = (0..n_items as u32).map(ItemId).collect();
        seed.stream("forest/random tree").rng().shuffle(&mut order);
        Self::from_order(order)
    }

    /// Its shape.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of items.
    #[must_use]
    pub const fn n_items(&self) -> usize {
        self.layout.n_items()
    }

    /// Leaf of an item, as its place on the leaf level.
    ///
    /// # Panics
    /// If there is no such item.
    #[must_use]
    pub fn leaf(&self, item: ItemId) -> u32 {
        self.leaves[item.index()]
    }

    /// Heap code of an item's leaf (π).
    ///
    /// # Panics
    /// If there is no such item.
    #[must_use]
    pub fn leaf_code(&self, item: ItemId) -> u32 {
        self.layout.code(self.layout.leaf_level(), self.leaf(item))
    }

    /// Codes of all items, by id.
    #[must_use]
    pub fn leaf_codes(&self) -> Vec<u32> {
        (0..self.n_items() as u32).map(|item| self.leaf_code(ItemId(item))).collect()
    }

    /// Items from the leftmost leaf to the rightmost.
    #[must_use]
    pub fn order(&self) -> &[ItemId] {
        &self.items
    }

    /// Place of an item's ancestor at a level (`b_j(π(i))`).
    ///
    /// # Panics
    /// If there is no such item or level.
    #[must_use]
    pub fn ancestor(&self, item: ItemId, level: u32) -> u32 {
        self.layout.ancestor(self.leaf(item), level)
    }

    /// Walks the tree from its root and names everything that is wrong with it; empty for a sound one.
    ///
    /// Every item must be met at exactly one leaf, on the leaf level, below the nodes that its code says; every node must have as
    /// many leaves below it as its capacity, between `⌊N/2ʲ⌋` and `⌈N/2ʲ⌉`.
    #[must_use]
    pub fn validate(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut fail = |field: &str, problem: String| found.push(Violation { field: field.into(), problem });
        let (layout, n) = (&self.layout, self.n_items());
        if (self.leaves.len(), self.items.len()) != (n, n) {
            fail(
                "leaves",
                format!("{} leaves and {} items, expected {n} of each", self.leaves.len(), self.items.len()),
            );
            return found;
        }
        let bottom = layout.leaf_level();
        let mut met = vec![0u32; n];
        let mut nodes = vec![0u32];
        for level in 0..=bottom {
            for &place in &nodes {
                let leaves = layout.leaves(level, place);
                if !(n >> level..=n.div_ceil(1 << level)).contains(&leaves.len()) || leaves.is_empty() {
                    let code = layout.code(level, place);
                    fail("capacities", format!("node {code} on level {level} has {} leaves below it", leaves.len()));
                }
            }
            if level < bottom {
                nodes = nodes.into_iter().flat_map(|place| layout.descendants(level, place, level + 1)).collect();
            }
        }
        for leaf in nodes {
            let item = self.items[leaf as usize];
            match met.get_mut(item.index()) {
                None => fail("items", format!("leaf {leaf} holds item {item} of {n}")),
                Some(times) => {
                    *times += 1;
                    if self.leaves[item.index()] != leaf {
                        let other = self.leaves[item.index()];
                        fail("leaves", format!("item {item} is at leaf {leaf}, but says {other}"));
                    }
                }
            }
        }
        if let Some(item) = met.iter().position(|times| *times != 1) {
            fail("items", format!("item {item} is at {} leaves, expected 1", met[item]));
        }
        found
    }

    /// Writes the leaf codes of all items to one file, atomically.
    ///
    /// # Errors
    /// A file that exists (unless told to replace it), or the operating system's reason.
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let codes = self.leaf_codes();
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&Config { n_items: self.n_items() });
        writer.array(LEAF_CODES, &[self.n_items()], &codes);
        writer.save(path, overwrite)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// A file that is no such tree, is damaged, or holds codes that [`from_leaf_codes`](Self::from_leaf_codes) refuses.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let Config { n_items } = artifact.config()?;
        Self::read_from(&artifact, LEAF_CODES, n_items)
    }

    /// The tree of an array of leaf codes.
    pub(crate) fn read_from(artifact: &Artifact, name: &str, n_items: usize) -> Result<Self, ArtifactError> {
        let codes = artifact.array_shaped::<u32>(name, &[n_items])?;
        Self::from_leaf_codes(&codes).map_err(|error| artifact.field_error(name, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(order: &[u32]) -> Vec<ItemId> {
        order.iter().copied().map(ItemId).collect()
    }

    proptest! {
        #[test]
        fn every_order_gives_a_sound_tree_that_its_codes_give_back(n in 1usize..400, seed in any::<u64>()) {
            let tree = Tree::random(n, Seed(seed)).unwrap();
            prop_assert_eq!(tree.validate(), []);
            for (leaf, item) in tree.order().iter().enumerate() {
                prop_assert_eq!(tree.leaf(*item) as usize, leaf);
                prop_assert_eq!(tree.ancestor(*item, 0), 0);
            }
            prop_assert_eq!(Tree::from_leaf_codes(&tree.leaf_codes()).unwrap(), tree);
        }
    }

    #[test]
    fn orders_that_are_no_permutation_are_refused_by_position() {
        let message = |order: &[u32]| Tree::from_order(ids(order)).unwrap_err().to_string();
        assert_eq!(message(&[]), "a tree needs at least 1 item, got none");
        assert_eq!(message(&[0, 2]), "position 1 holds item 2, expected ids below 2, each once");
        assert_eq!(message(&[1, 0, 1]), "item 1 comes again at position 2, expected each item once");
    }

    #[test]
    fn codes_that_are_no_tree_are_refused() {
        let message = |codes: &[u32]| Tree::from_leaf_codes(codes).unwrap_err().to_string();
        // A tree of five has the leaves 7, 8, 9, 11, 13: 10 would be a missing leaf's place.
        let text = message(&[7, 8, 10, 11, 13]);
        assert!(text.starts_with("item 2 has leaf code 10, which is no leaf of a tree of 5 items"), "{text}");
        assert!(message(&[7, 8, 3, 11, 13]).contains("expected one of 7 to 13 on level 3"));
        assert_eq!(message(&[7, 8, 9, 8, 13]), "items 1 and 3 have the same leaf code 8, expected a leaf for each");
    }

    #[test]
    fn validate_names_planted_faults() {
        let sound = Tree::from_order(ids(&[2, 0, 1])).unwrap();
        let swapped = Tree { leaves: vec![0, 2, 1], ..sound.clone() };
        assert_eq!(swapped.validate()[0].problem, "item 2 is at leaf 0, but says 1");
        let twice = Tree { items: ids(&[2, 0, 0]), ..sound.clone() };
        assert!(twice.validate().iter().any(|v| v.problem == "item 0 is at 2 leaves, expected 1"));
        let unknown = Tree { items: ids(&[2, 0, 7]), ..sound.clone() };
        assert_eq!(unknown.validate()[0].problem, "leaf 2 holds item 7 of 3");
        let short = Tree { leaves: vec![0], ..sound };
        assert!(short.validate()[0].problem.contains("expected 3 of each"));
    }

    #[test]
    fn files_keep_the_tree_and_bad_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let tree = Tree::random(11, Seed(1)).unwrap();
        tree.save(&path("tree"), Overwrite::Refuse).unwrap();
        assert_eq!(Tree::open(&path("tree")).unwrap(), tree);
        for (name, spoil, expected) in [
            ("duplicate", (|codes: &mut Vec<u32>| codes[3] = codes[5]) as fn(&mut Vec<u32>), "have the same leaf code"),
            ("missing", |codes| codes[3] = 18, "which is no leaf of a tree of 11 items"),
            ("inner", |codes| codes[0] = 0, "which is no leaf of a tree of 11 items"),
        ] {
            let mut codes = tree.leaf_codes();
            spoil(&mut codes);
            let mut writer = ArtifactWriter::new(KIND, VERSION);
            writer.config(&Config { n_items: 11 });
            writer.array(LEAF_CODES, &[11], &codes);
            writer.save(&path(name), Overwrite::Refuse).unwrap();
            let error = Tree::open(&path(name)).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
