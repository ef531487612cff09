//! Settings of a model as JSON: what was said, over what is usual, checked.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{BoxError, SettingsError};

/// Settings of a model, as its config struct will read them.
pub type Settings = Map<String, Value>;

/// Lays `over` over `base`: inner tables are merged, everything else is replaced.
///
/// Tables of another `rule` (an optimiser's name) have other fields, so they are replaced too.
pub fn merge(base: &mut Settings, over: &Settings) {
    // A rule is a name; a table of settings may be called so too.
    fn rule(settings: &Settings) -> Option<&str> {
        settings.get("rule").and_then(Value::as_str)
    }
    let same_rule = |a: &Settings, b: &Settings| rule(b).is_none_or(|name| rule(a) == Some(name));
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(value)) if same_rule(inner, value) => merge(inner, value),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Reads settings over the defaults of `C`, checks them, and writes all of them out: what a kind's `resolve` usually is.
///
/// # Errors
/// A field that is unknown or of another type, with the nearest name, or what `validate` says.
pub fn resolve<C: Default + DeserializeOwned + Serialize, E: Into<BoxError>>(
    settings: &Settings,
    validate: fn(&C) -> Result<(), E>,
) -> Result<Value, SettingsError> {
    resolve_over(&C::default(), settings, validate)
}

/// As [`resolve`], over other defaults.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_over<C: DeserializeOwned + Serialize, E: Into<BoxError>>(
    defaults: &C,
    settings: &Settings,
    validate: fn(&C) -> Result<(), E>,
) -> Result<Value, SettingsError> {
    let mut all = serde_json::to_value(defaults).map_err(SettingsError::Form)?;
    if let Value::Object(all) = &mut all {
        merge(all, settings);
    }
    let config: C = read(all)?;
    validate(&config).map_err(|error| SettingsError::Values(error.into()))?;
    serde_json::to_value(&config).map_err(SettingsError::Form)
}

/// Settings as a type; what a kind resolved, or a way of serving.
///
/// # Errors
/// A field that is unknown or of another type, with the nearest name.
pub fn read<C: DeserializeOwned>(settings: Value) -> Result<C, SettingsError> {
    serde_json::from_value(settings).map_err(SettingsError::Form)
}

/// Settings as `a = 1, b.c = 2`: dots lead to inner tables, as in an experiment file.
#[must_use]
pub fn describe(settings: &Value) -> String {
    fn leaves(path: &str, value: &Value, out: &mut Vec<String>) {
        match value.as_object() {
            Some(map) => map.iter().for_each(|(key, value)| {
                leaves(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, out);
            }),
            None => out.push(format!("{path} = {value}")),
        }
    }
    let mut out = Vec::new();
    leaves("", settings, &mut out);
    out.join(", ")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Default, Deserialize, Serialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        l2: f64,
        inner: Inner,
    }

    #[derive(Default, Deserialize, Serialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        a: u32,
        b: u32,
    }

    fn settings(value: Value) -> Settings {
        serde_json::from_value(value).unwrap()
    }

    fn positive(config: &Config) -> Result<(), BoxError> {
        if config.l2 < 0.0 { Err(format!("l2 is {}, expected at least 0", config.l2).into()) } else { Ok(()) }
    }

    #[test]
    fn what_is_not_said_is_the_default_and_all_of_it_is_written_out() {
        let all = resolve(&settings(json!({"inner": {"b": 2}})), positive).unwrap();
        assert_eq!(all, json!({"l2": 0.0, "inner": {"a": 0, "b": 2}}));
    }

    #[test]
    fn unknown_fields_and_impossible_values_are_refused() {
        let refused = |value| resolve(&settings(value), positive).unwrap_err().to_string();
        assert!(refused(json!({"l3": 1.0})).contains("did you mean `l2`"), "{}", refused(json!({"l3": 1.0})));
        assert_eq!(refused(json!({"l2": -1.0})), "l2 is -1, expected at least 0");
    }

    #[test]
    fn a_table_of_another_rule_is_replaced_and_one_of_the_same_is_merged() {
        let base = json!({"optimizer": {"rule": "adam", "learning_rate": 0.1, "beta": 0.9}});
        let laid = |over| {
            let mut all = settings(base.clone());
            merge(&mut all, &settings(over));
            all["optimizer"].clone()
        };
        let same = laid(json!({"optimizer": {"learning_rate": 0.2}}));
        assert_eq!(same, json!({"rule": "adam", "learning_rate": 0.2, "beta": 0.9}));
        let other = laid(json!({"optimizer": {"rule": "sgd", "learning_rate": 0.2}}));
        assert_eq!(other, json!({"rule": "sgd", "learning_rate": 0.2}));
    }

    #[test]
    fn settings_are_written_as_in_an_experiment_file() {
        let value = json!({"a": {"b": 0.1, "c": {"d": "x"}}, "e": 2});
        assert_eq!(describe(&value), "a.b = 0.1, a.c.d = \"x\", e = 2");
    }
}
