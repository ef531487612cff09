//! Parameters of a store on a device, for as long as an epoch lasts.
//!
//! A trainer keeps its parameters in a [`ParamStore`](crate::ParamStore), as on the CPU: seeds, checkpoints, the best epoch and
//! what is served are the store's. It takes them to the device before an epoch and brings them back behind it, memory of the
//! optimiser included, so that a run may go on from a checkpoint, on either device.

use super::{Buffer, GpuError, GpuOps, Rule};
use crate::state::StateMut;
use crate::{DenseParam, RowTable};

/// A matrix or table on a device, with what its rule remembers.
#[derive(Debug)]
pub struct DeviceParam {
    /// The values, row-major.
    pub values: Buffer<f32>,
    /// Moments of Adam; empty under gradient descent.
    pub(super) first: Buffer<f32>,
    pub(super) second: Buffer<f32>,
    /// Steps taken.
    pub(super) t: u64,
}

impl DeviceParam {
    /// A table with its memory of this rule; that of another is forgotten, as on the CPU.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn from_rows(ops: &GpuOps, table: &mut RowTable, rule: &Rule) -> Result<Self, GpuError> {
        Self::from_whole(ops, table.whole(&(*rule).into()))
    }

    /// A matrix with its memory of this rule.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn from_dense(ops: &GpuOps, param: &mut DenseParam, rule: &Rule) -> Result<Self, GpuError> {
        Self::from_whole(ops, param.whole(&(*rule).into()))
    }

    fn from_whole(
        ops: &GpuOps,
        (values, state, steps): (&mut [f32], StateMut<'_>, &mut u64),
    ) -> Result<Self, GpuError> {
        let gpu = ops.gpu();
        let [first, second] = moments(state);
        Ok(Self { values: gpu.upload(values)?, first: gpu.upload(first)?, second: gpu.upload(second)?, t: *steps })
    }

    /// Brings a table back.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If table or rule are not those that [`from_rows`](Self::from_rows) took.
    pub fn into_rows(self, ops: &GpuOps, table: &mut RowTable, rule: &Rule) -> Result<(), GpuError> {
        self.into_whole(ops, table.whole(&(*rule).into()))
    }

    /// Brings a matrix back.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If matrix or rule are not those that [`from_dense`](Self::from_dense) took.
    pub fn into_dense(self, ops: &GpuOps, param: &mut DenseParam, rule: &Rule) -> Result<(), GpuError> {
        self.into_whole(ops, param.whole(&(*rule).into()))
    }

    fn into_whole(
        self,
        ops: &GpuOps,
        (values, state, steps): (&mut [f32], StateMut<'_>, &mut u64),
    ) -> Result<(), GpuError> {
        let [m, v] = moments(state);
        for (to, from) in [(values, &self.values), (m, &self.first), (v, &self.second)] {
            to.copy_from_slice(&ops.gpu().download(from)?);
        }
        *steps = self.t;
        Ok(())
    }
}

/// First and second moments, empty for a rule without memory.
fn moments(state: StateMut<'_>) -> [&mut [f32]; 2] {
    match state {
        StateMut::Adam { m, v } => [m, v],
        StateMut::Empty => [&mut [], &mut []],
        StateMut::Adagrad { .. } => unreachable!("no rule of a device"),
    }
}
