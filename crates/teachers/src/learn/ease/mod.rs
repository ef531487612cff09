//! EASE: a linear item-to-item model in closed form.

mod config;

pub use config::EaseConfig;

use rayon::prelude::*;
use rectify_core::{ItemId, Provenance};
use rectify_data::Interactions;
use rectify_tensor::linalg::invert_positive_definite;

use super::FitError;
use super::co_counts::CoCounts;
pub use crate::serve::{Ease, EaseWeights};

const MODEL: &str = "ease";

/// Solves an embarrassingly shallow auto-encoder (Steck, WWW 2019): the item-to-item weights B with zero diagonal that minimise
/// `‖X − XB‖² + λ‖B‖²` are, with `P = (XᵀX + λI)⁻¹`, `B_ij = −P_ij / P_jj`.
///
/// Strong wherever the catalogue is small, and there is nothing to train. Memory grows with n_items² and time with
/// n_items³, whatever the number of users: above some 30,000 items take [`ials`](super::ials).
///
/// Everything is computed in f32, and a λ too small for that is refused where the factorisation notices. The
/// factorisation runs on one thread, so any number of threads gives the same bits.
///
/// # Errors
/// [`FitError::Config`]; [`FitError::Empty`] without any interaction; [`FitError::Memory`] for a catalogue too large;
/// [`FitError::Singular`] if λ is too small for f32.
pub fn fit(train: &Interactions, config: &EaseConfig) -> Result<Ease, FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let n_items = train.n_items();
    let needed_bytes = (n_items as u64).saturating_mul(n_items as u64).saturating_mul(2 * size_of::<f32>() as u64);
    let limit_bytes = config.memory_limit_bytes;
    if needed_bytes > limit_bytes {
        return Err(FitError::Memory { model: MODEL, n_items, needed_bytes, limit_bytes });
    }
    let singular = || FitError::Singular { model: MODEL, what: format!("{n_items} items"), precision: "f32" };
    let mut weights = invert_positive_definite(gram(train, config.l2 as f32), n_items).ok_or_else(singular)?;
    let scale: Vec<f32> = (0..n_items).map(|j| -1.0 / weights[j * n_items + j]).collect();
    weights.par_chunks_exact_mut(n_items).enumerate().for_each(|(a, row)| {
        row.iter_mut().zip(&scale).for_each(|(p, scale)| *p *= scale);
        row[a] = 0.0;
    });
    let weights = EaseWeights::new(weights, n_items).map_err(|_| singular())?;
    Ok(Ease::new(super::histories(train), weights, Provenance::new(MODEL, config))
        .expect("histories hold the data's items"))
}

/// `XᵀX + λI`, dense.
fn gram(train: &Interactions, l2: f32) -> Vec<f32> {
    let n = train.n_items();
    let mut gram = vec![0.0f32; n * n];
    gram.par_chunks_exact_mut(n).enumerate().with_min_len(16).for_each_init(
        || CoCounts::new(n),
        |scratch, (item, row)| {
            scratch.count(train, ItemId(item as u32));
            scratch.iter().for_each(|(other, shared)| row[other.index()] = shared as f32);
            row[item] += l2;
        },
    );
    gram
}

#[cfg(test)]
mod tests {
    use rectify_core::{UserId, testing};

    use super::*;
    use crate::learn::fixture;

    fn fitted(train: &Interactions) -> Ease {
        fit(train, &EaseConfig { l2: 10.0, ..EaseConfig::default() }).unwrap()
    }

    #[test]
    fn two_items_give_the_weights_that_can_be_written_down() {
        // XᵀX = [[3, 2], [2, 2]], λ = 1: P ∝ [[3, -2], [-2, 4]], so B_01 = 2 / 4 and B_10 = 2 / 3.
        let train = Interactions::from_pairs(3, 2, &[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]).unwrap();
        let model = fit(&train, &EaseConfig { l2: 1.0, ..EaseConfig::default() }).unwrap();
        let want = [0.0, 0.5, 2.0 / 3.0, 0.0];
        assert!(
            model.index().weights().iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6),
            "{:?}",
            model.index().weights()
        );
    }

    #[test]
    fn the_weights_meet_the_optimality_condition_off_the_diagonal() {
        // The gradient of ‖X − XB‖² + λ‖B‖² vanishes off the diagonal: (G + λI) B = G there.
        let train = fixture::clusters(200, 90);
        let (n, model) = (90, fitted(&train));
        let g = gram(&train, 0.0);
        for i in 0..n {
            for j in (0..n).filter(|j| *j != i) {
                let left: f64 = (0..n)
                    .map(|k| {
                        let l2 = if i == k { 10.0 } else { 0.0 };
                        (f64::from(g[i * n + k]) + l2) * f64::from(model.index().weights()[k * n + j])
                    })
                    .sum();
                assert!((left - f64::from(g[i * n + j])).abs() < 1e-2, "{i} {j}: {left} {}", g[i * n + j]);
            }
        }
    }

    #[test]
    fn ease_finds_the_held_out_item() {
        let (train, targets) = fixture::held_out(200, 90);
        let auc = fixture::auc(&fitted(&train), &train, &targets);
        // Usually 0.854; 0.93 is the most that the four groups allow.
        assert!((0.80..0.95).contains(&auc), "{auc}");
    }

    #[test]
    fn ease_keeps_every_promise_for_users_with_and_without_items() {
        let model = fitted(&fixture::clusters(60, 40));
        let users = [&UserId(0), &fixture::EMPTY_USER];
        testing::scorer(&model, &users);
        testing::scorer_refuses(&model, &UserId(60));
        testing::retriever(&model, &users, &testing::Oracle::scorer(&model));
        testing::index(&model, &users);
        assert_eq!(model.provenance().settings["l2"], 10.0);
    }

    #[test]
    fn files_are_the_same_for_any_number_of_threads_and_answer_the_same() {
        let train = fixture::clusters(150, 130);
        fixture::same_file_for_any_threads(|| fitted(&train));
    }

    #[test]
    fn a_catalogue_too_large_is_refused_before_anything_is_allocated() {
        let train = Interactions::from_pairs(1, 4_000_000, &[(0, 0)]).unwrap();
        let error = fit(&train, &EaseConfig::default()).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "ease on 4000000 items needs 128000000000000 bytes, but memory_limit_bytes is 8589934592; raise the limit"
            ),
            "{error}"
        );
    }

    #[test]
    fn bad_settings_and_empty_data_are_named() {
        let train = fixture::clusters(60, 40);
        for l2 in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = fit(&train, &EaseConfig { l2, ..EaseConfig::default() }).unwrap_err().to_string();
            assert_eq!(error, format!("ease: l2 is {l2}, expected a finite number above 0"));
        }
        let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
        assert!(matches!(fit(&empty, &EaseConfig::default()), Err(FitError::Empty { .. })));
        assert!(serde_json::from_str::<EaseConfig>(r#"{"lambda": 3}"#).unwrap_err().to_string().contains("lambda"));
    }

    #[test]
    fn a_regularisation_below_f32_is_an_error_and_no_nonsense() {
        // Two equal columns of four: 4 + 1e-12 rounds to 4, and the system is singular.
        let pairs: Vec<(u32, u32)> = (0..4).flat_map(|user| [(user, 0), (user, 1)]).collect();
        let train = Interactions::from_pairs(4, 2, &pairs).unwrap();
        let error = fit(&train, &EaseConfig { l2: 1e-12, ..EaseConfig::default() }).unwrap_err();
        assert!(matches!(error, FitError::Singular { precision: "f32", .. }), "{error}");
    }
}
