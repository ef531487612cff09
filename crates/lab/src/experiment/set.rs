//! Settings of models that the command line says differently.

use anyhow::Result;
use rectify_core::UnknownName;
use rectify_models::settings::merge;
use rectify_models::{Kinds, Settings};
use serde_json::Value;

use super::plan::{Plan, nested};
use crate::refusal;

/// Lays `MODEL.FIELD=VALUE` over the settings of the models of that name; dots in the field lead to inner tables.
///
/// The value is read as TOML, or as text where it is none. What a search tries of that field gives way to it.
pub(crate) fn set<'a>(plans: impl Iterator<Item = &'a mut Plan>, text: &str, kinds: &Kinds) -> Result<()> {
    let refuse = |problem: String| refusal::usage(format!("--set {text}: {problem}"));
    let form = || refuse("expected MODEL.FIELD=VALUE, for instance ease.l2=0.1".into());
    let (place, value) = text.split_once('=').ok_or_else(form)?;
    let value = serde_json::to_value(value.parse().unwrap_or_else(|_| toml::Value::String(value.to_owned())))?;
    let mut models: Vec<_> = plans.flat_map(|plan| &mut plan.models).collect();
    // A name may have dots of its own: the longest that fits is meant.
    let names = models.iter().map(|model| model.name.as_str());
    let fitting = names.filter(|name| place.strip_prefix(name).is_some_and(|field| field.starts_with('.')));
    let Some(name) = fitting.max_by_key(|name| name.len()).map(str::to_owned) else {
        let (name, _) = place.split_once('.').ok_or_else(form)?;
        let mut names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        return Err(refuse(UnknownName::new("model", name, names).to_string()));
    };
    let said = nested(&place[name.len() + 1..], value);
    for model in models.iter_mut().filter(|model| model.name == name) {
        merge(&mut model.settings, &said);
        kinds.get(&model.kind)?.resolve(&model.settings).map_err(|error| refuse(error.to_string()))?;
        model.trials = without(&model.trials, &said);
    }
    Ok(())
}

/// The trials that are left of a search when a setting is fixed; none if it was all that was searched.
fn without(trials: &[Settings], fixed: &Settings) -> Vec<Settings> {
    let mut left: Vec<Settings> = Vec::new();
    for trial in trials {
        let mut trial = trial.clone();
        remove(&mut trial, fixed);
        if !trial.is_empty() && !left.contains(&trial) {
            left.push(trial);
        }
    }
    left
}

/// Removes what `fixed` says, and tables that are empty then.
fn remove(trial: &mut Settings, fixed: &Settings) {
    for (key, value) in fixed {
        if let (Some(Value::Object(inner)), Value::Object(value)) = (trial.get_mut(key), value) {
            remove(inner, value);
            if !inner.is_empty() {
                continue;
            }
        }
        trial.remove(key);
    }
}
