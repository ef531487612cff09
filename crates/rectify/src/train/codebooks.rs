//! How many codewords a catalogue is worth.

use rectify_models::{Kind, ModelError, Settings};
use serde_json::Value;

/// Items for each codeword of all codebooks together, at least. With fewer, codebooks of whole vectors take more than a quarter of the
/// bytes that they replace, and a codeword hardly stands for more items than itself.
const ITEMS_PER_CODEWORD: u64 = 4;

/// Settings with a number of codewords that the catalogue is worth: the largest power of two from 16 to 256 that leaves four items for each
/// codeword. Settings that say `n_codewords`, and kinds without codebooks, stay as they are.
pub(super) fn sized(kind: &Kind, settings: &Settings, n_items: usize) -> Result<Settings, ModelError> {
    let mut settings = settings.clone();
    if settings.contains_key("n_codewords") {
        return Ok(settings);
    }
    let config = kind.resolve(&settings)?;
    let number = |field: &str| config.get(field).and_then(Value::as_u64);
    if let (Some(n_codebooks), Some(default)) = (number("n_codebooks"), number("n_codewords")) {
        let fits = |n: &u64| n_codebooks * n * ITEMS_PER_CODEWORD <= n_items as u64;
        let n_codewords = [256, 128, 64, 32].into_iter().filter(|n| *n <= default).find(fits);
        settings.insert("n_codewords".to_owned(), n_codewords.unwrap_or(16).into());
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use rectify_models::Kinds;
    use serde_json::json;

    use super::*;

    fn codewords(kind: &str, settings: &Value, n_items: usize) -> Option<u64> {
        let kinds = Kinds::builtin();
        let settings = settings.as_object().cloned().unwrap();
        sized(kinds.get(kind).unwrap(), &settings, n_items).unwrap().get("n_codewords").and_then(Value::as_u64)
    }

    #[test]
    fn codebooks_grow_with_the_catalogue() {
        let four = |n_items| codewords("rvq", &json!({"n_codebooks": 4}), n_items);
        assert_eq!([10, 500, 1_100, 2_100, 4_096, 1_000_000].map(four), [16, 16, 64, 128, 256, 256].map(Some));
        assert_eq!(codewords("light-rec", &json!({"n_codebooks": 8}), 2_000), Some(32));
    }

    #[test]
    fn what_was_said_and_other_kinds_stay() {
        assert_eq!(codewords("pq", &json!({"n_codewords": 200}), 10), Some(200));
        assert_eq!(codewords("signs", &json!({}), 10), None);
    }
}
