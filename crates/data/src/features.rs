//! What files tell about items: categories and words.

use rectify_core::ItemId;
use rectify_core::artifact::Array;

use crate::Ragged;

/// Categories of items, each by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Categories {
    names: Vec<String>,
    of_item: Ragged<u32>,
}

impl Categories {
    /// Category numbers of each item (rows ascending) and their names.
    ///
    /// # Panics
    /// If a number has no name.
    #[must_use]
    pub fn new(names: Vec<String>, of_item: Ragged<u32>) -> Self {
        assert!(of_item.values().iter().all(|&category| (category as usize) < names.len()), "category without name");
        Self { names, of_item }
    }

    /// Names, by category number.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Category numbers of an item, ascending; often one, sometimes none.
    ///
    /// # Panics
    /// If there is no such item.
    #[must_use]
    pub fn of_item(&self, item: ItemId) -> &[u32] {
        self.of_item.row(item.index())
    }

    /// Category numbers of all items.
    #[must_use]
    pub const fn rows(&self) -> &Ragged<u32> {
        &self.of_item
    }

    /// The same for the items `kept`, renumbered in that order; names stay.
    #[must_use]
    pub fn select(&self, kept: &[u32]) -> Self {
        let rows = kept.iter().map(|&item| self.of_item.row(item as usize));
        Self { names: self.names.clone(), of_item: Ragged::from_rows(rows) }
    }
}

/// Bags of words of items.
#[derive(Clone, Debug)]
pub struct WordCounts {
    n_words: usize,
    words: Ragged<u32>,
    counts: Array<u32>,
}

impl WordCounts {
    /// Word numbers of each item, with counts aligned to [`Ragged::values`].
    ///
    /// # Panics
    /// If the lengths disagree or a word is at or beyond `n_words`.
    #[must_use]
    pub fn new(n_words: usize, words: Ragged<u32>, counts: impl Into<Array<u32>>) -> Self {
        let counts = counts.into();
        assert_eq!(words.values().len(), counts.len(), "one count a word");
        assert!(words.values().iter().all(|&word| (word as usize) < n_words), "word out of range");
        Self { n_words, words, counts }
    }

    /// Size of the vocabulary.
    #[must_use]
    pub const fn n_words(&self) -> usize {
        self.n_words
    }

    /// Words of an item and how often each occurs, aligned.
    ///
    /// # Panics
    /// If there is no such item.
    #[must_use]
    pub fn of_item(&self, item: ItemId) -> (&[u32], &[u32]) {
        (self.words.row(item.index()), &self.counts[self.words.range(item.index())])
    }

    /// Words of all items.
    #[must_use]
    pub const fn rows(&self) -> &Ragged<u32> {
        &self.words
    }

    /// Counts of all items, aligned with [`rows`](Self::rows)' values.
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The same for the items `kept`, renumbered in that order; the vocabulary stays.
    #[must_use]
    pub fn select(&self, kept: &[u32]) -> Self {
        let counts: Vec<u32> = kept.iter().flat_map(|&item| self.of_item(ItemId(item)).1.iter().copied()).collect();
        let words = Ragged::from_rows(kept.iter().map(|&item| self.words.row(item as usize)));
        Self { n_words: self.n_words, words, counts: counts.into() }
    }
}

impl PartialEq for WordCounts {
    fn eq(&self, other: &Self) -> bool {
        self.n_words == other.n_words && self.words == other.words && *self.counts == *other.counts
    }
}
