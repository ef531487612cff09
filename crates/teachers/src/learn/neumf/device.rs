//! GMF, MLP and NeuMF on a device: the same samples and steps, the arithmetic there.

use rectify_data::Interactions;
use rectify_tensor::cuda::{Buffer, DeviceParam, GpuError, GpuOps, PairWidths, Rule, Side, failed};
use rectify_tensor::kernels::{Activation, Op};
use rectify_tensor::train::{EpochStats, FitReport, Guides, Step, TrainError, TrainRun};
use rectify_tensor::{DistinctRows, ParamStore};

use super::network::Batch;
use super::params::Keys;
use super::pretrained::{Pretraining, by_stages};
use super::training::Training;
use crate::learn::device::rule;
use crate::{FitError, NeuMf, NeuMfConfig};

/// As [`fit`](super::fit), on a device: the same draws and steps, with sums in another order, so that losses agree to rounding. Two
/// runs on one device have the same bits.
///
/// # Errors
/// As [`fit`](super::fit); [`FitError::Config`] for Adagrad; [`FitError::Train`] for what the device refuses.
pub fn fit_on(
    ops: &GpuOps,
    train: &Interactions,
    config: &NeuMfConfig,
    run: TrainRun<'_, NeuMf>,
) -> Result<(NeuMf, FitReport), FitError> {
    train_on(ops, train, None, config, run)
}

/// As [`fit_pretrained`](super::fit_pretrained), every stage on a device.
///
/// # Errors
/// As [`fit_on`], or settings that lack one of the branches.
pub fn fit_pretrained_on(
    ops: &GpuOps,
    train: &Interactions,
    config: &NeuMfConfig,
    pretraining: &Pretraining,
    run: TrainRun<'_, NeuMf>,
) -> Result<(NeuMf, FitReport), FitError> {
    // Before the stages in front of it are trained.
    rule(config.model(), &pretraining.fine_tuning)?;
    by_stages(config, pretraining, run, |start, config, run| train_on(ops, train, start, config, run))
}

fn train_on(
    ops: &GpuOps,
    train: &Interactions,
    start: Option<&NeuMf>,
    config: &NeuMfConfig,
    run: TrainRun<'_, NeuMf>,
) -> Result<(NeuMf, FitReport), FitError> {
    config.validate()?;
    let rule = rule(config.model(), &config.optimizer)?;
    let mut training = Training::new(train, config, run.seed, Guides::new())?;
    if let Some(start) = start {
        training.start_from(start)?;
    }
    let distinct = [DistinctRows::new(train.n_users()), DistinctRows::new(train.n_items())];
    let mut model = OnDevice { training, ops, rule, distinct };
    let report = run.drive(&mut model, |model| model.training.model())?;
    Ok((model.training.model()?, report))
}

struct OnDevice<'a> {
    training: Training<'a, 'static>,
    ops: &'a GpuOps,
    rule: Rule,
    /// Of users and items.
    distinct: [DistinctRows; 2],
}

impl Step for OnDevice<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let Self { training, ops, rule, distinct } = self;
        let fail = failed(epoch);
        let mut weights = Weights::upload(ops, &mut training.params, &training.keys, rule).map_err(&fail)?;
        let stats = training.for_each_batch(epoch, |training, batch| {
            weights.step(ops, training.config, rule, batch, distinct).map_err(&fail)
        })?;
        weights.bring_back(ops, &mut training.params, &training.keys, rule).map_err(&fail)?;
        Ok(stats)
    }

    fn params(&self) -> &ParamStore {
        self.training.params()
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        self.training.params_mut()
    }
}

/// All parameters on the device.
struct Weights {
    /// Of users and items.
    tables: [DeviceParam; 2],
    /// Weight (inputs, outputs) and bias of each layer.
    layers: Vec<[DeviceParam; 2]>,
    output: DeviceParam,
    bias: DeviceParam,
}

impl Weights {
    fn upload(ops: &GpuOps, store: &mut ParamStore, keys: &Keys, rule: &Rule) -> Result<Self, GpuError> {
        let [users, items] = store.rows_mut([keys.users, keys.items]);
        let tables = [DeviceParam::from_rows(ops, users, rule)?, DeviceParam::from_rows(ops, items, rule)?];
        let mut dense = |key| {
            let [param] = store.dense_mut([key]);
            DeviceParam::from_dense(ops, param, rule)
        };
        let layers = keys.layers.iter().map(|(weight, bias)| Ok([dense(*weight)?, dense(*bias)?]));
        let layers = layers.collect::<Result<_, GpuError>>()?;
        Ok(Self { tables, layers, output: dense(keys.output)?, bias: dense(keys.bias)? })
    }

    fn bring_back(self, ops: &GpuOps, store: &mut ParamStore, keys: &Keys, rule: &Rule) -> Result<(), GpuError> {
        let [users, items] = self.tables;
        let [user_table, item_table] = store.rows_mut([keys.users, keys.items]);
        users.into_rows(ops, user_table, rule)?;
        items.into_rows(ops, item_table, rule)?;
        let mut dense = |key, param: DeviceParam| {
            let [to] = store.dense_mut([key]);
            param.into_dense(ops, to, rule)
        };
        for ((weight_key, bias_key), [weight, bias]) in keys.layers.iter().zip(self.layers) {
            dense(*weight_key, weight)?;
            dense(*bias_key, bias)?;
        }
        dense(keys.output, self.output)?;
        dense(keys.bias, self.bias)
    }

    /// One step on the cross-entropy of a batch; returns the sum of the samples' losses before it.
    fn step(
        &mut self,
        ops: &GpuOps,
        config: &NeuMfConfig,
        rule: &Rule,
        batch: &Batch,
        distinct: &mut [DistinctRows; 2],
    ) -> Result<f64, GpuError> {
        let (gpu, n, dim) = (ops.gpu(), batch.users.len(), config.embedding_dim());
        let w = PairWidths { gmf: config.gmf_dim, mlp: config.mlp_dim };
        let mut slots = [Vec::new(), Vec::new()];
        for ((distinct, ids), slots) in distinct.iter_mut().zip([&batch.users, &batch.items]).zip(&mut slots) {
            distinct.index(ids, slots);
        }
        let counts = [distinct[0].rows().len(), distinct[1].rows().len()];
        let gather = |side: usize| {
            let mut out = gpu.zeros(counts[side] * dim)?;
            let rows = ops.places(distinct[side].rows(), self.tables[side].values.len() / dim)?;
            ops.gather_rows(&self.tables[side].values, dim, &rows, &mut out)?;
            Ok::<_, GpuError>(out)
        };
        let (p, q) = (gather(0)?, gather(1)?);
        let [u, i] = [ops.places(&slots[0], counts[0])?, ops.places(&slots[1], counts[1])?];

        let mut product = gpu.zeros(n * w.gmf)?;
        // The input of the tower, then the output of each layer.
        let mut values: Vec<Buffer<f32>> = vec![gpu.zeros(n * 2 * w.mlp)?];
        ops.read_pairs((&p, &q), (&u, &i), w, &mut product, &mut values[0])?;
        for ([weight, bias], (inputs, outputs)) in self.layers.iter().zip(config.layers()) {
            let mut out = gpu.zeros(n * outputs)?;
            let below = &values[values.len() - 1];
            ops.gemm((n, outputs, inputs), 1.0, below, Op::Plain, &weight.values, Op::Plain, 0.0, &mut out)?;
            ops.bias_act(&mut out, &bias.values, Activation::Relu)?;
            values.push(out);
        }
        let top = &values[values.len() - 1];
        let (mut logits, mut slopes) = (gpu.zeros(n)?, gpu.zeros(n)?);
        ops.pair_logits(&product, top, w.gmf, (&self.output.values, &self.bias.values), &mut logits)?;
        let labels = gpu.upload(&batch.labels)?;
        let loss = ops.bce_with_logits(&logits, &labels, config.reduction.scale(n), &mut slopes)?;

        let (mut d_output, mut d_bias) = (gpu.zeros(config.joint_dim())?, gpu.zeros(1)?);
        let top_width = config.joint_dim() - w.gmf;
        ops.weighted_column_sums_add(&product, &slopes, w.gmf, 0, &mut d_output)?;
        ops.weighted_column_sums_add(top, &slopes, top_width, w.gmf, &mut d_output)?;
        ops.column_sums_add(&slopes, &mut d_bias)?;
        let mut d = gpu.zeros(n * top_width)?;
        ops.outer(&slopes, &self.output.values, w.gmf, &mut d)?;
        let mut gradients = Vec::new();
        for (l, (inputs, outputs)) in config.layers().into_iter().enumerate().rev() {
            ops.activation_backward(&values[l + 1], &mut d, Activation::Relu)?;
            let (mut d_weight, mut d_layer_bias) = (gpu.zeros(inputs * outputs)?, gpu.zeros(outputs)?);
            let below = &values[l];
            ops.gemm((inputs, outputs, n), 1.0, below, Op::Transposed, &d, Op::Plain, 0.0, &mut d_weight)?;
            ops.column_sums_add(&d, &mut d_layer_bias)?;
            let mut d_below = gpu.zeros(n * inputs)?;
            let weight = &self.layers[l][0].values;
            ops.gemm((n, inputs, outputs), 1.0, &d, Op::Plain, weight, Op::Transposed, 0.0, &mut d_below)?;
            gradients.push((l, d_weight, d_layer_bias));
            d = d_below;
        }
        // Without a tower there is nothing behind it.
        let d_tower = if config.hidden.is_empty() { gpu.zeros(0)? } else { d };
        let sides = [(Side::Users, &q, &i), (Side::Items, &p, &u)];
        for (at, (side, others, other_of)) in sides.into_iter().enumerate() {
            let groups = ops.groups(&slots[at], counts[at])?;
            let mut gradient = gpu.zeros(counts[at] * dim)?;
            let weights = &self.output.values;
            ops.pair_gradients(side, others, other_of, &groups, &slopes, weights, &d_tower, w, &mut gradient)?;
            ops.step_rows(&mut self.tables[at], rule, dim, distinct[at].rows(), config.row_update, &gradient)?;
        }
        for (l, d_weight, d_layer_bias) in gradients {
            let [weight, bias] = &mut self.layers[l];
            ops.step(weight, rule, &d_weight)?;
            ops.step(bias, rule, &d_layer_bias)?;
        }
        ops.step(&mut self.output, rule, &d_output)?;
        ops.step(&mut self.bias, rule, &d_bias)?;
        Ok(loss)
    }
}
