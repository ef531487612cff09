//! The evaluation against its naive twin, on made-up data, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, Hit, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, UserId, check_len};
use rectify_data::{Holdout, Interactions, PerUser, Protocol, Ragged, Split, split};
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, CompareError, EvalError, Evaluation, Metric, System, evaluate, evaluate_test};

const N_USERS: usize = 70;
const N_ITEMS: usize = 40;

/// A table of scores with many ties.
struct Table(Vec<f32>);

impl Table {
    fn random(seed: u64) -> Self {
        let mut rng = Seed(seed).stream("table").rng();
        Self((0..N_USERS * N_ITEMS).map(|_| rng.below(25) as f32 - 9.0).collect())
    }

    fn row(&self, user: UserId) -> &[f32] {
        &self.0[user.index() * N_ITEMS..][..N_ITEMS]
    }
}

impl Scorer for Table {
    type Query = UserId;

    fn n_items(&self) -> usize {
        N_ITEMS
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        out.iter_mut().zip(items).for_each(|(score, item)| *score = self.row(*user)[item.index()]);
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        out.copy_from_slice(self.row(*user));
        Ok(())
    }
}

/// Random interactions: (training, held out, validation); some users hold nothing out, one held-out pair is in training.
fn data() -> (Interactions, Holdout, Ragged<ItemId>) {
    let mut rng = Seed(3).stream("data").rng();
    let mut parts = [vec![(5, 7)], vec![(5, 7)], Vec::new()];
    for user in 0..N_USERS as u32 {
        let items = rng.sample_distinct(N_ITEMS as u32, 20);
        for (at, item) in items.into_iter().enumerate() {
            let held = if user % 9 == 0 { at % 2 * 2 } else { at % 3 };
            parts[held].push((user, item));
        }
    }
    let [train, test, validation] = parts.map(|pairs| Interactions::from_pairs(N_USERS, N_ITEMS, &pairs).unwrap());
    let rows = |from: &Interactions| Ragged::from_rows(from.users().map(|user| from.items_of(user).to_vec()));
    let candidates = Ragged::from_rows(train.users().map(|user| {
        let taken = |item: &ItemId| train.contains(user, *item) || test.contains(user, *item);
        (0..N_ITEMS as u32).map(ItemId).filter(|item| !taken(item)).take(9).collect::<Vec<_>>()
    }));
    let validation = rows(&validation);
    (train, Holdout::new(rows(&test)).with_candidates(candidates), validation)
}

fn metrics(names: &[&str]) -> Vec<Metric> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

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

#[track_caller]
fn near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-12, "{what}: got {got}, expected {expected}");
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

/// Enough users for many blocks.
fn large() -> (Split, impl Scorer<Query = UserId>) {
    struct Hashed;
    impl Scorer for Hashed {
        type Query = UserId;

        fn n_items(&self) -> usize {
            50
        }

        fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            for (item, score) in items.iter().zip(out) {
                *score = Seed(u64::from(user.0)).at(0, u64::from(item.0)).unit_f32();
            }
            Ok(())
        }

        fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
            let items: Vec<ItemId> = (0..50).map(ItemId).collect();
            self.score_into(user, &items, out)
        }
    }
    let mut rng = Seed(8).rng();
    let pairs: Vec<(u32, u32)> =
        (0..2000).flat_map(|user| rng.sample_distinct(50, 12).into_iter().map(move |item| (user, item))).collect();
    let all = Interactions::from_pairs(2000, 50, &pairs).unwrap();
    let Protocol::PerUser(lightrec) = Protocol::lightrec() else { unreachable!("it holds out items of each user") };
    let protocol = Protocol::PerUser(PerUser { candidates: Some(20), ..lightrec });
    (split(&all, None, &protocol, Seed(1), 0).unwrap(), Hashed)
}

#[test]
fn values_have_the_same_bits_for_any_number_of_threads() {
    let (split, scorer) = large();
    let asked = metrics(&["ndcg@10", "recall@20", "map_min@5", "mrr@10", "f1@3"]);
    let with_coverage = metrics(&["ndcg@10", "coverage@1"]);
    let retriever = Exhaustive::new(&scorer);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            [
                evaluate_test(System::Scorer(&scorer), &split, &asked, Candidates::Sampled).unwrap(),
                evaluate_test(System::Scorer(&scorer), &split, &asked, Candidates::Unseen).unwrap(),
                evaluate_test(System::Retriever(&retriever), &split, &with_coverage, Candidates::All).unwrap(),
            ]
        })
    };
    let bits = |evaluations: [Evaluation; 3]| -> Vec<u64> {
        let values = evaluations.iter().flat_map(|e| e.metrics().iter().map(|m| e.value(*m).unwrap().to_bits()));
        values.collect()
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(bits(one), bits(run(5)));
}

#[test]
fn a_random_order_of_fifty_items_scores_as_arithmetic_says() {
    let (split, scorer) = large();
    // Sampled: rank uniform in 1..=21, 2 test items a user, 2000 users; standard error of the mean hr@7 is 0.0075.
    let hr = metrics(&["hr@7"]);
    let got = evaluate_test(System::Scorer(&scorer), &split, &hr, Candidates::Sampled).unwrap();
    assert!((got.value(hr[0]).unwrap() - 1.0 / 3.0).abs() < 0.03, "{:?}", got.value(hr[0]));
}

#[test]
fn the_test_part_is_ranked_without_training_and_validation_items() {
    let (split, scorer) = large();
    let recall = metrics(&["recall@100"]);
    let got = evaluate_test(System::Scorer(&scorer), &split, &recall, Candidates::Unseen).unwrap();
    assert_eq!(got.value(recall[0]), Some(1.0));
    assert_eq!(got.counts().unreachable_items, 0);
    let all = metrics(&["precision_len@all"]);
    let got = evaluate_test(System::Scorer(&scorer), &split, &all, Candidates::Unseen).unwrap();
    // 12 items a user: 2 in test, 1 in validation, 9 in training; so 2 of the 50 - 10 offered are hits.
    assert!(got.per_user(all[0]).unwrap().iter().all(|value| *value == 2.0 / 40.0));
}

#[test]
fn two_systems_are_paired_by_user() {
    let (train, held, validation) = data();
    let ndcg = metrics(&["ndcg@10"]);
    let run = |seed: u64, held: &Holdout, candidates| {
        evaluate(System::Scorer(&Table::random(seed)), &train, held, &ndcg, candidates).unwrap()
    };
    let (a, b) = (run(1, &held, Candidates::Unseen), run(2, &held, Candidates::Unseen));
    let bootstrap = Bootstrap::default();
    let comparison = a.compare(&b, ndcg[0], &bootstrap).unwrap();
    near(comparison.mean_difference, a.value(ndcg[0]).unwrap() - b.value(ndcg[0]).unwrap(), "difference of means");
    assert!(
        comparison.interval.low < comparison.mean_difference && comparison.mean_difference < comparison.interval.high
    );
    assert!(comparison.t_test.p_value > 0.01 && comparison.wilcoxon.p_value > 0.01, "{comparison:?}");
    let mirrored = b.compare(&a, ndcg[0], &bootstrap).unwrap();
    assert_eq!(mirrored.t_test.p_value, comparison.t_test.p_value);
    assert_eq!(a.compare(&a, ndcg[0], &bootstrap).unwrap().wilcoxon.p_value, 1.0);

    // An oracle is better than chance, and the tests see it.
    let mut oracle = Table::random(1);
    for user in held.users() {
        held.truth_of(user).iter().for_each(|item| oracle.0[user.index() * N_ITEMS + item.index()] += 10.0);
    }
    let oracle = evaluate(System::Scorer(&oracle), &train, &held, &ndcg, Candidates::Unseen).unwrap();
    let comparison = oracle.compare(&a, ndcg[0], &bootstrap).unwrap();
    assert!(comparison.interval.low > 0.0 && comparison.t_test.p_value < 1e-9 && comparison.wilcoxon.p_value < 1e-9);

    let refused = a.compare(&run(1, &held, Candidates::All), ndcg[0], &bootstrap);
    assert!(matches!(refused, Err(CompareError::Protocols { .. })), "{refused:?}");
    let others = run(1, &Holdout::new(validation), Candidates::Unseen);
    assert!(matches!(a.compare(&others, ndcg[0], &bootstrap), Err(CompareError::Users { .. })));
    let refused = a.compare(&b, "mrr@10".parse().unwrap(), &bootstrap).unwrap_err();
    assert_eq!(refused.to_string(), "mrr@10 has no values per user in this evaluation; it holds ndcg@10");
}

/// A retriever that returns whatever it was made with.
struct Broken(Vec<u32>);

impl Retriever for Broken {
    type Query = UserId;

    fn n_items(&self) -> usize {
        N_ITEMS
    }

    fn top_k(&self, _: &UserId, _: usize, _: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.assign(9, self.0.iter().map(|&item| Hit::new(ItemId(item), 1.0)));
        Ok(())
    }
}

#[test]
fn lists_that_break_the_rules_are_refused() {
    let train = Interactions::from_pairs(N_USERS, N_ITEMS, &[(0, 3)]).unwrap();
    let held = Holdout::of(&Interactions::from_pairs(N_USERS, N_ITEMS, &[(0, 1)]).unwrap());
    let run = |list: &[u32]| {
        let system = Broken(list.to_vec());
        evaluate(System::Retriever(&system), &train, &held, &metrics(&["ndcg@5"]), Candidates::Unseen)
    };
    let refused = |list: &[u32]| run(list).unwrap_err().to_string();
    assert_eq!(refused(&[1, 2, 1]), "the list for user 0 is broken: item 1 is in it twice");
    assert_eq!(refused(&[1, 40]), "the list for user 0 is broken: item 40 is beyond the catalogue");
    assert_eq!(refused(&[1, 3]), "the list for user 0 is broken: item 3 was to be kept out");
    assert_eq!(run(&[0, 1]).unwrap().counts().short_lists, 1);
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_its_reason() {
    let (train, held, _) = data();
    let table = Table::random(1);
    let retriever = Exhaustive::new(&table);
    let ndcg = metrics(&["ndcg@5"]);
    let run = |system, held: &Holdout, names: &[&str], candidates| {
        evaluate(system, &train, held, &metrics(names), candidates).unwrap_err().to_string()
    };
    let (lists, scores) = (System::Retriever(&retriever), System::Scorer(&table));
    assert_eq!(
        run(lists, &held, &["ndcg@5", "ndcg_all"], Candidates::Unseen),
        "ndcg@all needs scores of chosen items: pass the system as a scorer, not as a retriever"
    );
    assert!(run(lists, &held, &["ndcg@5"], Candidates::Sampled).starts_with("ranking among sampled candidates needs"));
    assert!(run(scores, &held, &["coverage@5"], Candidates::Sampled).starts_with("coverage@5 is a property of lists"));

    let bare = Holdout::new(Ragged::from_rows((0..N_USERS as u32).map(|user| [ItemId(user % 40)])));
    assert_eq!(
        run(scores, &bare, &["ndcg@5"], Candidates::Sampled),
        "user 0 has no sampled candidates: split with candidates, or rank among unseen items"
    );
    let nobody = Holdout::new(Ragged::empty(N_USERS));
    assert_eq!(evaluate(scores, &train, &nobody, &ndcg, Candidates::Unseen).unwrap_err(), EvalError::NoUsers);

    let other_users = Holdout::new(Ragged::empty(N_USERS + 1));
    assert!(
        run(scores, &other_users, &["ndcg@5"], Candidates::Unseen)
            .contains("expected 70 as in the training part, got 71")
    );
    let small = Interactions::from_pairs(N_USERS, 39, &[]).unwrap();
    let refused = evaluate(scores, &small, &Holdout::new(Ragged::empty(N_USERS)), &ndcg, Candidates::Unseen);
    assert!(matches!(refused, Err(EvalError::Shape { what: "items of the system", expected: 39, got: 40 })));
    for rows in [[3, 3], [4, 3], [3, 40]] {
        let truth = Ragged::from_rows((0..N_USERS).map(|_| rows.map(ItemId)));
        let refused = evaluate(scores, &train, &Holdout::new(truth), &ndcg, Candidates::Unseen);
        assert!(matches!(refused, Err(EvalError::Truth { user: UserId(0), .. })), "{refused:?}");
    }

    let mut nan = Table::random(1);
    nan.0[6 * N_ITEMS + 11] = f32::NAN;
    for candidates in [Candidates::Unseen, Candidates::All] {
        let refused = evaluate(System::Scorer(&nan), &train, &held, &ndcg, candidates);
        assert_eq!(refused, Err(EvalError::NanScore { user: UserId(6), item: ItemId(11) }));
    }
    let mut nan = Table::random(1);
    nan.0[..7 * N_ITEMS].fill(f32::NAN);
    let refused = evaluate(System::Scorer(&nan), &train, &held, &ndcg, Candidates::Sampled);
    assert!(matches!(refused, Err(EvalError::NanScore { user: UserId(1), .. })), "{refused:?}");
}

/// A factor model through implicit 0.7.3:
///
/// ```python
/// def seq(n):
///     x = 12345; out = []
///     for _ in range(n): x = (1103515245 * x + 12345) % 2**31; out.append(x / 2**31)
///     return out
/// s = np.array(seq(220), dtype=np.float32) - np.float32(0.5)
/// model = implicit.cpu.als.AlternatingLeastSquares(factors=4)
/// model.user_factors, model.item_factors = s[:120].reshape(30, 4), s[120:].reshape(25, 4)
/// train = [(u, i) for u in range(30) for i in range(25) if (7 * u + 3 * i) % 5 == 0]
/// test = [(u, i) for u in range(30) for i in range(25)
///         if (7 * u + 3 * i) % 5 == 1 and (u + i) % (1 + u % 4) == 0 and u % 6 != 0]
/// csr = lambda pairs: sp.csr_matrix((np.ones(len(pairs)), tuple(zip(*pairs))), shape=(30, 25))
/// ranking_metrics_at_k(model, csr(train), csr(test), K=K)
/// ```
#[test]
fn map_and_ndcg_are_those_of_implicit() {
    struct Factors(Vec<f32>);
    impl Scorer for Factors {
        type Query = UserId;

        fn n_items(&self) -> usize {
            25
        }

        fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            let (users, rows) = self.0.split_at(120);
            let query = &users[4 * user.index()..][..4];
            for (item, score) in items.iter().zip(out) {
                *score = query.iter().zip(&rows[4 * item.index()..][..4]).map(|(a, b)| a * b).sum();
            }
            Ok(())
        }

        fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
            self.score_into(user, &(0..25).map(ItemId).collect::<Vec<_>>(), out)
        }
    }
    let mut x = 12345u64;
    let factors = (0..220).map(|_| {
        x = (1_103_515_245 * x + 12345) % (1 << 31);
        (x as f64 / (1u64 << 31) as f64) as f32 - 0.5
    });
    let model = Factors(factors.collect());
    let grid: Vec<(u32, u32)> = (0..30).flat_map(|user| (0..25).map(move |item| (user, item))).collect();
    let part = |keep: &dyn Fn(u32, u32) -> bool| {
        let pairs: Vec<(u32, u32)> = grid.iter().copied().filter(|&(user, item)| keep(user, item)).collect();
        Interactions::from_pairs(30, 25, &pairs).unwrap()
    };
    let train = part(&|u, i| (7 * u + 3 * i) % 5 == 0);
    let test = part(&|u, i| (7 * u + 3 * i) % 5 == 1 && (u + i).is_multiple_of(1 + u % 4) && !u.is_multiple_of(6));
    let names = ["map_min@3", "ndcg@3", "map_min@8", "ndcg@8"];
    let expected = [0.15333333333333335, 0.20206818579243888, 0.19963333333333336, 0.3098336305319089];
    let got =
        evaluate(System::Scorer(&model), &train, &Holdout::of(&test), &metrics(&names), Candidates::Unseen).unwrap();
    for (name, expected) in names.iter().zip(expected) {
        near(got.value(name.parse().unwrap()).unwrap(), expected, name);
    }
}
