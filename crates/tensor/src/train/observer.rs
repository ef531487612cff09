//! Who watches training, and may end it.

use std::ops::ControlFlow;

use super::{EpochStats, StopReason};

/// Something that happened in training. Epochs count from 1.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Training begins, or goes on after `done` epochs.
    Started {
        /// Epochs that a checkpoint brought.
        done: u32,
        /// Epochs at most.
        max_epochs: u32,
    },
    /// An epoch of training ended.
    Trained {
        /// Which.
        epoch: u32,
        /// What it tells.
        stats: EpochStats,
    },
    /// A validation ended.
    Validated {
        /// After which epoch.
        epoch: u32,
        /// The metric, higher is better.
        metric: f64,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A checkpoint is on disk.
    Checkpointed {
        /// After which epoch.
        epoch: u32,
    },
    /// Training ended.
    Finished {
        /// Why.
        reason: StopReason,
        /// The epoch whose parameters were kept.
        best_epoch: u32,
    },
}

/// Gets every event. Answering `Break` ends training after the running epoch was validated and checkpointed; a later
/// [`fit`](super::fit) with the same checkpoint goes on from there.
pub trait Observer {
    /// Takes note.
    fn on_event(&mut self, event: &Event) -> ControlFlow<()>;
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on_event(&mut self, _: &Event) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// A function is an observer.
impl<F: FnMut(&Event) -> ControlFlow<()>> Observer for F {
    fn on_event(&mut self, event: &Event) -> ControlFlow<()> {
        self(event)
    }
}
