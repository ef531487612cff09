//! Experiments as data: what an experiment's file may say.
//!
//! An experiment names models, how each is trained and searched, a protocol, and what was published or claimed. Profiles and
//! data sets override parts of it. Later layers win: experiment, model, profile, data set. A model's or a claim's table with a
//! `matrix` stands for [several](super::matrix).

use std::collections::BTreeMap;

use rectify_core::{UnknownName, with_suggestion};
use rectify_data::{Cleaning, Protocol};
use rectify_eval::{Candidates, Metric};
use rectify_models::Settings;
use rectify_models::settings::merge;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use toml::Spanned;

use super::PROFILES;
use super::expected::{ClaimGroup, ClaimSpec, Measure, Published, PublishedTable};
use super::matrix::expand;

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the file.
    #[serde(skip)]
    pub(crate) paper: String,
    /// The file, for error messages.
    #[serde(skip)]
    pub(super) place: String,
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
    pub(crate) second_protocol: Option<Candidates>,
    /// What is reported.
    pub(crate) metrics: Vec<Metric>,
    /// What is validated, searched and stopped by.
    pub(crate) select_by: Metric,
    /// Whether the chosen settings are trained again on training and validation data together, for the epochs that were best.
    #[serde(default)]
    pub(crate) refit: bool,
    /// Whether the CPU time of listing for every user is measured.
    #[serde(default)]
    pub(crate) time_all_users: bool,
    #[serde(default)]
    pub(crate) training: Training,
    /// What all models of a kind share; their own words win.
    #[serde(default, deserialize_with = "by_names")]
    pub(crate) kinds: BTreeMap<String, ModelOverrides>,
    #[serde(rename = "models")]
    model_tables: Vec<Spanned<Settings>>,
    #[serde(skip)]
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
    #[serde(default, rename = "claims")]
    claim_tables: Vec<Spanned<Settings>>,
    #[serde(skip)]
    pub(super) claims: Vec<ClaimGroup>,
}

/// How long models that learn by epochs are trained; an absent field says nothing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
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
    /// Where its table begins in the file.
    #[serde(skip)]
    pub(super) line: usize,
    /// Its name in tables; the kind's name when absent.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// What it is.
    pub(super) kind: String,
    /// Name of the model it learns from, one of those before it.
    pub(super) teacher: Option<String>,
    /// A second pass over its best items, by another model.
    pub(super) rerank: Option<RerankPlan>,
    /// Batches of items, whose scoring and choosing are timed apart; a cascade's stage by stage.
    #[serde(default)]
    pub(super) batch_sizes: Vec<usize>,
    /// Data sets it is run on; all when absent.
    pub(super) datasets: Option<Vec<String>>,
    /// Profiles it is run in; all when absent.
    pub(super) profiles: Option<Vec<String>>,
    /// Whether it is run only where the command line names it, or a model that needs it: for those that take hours.
    #[serde(default)]
    pub(super) opt_in: bool,
    /// Everything that is not said here is the default of the kind's config.
    #[serde(default)]
    pub(super) settings: Settings,
    #[serde(default)]
    pub(super) training: Training,
    /// Values to try of a setting; dots lead to inner tables.
    pub(super) search: Option<BTreeMap<String, Vec<Value>>>,
    /// Other ways to serve what was trained, each reported as a variant of the model; nothing is trained for them.
    pub(super) serve_variants: Option<Vec<Settings>>,
}

/// A model's best items scored again by an earlier model, reported as the variants `top DEPTH by NAME`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RerankPlan {
    /// Name of the model that scores again.
    pub(crate) by: String,
    /// How many items it scores; a variant each.
    pub(crate) depths: Vec<usize>,
}

impl RerankPlan {
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
    #[serde(default, deserialize_with = "by_names")]
    pub(super) kinds: BTreeMap<String, ModelOverrides>,
    #[serde(default, deserialize_with = "by_names")]
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
    pub(super) serve_variants: Option<Vec<Settings>>,
}

impl ModelOverrides {
    fn overridden_by(mut self, own: &Self) -> Self {
        merge(&mut self.settings, &own.settings);
        Self {
            training: self.training.overridden_by(&own.training),
            search: own.search.clone().or(self.search),
            serve_variants: own.serve_variants.clone().or(self.serve_variants),
            ..self
        }
    }
}

/// Overrides by name: `[kinds."a, b"]` says the same of both, and what is said of one alone wins.
fn by_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, ModelOverrides>, D::Error> {
    let said = BTreeMap::<String, ModelOverrides>::deserialize(deserializer)?;
    let (several, alone): (BTreeMap<_, _>, BTreeMap<_, _>) =
        said.into_iter().partition(|(names, _)| names.contains(','));
    let mut all = BTreeMap::new();
    for (names, overrides) in several {
        for name in names.split(',').map(|name| name.trim().to_owned()) {
            if all.contains_key(&name) {
                return Err(D::Error::custom(format!("'{name}' is in two lists of names; one list, or its own table")));
            }
            all.insert(name, overrides.clone());
        }
    }
    for (name, own) in alone {
        let shared = all.remove(&name).unwrap_or_default();
        all.insert(name, shared.overridden_by(&own));
    }
    Ok(all)
}

/// Models made once more.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Copies {
    /// Names of the models.
    of: Vec<String>,
    /// Profiles the copies are run in; those of the model when absent.
    profiles: Option<Vec<String>>,
    /// Whether the copies are run only where the command line names them.
    #[serde(default)]
    opt_in: bool,
    /// What is different, by kind; it wins over what the model says.
    kinds: BTreeMap<String, ModelOverrides>,
}

impl Copies {
    fn copy(&self, model: &Model, suffix: &str) -> Model {
        let mut copy = model.clone();
        copy.name = Some(format!("{}-{suffix}", model.name()));
        copy.profiles = self.profiles.clone().or(copy.profiles);
        copy.opt_in |= self.opt_in;
        if let Some(own) = self.kinds.get(&model.kind) {
            merge(&mut copy.settings, &own.settings);
            copy.training = copy.training.overridden_by(&own.training);
            copy.search = own.search.clone().or(copy.search);
            copy.serve_variants = own.serve_variants.clone().or(copy.serve_variants);
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
        teacher.into_iter().chain(self.rerank.as_ref().map(|rerank| ("model to rerank by", rerank.by.as_str())))
    }
}

/// The lines of a file, for error messages.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    /// Line of a byte.
    fn at(&self, byte: usize) -> usize {
        1 + self.0[..byte.min(self.0.len())].matches('\n').count()
    }

    /// The first line that says a word.
    fn of(&self, word: &str) -> usize {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let alone = |(at, _): &(usize, &str)| {
            !self.0[..*at].ends_with(is_part) && !self.0[at + word.len()..].starts_with(is_part)
        };
        self.0.match_indices(word).find(alone).map_or(1, |(at, _)| self.at(at))
    }

    /// What each table stands for, as a type that is told its line.
    fn read<T: DeserializeOwned>(
        &self,
        tables: Vec<Spanned<Settings>>,
        tell: fn(&mut T, usize),
    ) -> Result<Vec<T>, String> {
        let mut all = Vec::new();
        for table in tables {
            let start = table.span().start;
            let line = self.at(start);
            for entry in expand(table.into_inner()).map_err(|problem| format!("{line}: {problem}"))? {
                let mut one: T = serde_json::from_value(Value::Object(entry)).map_err(|error| {
                    let message = error.to_string();
                    // The name that is wrong stands somewhere in the table.
                    let wrong = message.split('`').nth(1).filter(|name| !name.is_empty());
                    let own = self.0[start..].split("\n[[").next().unwrap_or_default();
                    let line = line + wrong.map_or(0, |name| Lines(own).of(name) - 1);
                    format!("{line}: {}", with_suggestion(&message))
                })?;
                tell(&mut one, line);
                all.push(one);
            }
        }
        Ok(all)
    }
}

impl Experiment {
    /// Parses and checks the text of a file; the error begins with the line.
    pub(super) fn parse(text: &str, paper: String, place: String) -> Result<Self, String> {
        let lines = Lines(text);
        let mut experiment: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| lines.at(span.start));
            format!("{line}: {}", with_suggestion(error.message()))
        })?;
        (experiment.paper, experiment.place) = (paper, place);
        experiment.models =
            lines.read(std::mem::take(&mut experiment.model_tables), |model: &mut Model, line| model.line = line)?;
        experiment.claims = lines
            .read(std::mem::take(&mut experiment.claim_tables), |claim: &mut ClaimGroup, line| claim.line = line)?;
        experiment.add_copies().map_err(|problem| format!("{}: {problem}", lines.of("copies")))?;
        experiment.check(&lines)?;
        Ok(experiment)
    }

    fn add_copies(&mut self) -> Result<(), String> {
        let mut copied = Vec::new();
        for (suffix, copies) in &self.copies {
            for name in &copies.of {
                let model = self.models.iter().find(|model| model.name() == name).ok_or_else(|| {
                    let names: Vec<&str> = self.models.iter().map(Model::name).collect();
                    format!("copies '{suffix}': {}", unknown("model", name, &names))
                })?;
                copied.push(copies.copy(model, suffix));
            }
        }
        self.models.append(&mut copied);
        Ok(())
    }

    /// Fails for what cannot be; the error begins with the line.
    fn check(&self, lines: &Lines<'_>) -> Result<(), String> {
        let at = |line: usize, problem: String| Err(format!("{line}: {problem}"));
        let at_word = |word: &str, problem: String| at(lines.of(word), problem);
        let names: Vec<&str> = self.models.iter().map(Model::name).collect();
        if names.is_empty() {
            return at_word("models", "field models is empty, expected at least one model".into());
        }
        if self.metrics.is_empty() {
            return at_word("metrics", "field metrics is empty, expected at least one metric".into());
        }
        if self.seeds == 0 {
            return at_word("seeds", "field seeds is 0, expected at least 1".into());
        }
        if let Some(profile) = self.profiles.keys().find(|profile| !PROFILES.contains(&profile.as_str())) {
            return at_word(profile, unknown("profile", profile, &PROFILES));
        }
        for (place, model) in self.models.iter().enumerate() {
            let (name, earlier) = (names[place], &names[..place]);
            if earlier.contains(&name) {
                return at(model.line, format!("two models are named '{name}'; give one a name of its own"));
            }
            for (what, needed) in model.needs() {
                if !earlier.contains(&needed) {
                    let problem = unknown(what, needed, earlier);
                    return at(
                        model.line,
                        format!("model '{name}': {problem} (a {what} stands before those who need it)"),
                    );
                }
            }
            if model.rerank.as_ref().is_some_and(|rerank| rerank.depths.is_empty() || rerank.depths.contains(&0)) {
                return at(model.line, format!("model '{name}': field rerank.depths expects numbers of at least 1"));
            }
            if model.batch_sizes.contains(&0) {
                return at(model.line, format!("model '{name}': field batch_sizes expects numbers of at least 1"));
            }
        }
        let kinds: Vec<&str> = self.models.iter().map(|model| model.kind.as_str()).collect();
        let layers = || self.profiles.values().chain(self.datasets.values());
        let of_kinds = self.kinds.keys().chain(layers().flat_map(|layer| layer.kinds.keys()));
        let of_kinds = of_kinds.chain(self.copies.values().flat_map(|copies| copies.kinds.keys()));
        if let Some(kind) = of_kinds.into_iter().find(|kind| !kinds.contains(&kind.as_str())) {
            return at_word(kind, unknown("kind of the models here", kind, &kinds));
        }
        for table in &self.published {
            table.check().or_else(|(row, problem)| at_word(row, problem))?;
        }
        let overridden = layers().flat_map(|layer| layer.models.keys().cloned());
        let published = self.published.iter().flat_map(PublishedTable::rows).map(|row| row.model);
        for name in overridden.chain(published) {
            if !names.contains(&name.as_str()) {
                return at_word(&name, unknown("model", &name, &names));
            }
        }
        let (usual, mut ids) = (self.usual_measures(), Vec::new());
        for group in &self.claims {
            for claim in group.claims(&usual).map_err(|problem| format!("{}: {problem}", group.line))? {
                for name in [&claim.left.model, &claim.right.model].into_iter().filter(|name| !name.is_empty()) {
                    if !names.contains(&name.as_str()) {
                        let problem = unknown("model", name, &names);
                        return at(group.line, format!("claim '{}': {problem}", claim.id));
                    }
                }
                if ids.contains(&claim.id) {
                    return at(group.line, format!("two claims have the id '{}'; give one an id of its own", claim.id));
                }
                ids.push(claim.id);
            }
        }
        Ok(())
    }

    /// The values that were published for a data set.
    pub(super) fn published_for(&self, dataset: &str) -> Vec<Published> {
        self.published.iter().filter(|table| table.dataset == dataset).flat_map(PublishedTable::rows).collect()
    }

    /// The claims that speak of a data set.
    pub(super) fn claims_for(&self, dataset: &str) -> Result<Vec<ClaimSpec>, String> {
        let usual = self.usual_measures();
        let mut claims = Vec::new();
        for group in &self.claims {
            let only = group.datasets.as_ref().or(self.claims_on.as_ref());
            if only.is_none_or(|only| only.iter().any(|one| one == dataset)) {
                claims.extend(group.claims(&usual)?);
            }
        }
        Ok(claims)
    }

    /// What decides between two models where a claim does not say.
    fn usual_measures(&self) -> Vec<Measure> {
        self.claims_by.clone().unwrap_or_else(|| vec![self.select_by.into()])
    }
}

fn unknown(what: &'static str, given: &str, known: &[&str]) -> String {
    UnknownName::new(what, given, known.iter().copied()).to_string()
}
