//! What a caller can get wrong with trees.

use rectify_core::ItemId;

/// A tree that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// No items.
    #[error("a tree needs at least 1 item, got none")]
    Empty,
    /// More items than codes of 32 bits have room for.
    #[error("{got} items do not fit a tree, expected at most {most}")]
    TooMany {
        /// Items given.
        got: usize,
        /// Most that fit.
        most: usize,
    },
    /// An id beyond the number of items.
    #[error("position {position} holds item {item}, expected ids below {n_items}, each once")]
    UnknownItem {
        /// Place in the order.
        position: usize,
        /// The id found there.
        item: ItemId,
        /// Number of items.
        n_items: usize,
    },
    /// An item at two leaves; another one has none.
    #[error("item {item} comes again at position {position}, expected each item once")]
    Twice {
        /// The item.
        item: ItemId,
        /// Place in the order where it comes again.
        position: usize,
    },
    /// A code that is no leaf of a tree of this size.
    #[error(
        "item {item} has leaf code {code}, which is no leaf of a tree of {n_items} items; expected one of {first} to {last} on level {level}"
    )]
    NotALeaf {
        /// The item.
        item: ItemId,
        /// Its code.
        code: u32,
        /// Number of items.
        n_items: usize,
        /// The leftmost leaf.
        first: u32,
        /// The rightmost leaf.
        last: u32,
        /// Level of the leaves.
        level: u32,
    },
    /// Two items at one leaf; another leaf has none.
    #[error("items {first} and {second} have the same leaf code {code}, expected a leaf for each")]
    SharedLeaf {
        /// The item that came first.
        first: ItemId,
        /// The other one.
        second: ItemId,
        /// Their code.
        code: u32,
    },
    /// Categories were asked for where there are none.
    #[error("the data has no categories to build the first tree from; load them, or start from a random tree")]
    NoCategories,
    /// Categories of another number of items.
    #[error("categories of {got} items, expected {expected}")]
    Categories {
        /// Items of the tree.
        expected: usize,
        /// Items that have a row of categories.
        got: usize,
    },
}

/// A preference model that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A size outside its range.
    #[error("{field} is {got}, expected 1 to {most}")]
    Size {
        /// Which one.
        field: &'static str,
        /// Its value.
        got: usize,
        /// The largest.
        most: usize,
    },
    /// A weight that is NaN or infinite.
    #[error("array {array} is not finite at position {position}; lower the learning rate")]
    NotFinite {
        /// Which array.
        array: String,
        /// Where in it.
        position: usize,
    },
    /// A model for another tree.
    #[error("the model has embeddings of {got} nodes, the tree has {expected}")]
    Nodes {
        /// Nodes of the tree.
        expected: usize,
        /// Rows of embeddings.
        got: usize,
    },
}

/// Trees and models that make no forest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForestError {
    /// No tree at all.
    #[error("a forest needs at least 1 tree, got none")]
    Empty,
    /// A beam of no width.
    #[error("beam_width is 0, expected at least 1")]
    BeamWidth,
    /// More trees asked for than there are, or none.
    #[error("{got} trees are asked for, expected 1 to {n_trees}, as many as the forest has")]
    Trees {
        /// Trees of the forest.
        n_trees: usize,
        /// Trees asked for.
        got: usize,
    },
    /// Trees over different items.
    #[error("tree {tree} has {got} items, the first one has {expected}")]
    Items {
        /// Which tree, from 0.
        tree: usize,
        /// Items of the first.
        expected: usize,
        /// Items of this one.
        got: usize,
    },
    /// Models of different shapes.
    #[error("the model of tree {tree} has another shape than the first one; a forest is of one shape")]
    Shape {
        /// Which tree, from 0.
        tree: usize,
    },
}
