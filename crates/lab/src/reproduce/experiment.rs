//! Experiments as data: what `xtask/experiments/*.toml` may say.
//!
//! An experiment names models, how each is trained and searched, a protocol, and what was published or claimed. Profiles and
//! data sets override parts of it. Later layers win: experiment, model, profile, data set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use rectify_data::{Cleaning, Protocol};
use rectify_eval::{Candidates, Metric};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::expected::{ClaimGroup, ClaimSpec, Measure, Published, PublishedTable};
use super::plan::merge;
use crate::args::Profile;
use crate::{refusal, suggest};

/// Settings of a model, as its config struct will read them.
pub(crate) type Settings = Map<String, Value>;

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    /// Name of the file.
    #[serde(skip)]
    pub(crate) paper: String,
    /// One line for people.
    pub(crate) title: String,
    /// Data set when none is named.
    pub(crate) dataset: String,
    /// Number of seeds; each has its own split.
    pub(crate) seeds: u32,
    /// What is removed from the data first; each data set's usual way when absent.
    #[serde(default)]
    pub(crate) cleaning: Option<Cleaning>,
    /// How data are split; each data set's usual way when absent.
    #[serde(default)]
    pub(crate) protocol: Option<Protocol>,
    /// What a true item competes with: `unseen`, `all` or `sampled`.
    #[serde(default)]
    pub(crate) candidates: Candidates,
    /// A second answer to the same question, reported beside the first; nothing is chosen by it. Published values and claims may
    /// name it as theirs.
    #[serde(default)]
    pub(crate) also_among: Option<Candidates>,
    /// What is reported.
    pub(crate) metrics: Vec<Metric>,
    /// What is validated, searched and stopped by.
    pub(crate) select_by: Metric,
    /// Whether the chosen settings are trained again on training and validation data together, for the epochs that were best.
    #[serde(default)]
    pub(crate) refit: bool,
    /// Whether the processor time of listing for every user is measured.
    #[serde(default)]
    pub(crate) time_all_users: bool,
    #[serde(default)]
    pub(crate) training: Training,
    /// What all models of a kind share; their own words win.
    #[serde(default)]
    pub(crate) kinds: BTreeMap<String, ModelOverrides>,
    pub(crate) models: Vec<Model>,
    /// Copies of models with something changed, by what is added to their names: `[copies.wide]` makes `NAME-wide` of each.
    #[serde(default)]
    copies: BTreeMap<String, Copies>,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Overrides>,
    #[serde(default)]
    pub(crate) datasets: BTreeMap<String, Overrides>,
    #[serde(default)]
    pub(super) published: Vec<PublishedTable>,
    /// Data sets that claims speak of; all when absent.
    pub(super) claims_on: Option<Vec<String>>,
    /// What decides between two models; `select_by` when absent.
    pub(super) claims_by: Option<Vec<Measure>>,
    #[serde(default)]
    pub(super) claims: Vec<ClaimGroup>,
}

/// How long models that learn by epochs are trained; an absent field says nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Training {
    pub(crate) max_epochs: Option<u32>,
    /// Validations without a new best before training stops; 0 never stops early.
    pub(crate) patience: Option<u32>,
    /// Epochs between validations; 0 never validates: the model trains for `max_epochs`, on everything if it is refitted.
    pub(crate) eval_every: Option<u32>,
    /// Epochs whose test values are recorded too, as the variant `epoch N`; nothing is chosen by them.
    pub(crate) test_at: Option<Vec<u32>>,
}

impl Training {
    pub(super) fn overridden_by(&self, other: &Self) -> Self {
        Self {
            max_epochs: other.max_epochs.or(self.max_epochs),
            patience: other.patience.or(self.patience),
            eval_every: other.eval_every.or(self.eval_every),
            test_at: other.test_at.clone().or_else(|| self.test_at.clone()),
        }
    }
}

/// One model of an experiment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    /// Its name in tables; the kind's name when absent.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// What it is.
    pub(super) kind: String,
    /// Name of the model it learns from, one of those before it.
    pub(super) teacher: Option<String>,
    /// A second pass over its best items.
    pub(super) post_rank: Option<PostRank>,
    /// Batches of items, whose scoring and choosing are timed apart; a cascade's stage by stage.
    #[serde(default)]
    pub(super) batch_sizes: Vec<usize>,
    /// Data sets it is run on; all when absent.
    pub(super) only_on: Option<Vec<String>>,
    /// Profiles it is run in; all when absent.
    pub(super) only_in: Option<Vec<String>>,
    /// Whether it is run only where the command line names it, or a model that needs it: for those that take hours.
    #[serde(default)]
    pub(super) on_request: bool,
    /// Everything that is not said here is the default of the kind's config.
    #[serde(default)]
    pub(super) settings: Settings,
    #[serde(default)]
    pub(super) training: Training,
    /// Values to try of a setting; dots lead to inner tables.
    pub(super) search: Option<BTreeMap<String, Vec<Value>>>,
    /// Other ways to serve what was trained, each reported as a variant of the model; nothing is trained for them.
    pub(super) also_served: Option<Vec<Settings>>,
}

/// A model's best items scored again by an earlier model, reported as the variants `top DEPTH by NAME`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostRank {
    /// Name of the model that scores again.
    pub(crate) by: String,
    /// How many items it scores; a variant each.
    pub(crate) depths: Vec<usize>,
}

impl PostRank {
    /// Name of the variant of a depth.
    pub(crate) fn variant(&self, depth: usize) -> String {
        format!("top {depth} by {}", self.by)
    }
}

/// What a profile or a data set says differently.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overrides {
    pub(super) seeds: Option<u32>,
    pub(super) cleaning: Option<Cleaning>,
    pub(super) protocol: Option<Protocol>,
    pub(super) candidates: Option<Candidates>,
    pub(super) metrics: Option<Vec<Metric>>,
    pub(super) select_by: Option<Metric>,
    pub(super) refit: Option<bool>,
    /// `false` trains every model with its plain settings.
    pub(super) search: Option<bool>,
    #[serde(default)]
    pub(super) training: Training,
    /// Of all models of a kind; what is said of one model wins.
    #[serde(default)]
    pub(super) kinds: BTreeMap<String, ModelOverrides>,
    #[serde(default)]
    pub(super) models: BTreeMap<String, ModelOverrides>,
}

/// What is said differently of a model, or of all models of a kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelOverrides {
    #[serde(default)]
    pub(super) settings: Settings,
    #[serde(default)]
    pub(super) training: Training,
    pub(super) search: Option<BTreeMap<String, Vec<Value>>>,
    pub(super) also_served: Option<Vec<Settings>>,
}

/// Models made once more.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copies {
    /// Names of the models.
    of: Vec<String>,
    /// Profiles the copies are run in; those of the model when absent.
    only_in: Option<Vec<String>>,
    /// Whether the copies are run only where the command line names them.
    #[serde(default)]
    on_request: bool,
    /// What is different, by kind; it wins over what the model says.
    kinds: BTreeMap<String, ModelOverrides>,
}

impl Copies {
    fn copy(&self, model: &Model, suffix: &str) -> Model {
        let mut copy = model.clone();
        copy.name = Some(format!("{}-{suffix}", model.name()));
        copy.only_in = self.only_in.clone().or(copy.only_in);
        copy.on_request |= self.on_request;
        if let Some(own) = self.kinds.get(&model.kind) {
            merge(&mut copy.settings, &own.settings);
            copy.training = copy.training.overridden_by(&own.training);
            copy.search = own.search.clone().or(copy.search);
            copy.also_served = own.also_served.clone().or(copy.also_served);
        }
        copy
    }
}

impl Model {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.kind)
    }

    /// The earlier models that it cannot do without, with the part that each plays.
    pub(super) fn needs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let teacher = self.teacher.as_deref().map(|name| ("teacher", name));
        teacher.into_iter().chain(self.post_rank.as_ref().map(|post| ("model to rank again by", post.by.as_str())))
    }
}

impl Experiment {
    /// Reads one file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| refusal::input(format!("cannot read {}: {error}", path.display())))?;
        let paper = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::parse(&text, paper).map_err(|problem| refusal::input(format!("{}:{problem}", path.display())))
    }

    /// Parses and checks; the error begins with the line.
    fn parse(text: &str, paper: String) -> Result<Self, String> {
        let mut experiment: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            format!("{line}: {}", suggest::explain(error.message()))
        })?;
        experiment.paper = paper;
        experiment.add_copies().and_then(|()| experiment.check()).map_err(|problem| format!(" {problem}"))?;
        Ok(experiment)
    }

    fn add_copies(&mut self) -> Result<(), String> {
        let mut copied = Vec::new();
        for (suffix, copies) in &self.copies {
            for name in &copies.of {
                let model = self.models.iter().find(|model| model.name() == name).ok_or_else(|| {
                    let names: Vec<&str> = self.models.iter().map(Model::name).collect();
                    format!("copies '{suffix}': {}", suggest::unknown("model", name, &names))
                })?;
                copied.push(copies.copy(model, suffix));
            }
        }
        self.models.append(&mut copied);
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let names: Vec<&str> = self.models.iter().map(Model::name).collect();
        if names.is_empty() {
            return Err("field models is empty, expected at least one model".into());
        }
        if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(format!("two models are named '{}'; give one a name of its own", twice.1));
        }
        if self.metrics.is_empty() {
            return Err("field metrics is empty, expected at least one metric".into());
        }
        if self.seeds == 0 {
            return Err("field seeds is 0, expected at least 1".into());
        }
        for profile in self.profiles.keys() {
            let known: Vec<&str> = Profile::value_variants().iter().map(|profile| profile.name()).collect();
            if !known.contains(&profile.as_str()) {
                return Err(suggest::unknown("profile", profile, &known));
            }
        }
        for (at, model) in self.models.iter().enumerate() {
            for (what, name) in model.needs() {
                if !names[..at].contains(&name) {
                    let problem = suggest::unknown(what, name, &names[..at]);
                    return Err(format!("model '{}': {problem} (a {what} stands before those who need it)", names[at]));
                }
            }
            if model.post_rank.as_ref().is_some_and(|post| post.depths.is_empty() || post.depths.contains(&0)) {
                return Err(format!("model '{}': field post_rank.depths expects numbers of at least 1", names[at]));
            }
        }
        self.published.iter().try_for_each(PublishedTable::check)?;
        let claims = self.claims(None)?;
        if let Some(model) = self.models.iter().find(|model| model.batch_sizes.contains(&0)) {
            return Err(format!("model '{}': field batch_sizes expects numbers of at least 1", model.name()));
        }
        let kinds: Vec<&str> = self.models.iter().map(|model| model.kind.as_str()).collect();
        let layers = || self.profiles.values().chain(self.datasets.values());
        let of_kinds = self.kinds.keys().chain(layers().flat_map(|layer| layer.kinds.keys()));
        let of_kinds = of_kinds.chain(self.copies.values().flat_map(|copies| copies.kinds.keys()));
        if let Some(kind) = of_kinds.into_iter().find(|kind| !kinds.contains(&kind.as_str())) {
            return Err(suggest::unknown("kind of the models here", kind, &kinds));
        }
        let overridden = layers().flat_map(|layer| layer.models.keys().cloned());
        let published = self.published.iter().flat_map(PublishedTable::rows).map(|row| row.model);
        let claimed = claims.into_iter().flat_map(|c| [c.left.model, c.right.model]).filter(|name| !name.is_empty());
        for name in overridden.chain(published).chain(claimed) {
            if !names.contains(&name.as_str()) {
                return Err(suggest::unknown("model", &name, &names));
            }
        }
        Ok(())
    }

    /// The values that were published for a data set.
    pub(super) fn published_for(&self, dataset: &str) -> Vec<Published> {
        self.published.iter().filter(|table| table.dataset == dataset).flat_map(PublishedTable::rows).collect()
    }

    /// The claims that speak of a data set, or all of them.
    pub(super) fn claims(&self, dataset: Option<&str>) -> Result<Vec<ClaimSpec>, String> {
        let usual = self.claims_by.clone().unwrap_or_else(|| vec![self.select_by.into()]);
        let mut claims = Vec::new();
        for group in &self.claims {
            let only = group.only_on.as_ref().or(self.claims_on.as_ref());
            if only.zip(dataset).is_none_or(|(only, name)| only.iter().any(|one| one == name)) {
                claims.extend(group.claims(&usual)?);
            }
        }
        Ok(claims)
    }
}

/// The experiment files of a folder, by name.
pub(crate) fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| refusal::input(format!("cannot list the experiments in {}: {error}", folder.display())))?;
    let mut files: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), path))
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
