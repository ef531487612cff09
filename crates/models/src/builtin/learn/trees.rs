//! Forests: TDM, JTM and DeFoRec.

use rectify_core::Provenance;
use rectify_forest::{
    ForestConfig, ForestIndex, InitialTree, Learners, SearchConfig, TreeModel, forest as forest_method,
};
use rectify_tensor::train::{EpochRecord, FitReport, TrainRun};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::trees::Forest;
use crate::settings::resolve_over;
use crate::train::{FitRequest, Fitted};
use crate::{BoxError, Model, ModelError, Settings, SettingsError};

/// Settings of a forest.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Grown {
    initial_tree: InitialTree,
    forest: ForestConfig,
    search: SearchConfig,
}

impl Grown {
    fn validate(&self) -> Result<(), BoxError> {
        if self.search.beam_width == 0 {
            return Err("search: beam_width is 0, expected at least 1".into());
        }
        let wrong = |problem: BoxError| SettingsError::Part { part: "forest", problem };
        Ok(self.forest.validate().map_err(|error| wrong(error.into()))?)
    }

    fn resolve(settings: &Settings, forest: ForestConfig) -> Result<Value, SettingsError> {
        let defaults = Self { initial_tree: InitialTree::default(), forest, search: SearchConfig::default() };
        resolve_over(&defaults, settings, Self::validate)
    }
}

pub(in crate::builtin) fn deforec_settings(settings: &Settings) -> Result<Value, SettingsError> {
    Grown::resolve(settings, ForestConfig::default())
}

pub(in crate::builtin) fn jtm_settings(settings: &Settings) -> Result<Value, SettingsError> {
    Grown::resolve(settings, ForestConfig::jtm())
}

pub(in crate::builtin) fn tdm_settings(settings: &Settings) -> Result<Value, SettingsError> {
    Grown::resolve(settings, ForestConfig::tdm())
}

/// Learns a forest, tree after tree, each chosen by its own validation; it is kept with what its users did.
///
/// The report has the epochs of all trees, one after the other; its value is that of the whole forest.
pub(in crate::builtin) fn fit(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let Grown { initial_tree, forest: settings, search } = request.config()?;
    let histories = request.train.histories().map_err(ModelError::other)?;
    let first = initial_tree.build(request.train.n_items(), request.side.categories, request.seed);
    let wrong = |problem: BoxError| ModelError::Settings {
        kind: "deforec",
        problem: SettingsError::Part { part: "initial_tree", problem },
    };
    let first = first.map_err(|error| wrong(error.into()))?;
    let provenance = Provenance::new("forest", &settings);
    let served = |models: Vec<TreeModel>| {
        let index = ForestIndex::new(models, search)?;
        Ok::<_, BoxError>(Forest::new(histories.clone(), index, provenance.clone())?)
    };
    let validate = request.validate;
    let mut validate_tree = |model: &TreeModel| validate(served(vec![model.clone()])?.answers());
    let learners = Learners { histories: &histories, users: request.side.training_users };
    let run = TrainRun::new(request.seed).fit(request.fit).validate(&mut validate_tree).observer(request.observer);
    let learned = forest_method::fit(learners, &first, &settings, run).map_err(ModelError::other)?;
    let (models, reports): (Vec<TreeModel>, Vec<FitReport>) = learned.into_iter().unzip();
    let forest = served(models).map_err(ModelError::other)?;
    let reason = reports.last().map(|report| report.reason);
    let history = reports.into_iter().flat_map(|report| report.history);
    let history: Vec<EpochRecord> = (1..).zip(history).map(|(epoch, record)| EpochRecord { epoch, ..record }).collect();
    let best_metric = match request.fit.eval_every {
        0 => None,
        _ => Some(validate(forest.answers()).map_err(ModelError::other)?),
    };
    let best_epoch = history.len() as u32;
    let report = reason.map(|reason| FitReport { history, best_epoch, best_metric, reason });
    Ok(Fitted { model: Box::new(forest), report })
}
