//! One entry of an experiment's file that stands for several: axes with values, and placeholders for them.

use rectify_core::UnknownName;
use rectify_models::Settings;
use serde_json::Value;

/// The entries that one stands for: one for each combination of the values of its `matrix`, or the entry itself without one.
///
/// An axis `size = [1, 2]` puts a value in the place of each `{size}` in texts, names of fields and settings; a text that is nothing
/// but `{size}` becomes the value itself. An axis `"a, b" = [[1, 2], [3, 4]]` gives two placeholders that change together. The last
/// axis, by name, varies fastest.
pub(super) fn expand(mut entry: Settings) -> Result<Vec<Settings>, String> {
    let Some(matrix) = entry.remove("matrix") else { return Ok(vec![entry]) };
    let axes = matrix.as_object().ok_or("field matrix: expected a table of axes")?;
    let text = Value::Object(entry.clone()).to_string();
    let mut all = vec![Settings::new()];
    for (axis, values) in axes {
        let problem = |text: &str| format!("field matrix.\"{axis}\": {text}");
        let names: Vec<&str> = axis.split(',').map(str::trim).collect();
        if let Some(name) = names.iter().find(|name| !text.contains(&format!("{{{name}}}"))) {
            return Err(problem(&format!("nothing here says {{{name}}}")));
        }
        let values = values.as_array().filter(|values| !values.is_empty());
        let mut rows = Vec::new();
        for value in values.ok_or_else(|| problem("expected an array of values"))? {
            rows.push(match (&names[..], value) {
                ([name], value) => Settings::from_iter([((*name).to_owned(), value.clone())]),
                (names, Value::Array(row)) if row.len() == names.len() => {
                    names.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned()).collect()
                }
                (names, value) => {
                    return Err(problem(&format!("{value}: expected an array of {} values", names.len())));
                }
            });
        }
        let with = |values: &Settings, row: &Settings| values.clone().into_iter().chain(row.clone()).collect();
        all = all.iter().flat_map(|values| rows.iter().map(move |row| with(values, row))).collect();
    }
    all.iter().map(|values| table(&entry, values)).collect()
}

fn table(entry: &Settings, values: &Settings) -> Result<Settings, String> {
    entry.iter().map(|(key, value)| Ok((fill(key, values)?, filled(value, values)?))).collect()
}

fn filled(value: &Value, values: &Settings) -> Result<Value, String> {
    Ok(match value {
        Value::Object(inner) => Value::Object(table(inner, values)?),
        Value::Array(all) => Value::Array(all.iter().map(|one| filled(one, values)).collect::<Result<_, _>>()?),
        Value::String(text) => match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) if values.contains_key(name) => values[name].clone(),
            _ => Value::String(fill(text, values)?),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// A text with values in the place of its placeholders.
fn fill(text: &str, values: &Settings) -> Result<String, String> {
    let mut parts = text.split('{');
    let mut full = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').ok_or_else(|| format!("'{text}': a brace is not closed"))?;
        match values.get(name) {
            Some(Value::String(value)) => full += value,
            Some(value) => full += &value.to_string(),
            None => return Err(UnknownName::new("axis", name, values.keys().map(String::as_str)).to_string()),
        }
        full += rest;
    }
    Ok(full)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expanded(entry: Value) -> Result<Value, String> {
        let entry: Settings = serde_json::from_value(entry).unwrap();
        Ok(expand(entry)?.into_iter().map(Value::Object).collect())
    }

    #[test]
    fn every_combination_is_an_entry_and_rows_change_together() {
        let all = expanded(json!({
            "name": "{family}-{size}", "settings": { "dim": "{dim}", "loss": { "{family}": {} } },
            "matrix": { "family": ["a", "b"], "size, dim": [["half", 5], [1.0, 10]] }
        }));
        let entry = |name, dim, family: &str| json!({"name": name, "settings": {"dim": dim, "loss": {family: {}}}});
        let expected = [("a-half", 5, "a"), ("a-1.0", 10, "a"), ("b-half", 5, "b"), ("b-1.0", 10, "b")];
        assert_eq!(all, Ok(expected.map(|(name, dim, family)| entry(name, dim, family)).into_iter().collect()));
    }

    #[test]
    fn an_entry_without_axes_is_itself_braces_and_all() {
        let entry = json!({"name": "{x}"});
        assert_eq!(expanded(entry.clone()), Ok(json!([entry])));
    }

    #[test]
    fn axes_that_do_not_fit_are_refused() {
        let refused = |name: &str, matrix| expanded(json!({"name": name, "matrix": matrix})).unwrap_err();
        assert!(refused("{sise}-{size}", json!({"size": [1]})).contains("unknown axis 'sise'; did you mean 'size'"));
        assert!(refused("x", json!({"size": [1]})).contains("matrix.\"size\": nothing here says {size}"));
        assert!(refused("{size}", json!({"size": []})).contains("expected an array of values"));
        assert!(refused("{a}{b}", json!({"a, b": [[1, 2], [3]]})).contains("[3]: expected an array of 2 values"));
        assert!(refused("{a} {", json!({"a": [1]})).contains("a brace is not closed"));
        assert!(refused("x", json!([1])).contains("expected a table of axes"));
    }
}
