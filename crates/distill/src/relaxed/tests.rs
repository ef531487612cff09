use proptest::prelude::*;

use super::likelihood::tests::naive;
use super::*;
use crate::math::testing::assert_close;

const ORACLE: [f32; 5] = [2.0, 1.0, 0.5, 0.0, -1.0];
const SHAPE: ListShape = ListShape { n_interesting: 3, n_uninteresting: 2 };

fn loss_of(scores: &[f32]) -> f64 {
    relaxed_ranking(scores, SHAPE, 1.0, &mut [0.0; 5]).unwrap()
}

#[test]
fn the_worked_example_of_five_items_comes_out() {
    let mut grads = [0.0; 5];
    let loss = relaxed_ranking(&ORACLE, SHAPE, 1.0, &mut grads).unwrap();
    assert!((loss - 1.925_135_8).abs() < 5e-7, "{loss}");
    assert_close(&grads, &[-0.436_979, -0.318_885, -0.040_334, 0.582_067, 0.214_131], 1e-6);
    assert!(grads.iter().sum::<f32>().abs() < 1e-6);
    // Term by term: a list of one ranked item against those behind it.
    for (k, want) in [(0, 0.574_437_9), (1, 0.746_567_3), (2, 0.604_130_6)] {
        let shape = ListShape { n_interesting: 1, n_uninteresting: 4 - k };
        let term = relaxed_ranking(&ORACLE[k..], shape, 1.0, &mut grads[k..]).unwrap();
        assert!((term - want).abs() < 2e-7, "{term}");
    }
}

#[test]
fn shifting_all_scores_or_swapping_uninteresting_ones_changes_nothing_and_swapping_interesting_ones_does() {
    assert!((loss_of(&ORACLE.map(|s| s + 10.0)) - 1.925_135_8).abs() < 2e-6);
    assert!((loss_of(&[2.0, 1.0, 0.5, -1.0, 0.0]) - 1.925_135_8).abs() < 5e-7);
    assert!((loss_of(&[1.0, 2.0, 0.5, 0.0, -1.0]) - 2.520_918_1).abs() < 5e-7);
}

#[test]
fn the_denominator_does_not_count_item_k_twice() {
    let literal: f64 = (0..3)
        .map(|k| {
            let interesting: f64 = ORACLE[k..3].iter().map(|s| f64::from(*s).exp()).sum();
            let others: f64 = ORACLE[2..].iter().map(|s| f64::from(*s).exp()).sum();
            (interesting + others).ln() - f64::from(ORACLE[k])
        })
        .sum();
    assert!((literal - 2.732_196_9).abs() < 1e-6);
    assert!((loss_of(&ORACLE) - literal).abs() > 0.5);
}

#[test]
fn one_item_of_each_kind_is_bpr_and_equal_scores_give_factorials() {
    let pair = ListShape { n_interesting: 1, n_uninteresting: 1 };
    let loss = relaxed_ranking(&[1.5, -0.5], pair, 1.0, &mut [0.0; 2]).unwrap();
    assert!((loss - 0.126_928_0).abs() < 1e-7);
    let four = ListShape { n_interesting: 2, n_uninteresting: 2 };
    let loss = relaxed_ranking(&[0.3; 4], four, 1.0, &mut [0.0; 4]).unwrap();
    assert!((loss - (4f64.ln() + 3f64.ln())).abs() < 1e-6);
}

#[test]
fn predictions_are_ranked_as_their_formula_says_and_gradients_are_those_of_the_scores() {
    let losses: [(Likelihood, usize, usize); 3] = [
        (relaxed_ranking_of_predictions, 3, 5),
        (full_ranking_of_predictions, 5, 5),
        (interesting_ranking_of_predictions, 3, 3),
    ];
    let scores = ORACLE.map(f64::from);
    for (loss, ranked, used) in losses {
        let loss_at = |scores: &[f64]| {
            let predictions: Vec<f64> = scores.iter().map(|s| 1.0 / (1.0 + (-s).exp())).collect();
            naive(&predictions, ranked, used)
        };
        let mut grads = [0.0; 5];
        let got = loss(&ORACLE, SHAPE, 2.0, &mut grads).unwrap();
        assert!((got - loss_at(&scores)).abs() < 1e-6, "{got}");
        for (i, grad) in grads.into_iter().enumerate() {
            let at = |step: f64| {
                let mut moved = scores;
                moved[i] += step;
                loss_at(&moved)
            };
            let slope = 2.0 * (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!((f64::from(grad) - slope).abs() < 1e-6, "{i}: {grad}, {slope}");
        }
        // Scores so far out that predictions are 0 and 1.
        let far = [f32::MAX, 1e3, -1e3, -1e30, f32::MIN];
        assert!(loss(&far, SHAPE, 1.0, &mut grads).unwrap().is_finite());
        assert_eq!(grads, [0.0; 5]);
        assert!(loss(&far[1..], SHAPE, 1.0, &mut grads).is_err());
    }
    let equal = relaxed_ranking_of_predictions(&[0.7; 5], SHAPE, 1.0, &mut [0.0; 5]).unwrap();
    assert!((equal - 60f64.ln()).abs() < 1e-6, "ln 5 + ln 4 + ln 3, not {equal}");
}

#[test]
fn ablations_d_and_e_give_their_published_values() {
    let mut grads = [9.0; 5];
    assert!((full_ranking(&ORACLE, SHAPE, 1.0, &mut grads).unwrap() - 2.238_397_5).abs() < 5e-7);
    assert!((list_mle(&ORACLE, 5, 1.0, &mut grads).unwrap() - 2.238_397_5).abs() < 5e-7);
    assert!((interesting_ranking(&ORACLE, SHAPE, 1.0, &mut grads).unwrap() - 0.938_445_8).abs() < 5e-7);
    assert_eq!(grads[3..], [0.0, 0.0]);
}

#[test]
fn scores_of_plus_and_minus_100_stay_finite() {
    for scores in [[100.0, -100.0, 100.0, -100.0, 100.0], [-100.0, 100.0, -100.0, 100.0, -100.0], [100.0; 5]] {
        for loss in [relaxed_ranking, full_ranking, interesting_ranking] {
            let mut grads = [f32::NAN; 5];
            let value = loss(&scores, SHAPE, 1.0, &mut grads).unwrap();
            assert!(value.is_finite() && grads.iter().all(|g| g.is_finite()), "{value} {grads:?}");
            let sum: f32 = grads.iter().sum();
            assert!(sum.abs() < 1e-4, "{sum}");
        }
    }
}

#[test]
fn a_nan_score_spoils_its_own_list_alone() {
    for at in 0..5 {
        let mut scores = [ORACLE; 3].concat();
        scores[5 + at] = f32::NAN;
        let mut grads = [0.0; 15];
        assert!(relaxed_ranking(&scores, SHAPE, 1.0, &mut grads).unwrap().is_nan());
        assert!(grads[5..10].iter().all(|g| g.is_nan()), "{grads:?}");
        let mut alone = [0.0; 5];
        relaxed_ranking(&ORACLE, SHAPE, 1.0, &mut alone).unwrap();
        assert_eq!((&grads[..5], &grads[10..]), (&alone[..], &alone[..]));
    }
}

#[test]
fn no_users_give_no_loss_and_wrong_shapes_are_errors() {
    assert_eq!(relaxed_ranking(&[], SHAPE, 1.0, &mut []), Ok(0.0));
    assert!(matches!(
        relaxed_ranking(&[0.0; 7], SHAPE, 1.0, &mut [0.0; 7]),
        Err(LossError::Rows { row: 5, got: 7, .. })
    ));
    assert!(matches!(relaxed_ranking(&[0.0; 5], SHAPE, 1.0, &mut [0.0; 4]), Err(LossError::Shape { .. })));
    let none = ListShape { n_interesting: 0, n_uninteresting: 2 };
    assert!(matches!(relaxed_ranking(&[0.0; 2], none, 1.0, &mut [0.0; 2]), Err(LossError::Config(_))));
}

proptest! {
    #[test]
    fn permuting_uninteresting_items_leaves_loss_and_gradient_unchanged(
        scores in proptest::collection::vec(-9.0f32..9.0, 9), seed: u64,
    ) {
        let shape = ListShape { n_interesting: 4, n_uninteresting: 5 };
        let mut order: Vec<usize> = (4..9).collect();
        rectify_core::rng::Seed(seed).rng().shuffle(&mut order);
        let permuted: Vec<f32> = scores[..4].iter().copied().chain(order.iter().map(|i| scores[*i])).collect();
        let (mut a, mut b) = ([0.0; 9], [0.0; 9]);
        let before = relaxed_ranking(&scores, shape, 1.0, &mut a).unwrap();
        let after = relaxed_ranking(&permuted, shape, 1.0, &mut b).unwrap();
        prop_assert!((before - after).abs() < 1e-5 * before.max(1.0));
        for (j, i) in order.iter().enumerate() {
            prop_assert!((a[*i] - b[4 + j]).abs() < 1e-5);
        }
        prop_assert!(a.iter().sum::<f32>().abs() < 1e-5);
    }
}
