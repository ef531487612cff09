//! What a case is: what is measured, against whom, and what is promised.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::rng::Seed;
use rectify_data::SyntheticConfig;
use rectify_lab::measure::Stopwatch;
use rectify_tensor::train::{Event, Observer, TrainRun};

/// One measurement of ours; a cost in the case's unit.
pub(crate) type Once = Box<dyn FnMut() -> Result<f64> + Send>;

/// Name and cost of each peer that answered.
pub(crate) type Costs = Vec<(String, f64)>;

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Makes inputs in a folder, where the peer finds them too, and returns what is measured.
    pub(crate) prepare: fn(&Path) -> Result<Once>,
    /// The peers' program under `benches/peers`, its arguments, and how to read costs from what it prints.
    pub(crate) script: &'static str,
    pub(crate) arguments: fn(&Path) -> Vec<String>,
    pub(crate) read: fn(&str) -> Result<Costs>,
    /// Other ways of ours, measured in the same rounds.
    pub(crate) own: &'static [Rival],
    /// Peers with the least ratio `peer / ours` that is promised.
    pub(crate) promises: &'static [(&'static str, f64)],
}

/// Another way of ours.
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn() -> Result<Once>,
}

/// The shape of MovieLens 1M.
pub(crate) const ML_1M_SHAPE: SyntheticConfig =
    SyntheticConfig { n_users: 6040, n_items: 3706, mean_interactions: 165.0, ..SyntheticConfig::small() };
/// The shape of MovieLens 1M with 20 interactions a user and item, half of them for training.
pub(crate) const ML_1M_HALF_SHAPE: SyntheticConfig =
    SyntheticConfig { n_users: 6022, n_items: 3043, mean_interactions: 82.6, ..SyntheticConfig::small() };

/// An epoch that is measured, of whatever model.
pub(crate) struct OneEpoch<'a>(&'a mut dyn Observer);

impl<'a> OneEpoch<'a> {
    /// Of a model whose draws come from seed 1.
    pub(crate) fn of<M>(self) -> TrainRun<'a, M> {
        TrainRun::new(Seed(1)).epochs(1).observer(self.0)
    }
}

/// CPU microseconds a sample of one epoch, without what comes before and after it.
pub(crate) fn epoch_cost(train: impl FnOnce(OneEpoch<'_>) -> Result<()>) -> Result<f64> {
    epoch_by(Stopwatch::cpu_seconds, train)
}

/// Microseconds on the wall a sample of one epoch, likewise.
#[cfg(feature = "cuda")]
pub(crate) fn epoch_wall(train: impl FnOnce(OneEpoch<'_>) -> Result<()>) -> Result<f64> {
    epoch_by(|watch| Some(watch.wall_seconds()), train)
}

fn epoch_by(read: fn(&Stopwatch) -> Option<f64>, train: impl FnOnce(OneEpoch<'_>) -> Result<()>) -> Result<f64> {
    let (mut watch, mut cost) = (None, None);
    let mut observer = |event: &Event| {
        match event {
            Event::Started { .. } => watch = Some(Stopwatch::of_process()),
            Event::Trained { stats, .. } => {
                let spent = watch.as_ref().and_then(read);
                cost = spent.map(|seconds| seconds / stats.samples as f64 * 1e6);
            }
            Event::Validated { .. } | Event::Checkpointed { .. } | Event::Finished { .. } | _ => {}
        }
        ControlFlow::Continue(())
    };
    train(OneEpoch(&mut observer))?;
    cost.context("this system counts no CPU time")
}

/// What `exact_ip.py` prints.
pub(crate) fn exact_costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        method: String,
        cpu_ms_median: f64,
    }
    let rows: Vec<Row> = serde_json::from_str(printed)?;
    Ok(rows.into_iter().map(|row| (row.method, row.cpu_ms_median)).collect())
}
