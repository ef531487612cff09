//! A plan as TOML: what would be trained, with every default written out.
//!
//! Settings stand a line each, their inner tables as dots: as `--set` names them, and as `diff` compares them best.

use anyhow::{Context as _, Result};
use rectify_models::Kinds;
use rectify_models::train::configs;
use serde::Serialize;
use serde_json::{Value, json};

use super::Plan;
use super::expected::{ClaimSpec, Published};
use super::plan::PlannedModel;

/// Which profile and seeds a plan is run with.
pub(crate) struct How<'a> {
    pub(crate) profile: &'a str,
    pub(crate) first_seed: u64,
}

/// A plan as a table of the array `experiment`.
pub(crate) fn print(plan: &Plan, kinds: &Kinds, how: &How<'_>) -> Result<String> {
    let mut page = Page(String::new());
    let seeds: Vec<u64> = (how.first_seed..).take(plan.seeds as usize).collect();
    let also = plan.second_protocol.map(|candidates| ("second_protocol", json!(candidates)));
    page.header("experiment");
    page.lines([
        ("name", json!(plan.paper)),
        ("title", json!(plan.title)),
        ("dataset", json!(plan.dataset)),
        ("profile", json!(how.profile)),
        ("seeds", json!(seeds)),
        // Where nothing stands, those of the data set.
        ("cleaning", serde_json::to_value(&plan.cleaning)?),
        ("protocol", serde_json::to_value(&plan.protocol)?),
        ("candidates", json!(plan.candidates)),
    ])?;
    page.lines(also)?;
    page.lines([
        ("metrics", json!(plan.metrics)),
        ("select_by", json!(plan.select_by)),
        ("refit", json!(plan.refit)),
        ("time_all_users", json!(plan.time_all_users)),
    ])?;
    for model in &plan.models {
        page.header("experiment.models");
        page.lines(model_lines(model, kinds).with_context(|| format!("model {}", model.name))?)?;
    }
    for published in &plan.published {
        page.header("experiment.published");
        page.lines(published_lines(published))?;
    }
    for claim in &plan.claims {
        page.header("experiment.claims");
        page.lines(claim_lines(claim))?;
    }
    Ok(page.0)
}

type Lines = Vec<(&'static str, Value)>;

fn model_lines(model: &PlannedModel, kinds: &Kinds) -> Result<Lines> {
    let kind = kinds.get(&model.kind)?;
    let (settings, trials) = configs(kind, &model.settings, &model.trials)?;
    let mut lines = vec![("name", json!(model.name)), ("kind", json!(model.kind)), ("teacher", json!(model.teacher))];
    if kind.abilities.by_epochs {
        lines.push(("training", serde_json::to_value(&model.training)?));
    }
    lines.push(("settings", settings));
    let mut several = |name, values: Vec<Value>| {
        if !values.is_empty() {
            lines.push((name, Value::Array(values)));
        }
    };
    several("search", trials.into_iter().map(|(overlay, _)| overlay).collect());
    several("serve_variants", model.serve_variants.iter().cloned().map(Value::Object).collect());
    several("batch_sizes", model.batch_sizes.iter().map(|size| json!(size)).collect());
    if let Some(rerank) = &model.rerank {
        lines.push(("rerank", json!({ "by": rerank.by, "depths": rerank.depths })));
    }
    Ok(lines)
}

fn published_lines(published: &Published) -> Lines {
    vec![
        ("model", json!(crate::record::name(&published.model, &published.variant))),
        ("table", json!(published.table)),
        ("among", json!(published.among)),
        ("values", json!(published.values)),
    ]
}

fn claim_lines(claim: &ClaimSpec) -> Lines {
    vec![
        ("id", json!(claim.id)),
        ("text", json!(claim.text)),
        ("among", json!(claim.among)),
        ("greater", json!(claim.left.describe())),
        ("than", json!(claim.right.describe())),
        ("factor", json!(claim.factor)),
        ("band", json!(claim.band)),
    ]
}

/// Text that grows line by line.
struct Page(String);

impl Page {
    fn header(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0 += &format!("[[{name}]]\n");
    }

    fn lines(&mut self, lines: impl IntoIterator<Item = (&'static str, Value)>) -> Result<()> {
        lines.into_iter().try_for_each(|(name, value)| self.leaves(name, &value))
    }

    /// A line for each leaf; nothing for what is absent.
    fn leaves(&mut self, path: &str, value: &Value) -> Result<()> {
        match value {
            Value::Null => {}
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    self.leaves(&format!("{path}.{}", quoted(key)?), value)?;
                }
            }
            Value::Array(all) if all.iter().any(Value::is_object) => {
                self.0 += &format!("{path} = [\n");
                for one in all {
                    self.0 += &format!("    {},\n", inline(one)?);
                }
                self.0 += "]\n";
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                self.0 += &format!("{path} = {}\n", inline(value)?);
            }
        }
        Ok(())
    }
}

/// A key, in quotes where TOML wants them.
fn quoted(key: &str) -> Result<String> {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { Ok(key.to_owned()) } else { inline(&json!(key)) }
}

/// A value on one line, without what is absent: TOML has no word for it.
fn inline(value: &Value) -> Result<String> {
    fn told(value: &Value) -> Value {
        match value {
            Value::Object(map) => map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), told(v))).collect(),
            Value::Array(all) => all.iter().map(told).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }
    let mut text = String::new();
    told(value).serialize(toml::ser::ValueSerializer::new(&mut text))?;
    Ok(text)
}
