//! Matrix factorisation on a device: the same samples and steps, the arithmetic there.

use rectify_data::Interactions;
use rectify_tensor::ParamStore;
use rectify_tensor::cuda::{DeviceLabelled, DevicePairs, DeviceParam, GpuError, GpuOps, Rule, failed};
use rectify_tensor::train::{EpochStats, FitReport, Guides, Step, TrainError, TrainRun};

use super::epoch::{Batch, Contrast};
use super::{MfConfig, Training};
use crate::learn::device::rule;
use crate::{Factors, FitError};

/// As [`fit`](super::fit), on a device: the same draws and steps, with sums in another order, so that losses agree to rounding. Two
/// runs on one device have the same bits.
///
/// # Errors
/// As [`fit`](super::fit); [`FitError::Config`] for Adagrad; [`FitError::Train`] for what the device refuses.
pub fn fit_on(
    ops: &GpuOps,
    train: &Interactions,
    config: &MfConfig,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let rule = rule(config.loss.model(), &config.optimizer)?;
    let mut model = OnDevice { training: Training::new(train, config, run.seed, Guides::new())?, ops, rule };
    let report = run.drive(&mut model, |model| model.training.factors())?;
    Ok((model.training.factors()?, report))
}

struct OnDevice<'a> {
    training: Training<'a, 'static>,
    ops: &'a GpuOps,
    rule: Rule,
}

impl Step for OnDevice<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let (ops, rule, fail) = (self.ops, &self.rule, failed(epoch));
        let Training { config, params, users, items, batches, batch, .. } = &mut self.training;
        let [user_table, item_table] = params.rows_mut([*users, *items]);
        let mut p = DeviceParam::from_rows(ops, user_table, rule).map_err(&fail)?;
        let mut q = DeviceParam::from_rows(ops, item_table, rule).map_err(&fail)?;
        let (mut loss, mut samples) = (0.0, 0);
        batches.for_each(epoch, config.batch_size, config.n_negatives, |drawn| {
            batch.fill(config.loss, drawn.users, drawn.positives, drawn.negatives);
            loss += batch.step_on(ops, config, rule, &mut p, &mut q).map_err(&fail)?;
            samples += batch.n_samples();
            Ok::<(), TrainError>(())
        })?;
        p.into_rows(ops, user_table, rule).map_err(&fail)?;
        q.into_rows(ops, item_table, rule).map_err(&fail)?;
        Ok(EpochStats { loss: loss / samples as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        self.training.params()
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        self.training.params_mut()
    }
}

impl Batch {
    /// One step; returns the sum of the samples' losses before it.
    fn step_on(
        &self,
        ops: &GpuOps,
        config: &MfConfig,
        rule: &Rule,
        users: &mut DeviceParam,
        items: &mut DeviceParam,
    ) -> Result<f64, GpuError> {
        let (dim, gpu) = (config.embedding_dim, ops.gpu());
        let (user_rows, item_rows) = self.rows();
        let (n_users, n_items) = (user_rows.len(), item_rows.len());
        let gather = |table: &DeviceParam, rows: &[u32]| {
            let mut out = gpu.zeros(rows.len() * dim)?;
            let places = ops.places(rows, table.values.len() / dim)?;
            ops.gather_rows(&table.values, dim, &places, &mut out)?;
            Ok::<_, GpuError>(out)
        };
        let (p, q) = (gather(users, user_rows)?, gather(items, item_rows)?);
        let (mut d_p, mut d_q) = (gpu.zeros(p.len())?, gpu.zeros(q.len())?);
        let (u, i, contrast) = self.samples();
        let scale = config.reduction.scale(u.len());
        let l2 = config.l2 as f32 * scale;
        let loss = match contrast {
            Contrast::Negatives(j) => {
                let pairs = DevicePairs::new(ops, [u, i, j], n_users, n_items)?;
                ops.bpr(&p, &q, dim, &pairs, scale, l2, &mut d_p, &mut d_q)?
            }
            Contrast::Labels(labels) => {
                let samples = DeviceLabelled::new(ops, [u, i], labels, n_users, n_items)?;
                ops.bce(&p, &q, dim, &samples, scale, l2, &mut d_p, &mut d_q)?
            }
        };
        ops.step_rows(users, rule, dim, user_rows, config.row_update, &d_p)?;
        ops.step_rows(items, rule, dim, item_rows, config.row_update, &d_q)?;
        Ok(loss)
    }
}
