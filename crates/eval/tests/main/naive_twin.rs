//! The evaluation against its naive twin.

use std::collections::HashSet;

use super::common::{N_ITEMS, N_USERS, Table, data, metrics, near};
use rectify_core::{Exhaustive, Hit, ItemId, UserId};
use rectify_data::Holdout;
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, Evaluation, Metric, System, evaluate};

/// Formulas over sets and lists, as plainly as they can be written.
fn naive(name: &str, list: &[ItemId], truth: &HashSet<ItemId>) -> f64 {
    let (measure, cut) = name.split_once('@').unwrap();
    let k = match cut {
        "all" => list.len(),
        "truth" => truth.len(),
        number => number.parse().unwrap(),
    };
    let top = &list[..k.min(list.len())];
    let hit = |place: usize| truth.contains(&top[place]);
    let hits = (0..top.len()).filter(|&place| hit(place)).count() as f64;
    let t = truth.len() as f64;
    let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let dcg: f64 = (0..top.len()).filter(|&place| hit(place)).map(gain).sum();
    let ideal = |n: usize| (0..n).map(gain).sum::<f64>();
    let precision = |place: usize| (0..=place).filter(|&p| hit(p)).count() as f64 / (place + 1) as f64;
    let precisions: f64 = (0..top.len()).filter(|&place| hit(place)).map(precision).sum();
    let or_zero = |value: f64| if hits == 0.0 { 0.0 } else { value };
    or_zero(match measure {
        "hr" => 1.0,
        "hits" => hits,
        "recall" => hits / t,
        "recall_min" => hits / t.min(k as f64),
        "precision" => hits / k as f64,
        "precision_len" => hits / top.len() as f64,
        "f1" => {
            let (p, r) = (hits / k as f64, hits / t);
            2.0 * p * r / (p + r)
        }
        "ndcg" => dcg / ideal(truth.len().min(k)),
        "ndcg_hits" => dcg / ideal(hits as usize),
        "dcg" => dcg,
        "mrr" => 1.0 / ((0..top.len()).position(hit).unwrap_or(0) + 1) as f64,
        "map" => precisions / t,
        "map_k" => precisions / k as f64,
        "map_min" => precisions / t.min(k as f64),
        "map_hits" => precisions / hits,
        _ => panic!("no naive {measure}"),
    })
}

const MEASURES: [&str; 15] = [
    "hr",
    "hits",
    "recall",
    "recall_min",
    "precision",
    "precision_len",
    "f1",
    "ndcg",
    "ndcg_hits",
    "dcg",
    "mrr",
    "map",
    "map_k",
    "map_min",
    "map_hits",
];

fn names(cuts: &[&str]) -> Vec<String> {
    MEASURES.iter().flat_map(|measure| cuts.iter().map(move |cut| format!("{measure}@{cut}"))).collect()
}

fn parsed(names: &[String]) -> Vec<Metric> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn ranked(table: &Table, user: UserId, among: impl Fn(&ItemId) -> bool) -> Vec<ItemId> {
    let row = table.row(user);
    let mut hits: Vec<Hit> =
        (0..N_ITEMS as u32).map(ItemId).filter(among).map(|item| Hit::new(item, row[item.index()])).collect();
    hits.sort();
    hits.iter().map(|hit| hit.item).collect()
}

fn check_full_ranking(
    evaluation: &Evaluation,
    names: &[String],
    list_of: impl Fn(UserId) -> Vec<ItemId>,
    held: &Holdout,
) {
    for name in names {
        let values = evaluation.per_user(name.parse().unwrap()).unwrap();
        for (&user, &value) in evaluation.users().iter().zip(values) {
            let truth = held.truth_of(user).iter().copied().collect();
            near(value, naive(name, &list_of(user), &truth), &format!("{name} of user {user}"));
        }
    }
}

#[test]
fn full_ranking_equals_the_naive_twin_for_lists_and_for_scores() {
    let (train, held, validation) = data();
    let table = Table::random(1);
    let retriever = Exhaustive::new(&table);
    // 100 is beyond the catalogue.
    let (listed, whole) = (names(&["1", "5", "20", "100", "truth"]), names(&["5", "100", "truth", "all"]));
    for held in [held.clone(), held.with_excluded(validation)] {
        for candidates in [Candidates::Unseen, Candidates::All] {
            let offered = |user: UserId| {
                ranked(&table, user, |item| {
                    candidates == Candidates::All
                        || !train.contains(user, *item) && !held.excluded_of(user).contains(item)
                })
            };
            let lists = evaluate(System::Retriever(&retriever), &train, &held, &parsed(&listed), candidates).unwrap();
            check_full_ranking(&lists, &listed, offered, &held);
            let scores = evaluate(System::Scorer(&table), &train, &held, &parsed(&listed), candidates).unwrap();
            assert_eq!(lists, scores);
            let deep = evaluate(System::Scorer(&table), &train, &held, &parsed(&whole), candidates).unwrap();
            check_full_ranking(&deep, &whole, offered, &held);

            let counts = lists.counts();
            assert_eq!(counts.users + counts.skipped_users, N_USERS);
            assert_eq!(counts.skipped_users, 8, "every ninth user holds nothing out");
            assert_eq!(counts.true_items, held.n_interactions());
            assert_eq!(counts.unreachable_items, usize::from(candidates == Candidates::Unseen), "user 5, item 7");
            // No list has 100 items, but all are complete under `All`: cut-offs end at the catalogue.
            assert_eq!(counts.short_lists, if candidates == Candidates::All { 0 } else { counts.users });
        }
    }
}

#[test]
fn sampled_candidates_rank_each_true_item_alone_and_ties_go_by_item() {
    let (train, held, _) = data();
    let table = Table::random(2);
    let names = names(&["1", "3", "10"]);
    let got = evaluate(System::Scorer(&table), &train, &held, &parsed(&names), Candidates::Sampled).unwrap();
    for name in &names {
        for (&user, &value) in got.users().iter().zip(got.per_user(name.parse().unwrap()).unwrap()) {
            let row = table.row(user);
            let mut sum = 0.0;
            for &item in held.truth_of(user) {
                let sampled = held.candidates_of(user).unwrap();
                let (mut list, mut after): (Vec<ItemId>, Vec<ItemId>) = sampled
                    .iter()
                    .partition(|other| Hit::new(**other, row[other.index()]) < Hit::new(item, row[item.index()]));
                list.push(item);
                list.append(&mut after);
                sum += naive(name, &list, &HashSet::from([item]));
            }
            near(value, sum / held.truth_of(user).len() as f64, &format!("{name} of user {user}"));
        }
    }
}

#[test]
fn coverage_is_the_share_of_items_in_any_list() {
    let (train, held, _) = data();
    let table = Table::random(4);
    let asked = metrics(&["coverage@1", "coverage@3", "ndcg@2"]);
    for system in [System::Scorer(&table), System::Retriever(&Exhaustive::new(&table))] {
        let got = evaluate(system, &train, &held, &asked, Candidates::Unseen).unwrap();
        for (k, metric) in [(1, asked[0]), (3, asked[1])] {
            let shown: HashSet<ItemId> = held
                .users()
                .flat_map(|user| ranked(&table, user, |item| !train.contains(user, *item)).into_iter().take(k))
                .collect();
            near(got.value(metric).unwrap(), shown.len() as f64 / N_ITEMS as f64, "coverage");
            assert_eq!(got.per_user(metric), None);
        }
        let summaries = got.summaries(&Bootstrap::default()).unwrap();
        assert!(summaries[0].interval.is_none() && summaries[2].interval.is_some());
    }
    // Beside a whole-list metric the lists are still made.
    let both = metrics(&["coverage@3", "ndcg@all"]);
    let with = evaluate(System::Scorer(&table), &train, &held, &both, Candidates::Unseen).unwrap();
    let without = evaluate(System::Scorer(&table), &train, &held, &both[..1], Candidates::Unseen).unwrap();
    assert_eq!(with.value(both[0]), without.value(both[0]));
}
