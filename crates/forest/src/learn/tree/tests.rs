use rectify_core::UserId;

use super::*;
use crate::learn::preference::tests::{run, small, world};
use crate::{Histories, Objective, preference};

fn rules() -> [TreeRule; 5] {
    let (greedy, rebalance) = (Assignment::Greedy, Assignment::Rebalance);
    [
        TreeRule::Softmax { level_gap: 2, assignment: greedy, samples_per_item: None },
        TreeRule::Softmax { level_gap: 7, assignment: rebalance, samples_per_item: None },
        TreeRule::Path { level_gap: 3, assignment: rebalance, samples_per_item: None },
        TreeRule::Path { level_gap: 1, assignment: greedy, samples_per_item: Some(2) },
        TreeRule::Clustering,
    ]
}

fn trained(histories: &Histories, n_items: usize, epochs: u32) -> TreeModel {
    let tree = Tree::random(n_items, Seed(2)).unwrap();
    let config = crate::PreferenceConfig { batch_size: 50, ..small(Objective::Softmax) };
    preference::fit(Learners::all(histories), &tree, &config, run(epochs)).unwrap().0
}

/// Neighbours of one kind among leaves with a common parent.
fn pairs_of_a_kind(tree: &Tree) -> usize {
    tree.order().windows(2).filter(|pair| pair[0].0 % 4 == pair[1].0 % 4).count()
}

#[test]
fn learned_trees_are_sound_and_the_same_on_two_threads() {
    for n_items in [1usize, 2, 3, 21, 64, 100] {
        let histories = world(20, n_items.max(4) as u32, 10);
        // Items that the tree does not have are cut off.
        let histories = Histories::from_rows((0..20).map(|user| {
            histories.of(UserId(user)).iter().map(|item| ItemId(item.0 % n_items as u32)).collect::<Vec<_>>()
        }));
        let model = trained(&histories, n_items, 1);
        for rule in rules() {
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| learn_tree(&model, Learners::all(&histories), 2, rule, Seed(1)).unwrap())
            };
            let tree = with(1);
            assert_eq!(tree.validate(), [], "{n_items} items, {rule:?}");
            assert_eq!(tree, with(2));
        }
    }
}

#[test]
fn a_learned_tree_brings_items_of_a_kind_together() {
    let histories = world(300, 64, 30);
    let model = trained(&histories, 64, 8);
    let before = pairs_of_a_kind(model.tree());
    // Wide gaps let a model that knows each leaf keep its items there; narrow ones bring likes together.
    let rules = [
        TreeRule::Softmax { level_gap: 2, assignment: Assignment::Greedy, samples_per_item: None },
        TreeRule::Softmax { level_gap: 2, assignment: Assignment::Rebalance, samples_per_item: None },
        TreeRule::Path { level_gap: 2, assignment: Assignment::Rebalance, samples_per_item: None },
        TreeRule::Path { level_gap: 1, assignment: Assignment::Greedy, samples_per_item: None },
        TreeRule::Clustering,
    ];
    let learners = Learners::all(&histories);
    let after = rules.map(|rule| pairs_of_a_kind(&learn_tree(&model, learners, 2, rule, Seed(1)).unwrap()));
    // Sixteen of 63 at random, 60 at best; usually 25 and more.
    assert!(after.iter().all(|after| *after > before + 4), "{before} to {after:?}");
}

#[test]
fn matching_scores_are_sums_over_the_samples_of_an_item() {
    let histories = world(6, 21, 9);
    let model = trained(&histories, 21, 1);
    let samples = Samples::new(Learners::all(&histories), 21, 2).unwrap();
    let layout = model.tree().layout();
    let score_all = |history: &[ItemId], level: u32| {
        let places: Vec<u32> = (0..layout.width(level) as u32).collect();
        let mut out = vec![0.0; places.len()];
        model.score_places(history, level, &places, &mut Default::default(), &mut out).unwrap();
        out
    };
    let (softmax, path) =
        (Matching::new(&model, &samples, Scores::Softmax, None), Matching::new(&model, &samples, Scores::Path, None));
    for item in (0..21).map(ItemId) {
        let own: Vec<_> = (0..samples.len() as u32).map(|s| samples.get(s)).filter(|s| s.0 == item).collect();
        assert_eq!(softmax.n_samples(item), own.len());
        // From node 1 of level 1 down to level 3.
        let nodes = layout.descendants(1, 1, 3);
        let (got_softmax, got_path) = (
            softmax.scores(item, (1, 1), 3, &mut Default::default()),
            path.scores(item, (1, 1), 3, &mut Default::default()),
        );
        for (n, node) in nodes.clone().enumerate() {
            let (mut want_softmax, mut want_path) = (0.0, 0.0);
            for (_, history) in &own {
                let o = score_all(history, 3);
                let sum: f64 = nodes.clone().map(|node| f64::from(o[node as usize]).exp()).sum();
                want_softmax += f64::from(o[node as usize]) - sum.ln();
                let parent = score_all(history, 2)[node as usize / 2];
                want_path += [parent, o[node as usize]].map(|o| -(-f64::from(o)).exp().ln_1p()).iter().sum::<f64>();
            }
            assert!((f64::from(got_softmax[n]) - want_softmax).abs() < 1e-4 * want_softmax.abs().max(1.0));
            assert!((f64::from(got_path[n]) - want_path).abs() < 1e-4 * want_path.abs().max(1.0));
        }
    }
}

#[test]
fn some_samples_of_an_item_stand_for_all() {
    let histories = world(20, 21, 12);
    let model = trained(&histories, 21, 1);
    let samples = Samples::new(Learners::all(&histories), 21, 2).unwrap();
    let scores = |limit: Option<usize>, item| {
        let matching = Matching::new(&model, &samples, Scores::Softmax, limit.map(|n| (n, Seed(7))));
        (matching.n_samples(item), matching.scores(item, (0, 0), 2, &mut Default::default()))
    };
    let nodes: Vec<u32> = (0..4).collect();
    let mut several = 0;
    for item in (0..21).map(ItemId) {
        let (n, all) = scores(None, item);
        assert_eq!(scores(Some(n.max(1)), item), (n, all));
        // One sample alone, taken as often as there are samples.
        let (still, one) = scores(Some(1), item);
        assert_eq!(still, n);
        let of_own = (0..samples.len() as u32).map(|sample| samples.get(sample)).filter(|(target, _)| *target == item);
        let close = of_own.map(|(_, history)| {
            let mut o = vec![0.0; 4];
            model.score_places(history, 2, &nodes, &mut Default::default(), &mut o).unwrap();
            let mut sums = [0.0; 4];
            matching::add_log_softmax(&o, &mut sums);
            sums.iter().zip(&one).all(|(want, got)| (n as f64 * want - f64::from(*got)).abs() < 1e-4)
        });
        assert!(n == 0 || close.into_iter().any(|close| close), "item {item}");
        several += usize::from(n > 1);
    }
    assert!(several > 5, "items with a choice");
}

#[test]
fn impossible_gaps_are_refused() {
    let rule = TreeRule::Softmax { level_gap: 0, assignment: Assignment::Greedy, samples_per_item: None };
    assert_eq!(rule.validate().unwrap_err().to_string(), "level_gap is 0, expected 1 to 16");
    let rule = TreeRule::Path { level_gap: 7, assignment: Assignment::Greedy, samples_per_item: Some(0) };
    assert_eq!(rule.validate().unwrap_err().to_string(), "samples_per_item is 0, expected at least 1");
}
