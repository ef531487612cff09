//! The loop itself.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Progress};
use super::{Event, Observer, Step, TrainError};

/// How long to train, and what to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct FitConfig {
    /// Epochs at most, >= 1. Default 100.
    pub max_epochs: u32,
    /// Validations without a new best after which training stops, >= 1; `None` never stops early. Default `Some(10)`.
    pub patience: Option<u32>,
    /// Validate after every so many epochs, and after the last one; 0 never validates (then the last epoch's parameters
    /// are kept). Default 1.
    pub eval_every: u32,
    /// Where to save the run after every epoch; `None` saves nothing. Default `None`.
    pub checkpoint: Option<Checkpoint>,
}

/// A place to save a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The file; replaced in one step after every epoch. If it exists, [`fit`] goes on from it.
    pub path: PathBuf,
    /// Everything that made the run (model, settings, data hash, seed), in any text form. A checkpoint whose text differs
    /// is refused.
    pub run: String,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self { max_epochs: 100, patience: Some(10), eval_every: 1, checkpoint: None }
    }
}

impl FitConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), TrainError> {
        let at_least_1 = |field, got: u32| TrainError::Config { field, expected: "at least 1", got: got.to_string() };
        if self.max_epochs == 0 {
            return Err(at_least_1("max_epochs", 0));
        }
        if self.patience == Some(0) {
            return Err(at_least_1("patience", 0));
        }
        Ok(())
    }

    fn validates_after(&self, epoch: u32) -> bool {
        self.eval_every > 0 && (epoch.is_multiple_of(self.eval_every) || epoch == self.max_epochs)
    }
}

/// One epoch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// Mean training loss.
    pub loss: f64,
    /// Samples trained on.
    pub samples: u64,
    /// Validation metric, if one was taken.
    pub metric: Option<f64>,
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All epochs were done.
    MaxEpochs,
    /// The metric did not improve for `patience` validations.
    Patience,
    /// An observer asked.
    Requested,
}

/// What a run was.
#[derive(Clone, Debug, PartialEq)]
pub struct FitReport {
    /// All epochs, those before a resume too.
    pub history: Vec<EpochRecord>,
    /// Epoch whose parameters the model has now: the best validated one, or the last.
    pub best_epoch: u32,
    /// Its metric.
    pub best_metric: Option<f64>,
    /// Why it ended.
    pub reason: StopReason,
}

/// Epoch and metric of the best validation; the first of equals.
fn best_of(history: &[EpochRecord]) -> Option<(u32, f64)> {
    let validated = history.iter().filter_map(|record| Some((record.epoch, record.metric?)));
    validated.fold(None, |best, (epoch, metric)| match best {
        Some((_, best_metric)) if metric <= best_metric => best,
        _ => Some((epoch, metric)),
    })
}

/// Whether patience is used up.
fn exhausted(history: &[EpochRecord], patience: Option<u32>) -> bool {
    let (Some((best, _)), Some(patience)) = (best_of(history), patience) else { return false };
    let since = history.iter().filter(|record| record.epoch > best && record.metric.is_some()).count();
    since >= patience as usize
}

/// Trains until the epochs or the patience are used up, then puts the best validated epoch's parameters back.
///
/// `validate` gets the model with settled parameters, and the epoch; it returns a metric, higher is better.
///
/// If the checkpoint exists, training goes on from it, with the same bits as if it had never been interrupted; a finished
/// run returns at once. `max_epochs` may be raised then.
///
/// # Errors
/// A config out of range, a checkpoint of another run or a damaged one, a loss or metric that is not finite, or what the
/// model or `validate` returned.
pub fn fit<S: Step + ?Sized>(
    step: &mut S,
    config: &FitConfig,
    validate: &mut dyn FnMut(&mut S, u32) -> Result<f64, TrainError>,
    observer: &mut dyn Observer,
) -> Result<FitReport, TrainError> {
    config.validate()?;
    let mut progress = match &config.checkpoint {
        Some(from) => checkpoint::load(from, step.params_mut())?.unwrap_or_default(),
        None => Progress::default(),
    };

    let mut requested =
        observer.on_event(&Event::Started { done: progress.history.len() as u32, max_epochs: config.max_epochs });
    let reason = loop {
        let done = progress.history.len() as u32;
        if exhausted(&progress.history, config.patience) {
            break StopReason::Patience;
        }
        if done >= config.max_epochs {
            break StopReason::MaxEpochs;
        }
        if requested.is_break() {
            break StopReason::Requested;
        }
        let epoch = done + 1;
        let mut tell = |event: Event| {
            if observer.on_event(&event).is_break() {
                requested = ControlFlow::Break(());
            }
        };
        let stats = step.run_epoch(epoch)?;
        if !stats.loss.is_finite() {
            return Err(TrainError::NonFiniteLoss { epoch, loss: stats.loss });
        }
        tell(Event::Trained { epoch, stats });
        step.params_mut().settle();
        let mut record = EpochRecord { epoch, loss: stats.loss, samples: stats.samples, metric: None };
        if config.validates_after(epoch) {
            let metric = validate(step, epoch)?;
            if !metric.is_finite() {
                return Err(TrainError::NonFiniteMetric { epoch, metric });
            }
            record.metric = Some(metric);
            let improved = best_of(&progress.history).is_none_or(|(_, best)| metric > best);
            if improved {
                progress.best = Some(step.params_mut().snapshot());
            }
            tell(Event::Validated { epoch, metric, best: improved });
        }
        progress.history.push(record);
        if let Some(to) = &config.checkpoint {
            checkpoint::save(to, step.params(), &progress)?;
            tell(Event::Checkpointed { epoch });
        }
    };

    let Progress { history, best } = progress;
    if let Some(best) = &best {
        step.params_mut().restore(best);
    }
    let (best_epoch, best_metric) = match best_of(&history) {
        Some((epoch, metric)) => (epoch, Some(metric)),
        None => (history.len() as u32, None),
    };
    // Training is over: there is nothing left to stop.
    let _ = observer.on_event(&Event::Finished { reason, best_epoch });
    Ok(FitReport { history, best_epoch, best_metric, reason })
}
