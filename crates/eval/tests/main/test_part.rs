//! The test part of a split: what it is ranked against, and the same bits for any number of threads.

use super::common::metrics;
use rectify_core::rng::Seed;
use rectify_core::{Catalogue, Exhaustive, ItemId, QueryError, Scorer, UserId};
use rectify_data::{Interactions, PerUser, Protocol, Split, split};
use rectify_eval::{Candidates, Evaluation, System, evaluate_test};

/// Enough users for many blocks.
fn large() -> (Split, impl Scorer<Query = UserId>) {
    struct Hashed;
    impl Catalogue for Hashed {
        fn n_items(&self) -> usize {
            50
        }
    }

    impl Scorer for Hashed {
        type Query = UserId;

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
