//! How vectors of new people are found, chosen on held-out items.

use rectify_core::{ItemFilter, QueryError, Retriever, TopK, UserId};
use rectify_data::{Holdout, Interactions};
use rectify_eval::{Candidates, EvalError, Metric, System, evaluate};
use rectify_models::{ByVector, Model, Newcomers};
use rectify_teachers::{RidgeConfig, RidgeFoldIn};

use super::TrainError;
use crate::RecommendError;

/// Weights of what a person does not have, and regularisations, that are tried.
const WEIGHTS: [f64; 6] = [0.0, 0.003, 0.01, 0.03, 0.1, 0.3];
const L2: [f64; 5] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];
/// Users that a choice is made on, at most.
const USERS: usize = 2_000;

/// Every user folded in by what they have, as if they were new.
pub struct FoldedIn<'a> {
    /// What they ask.
    pub model: &'a dyn ByVector,
    /// How their vectors are found.
    pub fold_in: &'a RidgeFoldIn,
    /// What they have.
    pub histories: &'a Interactions,
}

impl rectify_core::Catalogue for FoldedIn<'_> {
    fn n_items(&self) -> usize {
        self.model.items().n_items()
    }
}

impl Retriever for FoldedIn<'_> {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        let vector = self.model.fold_in(self.fold_in, self.histories.items_of(*user))?;
        self.model.top_k_by_vector(&vector, k, filter, out)
    }
}

/// The settings that rank held-out items best for people who are folded in by their other items, over 30 of weight and regularisation.
///
/// Nothing for a model that is not asked with vectors.
///
/// # Errors
/// Parts of different shapes, or nobody with held-out items.
pub fn choose_fold_in(
    model: &dyn Model,
    histories: &Interactions,
    held: &Holdout,
    metric: Metric,
) -> Result<Option<RidgeConfig>, RecommendError> {
    let Newcomers::ByVector(vectors) = model.newcomers() else { return Ok(None) };
    let n_held = held.users().count();
    let every = n_held.div_ceil(USERS).max(1);
    let some: Vec<UserId> = held.users().step_by(every).collect();
    let held = held.only(|user| some.binary_search(&user).is_ok());
    let made = RidgeFoldIn::new(vectors.items(), RidgeConfig::default())?;
    let mut best: Option<(f64, RidgeConfig)> = None;
    for unobserved_weight in WEIGHTS {
        for l2 in L2 {
            let config = RidgeConfig { unobserved_weight, l2, frequency_exponent: 1.0 };
            let fold_in = made.with_config(config)?;
            let system = FoldedIn { model: &*vectors, fold_in: &fold_in, histories };
            match evaluate(System::Retriever(&system), histories, &held, &[metric], Candidates::Unseen) {
                Ok(evaluation) => {
                    let value = evaluation.value(metric).unwrap_or(0.0);
                    if best.is_none_or(|(least, _)| value > least) {
                        best = Some((value, config));
                    }
                }
                // Single precision cannot solve it.
                Err(EvalError::Query(QueryError::Unsupported(_))) => {}
                Err(error) => return Err(TrainError::from(error).into()),
            }
        }
    }
    Ok(best.map(|(_, config)| config))
}
