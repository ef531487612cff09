//! Two systems against each other, user by user.

use super::common::{N_ITEMS, Table, data, metrics, near};
use rectify_data::Holdout;
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, CompareError, System, evaluate};

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
