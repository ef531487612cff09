//! Laws of searches, on random models: the shared battery, limits, and discriminators.

use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, FoldIn, ForUsers, Histories, Provenance, UserId, UsersError, testing};

use super::*;
use crate::serve::model::tests::{odd_shape, random_network};

fn pair(n_items: usize, seed: u64) -> TreeModel {
    let tree = Tree::random(n_items, Seed(seed)).unwrap();
    let (network, _) = random_network(&odd_shape(), tree.layout().n_nodes(), seed);
    TreeModel::new(tree, network).unwrap()
}

fn forest(n_items: usize, n_trees: u64, beam_width: usize) -> ForestIndex {
    let search = SearchConfig { beam_width, ..SearchConfig::default() };
    ForestIndex::new((0..n_trees).map(|t| pair(n_items, t)).collect(), search).unwrap()
}

fn queries(n_items: u32) -> Vec<Vec<ItemId>> {
    let mut rng = Seed(5).stream("queries").rng();
    [0, 1, 4, 7, 30].map(|n| (0..n).map(|_| ItemId(rng.below(n_items))).collect()).to_vec()
}

#[test]
fn a_forest_with_a_beam_as_wide_as_the_leaves_conforms_exactly() {
    for (n_items, n_trees) in [(1, 1), (2, 1), (45, 1), (64, 3), (45, 2)] {
        let index = forest(n_items, n_trees, n_items);
        let queries = queries(n_items as u32);
        let queries: Vec<&[ItemId]> = queries.iter().map(Vec::as_slice).collect();
        testing::scorer(&index, &queries);
        testing::retriever(&index, &queries, &testing::Oracle::scorer(index.last()));
        testing::index(&index, &queries);
    }
}

#[test]
fn a_narrow_beam_conforms_as_an_approximation() {
    let index = forest(200, 2, 8);
    let queries = queries(200);
    let queries: Vec<&[ItemId]> = queries.iter().map(Vec::as_slice).collect();
    // Random models are no heaps, and lists of 100 widen the beam; usually about 0.5.
    testing::retriever(&index, &queries, &testing::Oracle::scorer(index.last()).recall(0.2..=0.95));
}

#[test]
fn a_beam_as_wide_as_the_leaf_level_is_brute_force_and_a_narrower_one_scores_fewer_nodes() {
    let index = forest(300, 1, 300);
    let all = ItemFilter::all();
    for query in queries(300) {
        let (mut want, mut got) = (TopK::new(), TopK::new());
        Exhaustive::new(index.last()).top_k(&query, 20, &all, &mut want).unwrap();
        assert_eq!(index.search(&query, 20, &all, &mut got).unwrap(), 300);
        assert_eq!(got, want);
        // Level 4 is kept whole; then 32, 32, 32, 32 children, and the leaves, of which the last level has not twice as many.
        let scored = index.last().search(&query, 16, 10, &all, &mut got).unwrap();
        assert!((4 * 32 + 16..=5 * 32).contains(&scored), "{scored}");
    }
}

#[test]
fn a_forest_of_one_is_its_tree_and_twins_change_nothing() {
    let one = forest(120, 1, 10);
    let twins = ForestIndex::new(vec![pair(120, 0), pair(120, 0)], one.search_config()).unwrap();
    for query in queries(120) {
        let [mut alone, mut single, mut twice] = [const { TopK::new() }; 3];
        one.last().search(&query, 10, 9, &ItemFilter::all(), &mut alone).unwrap();
        one.search(&query, 9, &ItemFilter::all(), &mut single).unwrap();
        twins.search(&query, 9, &ItemFilter::all(), &mut twice).unwrap();
        assert_eq!((&single, &twice), (&alone, &alone));
    }
}

#[test]
fn the_first_trees_are_the_forest_that_they_were() {
    let whole = forest(120, 3, 10);
    for n in 1..=3 {
        let first = whole.clone().first_trees(n).unwrap();
        let grown = forest(120, n as u64, 10);
        for query in queries(120) {
            let [mut got, mut want] = [const { TopK::new() }; 2];
            first.search(&query, 9, &ItemFilter::all(), &mut got).unwrap();
            grown.search(&query, 9, &ItemFilter::all(), &mut want).unwrap();
            assert_eq!(got, want);
        }
    }
    for n in [0, 4] {
        let error = whole.clone().first_trees(n).unwrap_err().to_string();
        assert_eq!(error, format!("{n} trees are asked for, expected 1 to 3, as many as the forest has"));
    }
}

#[test]
fn twice_the_items_cost_two_beams_more() {
    let all = ItemFilter::all();
    let beam = 10;
    let scored: Vec<usize> = [250, 500, 1000, 2000, 4000]
        .map(|n_items| {
            let index = forest(n_items, 1, beam);
            let of_query = |query: &Vec<ItemId>| index.search(query, beam, &all, &mut TopK::new()).unwrap();
            queries(n_items as u32).iter().map(of_query).max().unwrap()
        })
        .to_vec();
    // Level 3 is kept whole, 16 nodes of level 4 are scored, then two children of ten nodes each, some of whose leaves have no twin.
    for (more, got) in scored.iter().enumerate() {
        let levels = 4 + more;
        assert!((16 + 2 * beam * (levels - 1)..=16 + 2 * beam * levels).contains(got), "{levels}: {got}");
    }
}

#[test]
fn candidates_of_several_trees_are_ranked_by_the_discriminator() {
    /// Likes high ids.
    struct Latest;
    impl Catalogue for Latest {
        fn n_items(&self) -> usize {
            100
        }
    }

    impl Scorer for Latest {
        type Query = [ItemId];
        fn score_into(&self, _: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            out.iter_mut().zip(items).for_each(|(out, item)| *out = item.0 as f32);
            Ok(())
        }
        fn score_all_into(&self, _: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            out.iter_mut().enumerate().for_each(|(item, out)| *out = item as f32);
            Ok(())
        }
    }
    let index = forest(100, 2, 5);
    let filter = ItemFilter::all();
    for query in queries(100) {
        let [mut first, mut second, mut merged, mut own] = [const { TopK::new() }; 4];
        index.trees()[0].search(&query, 5, 5, &filter, &mut first).unwrap();
        index.trees()[1].search(&query, 5, 5, &filter, &mut second).unwrap();
        let mut union: Vec<ItemId> = first.items().chain(second.items()).collect();
        union.sort_unstable();
        union.dedup();
        index.with_discriminator(Latest).unwrap().top_k(&query, 5, &filter, &mut merged).unwrap();
        assert_eq!(merged.items().collect::<Vec<_>>(), union.iter().rev().take(5).copied().collect::<Vec<_>>());
        // The default is the last model.
        let n_scored = index.search(&query, 5, &filter, &mut own).unwrap();
        index.with_discriminator(index.last()).unwrap().top_k(&query, 5, &filter, &mut merged).unwrap();
        assert_eq!(own, merged);
        assert!(n_scored > 0);
    }
    let error = index.with_discriminator(pair(99, 0)).unwrap_err().to_string();
    assert_eq!(error, "the discriminator's catalogue has length 99, expected 100");
}

#[test]
fn trees_that_make_no_forest_are_refused() {
    let message = |trees: Vec<TreeModel>, beam_width: usize| {
        let search = SearchConfig { beam_width, ..SearchConfig::default() };
        ForestIndex::new(trees, search).unwrap_err().to_string()
    };
    assert_eq!(message(vec![], 1), "a forest needs at least 1 tree, got none");
    assert_eq!(message(vec![pair(3, 1)], 0), "beam_width is 0, expected at least 1");
    assert_eq!(message(vec![pair(3, 1), pair(4, 1)], 1), "tree 1 has 4 items, the first one has 3");
    let tree = Tree::random(3, Seed(1)).unwrap();
    let shape = PreferenceShape { attention_dim: 2, ..odd_shape() };
    let other = TreeModel::new(tree.clone(), random_network(&shape, tree.layout().n_nodes(), 1).0).unwrap();
    assert!(message(vec![pair(3, 1), other], 1).starts_with("the model of tree 1 has another shape"));
    let error = TreeModel::new(tree, random_network(&shape, 4, 1).0).unwrap_err().to_string();
    assert_eq!(error, "the model has embeddings of 4 nodes, the tree has 6");
}

#[test]
fn a_forest_for_users_conforms() {
    let histories = Histories::from_rows(queries(45));
    let users =
        ForUsers::new(histories, forest(45, 2, 45), Provenance::new("deforec", &SearchConfig::default())).unwrap();
    let ids: Vec<UserId> = (0..5).map(UserId).collect();
    let ids: Vec<&UserId> = ids.iter().collect();
    testing::scorer(&users, &ids);
    testing::retriever(&users, &ids, &testing::Oracle::scorer(&users));
    testing::index(&users, &ids);
    testing::scorer_refuses(&users, &UserId(5));
    testing::retriever_refuses(&users, &UserId(0), &UserId(5));
    let wrong = ForUsers::new(Histories::from_rows([vec![ItemId(45)]]), forest(45, 1, 45), Provenance::default());
    let UsersError::Invalid(violation) = wrong.unwrap_err() else { panic!("items are unknown") };
    assert_eq!(violation.problem, "the history of user 0 holds item 45, expected ids below 45");
}

#[test]
fn histories_with_unknown_items_are_refused() {
    let index = forest(10, 2, 5);
    testing::scorer_refuses(&index, &[ItemId(10)]);
    testing::retriever_refuses(&index, &[ItemId(1)], &[ItemId(10)]);
    let discriminated = index.with_discriminator(index.last()).unwrap();
    testing::retriever_refuses(&discriminated, &[ItemId(1)], &[ItemId(10)]);
}

#[test]
fn a_search_that_fails_on_its_way_leaves_no_list() {
    struct Wrong(bool);
    impl Catalogue for Wrong {
        fn n_items(&self) -> usize {
            20
        }
    }
    impl Scorer for Wrong {
        type Query = [ItemId];
        fn score_into(&self, _: &[ItemId], _: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            out.fill(f32::NAN);
            if self.0 { Err(QueryError::Unsupported("not today".into())) } else { Ok(()) }
        }
        fn score_all_into(&self, query: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            self.score_into(query, &[], out)
        }
    }
    let index = forest(20, 2, 5);
    for refuses in [true, false] {
        let mut out = TopK::new();
        index.top_k(&[ItemId(1)], 3, &ItemFilter::all(), &mut out).unwrap();
        assert_eq!(out.hits().len(), 3);
        let found = index.with_discriminator(Wrong(refuses)).unwrap();
        assert!(found.top_k(&[ItemId(1)], 3, &ItemFilter::all(), &mut out).is_err());
        assert!(out.hits().is_empty(), "{refuses}");
    }
}

#[test]
fn a_history_is_folded_in_as_itself() {
    let index = forest(10, 1, 5);
    let history = [ItemId(3), ItemId(0)];
    assert_eq!(index.fold_in(&history), Ok(history.to_vec()));
    assert_eq!(index.fold_in(&[]), Ok(vec![]));
    let unknown = QueryError::UnknownItem { item: ItemId(10), n_items: 10 };
    assert_eq!(index.fold_in(&[ItemId(10)]), Err(unknown));
}
