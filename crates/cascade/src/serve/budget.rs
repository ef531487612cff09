//! Ratios chosen by what they cost.

use rayon::prelude::*;
use rectify_core::simd::Level;
use rectify_core::{QueryError, UserId};

use super::stages::{Above, Rule, Workspace};
use crate::{CascadeError, CascadeIndex, Rejection, RejectionRatios};

/// The error of a caller's own measure.
pub type MeasureError = Box<dyn std::error::Error + Send + Sync>;

/// A caller's measure of a cascade.
pub type Measure<'a> = &'a mut dyn FnMut(&CascadeIndex) -> Result<f64, MeasureError>;

/// Why no ratios could be chosen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// Nobody, or no item, to set thresholds by.
    #[error("no {0} to set thresholds by")]
    Empty(&'static str),
    /// A user that the cascade does not know.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Ratios for another number of modules.
    #[error(transparent)]
    Cascade(#[from] CascadeError),
    /// A measure that failed.
    #[error("a measure failed: {0}")]
    Measure(MeasureError),
    /// A measure that is not finite.
    #[error("the {what} of ratios {ratios:?} is {got}, expected a finite number")]
    NotFinite {
        /// Which measure.
        what: &'static str,
        /// Of which ratios.
        ratios: Vec<f64>,
        /// Its value.
        got: f64,
    },
}

/// Ratios that were tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What each module is to have rejected; none for the cascade that rejects nothing.
    pub ratios: RejectionRatios,
    /// The thresholds that do so on the users given.
    pub thresholds: Vec<f32>,
    /// What it costs, by the caller's measure.
    pub cost: f64,
    /// What it is worth, by the caller's measure.
    pub quality: f64,
}

/// What came of [`CascadeIndex::within_budget`].
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// All trials, in the order of the candidates; last the cascade that rejects nothing.
    pub trials: Vec<Trial>,
    /// The best trial within the budget; `None` if all cost more.
    pub chosen: Option<usize>,
}

impl Plan {
    /// Quality that the chosen ratios cost: that of rejecting nothing minus theirs; below 0 where rejection helps.
    #[must_use]
    pub fn lost(&self) -> Option<f64> {
        let all = self.trials.last()?;
        Some(all.quality - self.trials[self.chosen?].quality)
    }
}

/// Looks at the values of one module.
struct Collect<'a> {
    before: Above<'a>,
    module: usize,
    values: Vec<f32>,
}

impl Rule for Collect<'_> {
    fn see(&mut self, module: usize, _: &[u32], values: &[f32]) {
        if module == self.module {
            self.values.extend_from_slice(values);
        }
    }

    fn keeps(&self, module: usize, slot: u32, value: f32) -> bool {
        module < self.module && self.before.keeps(module, slot, value)
    }
}

impl CascadeIndex {
    /// The same network with thresholds at which, over these users and all items, the modules reject just the given shares.
    ///
    /// Module n keeps the `K_n` pairs with the smallest `D_n` among those that reached it, `K_n` as in [`RejectionRatios::kept`] over
    /// all pairs of these users; equal values are kept together. So a trained cascade gets other ratios than it was trained for,
    /// without training again.
    ///
    /// # Errors
    /// [`BudgetError::Empty`], [`BudgetError::Query`], [`BudgetError::Cascade`] for ratios of another number of modules.
    pub fn calibrated(&self, ratios: &RejectionRatios, users: &[UserId]) -> Result<Self, BudgetError> {
        let (network, n_modules) = (self.network(), self.n_modules());
        if ratios.len() != n_modules {
            return Err(CascadeError::Rule { expected: n_modules, got: ratios.len() }.into());
        }
        for (what, n) in [("users", users.len()), ("items", network.n_items)] {
            if n == 0 {
                return Err(BudgetError::Empty(what));
            }
        }
        let kept = ratios.kept(users.len() * network.n_items);
        let mut thresholds = vec![f32::INFINITY; n_modules];
        for module in 0..n_modules {
            let of_user = |work: &mut Workspace, user: &UserId| {
                let vector = network.user(*user)?;
                let mut rule = Collect { before: Above(&thresholds), module, values: Vec::new() };
                let mut entered = vec![0; n_modules + 1];
                work.begin(network, vector);
                work.first(network, Level::best(), 0, network.n_items);
                work.finish(network, Level::best(), vector, &mut rule, |slot| slot as usize, &mut entered, |_, _| {});
                Ok(rule.values)
            };
            let values: Vec<Result<Vec<f32>, QueryError>> =
                users.par_iter().map_init(Workspace::default, of_user).collect();
            let mut values = values.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
            if kept[module] < values.len() {
                let (_, last, _) = values.select_nth_unstable_by(kept[module] - 1, f32::total_cmp);
                thresholds[module] = *last;
            }
        }
        Ok(self.clone().with_rejection(Rejection::Above(thresholds))?)
    }

    /// Tries ratios, and picks those of the highest quality whose cost stays within `limit` (the cheaper of equals).
    ///
    /// `users` set the thresholds ([`calibrated`](Self::calibrated)). The caller measures: `cost` may count multiply-adds
    /// ([`CascadeIndex::cost`]) or take the time, `quality` should look at validation data, never at the test part. The cascade that
    /// rejects nothing is tried too, so that the plan tells what the budget takes.
    ///
    /// # Errors
    /// As [`calibrated`](Self::calibrated), or a measure that fails or is not finite.
    pub fn within_budget(
        &self,
        candidates: &[RejectionRatios],
        users: &[UserId],
        limit: f64,
        cost: Measure<'_>,
        quality: Measure<'_>,
    ) -> Result<Plan, BudgetError> {
        let mut trials = Vec::new();
        for ratios in candidates {
            trials.push((ratios.clone(), self.calibrated(ratios, users)?));
        }
        trials.push((RejectionRatios::default(), self.clone().with_rejection(Rejection::Never)?));
        let mut measured = |(ratios, index): (RejectionRatios, Self)| {
            let thresholds = match index.rejection() {
                Rejection::Above(thresholds) => thresholds.clone(),
                Rejection::Share(_) | Rejection::Never => Vec::new(),
            };
            let cost = finite("cost", &ratios, cost(&index))?;
            let quality = finite("quality", &ratios, quality(&index))?;
            Ok(Trial { ratios, thresholds, cost, quality })
        };
        let trials = trials.into_iter().map(&mut measured).collect::<Result<Vec<Trial>, BudgetError>>()?;
        let within = (0..trials.len()).filter(|at| trials[*at].cost <= limit);
        let better = |a: &usize, b: &usize| {
            let (a, b) = (&trials[*a], &trials[*b]);
            a.quality.total_cmp(&b.quality).then(b.cost.total_cmp(&a.cost))
        };
        let chosen = within.max_by(better);
        Ok(Plan { trials, chosen })
    }
}

fn finite(what: &'static str, ratios: &RejectionRatios, got: Result<f64, MeasureError>) -> Result<f64, BudgetError> {
    match got.map_err(BudgetError::Measure)? {
        got if got.is_finite() => Ok(got),
        got => Err(BudgetError::NotFinite { what, ratios: ratios.as_slice().to_vec(), got }),
    }
}
