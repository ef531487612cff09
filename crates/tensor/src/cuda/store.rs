//! Parameters of a store on a device, for as long as an epoch lasts.
//!
//! A trainer keeps its parameters in a [`ParamStore`](crate::ParamStore), as on the processor: seeds, checkpoints, the best epoch and
//! what is served are the store's. It takes them to the device before an epoch and brings them back behind it, memory of the
//! optimiser included, so that a run may go on from a checkpoint, on either device.

use super::rows::DeviceAdam;
use super::{GpuError, GpuOps};
use crate::state::StateMut;
use crate::{Adam, DenseParam, Optimizer, RowTable, RowUpdate};

impl DeviceAdam {
    /// A table with its memory of Adam; that of another rule is forgotten, as on the processor.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn from_rows(ops: &GpuOps, table: &mut RowTable, adam: &Adam) -> Result<Self, GpuError> {
        Self::from_whole(ops, table.whole(&Optimizer::Adam(*adam)))
    }

    /// A matrix with its memory of Adam.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn from_dense(ops: &GpuOps, param: &mut DenseParam, adam: &Adam) -> Result<Self, GpuError> {
        Self::from_whole(ops, param.whole(&Optimizer::Adam(*adam)))
    }

    fn from_whole(
        ops: &GpuOps,
        (values, state, steps): (&mut [f32], StateMut<'_>, &mut u64),
    ) -> Result<Self, GpuError> {
        let StateMut::Adam { m, v } = state else { unreachable!("prepared for Adam") };
        let gpu = ops.gpu();
        Ok(Self { values: gpu.upload(values)?, first: gpu.upload(m)?, second: gpu.upload(v)?, t: *steps })
    }

    /// Brings a table back.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If the table is not the one that [`from_rows`](Self::from_rows) took.
    pub fn into_rows(self, ops: &GpuOps, table: &mut RowTable, adam: &Adam) -> Result<(), GpuError> {
        self.into_whole(ops, table.whole(&Optimizer::Adam(*adam)))
    }

    /// Brings a matrix back.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If the matrix is not the one that [`from_dense`](Self::from_dense) took.
    pub fn into_dense(self, ops: &GpuOps, param: &mut DenseParam, adam: &Adam) -> Result<(), GpuError> {
        self.into_whole(ops, param.whole(&Optimizer::Adam(*adam)))
    }

    fn into_whole(
        self,
        ops: &GpuOps,
        (values, state, steps): (&mut [f32], StateMut<'_>, &mut u64),
    ) -> Result<(), GpuError> {
        let StateMut::Adam { m, v } = state else { unreachable!("prepared for Adam") };
        let (got, t) = self.download(ops)?;
        for (to, from) in [values, m, v].into_iter().zip(got) {
            to.copy_from_slice(&from);
        }
        *steps = t;
        Ok(())
    }
}

impl GpuOps {
    /// One step of Adam with the gradient of some rows (rows.len(), dim), no row twice; the others move, or don't, as `update` says.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree, or a row is out of range.
    pub fn adam_batch(
        &self,
        param: &mut DeviceAdam,
        adam: &Adam,
        dim: usize,
        rows: &[u32],
        update: RowUpdate,
        grads: &super::Buffer<f32>,
    ) -> Result<(), GpuError> {
        let n_rows = param.values.len() / dim.max(1);
        match update {
            RowUpdate::Exact => self.adam_table(param, adam, dim, &self.slots(rows, n_rows)?, grads),
            RowUpdate::Lazy => self.adam_rows(param, adam, dim, &self.places(rows, n_rows)?, grads),
        }
    }
}
