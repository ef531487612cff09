//! One experiment on one data set: split, search, train, evaluate, record.

mod claims;
mod lists;
mod measurements;
mod model_run;
mod outcome;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use rectify_core::rng::Seed;
use rectify_data::{DataSource, Duplicates, Holdout, Interactions, InteractionsBuilder, Split};
use rectify_eval::Evaluation;
use rectify_models::Kinds;
use rectify_models::train::{SideInformation, Trained, Trainer, Watch, configs};

use self::model_run::{ModelRun, Shared};
use self::outcome::{Outcome, Recording};
use crate::experiment::{Plan, describe, describe_cleaning};
use crate::record::Results;
use crate::refusal;

/// What all experiments of one command share.
pub(crate) struct Context<'a> {
    pub(crate) kinds: &'a Kinds,
    pub(crate) trainer: &'a Trainer<'a>,
    pub(crate) first_seed: u64,
    pub(crate) profile: &'a str,
    pub(crate) commit: &'a str,
}

/// Checks what can be checked without data: kinds and all settings, those of the search too.
pub(crate) fn check(plan: &Plan, kinds: &Kinds) -> Result<()> {
    for model in &plan.models {
        let of_model = || format!("{}:{}: model {} of experiment {}", plan.place, model.line, model.name, plan.paper);
        let kind = kinds.get(&model.kind).with_context(of_model)?;
        match (kind.needs.teacher, &model.teacher) {
            (Some(_), None) => {
                let problem = format!("a model of kind {} learns from another; name it as teacher", kind.name);
                return Err(refusal::input(format!("{}: {problem}", of_model())));
            }
            (None, Some(teacher)) => {
                let problem = format!("a model of kind {} has no use for teacher '{teacher}'", kind.name);
                return Err(refusal::input(format!("{}: {problem}", of_model())));
            }
            _ => {}
        }
        let (plain, _) = configs(kind, &model.settings, &model.trials).with_context(of_model)?;
        for how in &model.serve_variants {
            kind.check_variant(&plain, how).with_context(of_model)?;
        }
    }
    Ok(())
}

/// Runs a plan and adds what it found to `results`.
pub(crate) fn run(
    plan: &Plan,
    source: &DataSource,
    context: &Context<'_>,
    watch: &mut dyn Watch,
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
        let shared = Shared {
            plan,
            trainer: context.trainer,
            split: full.as_ref().unwrap_or(&split),
            searched: &split,
            text: data.text.as_ref(),
            side: SideInformation {
                categories: data.categories.as_ref(),
                training_users: split.training_users.as_deref(),
            },
            seed: context.first_seed + u64::from(repeat),
        };
        let mut trained: BTreeMap<&str, Trained> = BTreeMap::new();
        for (model, outcome) in plan.models.iter().zip(&mut outcomes) {
            let earlier = |name: &str| {
                trained
                    .get(name)
                    .with_context(|| format!("model {} needs {name}, which is not run on this data", model.name))
            };
            let kind = context.kinds.get(&model.kind)?;
            if kind.needs.text && data.text.is_none() {
                let problem =
                    format!("model {} learns from the words of items, and {} has none", model.name, plan.dataset);
                return Err(refusal::input(problem));
            }
            let run = ModelRun {
                shared: &shared,
                model,
                kind,
                teacher: model.teacher.as_deref().map(earlier).transpose()?,
                second: match &model.rerank {
                    Some(rerank) => Some((rerank, earlier(&rerank.by)?)),
                    None => None,
                },
            };
            let this = run.run(outcome, watch, &mut results.runs)?;
            trained.insert(&model.name, this);
        }
    }

    let cleaned = plan.cleaning.as_ref().map(describe_cleaning).unwrap_or_default();
    let text = |candidates| format!("{cleaned}{}; profile {}", describe(&protocol, candidates), context.profile);
    for candidates in std::iter::once(plan.candidates).chain(plan.second_protocol) {
        let first = results.records.len();
        let mut pooled: BTreeMap<(&str, &str), Evaluation> = BTreeMap::new();
        let protocol = text(candidates);
        let recording = Recording {
            plan,
            candidates,
            protocol: &protocol,
            first_seed: context.first_seed,
            device: context.trainer.place.name(),
            commit: context.commit,
        };
        for (model, outcome) in plan.models.iter().zip(&outcomes) {
            results.records.extend(recording.records(&model.name, outcome)?);
            for (variant, evaluations) in recording.tested(outcome).all() {
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
