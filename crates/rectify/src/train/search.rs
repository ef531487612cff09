//! One candidate: every setting on the validation part.

use rectify_core::rng::Seed;
use rectify_data::{Dataset, Interactions, Split};
use rectify_models::train::{FitConfig, FitRequest, Fitted, SideInformation, Silent};
use rectify_models::{Answers, BoxError, Kind, Kinds, Model, ModelError, Settings};
use serde_json::{Value, json};

use super::Goal;
use crate::RecommendError;

/// A model that competes.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its kind.
    pub kind: String,
    /// Settings to choose from.
    pub settings: Vec<Settings>,
    /// Items at most: with more it takes too much memory, and is left out.
    pub most_items: Option<usize>,
}

/// Popularity, Item-CF, EASE (up to 12,000 items: a square matrix) and iALS over a small grid each.
#[must_use]
pub fn quick() -> Vec<Candidate> {
    let grid = |kind: &str, settings: &[Value], most_items| Candidate {
        kind: kind.to_owned(),
        settings: settings.iter().filter_map(|value| value.as_object().cloned()).collect(),
        most_items,
    };
    let mut ials = Vec::new();
    for unobserved_weight in [0.03, 0.1, 0.3] {
        for l2 in [0.001, 0.003, 0.01] {
            ials.push(json!({"unobserved_weight": unobserved_weight, "l2": l2}));
        }
    }
    vec![
        grid("pop-rank", &[json!({})], None),
        grid("item-cf", &[json!({})], None),
        grid("ease", &[json!({"l2": 50.0}), json!({"l2": 200.0}), json!({"l2": 800.0})], Some(12_000)),
        grid("ials", &ials, None),
    ]
}

/// What a search found.
pub(super) struct Chosen {
    pub(super) kind: Kind,
    pub(super) config: Value,
    /// Epochs of the best.
    pub(super) epochs: u32,
    /// Its validation value.
    pub(super) value: f64,
    /// Trained without the held-out parts.
    pub(super) model: Box<dyn Model>,
}

/// What is trained, on what, and towards what.
pub(super) struct Task<'a> {
    pub(super) data: &'a Dataset,
    pub(super) parts: &'a Split,
    pub(super) goal: &'a Goal,
}

impl Task<'_> {
    /// The best setting of a candidate; nothing if these data are too large for it.
    pub(super) fn search(
        &self,
        kinds: &Kinds,
        candidate: &Candidate,
        teacher: Option<&dyn Model>,
    ) -> Result<Option<Chosen>, RecommendError> {
        if candidate.most_items.is_some_and(|most| self.data.interactions.n_items() > most) {
            return Ok(None);
        }
        let kind = *kinds.get(&candidate.kind)?;
        let mut best: Option<Chosen> = None;
        for settings in &candidate.settings {
            let config = kind.resolve(settings)?;
            let fitted = self.fit(&kind, &config, &self.parts.train, None, teacher)?;
            let value = self.selection().value(fitted.model.answers(), &self.parts.train, self.validation()?);
            let value = value.map_err(ModelError::other)?;
            let epochs = fitted.report.map_or(self.goal.max_epochs, |report| report.best_epoch);
            if best.as_ref().is_none_or(|best| value > best.value) {
                best = Some(Chosen { kind, config, epochs, value, model: fitted.model });
            }
        }
        Ok(best)
    }

    /// Trains once: with early stopping on the validation part, or for as many `epochs` as were best.
    pub(super) fn fit(
        &self,
        kind: &Kind,
        config: &Value,
        train: &Interactions,
        epochs: Option<u32>,
        teacher: Option<&dyn Model>,
    ) -> Result<Fitted, RecommendError> {
        let validation = self.validation()?;
        let mut validate = |model: Answers<'_>| -> Result<f64, BoxError> {
            self.selection().value(model, &self.parts.train, validation)
        };
        let fit = match epochs {
            Some(max_epochs) => FitConfig { max_epochs, patience: None, eval_every: 0, checkpoint: None },
            None => FitConfig { max_epochs: self.goal.max_epochs, ..FitConfig::default() },
        };
        let request = FitRequest {
            train,
            config,
            fit: &fit,
            seed: Seed(self.goal.seed),
            teacher,
            text: self.data.text.as_ref().filter(|_| kind.needs.text),
            side: SideInformation { categories: self.data.categories.as_ref(), training_users: None }
                .for_needs(&kind.needs),
            validate: &mut validate,
            observer: &mut Silent,
        };
        Ok(kind.fit(request)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quick_candidate_takes_its_settings() {
        for candidate in quick() {
            let kinds = Kinds::builtin();
            let kind = kinds.get(&candidate.kind).unwrap();
            candidate.settings.iter().for_each(|settings| assert!(kind.resolve(settings).is_ok(), "{settings:?}"));
            assert!(!candidate.settings.is_empty());
        }
    }
}
