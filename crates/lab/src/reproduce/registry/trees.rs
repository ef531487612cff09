//! Kinds that search trees over items: TDM, JTM and DeFoRec.

use std::path::Path;

use anyhow::Result;
use rectify_core::Index;
use rectify_core::artifact::Overwrite;
use rectify_forest::{
    Candidates, ForUsers, ForestConfig, ForestIndex, Histories, InitialTree, Learners, SearchConfig, TreeModel,
    fit_forest,
};
use rectify_tensor::train::{EpochRecord, FitReport};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answers, Job, Kind, Model, config, read_served, resolve_from};
use crate::refusal;
use crate::reproduce::experiment::Settings;

/// Settings of a forest.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Grown {
    initial_tree: InitialTree,
    forest: ForestConfig,
    search: SearchConfig,
}

impl Grown {
    fn validate(&self) -> Result<(), String> {
        if self.search.beam_width == 0 {
            return Err("search: beam_width is 0, expected at least 1".into());
        }
        self.forest.validate().map_err(|error| format!("forest: {error}"))
    }

    fn resolve(settings: &Settings, forest: ForestConfig) -> Result<Value, String> {
        let defaults = Self { initial_tree: InitialTree::default(), forest, search: SearchConfig::default() };
        resolve_from(&defaults, settings, Self::validate)
    }
}

impl Model for ForUsers<ForestIndex> {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: Some(self), hidden: None }
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.inner().size_bytes())
    }
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(ForUsers::<ForestIndex>::open(path)?))
}

/// How else a trained forest is served; what is not said stays as it was trained.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Served {
    beam_width: Option<usize>,
    candidates: Option<Candidates>,
    /// The first trees alone.
    n_trees: Option<usize>,
}

pub(super) fn check_served(config: &Value, how: &Settings) -> Result<(), String> {
    let served: Served = read_served(how)?;
    let Grown { forest, .. } = serde_json::from_value(config.clone()).map_err(|error| error.to_string())?;
    let expected = format!("1 to {}, as many as are learned", forest.n_trees);
    match served {
        Served { beam_width: Some(0), .. } => Err("beam_width is 0, expected at least 1".into()),
        Served { n_trees: Some(n), .. } if n == 0 || n > forest.n_trees => {
            Err(format!("n_trees is {n}, expected {expected}"))
        }
        Served { .. } => Ok(()),
    }
}

pub(super) fn open_served(path: &Path, how: &Settings) -> Result<Box<dyn Model>> {
    let Served { beam_width, candidates, n_trees } = read_served(how).map_err(refusal::input)?;
    let (mut forest, histories) = ForUsers::<ForestIndex>::open(path)?.into_parts();
    if let Some(n) = n_trees {
        forest = forest.first_trees(n)?;
    }
    let own = forest.search_config();
    let search = SearchConfig {
        beam_width: beam_width.unwrap_or(own.beam_width),
        candidates: candidates.unwrap_or(own.candidates),
    };
    Ok(Box::new(ForUsers::new(forest.with_search(search)?, histories)))
}

/// Learns a forest, tree after tree, each chosen by its own validation, and saves it with what its users did.
///
/// The report has the epochs of all trees, one after the other; its value is that of the whole forest.
fn train(job: Job<'_>) -> Result<Option<FitReport>> {
    let Grown { initial_tree, forest: settings, search } = config(&job)?;
    let histories = Histories::from_interactions(job.train)?;
    let first = initial_tree.build(job.train.n_items(), job.beside.categories, job.seed);
    let first = first.map_err(|error| refusal::input(format!("settings.initial_tree: {error}")))?;
    let validate = job.validate;
    let served = |models: Vec<TreeModel>| {
        Ok::<_, anyhow::Error>(ForUsers::new(ForestIndex::new(models, search)?, histories.clone()))
    };
    let mut validate_tree = |model: &TreeModel| Ok(validate(served(vec![model.clone()])?.answers())?);
    let learners = Learners { histories: &histories, users: job.beside.training_users };
    let learned = fit_forest(learners, &first, &settings, job.fit, job.seed, &mut validate_tree, job.observer)?;
    let (models, reports): (Vec<TreeModel>, Vec<FitReport>) = learned.into_iter().unzip();
    let n_trees = models.len();
    let forest = served(models)?;
    forest.save(job.path, Overwrite::Replace)?;
    // The cache knows of one checkpoint; those of the trees have served.
    if let Some(checkpoint) = &job.fit.checkpoint {
        for tree in 0..n_trees {
            let mut path = checkpoint.path.clone().into_os_string();
            path.push(format!(".tree{tree}"));
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error.into());
            }
        }
    }
    let reason = reports.last().map(|report| report.reason);
    let history = reports.into_iter().flat_map(|report| report.history);
    let history: Vec<EpochRecord> = (1..).zip(history).map(|(epoch, record)| EpochRecord { epoch, ..record }).collect();
    let best_metric = if job.fit.eval_every > 0 { Some(validate(forest.answers())?) } else { None };
    let best_epoch = history.len() as u32;
    Ok(reason.map(|reason| FitReport { history, best_epoch, best_metric, reason }))
}

const fn kind(name: &'static str, resolve: fn(&Settings) -> Result<Value, String>) -> Kind {
    Kind { name, by_epochs: true, needs_teacher: false, needs_text: false, resolve, train, open }
}

pub(super) const KINDS: &[Kind] = &[
    kind("deforec", |settings| Grown::resolve(settings, ForestConfig::default())),
    kind("jtm", |settings| Grown::resolve(settings, ForestConfig::jtm())),
    kind("tdm", |settings| Grown::resolve(settings, ForestConfig::tdm())),
];
