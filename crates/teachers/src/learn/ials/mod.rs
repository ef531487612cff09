//! iALS: weighted matrix factorisation over all pairs, by alternating least squares.

mod config;
mod solve;

pub use config::{IalsConfig, Solver};

use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{Init, ParamStore, RowUpdate, RowsKey};

use crate::learn::factors::trained;
use crate::{Factors, FitError};

const MODEL: &str = "ials";

/// Fits iALS (Hu et al., ICDM 2008, with the weights and the regularisation of Rendle et al., "Revisiting the performance
/// of iALS on item recommendation benchmarks", RecSys 2022): minimises
///
/// `Σ_(u,i)∈S (p_u·q_i − 1)² + α₀ Σ_u Σ_i (p_u·q_i)² + λ Σ_u (n_u + α₀ n_items)^ν ‖p_u‖² + λ Σ_i (n_i + α₀ n_users)^ν ‖q_i‖²`
///
/// over all pairs, those of S observed. An epoch solves all users, then all items. The loss reported is the objective per
/// interaction; with exact solutions it never rises (but for f32). A row without interactions is solved to 0.
///
/// `run` says how long to train and where to checkpoint; 16 epochs are usual. Its `validate` gets the factors after an epoch.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Train`]; a row whose system f32 cannot solve is a
/// [`FitError::Singular`] inside the latter.
pub fn fit(
    train: &Interactions,
    config: &IalsConfig,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let mut model = Training::new(train, config, run.seed);
    let report = run.drive(&mut model, |model| model.factors())?;
    Ok((model.factors()?, report))
}

struct Training<'a> {
    data: &'a Interactions,
    config: &'a IalsConfig,
    params: ParamStore,
    users: RowsKey,
    items: RowsKey,
}

impl<'a> Training<'a> {
    fn new(data: &'a Interactions, config: &'a IalsConfig, seed: Seed) -> Self {
        let mut params = ParamStore::new(seed);
        let dim = config.embedding_dim;
        let init = Init::Normal { std: (config.init_std / (dim as f64).sqrt()) as f32 };
        let users = params.add_rows("users", data.n_users(), dim, init, RowUpdate::Lazy);
        let items = params.add_rows("items", data.n_items(), dim, init, RowUpdate::Lazy);
        Self { data, config, params, users, items }
    }

    fn factors(&self) -> Result<Factors, FitError> {
        let (users, items) = (self.params.rows(self.users), self.params.rows(self.items));
        trained(MODEL, self.config, users.values(), items.values(), self.config.embedding_dim)
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let [users, items] = self.params.rows_mut([self.users, self.items]);
        let (users, items) = (users.values_mut(), items.values_mut());
        let fail = |what| {
            move |row: usize| TrainError::Model {
                epoch,
                source: FitError::Singular { model: MODEL, what: format!("{what} {row}"), precision: "f32" }.into(),
            }
        };
        let by_user = solve::Side::users(self.data, self.config);
        let by_item = solve::Side::items(self.data, self.config);
        by_user.solve(items, users).map_err(fail("user"))?;
        by_item.solve(users, items).map_err(fail("item"))?;
        let samples = self.data.n_interactions() as u64;
        let loss = by_user.objective(items, users) + by_item.penalty(items);
        Ok(EpochStats { loss: loss / samples as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

#[cfg(test)]
mod tests;
