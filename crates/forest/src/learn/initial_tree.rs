//! The trees that learning starts from.

use rectify_core::ItemId;
use rectify_core::rng::Seed;
use rectify_data::Categories;
use serde::{Deserialize, Serialize};

use crate::{Tree, TreeError};

/// How the first tree orders its items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitialTree {
    /// By category, as the papers have it; data without categories is refused.
    #[default]
    Categories,
    /// At random.
    Random,
}

impl InitialTree {
    /// The first tree over `n_items`.
    ///
    /// # Errors
    /// [`TreeError::NoCategories`] if it needs categories and there are none, or what [`Tree::by_category`] refuses.
    pub fn build(self, n_items: usize, categories: Option<&Categories>, seed: Seed) -> Result<Tree, TreeError> {
        match self {
            Self::Random => Tree::random(n_items, seed),
            Self::Categories => {
                let categories = categories.ok_or(TreeError::NoCategories)?;
                let got = categories.rows().n_rows();
                if got != n_items {
                    return Err(TreeError::Categories { expected: n_items, got });
                }
                Tree::by_category(categories, seed)
            }
        }
    }
}

impl Tree {
    /// Categories in random order, the items of each together and in random order; an item with several categories takes one of
    /// them at random (TDM, JTM; DeFoRec, section 5).
    ///
    /// **Reading**: items without category, of which the papers do not speak, stay together as if they had one of their own.
    ///
    /// # Errors
    /// A number of items that has no tree.
    pub fn by_category(categories: &Categories, seed: Seed) -> Result<Self, TreeError> {
        let n_groups = categories.names().len() + 1;
        let mut groups: Vec<Vec<ItemId>> = vec![Vec::new(); n_groups];
        let choice = seed.stream("forest/category of item");
        for item in (0..categories.rows().n_rows() as u32).map(ItemId) {
            let group = match categories.of_item(item) {
                [] => n_groups - 1,
                some => some[choice.at(0, u64::from(item.0)).below(some.len() as u32) as usize] as usize,
            };
            groups[group].push(item);
        }
        let within = seed.stream("forest/items of category");
        for (group, items) in groups.iter_mut().enumerate() {
            within.at(0, group as u64).shuffle(items);
        }
        seed.stream("forest/categories").rng().shuffle(&mut groups);
        Self::from_order(groups.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rectify_data::Ragged;

    fn categories(rows: &[&[u32]]) -> Categories {
        let names = (0..4).map(|c| format!("category {c}")).collect();
        Categories::new(names, Ragged::from_rows(rows))
    }

    #[test]
    fn items_of_a_category_stay_together() {
        let rows: Vec<Vec<u32>> = (0..200u32).map(|i| if i % 5 == 4 { vec![] } else { vec![i % 5] }).collect();
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let mut first = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let tree = Tree::by_category(&categories(&rows), Seed(seed)).unwrap();
            assert_eq!(tree.validate(), []);
            let groups: Vec<u32> = tree.order().iter().map(|item| item.0 % 5).collect();
            let changes = groups.windows(2).filter(|w| w[0] != w[1]).count();
            assert_eq!(changes, 4, "five groups, each in one piece");
            first.insert(groups[0]);
            assert!(!tree.order()[..40].is_sorted(), "items of a category are shuffled");
        }
        assert!(first.len() >= 4, "the order of categories is random: {first:?}");
    }

    #[test]
    fn an_item_of_two_categories_goes_to_either() {
        let rows = (0..100).map(|i: u32| [&[0u32][..], &[1], &[0, 1]][(i / 10).min(2) as usize]).collect::<Vec<_>>();
        let tree = Tree::by_category(&categories(&rows), Seed(1)).unwrap();
        let at = |item| tree.order().iter().position(|i| *i == ItemId(item)).unwrap();
        // One category ends where the other begins; about half of the eighty are on each side.
        let zero_first = at(0) < at(10);
        let zeros: Vec<usize> = (0..10).map(at).collect();
        let size = if zero_first {
            (0..100).filter(|p| (10..20).all(|i| *p < at(i))).count()
        } else {
            100 - zeros.iter().min().unwrap()
        };
        assert!((30..=80).contains(&size), "{size}");
    }

    #[test]
    fn missing_categories_are_named() {
        let message = |categories: Option<&Categories>| {
            InitialTree::Categories.build(3, categories, Seed(1)).unwrap_err().to_string()
        };
        assert!(message(None).starts_with("the data has no categories to build the first tree from"));
        assert_eq!(message(Some(&categories(&[&[0]]))), "categories of 1 items, expected 3");
        assert!(InitialTree::Random.build(3, None, Seed(1)).is_ok());
    }
}
