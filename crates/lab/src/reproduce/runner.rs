//! One experiment on one data set: split, search, train, evaluate, record.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, Retriever, UserId};
use rectify_data::{Duplicates, Holdout, Interactions, InteractionsBuilder, Split, WordCounts};
use rectify_eval::{Candidates, Cut, Evaluation, Metric, Rerank, System, evaluate, evaluate_test};
use serde_json::Value;

use super::cache::{Cache, Measure, Recipe, TestAt, TestValues, Trained};
use super::experiment::PostRank;
use super::outcome::{ListCost, Outcome, kept, longest, records};
use super::plan::{Plan, PlannedModel, merge};
use super::progress::Progress;
use super::registry::{self, Answers, Beside, Kind, Model};
use super::trainer::Trainer;
use super::{claims, figures, protocol};
use crate::measure::Stopwatch;
use crate::record::{Epoch, Results, Run, Trial, Validation, tidy};
use crate::refusal;
use crate::source::Source;

/// What all experiments of one command share.
pub(crate) struct Context<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) trainer: &'a Trainer,
    pub(crate) first_seed: u64,
    pub(crate) profile: &'a str,
    pub(crate) commit: &'a str,
}

/// Epochs at most, where an experiment does not say.
const MAX_EPOCHS: u32 = 100;

/// Checks what can be checked without data: kinds and all settings, those of the search too.
pub(crate) fn check(plan: &Plan) -> Result<()> {
    for model in &plan.models {
        let kind = registry::find(&model.kind).with_context(|| format!("experiment {}", plan.paper))?;
        match (kind.needs_teacher, &model.teacher) {
            (true, None) => {
                let problem = format!("a model of kind {} learns from another; name it as teacher", kind.name);
                return Err(refusal::input(format!("model {} of experiment {}: {problem}", model.name, plan.paper)));
            }
            (false, Some(teacher)) => {
                let problem = format!("a model of kind {} has no use for teacher '{teacher}'", kind.name);
                return Err(refusal::input(format!("model {} of experiment {}: {problem}", model.name, plan.paper)));
            }
            _ => {}
        }
        let of_model = || format!("model {} of experiment {}", model.name, plan.paper);
        let (plain, _) = configs(kind, model).with_context(of_model)?;
        for how in &model.also_served {
            kind.check_served(&plain, how).with_context(of_model)?;
        }
    }
    Ok(())
}

/// The plain configuration of a model, and every one to try with the settings that make it different.
fn configs(kind: &Kind, model: &PlannedModel) -> Result<(Value, Vec<(Value, Value)>)> {
    let plain = kind.resolve(&model.settings)?;
    let trials = model
        .trials
        .iter()
        .map(|overlay| {
            let mut settings = model.settings.clone();
            merge(&mut settings, overlay);
            Ok((Value::Object(overlay.clone()), kind.resolve(&settings)?))
        })
        .collect::<Result<_>>()?;
    Ok((plain, trials))
}

/// One model of one seed: as it was chosen by validation, and as it is reported.
struct Made {
    chosen: Trained,
    reported: Trained,
}

/// Runs a plan and adds what it found to `results`.
pub(crate) fn run(
    plan: &Plan,
    source: &Source,
    context: &Context<'_>,
    progress: &mut Progress,
    results: &mut Results,
) -> Result<()> {
    let data = match &plan.cleaning {
        Some(cleaning) => source.cleaned_by(cleaning).load()?,
        None => source.load()?,
    };
    let protocol = plan.protocol.clone().unwrap_or_else(|| source.usual_protocol(&data));
    let first_run = results.runs.len();
    let mut outcomes: Vec<Outcome> = plan.models.iter().map(|_| Outcome::default()).collect();
    for repeat in 0..plan.seeds {
        let seed = Seed(context.first_seed);
        let split = rectify_data::split(&data.interactions, data.fixed.as_ref(), &protocol, seed, repeat)
            .with_context(|| format!("splitting {}", plan.dataset))?;
        let full = if plan.refit { Some(with_validation(&split)?) } else { None };
        let mut made: BTreeMap<&str, Made> = BTreeMap::new();
        for (model, outcome) in plan.models.iter().zip(&mut outcomes) {
            let earlier = |name: &str| {
                made.get(name)
                    .with_context(|| format!("model {} needs {name}, which is not run on this data", model.name))
            };
            let kind = registry::find(&model.kind)?;
            let text = data.text.as_ref().filter(|_| kind.needs_text);
            if kind.needs_text && text.is_none() {
                let problem =
                    format!("model {} learns from the words of items, and {} has none", model.name, plan.dataset);
                return Err(refusal::input(problem));
            }
            let one = One {
                plan,
                model,
                kind,
                teacher: model.teacher.as_deref().map(earlier).transpose()?,
                second: match &model.post_rank {
                    Some(post) => Some((post, earlier(&post.by)?)),
                    None => None,
                },
                text,
                beside: kind.beside(Beside {
                    categories: data.categories.as_ref(),
                    training_users: split.training_users.as_deref(),
                }),
                split: full.as_ref().map_or(&split, |full| full),
                searched: &split,
                seed: context.first_seed + u64::from(repeat),
                context,
            };
            let this = one.run(outcome, progress, &mut results.runs)?;
            made.insert(&model.name, this);
        }
    }

    let cleaned = plan.cleaning.as_ref().map(protocol::describe_cleaning).unwrap_or_default();
    let text =
        |candidates| format!("{cleaned}{}; profile {}", protocol::describe(&protocol, candidates), context.profile);
    for candidates in std::iter::once(plan.candidates).chain(plan.also_among) {
        let first = results.records.len();
        let mut pooled: BTreeMap<(&str, &str), Evaluation> = BTreeMap::new();
        for (model, outcome) in plan.models.iter().zip(&outcomes) {
            results.records.extend(records(plan, model, outcome, candidates, &text(candidates), context)?);
            let tested = if candidates == plan.candidates { &outcome.tested } else { &outcome.also };
            for (variant, evaluations) in tested.all() {
                pooled.insert((&model.name, variant), Evaluation::pooled(evaluations)?);
            }
        }
        let claims = plan.claims.iter().filter(|claim| claim.among.unwrap_or(plan.candidates) == candidates);
        let (decided, notes) = claims::decide(claims, &results.records[first..], &results.runs[first_run..], &pooled);
        results.claims.extend(decided);
        results.notes.extend(notes);
    }
    Ok(())
}

/// The split with its validation part put back into training.
fn with_validation(split: &Split) -> Result<Split> {
    let train = match &split.validation {
        Some(validation) => union(&split.train, validation)?,
        None => split.train.clone(),
    };
    Ok(Split { train, validation: None, test: split.test.clone(), training_users: split.training_users.clone() })
}

fn union(train: &Interactions, held: &Holdout) -> Result<Interactions> {
    let mut builder = InteractionsBuilder::new(train.n_users(), train.n_items()).duplicates(Duplicates::default());
    for (user, item) in train.pairs() {
        builder.push(user, item);
    }
    for user in held.users() {
        for &item in held.truth_of(user) {
            builder.push(user, item);
        }
    }
    Ok(builder.build()?.0)
}

/// One model with one seed.
struct One<'a> {
    plan: &'a Plan,
    model: &'a PlannedModel,
    kind: &'static Kind,
    teacher: Option<&'a Made>,
    /// What ranks its best items again.
    second: Option<(&'a PostRank, &'a Made)>,
    /// The words of items, for kinds that learn from them.
    text: Option<&'a WordCounts>,
    /// What else the data tell, for kinds that look.
    beside: Beside<'a>,
    /// What the reported model is trained on.
    split: &'a Split,
    /// What settings and epochs are chosen on.
    searched: &'a Split,
    seed: u64,
    context: &'a Context<'a>,
}

impl One<'_> {
    fn run(&self, outcome: &mut Outcome, progress: &mut Progress, runs: &mut Vec<Run>) -> Result<Made> {
        let (plain, trials) = configs(self.kind, self.model)?;
        if outcome.chosen.is_none() {
            outcome.chosen = Some(if trials.is_empty() || self.searched.validation.is_none() {
                (plain, Vec::new())
            } else {
                self.search(trials, progress)?
            });
        }
        let (config, search) = outcome.chosen.clone().unwrap_or_default();
        let label = format!("{} seed {}", self.model.name, self.seed);
        let refits = self.plan.refit && self.searched.validation.is_some();
        let made = if refits && self.model.training.eval_every == Some(0) && search.is_empty() {
            // Nothing is left to be chosen.
            let trained = self.refit(&config, None, &label, progress)?;
            Made { chosen: trained.clone(), reported: trained }
        } else {
            let chosen = self.train(&config, &label, !refits, progress)?;
            let reported = if refits { self.refit(&config, Some(&chosen), &label, progress)? } else { chosen.clone() };
            Made { chosen, reported }
        };
        let Made { chosen, reported: trained } = &made;

        let model = self.kind.open(&trained.path)?;
        let watch = Stopwatch::of_process();
        let evaluation = evaluate_test(
            self.system(model.answers(), &self.plan.metrics),
            self.split,
            &self.plan.metrics,
            self.plan.candidates,
        )
        .with_context(|| format!("evaluating {}", self.model.name))?;
        let eval_seconds = watch.wall_seconds();
        if let Some(candidates) = self.plan.also_among {
            let metrics = &self.plan.metrics;
            let system = self.system_among(model.answers(), metrics, candidates);
            outcome.also.evaluations.push(evaluate_test(system, self.split, metrics, candidates)?);
        }
        let first_metric = self.plan.metrics[0];
        progress.end(&format!(
            "{label}: {first_metric} {:.4}, trained {:.1} s{}, evaluated {eval_seconds:.1} s",
            evaluation.value(first_metric).unwrap_or(f64::NAN),
            trained.origin.train_seconds,
            if trained.cached { " (kept)" } else { "" },
        ));
        outcome.train_seconds.push(trained.origin.train_seconds);
        outcome.tests.push(trained.origin.tests.clone());
        outcome.tested.evaluations.push(evaluation);
        let cost = ListCost::of_model(model.answers(), self.plan, &self.split.train)?;
        let (train, k) = (&self.split.train, longest(self.plan, self.split.train.n_items()));
        let mut beside = figures::of(&*model, &config, &self.model.batch_sizes, k, train)?;
        if let (Some(made), Some(name)) = (self.teacher, &self.model.teacher) {
            let teacher = self.open(name, &made.reported)?;
            beside.measured.extend([kept(teacher.answers(), model.answers(), self.plan, train)?]);
        }
        let run = Run {
            paper: self.plan.paper.clone(),
            dataset: self.plan.dataset.clone(),
            model: self.model.name.clone(),
            variant: String::new(),
            seed: self.seed,
            config,
            cached: trained.cached,
            train_seconds: trained.origin.train_seconds,
            train_cpu_seconds: trained.origin.train_cpu_seconds,
            eval_seconds: tidy(eval_seconds),
            peak_rss_bytes: trained.origin.peak_rss_bytes,
            model_bytes: std::fs::metadata(&trained.path).map_or(0, |m| m.len()),
            query_us: cost.query_us,
            n_params: model.n_params().map(|n| n as u64),
            item_bytes: model.item_bytes().map(|n| n as u64),
            all_users_seconds: cost.all_users_seconds,
            measured: beside.measured,
            figures: beside.figures,
            validation: chosen.origin.validation.map(|value| Validation {
                metric: self.plan.select_by.to_string(),
                value,
                epoch: chosen.origin.best_epoch,
            }),
            curve: chosen
                .origin
                .history
                .iter()
                .map(|e| Epoch { epoch: e.epoch, loss: Some(e.loss), validation: e.metric })
                .collect(),
            search,
            key: trained.key.clone(),
        };
        runs.push(run.clone());
        if let Some((post, by)) = self.second {
            self.post_rank(&run, model.answers(), post, by, outcome, runs)?;
        }
        for how in &self.model.also_served {
            let model = self.kind.open_served(&trained.path, how)?;
            let lists = model.answers().retriever.context("a model served in several ways gives lists")?;
            let run = Run { item_bytes: model.item_bytes().map(|n| n as u64), ..run.clone() };
            let variant = crate::report::view::settings(&Value::Object(how.clone()));
            progress
                .end(&format!("{label}, {variant}: {}", self.add_variant(run, variant.clone(), lists, outcome, runs)?));
        }
        Ok(made)
    }

    /// Ranks the best items of a model again, and adds a run for each depth.
    fn post_rank(
        &self,
        first: &Run,
        model: Answers<'_>,
        post: &PostRank,
        by: &Made,
        outcome: &mut Outcome,
        runs: &mut Vec<Run>,
    ) -> Result<()> {
        let second = self.open(&post.by, &by.reported)?;
        for &depth in &post.depths {
            let all = Exhaustive::new(model.scorer);
            let lists = Rerank::new(model.retriever.unwrap_or(&all), second.answers().scorer, depth)?;
            self.add_variant(first.clone(), post.variant(depth), &lists, outcome, runs)?;
        }
        Ok(())
    }

    /// Evaluates another way to a model's lists and adds it beside the model's own run; tells the first metric.
    fn add_variant(
        &self,
        own: Run,
        variant: String,
        lists: &dyn Retriever<Query = UserId>,
        outcome: &mut Outcome,
        runs: &mut Vec<Run>,
    ) -> Result<String> {
        let plan = self.plan;
        let metrics: Vec<Metric> = plan.metrics.iter().copied().filter(|m| matches!(m.cut(), Cut::At(_))).collect();
        let watch = Stopwatch::of_process();
        let evaluate_among = |candidates| evaluate_test(System::Retriever(lists), self.split, &metrics, candidates);
        let evaluation = evaluate_among(plan.candidates)?;
        let eval_seconds = tidy(watch.wall_seconds());
        let first = metrics.first().and_then(|metric| Some(format!("{metric} {:.4}", evaluation.value(*metric)?)));
        let cost = ListCost::of(lists, plan, &self.split.train)?;
        outcome.tested.add_variant(&variant, evaluation);
        if let Some(candidates) = plan.also_among {
            outcome.also.add_variant(&variant, evaluate_among(candidates)?);
        }
        runs.push(Run {
            variant,
            eval_seconds,
            query_us: cost.query_us,
            all_users_seconds: cost.all_users_seconds,
            // Learned or measured with the model itself, and told there.
            measured: BTreeMap::new(),
            figures: Vec::new(),
            curve: Vec::new(),
            search: Vec::new(),
            ..own
        });
        Ok(first.unwrap_or_default())
    }

    /// Tries every setting on the validation part; the first of the best wins.
    fn search(&self, trials: Vec<(Value, Value)>, progress: &mut Progress) -> Result<(Value, Vec<Trial>)> {
        let n = trials.len();
        let mut tried = Vec::new();
        let mut best: Option<(f64, Value)> = None;
        for (i, (settings, config)) in trials.into_iter().enumerate() {
            let label = format!("{} search {}/{n}", self.model.name, i + 1);
            let trained = self.train(&config, &label, false, progress)?;
            let value = trained.origin.validation.context("a search without validation value")?;
            progress.end(&format!(
                "{label}: {} {value:.4}  {}",
                self.plan.select_by,
                crate::report::view::settings(&settings)
            ));
            if best.as_ref().is_none_or(|(least, _)| value > *least) {
                best = Some((value, config));
            }
            tried.push(Trial { settings, value });
        }
        let (_, config) = best.context("a search without settings")?;
        Ok((config, tried))
    }

    /// Trains with validation; test values are recorded along the way if this is the `reported` model.
    fn train(&self, config: &Value, label: &str, reported: bool, progress: &mut Progress) -> Result<Trained> {
        let training = &self.model.training;
        let select_by = format!("{} among {}", self.plan.select_by, self.plan.candidates);
        let validation = self.searched.validation.as_ref();
        let teacher = self.teacher.map(|made| &made.chosen);
        let recipe = Recipe {
            kind: self.kind,
            config,
            train: &self.searched.train,
            validation,
            select_by: &select_by,
            max_epochs: training.max_epochs.unwrap_or(MAX_EPOCHS),
            patience: training.patience.filter(|p| *p > 0),
            eval_every: training.eval_every.unwrap_or(1),
            seed: self.seed,
            teacher: None,
            text: self.text,
            beside: self.beside,
            trainer: self.context.trainer,
        };
        let measure = |model: Answers<'_>| self.validate(model);
        let epochs = if reported { training.test_at.as_deref().unwrap_or_default() } else { &[] };
        self.get(&recipe, teacher, label, validation.map(|_| &measure as _), epochs, progress)
    }

    /// Trains on training and validation data together, for as many epochs as were best.
    fn refit(&self, config: &Value, chosen: Option<&Trained>, label: &str, progress: &mut Progress) -> Result<Trained> {
        let training = &self.model.training;
        let best = chosen.and_then(|chosen| chosen.origin.best_epoch);
        let recipe = Recipe {
            kind: self.kind,
            config,
            train: &self.split.train,
            validation: None,
            select_by: "",
            max_epochs: best.or(training.max_epochs).unwrap_or(MAX_EPOCHS),
            patience: None,
            eval_every: 0,
            seed: self.seed,
            teacher: None,
            text: self.text,
            beside: self.beside,
            trainer: self.context.trainer,
        };
        let epochs = training.test_at.as_deref().unwrap_or_default();
        let label = if chosen.is_some() { format!("{label} refit") } else { label.to_owned() };
        self.get(&recipe, self.teacher.map(|made| &made.reported), &label, None, epochs, progress)
    }

    /// The model of a recipe, with its teacher opened.
    fn get(
        &self,
        recipe: &Recipe<'_>,
        teacher: Option<&Trained>,
        label: &str,
        validate: Option<&Measure<'_>>,
        epochs: &[u32],
        progress: &mut Progress,
    ) -> Result<Trained> {
        let opened = match (teacher, &self.model.teacher) {
            (Some(teacher), Some(name)) => Some((teacher.key.as_str(), self.open(name, teacher)?)),
            _ => None,
        };
        let teacher = opened.as_ref().map(|(key, model)| (*key, &**model));
        let measure = |model: Answers<'_>| self.test(model);
        let test_at = TestAt { epochs, measure: &measure };
        self.context.cache.get(&Recipe { teacher, ..*recipe }, label, validate, &test_at, progress)
    }

    /// Opens another model of the plan.
    fn open(&self, name: &str, trained: &Trained) -> Result<Box<dyn Model>> {
        let kind = self.plan.models.iter().find(|model| model.name == name).map(|model| &model.kind);
        registry::find(kind.context("a model of the plan")?)?.open(&trained.path)
    }

    /// What is reported of a model in training.
    fn test(&self, model: Answers<'_>) -> Result<TestValues> {
        let metrics = &self.plan.metrics;
        let evaluation = evaluate_test(self.system(model, metrics), self.split, metrics, self.plan.candidates)?;
        Ok(metrics.iter().filter_map(|m| Some((m.to_string(), tidy(evaluation.value(*m)?)))).collect())
    }

    /// Lists where lists suffice and the model makes them fast; scores otherwise.
    fn system<'m>(&self, model: Answers<'m>, metrics: &[Metric]) -> System<'m> {
        self.system_among(model, metrics, self.plan.candidates)
    }

    fn system_among<'m>(&self, model: Answers<'m>, metrics: &[Metric], candidates: Candidates) -> System<'m> {
        let lists_suffice =
            candidates != Candidates::Sampled && metrics.iter().all(|metric| matches!(metric.cut(), Cut::At(_)));
        match model.retriever {
            Some(retriever) if lists_suffice => System::Retriever(retriever),
            _ => System::Scorer(model.scorer),
        }
    }

    fn validate(&self, model: Answers<'_>) -> Result<f64> {
        let holdout = self.searched.validation.as_ref().context("no validation part")?;
        let metric: Metric = self.plan.select_by;
        let evaluation =
            evaluate(self.system(model, &[metric]), &self.searched.train, holdout, &[metric], self.plan.candidates)?;
        evaluation.value(metric).context("the validation gave no value")
    }
}
