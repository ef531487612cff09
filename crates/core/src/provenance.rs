//! Where a model comes from.

use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, ArtifactError, ArtifactWriter};

/// Metadata key under which a provenance is saved.
const KEY: &str = "rectify.provenance";

/// The method that made a model, its settings, and what is known of its making: saved with it, so that a file explains itself.
///
/// What is not known takes no place in the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the method, for instance `ials`.
    pub model: String,
    /// Its settings; `config` in older files.
    #[serde(alias = "config")]
    pub settings: serde_json::Value,
    /// What taught it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Box<Self>>,
    /// What it learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataFacts>,
    /// The seed of all its random numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The program that made it, with its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// When, as the program said; bits are compared without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// What was measured of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
}

/// What a model learned from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFacts {
    /// Name of the data set, or of its file.
    pub name: String,
    /// Users, items and interactions.
    pub n_users: u64,
    /// Items.
    pub n_items: u64,
    /// Interactions.
    pub n_interactions: u64,
    /// BLAKE3 of the interactions as a model sees them.
    pub blake3: String,
    /// How a part was held out to be measured on, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The metric, for instance `recall@20` or `overlap@20 with the teacher`.
    pub metric: String,
    /// The part of the data: `validation` or `test`.
    pub part: String,
    /// Its mean.
    pub value: f64,
    /// 95 % bootstrap interval over users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<[f64; 2]>,
}

impl Provenance {
    /// What `model` makes with these settings.
    ///
    /// # Panics
    /// If the settings have no JSON form (a map whose keys are no strings): a bug of their type.
    #[must_use]
    pub fn new(model: impl Into<String>, settings: &impl Serialize) -> Self {
        let settings = serde_json::to_value(settings).expect("settings have a JSON form");
        Self { model: model.into(), settings, ..Self::default() }
    }

    /// Adds it to an artifact.
    ///
    /// # Panics
    /// Never: it has a JSON form.
    pub fn write(&self, writer: &mut ArtifactWriter<'_>) {
        writer.text(KEY, &serde_json::to_string(self).expect("a provenance has a JSON form"));
    }

    /// What [`write`](Self::write) added.
    ///
    /// # Errors
    /// [`ArtifactError::Field`] if it is missing or of another form.
    pub fn read(artifact: &Artifact) -> Result<Self, ArtifactError> {
        serde_json::from_str(artifact.text(KEY)?).map_err(|error| artifact.field_error(KEY, error.to_string()))
    }

    /// `artifact` as if it had been written with this provenance: for files that say it elsewhere.
    ///
    /// # Panics
    /// Never: it has a JSON form.
    #[must_use]
    pub fn shown_in(&self, artifact: &Artifact) -> Artifact {
        artifact.with_text(KEY, &serde_json::to_string(self).expect("a provenance has a JSON form"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_takes_no_place() {
        let plain = Provenance::new("ials", &serde_json::json!({"l2": 0.1}));
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"model":"ials","settings":{"l2":0.1}}"#);
        let told = Provenance { seed: Some(7), teacher: Some(Box::new(plain)), ..Provenance::new("rvq", &()) };
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Provenance>(&text).unwrap(), told);
    }
}
