//! From a request to a trained model: search, train with validation, train again on everything.

use rectify_data::{Holdout, Interactions, WordCounts};
use serde_json::Value;

use super::fit_request::Measure;
use super::recipe::Recipe;
use super::{Meter, Place, Selection, SideInformation, Store, Stored, TestValues, Watch};
use crate::settings::{describe, merge};
use crate::{Answers, BoxError, Kind, ModelError, Settings};

/// Epochs at most, where nobody says.
const MAX_EPOCHS: u32 = 100;

/// Trains models and keeps them.
#[derive(Clone, Copy)]
pub struct Trainer<'a> {
    /// Where they are kept.
    pub store: &'a Store,
    /// Where they are trained.
    pub place: &'a Place,
    /// What measures the time it takes.
    pub meter: &'a dyn Meter,
}

/// What is learned from, and chosen on.
#[derive(Clone, Copy)]
pub struct TrainData<'a> {
    /// Interactions to train on.
    pub train: &'a Interactions,
    /// What settings and epochs are chosen on; without it nothing is chosen.
    pub validation: Option<&'a Holdout>,
    /// Both together, if the model is to be trained on them once more with what was chosen.
    pub full: Option<&'a Interactions>,
    /// The words of items, for kinds that need them.
    pub text: Option<&'a WordCounts>,
    /// What else the data tell; kinds look at what they [need](Kind::needs).
    pub side: SideInformation<'a>,
}

/// How long models that learn by epochs are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Epochs at most; 100 where nothing is said.
    pub max_epochs: Option<u32>,
    /// Validations without a new best before training stops; `None` and 0 never stop early.
    pub patience: Option<u32>,
    /// Epochs between validations, 1 where nothing is said; 0 never validates: the model trains for `max_epochs`, on everything
    /// if it is trained once more.
    pub eval_every: Option<u32>,
}

/// Measures the reported model along its training, for the record alone.
#[derive(Clone, Copy)]
pub struct TestAlong<'a> {
    /// After these epochs.
    pub epochs: &'a [u32],
    /// By this.
    pub measure: &'a dyn Fn(Answers<'_>) -> Result<TestValues, BoxError>,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// All settings of the model.
    pub config: Value,
    /// Everything that was tried, if anything was searched.
    pub trials: Vec<Trial>,
}

/// One setting of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What was laid over the other settings.
    pub settings: Value,
    /// The validated metric.
    pub value: f64,
}

/// A model to train.
pub struct TrainRequest<'a> {
    /// Its name, in what is said.
    pub name: &'a str,
    /// What it is.
    pub kind: &'a Kind,
    /// Its settings.
    pub settings: &'a Settings,
    /// Settings to lay over them and to choose from by validation; empty for no search.
    pub trials: &'a [Settings],
    /// What was chosen before, for instance with the first seed; nothing is searched then.
    pub chosen: Option<Choice>,
    /// What it learns from.
    pub data: TrainData<'a>,
    /// What it is chosen by.
    pub select_by: Selection,
    /// How long it learns.
    pub epochs: Epochs,
    /// The model that it learns from, if it needs one.
    pub teacher: Option<&'a Trained>,
    /// Where all random numbers come from.
    pub seed: u64,
    /// What is recorded of the reported model along the way.
    pub test: Option<TestAlong<'a>>,
}

/// A trained model: as it was chosen by validation, and as it is reported.
#[derive(Clone, Debug)]
pub struct Trained {
    /// What was chosen.
    pub choice: Choice,
    /// Trained without the validation part.
    pub chosen: Stored,
    /// Trained on everything, if that was asked for; the same otherwise.
    pub reported: Stored,
}

impl Trainer<'_> {
    /// Trains a model, or finds it in the store.
    ///
    /// With trials every setting is tried on the validation part, and the first of the best wins. With `full` data the winner is
    /// trained once more on them, for as many epochs as were best. A killed call goes on where it was, with the same bits.
    ///
    /// # Errors
    /// Settings that the kind does not take, a teacher that is missing or of another form, a training that failed, or a store that
    /// cannot be read or written.
    pub fn fit(&self, request: &TrainRequest<'_>, watch: &mut dyn Watch) -> Result<Trained, ModelError> {
        let (plain, trials) = configs(request.kind, request.settings, request.trials)?;
        check_inputs(request)?;
        let one = One { trainer: self, request };
        let choice = match &request.chosen {
            Some(choice) => choice.clone(),
            None if trials.is_empty() || request.data.validation.is_none() => {
                Choice { config: plain, trials: Vec::new() }
            }
            None => one.search(trials, watch)?,
        };
        let label = format!("{} seed {}", request.name, request.seed);
        let full = request.data.full.filter(|_| request.data.validation.is_some());
        let (chosen, reported) = match full {
            // Nothing is left to be chosen.
            Some(full) if request.epochs.eval_every == Some(0) && choice.trials.is_empty() => {
                let stored = one.refit(&choice.config, full, None, &label, watch)?;
                (stored.clone(), stored)
            }
            Some(full) => {
                let chosen = one.train(&choice.config, &label, false, watch)?;
                let reported = one.refit(&choice.config, full, Some(&chosen), &label, watch)?;
                (chosen, reported)
            }
            None => {
                let stored = one.train(&choice.config, &label, true, watch)?;
                (stored.clone(), stored)
            }
        };
        Ok(Trained { choice, chosen, reported })
    }
}

/// The complete settings of a model, and of every trial with what makes it different.
///
/// # Errors
/// Settings that the kind does not take.
pub fn configs(
    kind: &Kind,
    settings: &Settings,
    trials: &[Settings],
) -> Result<(Value, Vec<(Value, Value)>), ModelError> {
    let plain = kind.resolve(settings)?;
    let trial = |overlay: &Settings| {
        let mut settings = settings.clone();
        merge(&mut settings, overlay);
        Ok((Value::Object(overlay.clone()), kind.resolve(&settings)?))
    };
    Ok((plain, trials.iter().map(trial).collect::<Result<_, ModelError>>()?))
}

fn check_inputs(request: &TrainRequest<'_>) -> Result<(), ModelError> {
    let kind = request.kind;
    if kind.needs.teacher.is_some() && request.teacher.is_none() {
        return Err(ModelError::NoTeacher { kind: kind.name });
    }
    if kind.needs.text && request.data.text.is_none() {
        return Err(ModelError::NoText { kind: kind.name });
    }
    Ok(())
}

/// One model with one seed.
struct One<'a> {
    trainer: &'a Trainer<'a>,
    request: &'a TrainRequest<'a>,
}

impl One<'_> {
    /// Tries every setting on the validation part; the first of the best wins.
    fn search(&self, trials: Vec<(Value, Value)>, watch: &mut dyn Watch) -> Result<Choice, ModelError> {
        let n = trials.len();
        let mut tried = Vec::new();
        let mut best: Option<(f64, Value)> = None;
        for (i, (settings, config)) in trials.into_iter().enumerate() {
            let label = format!("{} search {}/{n}", self.request.name, i + 1);
            let stored = self.train(&config, &label, false, watch)?;
            let value = stored.record.validation.ok_or(ModelError::BlindSearch)?;
            watch.end(&format!("{label}: {} {value:.4}  {}", self.request.select_by.metric, describe(&settings)));
            if best.as_ref().is_none_or(|(least, _)| value > *least) {
                best = Some((value, config));
            }
            tried.push(Trial { settings, value });
        }
        let (_, config) = best.ok_or(ModelError::BlindSearch)?;
        Ok(Choice { config, trials: tried })
    }

    /// Trains with validation; test values are recorded along the way if this is the `reported` model.
    fn train(&self, config: &Value, label: &str, reported: bool, watch: &mut dyn Watch) -> Result<Stored, ModelError> {
        let TrainRequest { data, epochs, select_by, .. } = self.request;
        let named = format!("{} among {}", select_by.metric, select_by.candidates);
        let recipe = Recipe {
            validation: data.validation,
            select_by: &named,
            max_epochs: epochs.max_epochs.unwrap_or(MAX_EPOCHS),
            patience: epochs.patience.filter(|p| *p > 0),
            eval_every: epochs.eval_every.unwrap_or(1),
            ..self.recipe(config, data.train)
        };
        let teacher = self.request.teacher.map(|trained| &trained.chosen);
        let measure =
            data.validation.map(|holdout| move |model: Answers<'_>| select_by.value(model, data.train, holdout));
        let validate = measure.as_ref().map(|measure| measure as _);
        self.get(&recipe, teacher, label, validate, reported, watch)
    }

    /// Trains on training and validation data together, for as many epochs as were best.
    fn refit(
        &self,
        config: &Value,
        full: &Interactions,
        chosen: Option<&Stored>,
        label: &str,
        watch: &mut dyn Watch,
    ) -> Result<Stored, ModelError> {
        let best = chosen.and_then(|chosen| chosen.record.best_epoch);
        let max_epochs = best.or(self.request.epochs.max_epochs).unwrap_or(MAX_EPOCHS);
        let recipe = Recipe { max_epochs, ..self.recipe(config, full) };
        let label = if chosen.is_some() { format!("{label} refit") } else { label.to_owned() };
        let teacher = self.request.teacher.map(|trained| &trained.reported);
        self.get(&recipe, teacher, &label, None, true, watch)
    }

    /// Without validation, teacher, or an end.
    fn recipe<'r>(&'r self, config: &'r Value, train: &'r Interactions) -> Recipe<'r> {
        let TrainRequest { kind, data, seed, .. } = self.request;
        Recipe {
            kind,
            config,
            train,
            validation: None,
            select_by: "",
            max_epochs: MAX_EPOCHS,
            patience: None,
            eval_every: 0,
            seed: *seed,
            teacher: None,
            text: data.text.filter(|_| kind.needs.text),
            side: data.side.for_needs(&kind.needs),
            place: self.trainer.place,
        }
    }

    /// The model of a recipe, with its teacher opened.
    fn get(
        &self,
        recipe: &Recipe<'_>,
        teacher: Option<&Stored>,
        label: &str,
        validate: Option<&Measure<'_>>,
        reported: bool,
        watch: &mut dyn Watch,
    ) -> Result<Stored, ModelError> {
        let opened = match teacher {
            Some(teacher) => Some((teacher.key.as_str(), teacher.open()?)),
            None => None,
        };
        let teacher = opened.as_ref().map(|(key, model)| (*key, &**model));
        let along = self.request.test.as_ref().filter(|_| reported);
        let Trainer { store, meter, .. } = *self.trainer;
        store.get(&Recipe { teacher, ..*recipe }, label, validate, along, meter, watch)
    }
}
