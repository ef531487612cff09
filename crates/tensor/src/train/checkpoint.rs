//! A run on disk: parameters, optimiser state, the best epoch's values, and the history.

use rectify_core::artifact::{Artifact, ArtifactWriter, Overwrite};

use super::{Checkpoint, EpochRecord, TrainError};
use crate::{ParamStore, Snapshot};

const KIND: &str = "checkpoint";
const VERSION: u32 = 1;
const BEST: &str = "best";

/// What a run has come to.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) history: Vec<EpochRecord>,
    /// Values of the best validated epoch.
    pub(super) best: Option<Snapshot>,
}

/// Writes the state after the last epoch of the history; the store is settled.
pub(super) fn save(to: &Checkpoint, params: &ParamStore, progress: &Progress) -> Result<(), TrainError> {
    // Arrays, not JSON: a decimal text need not give the same number back.
    let column = |f: fn(&EpochRecord) -> f64| progress.history.iter().map(f).collect::<Vec<f64>>();
    let (loss, metric) = (column(|record| record.loss), column(|record| record.metric.unwrap_or(f64::NAN)));
    let samples: Vec<u64> = progress.history.iter().map(|record| record.samples).collect();
    let shape = [progress.history.len()];
    let mut writer = ArtifactWriter::new(KIND, VERSION);
    writer.config(&to.run);
    writer.array("history/loss", &shape, &loss);
    writer.array("history/metric", &shape, &metric);
    writer.array("history/samples", &shape, &samples);
    params.save_into(&mut writer);
    if let Some(best) = &progress.best {
        best.save_into(&mut writer, BEST);
    }
    Ok(writer.save(&to.path, Overwrite::Replace)?)
}

/// Reads a checkpoint back, if there is one.
pub(super) fn load(from: &Checkpoint, params: &mut ParamStore) -> Result<Option<Progress>, TrainError> {
    if !from.path.exists() {
        return Ok(None);
    }
    let artifact = Artifact::open(&from.path, KIND, VERSION)?;
    let run: String = artifact.config()?;
    if run != from.run {
        return Err(TrainError::OtherRun { expected: from.run.clone(), got: run });
    }
    let (loss, shape) = artifact.array::<f64>("history/loss")?;
    let metric = artifact.array_shaped::<f64>("history/metric", shape)?;
    let samples = artifact.array_shaped::<u64>("history/samples", shape)?;
    let history: Vec<EpochRecord> = (0..loss.len())
        .map(|i| {
            let metric = Some(metric[i]).filter(|metric| !metric.is_nan());
            EpochRecord { epoch: i as u32 + 1, loss: loss[i], samples: samples[i], metric }
        })
        .collect();
    params.load_from(&artifact)?;
    let validated = history.iter().any(|record| record.metric.is_some());
    let best = if validated { Some(Snapshot::load(&artifact, BEST, params)?) } else { None };
    Ok(Some(Progress { history, best }))
}
