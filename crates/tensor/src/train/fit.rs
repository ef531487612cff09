//! The loop itself.

use std::ops::ControlFlow;

use super::checkpoint::{self, Progress};
use super::{EpochRecord, Event, FitConfig, FitReport, Observer, Step, StopReason, TrainError};

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
