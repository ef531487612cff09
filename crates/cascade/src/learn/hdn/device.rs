//! Cascades on a device: the same samples and steps, the arithmetic there.

use rectify_core::{Scorer, UserId};
use rectify_data::Interactions;
use rectify_tensor::cuda::{Buffer, DeviceParam, GpuError, GpuOps, PairWidths, Rule, failed};
use rectify_tensor::kernels::{Activation, Op};
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{DenseKey, ParamStore};

use super::pass::{Batch, Pass};
use super::{Keys, Training};
use crate::{CascadeIndex, FitError, HdnConfig, ScoreLoss};

/// As [`fit`](super::fit), on a device: the same draws and steps, with sums in another order, so that losses agree to rounding. Two
/// runs on one device have the same bits. The teacher answers where it is, on the CPU.
///
/// # Errors
/// As [`fit`](super::fit); [`FitError::Config`] for Adagrad; [`FitError::Train`] for what the device refuses.
pub fn fit_on(
    ops: &GpuOps,
    train: &Interactions,
    teacher: Option<&dyn Scorer<Query = UserId>>,
    config: &HdnConfig,
    run: TrainRun<'_, CascadeIndex>,
) -> Result<(CascadeIndex, FitReport), FitError> {
    let rule = Rule::try_from(config.optimizer)?;
    let mut model = OnDevice { training: Training::new(train, teacher, config, run.seed)?, ops, rule };
    let report = run.drive(&mut model, |model| model.training.served())?;
    Ok((model.training.served()?, report))
}

struct OnDevice<'a> {
    training: Training<'a>,
    ops: &'a GpuOps,
    rule: Rule,
}

impl Step for OnDevice<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let Self { training, ops, rule } = self;
        let fail = failed(epoch);
        let mut weights = Weights::upload(ops, rule, training).map_err(&fail)?;
        let stats = training.for_each_batch(epoch, |training| {
            training.pass.index();
            weights.step(ops, rule, training.config, &training.pass).map_err(&fail)
        })?;
        weights.bring_back(ops, rule, &mut training.params, &training.keys).map_err(&fail)?;
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
    /// The modules, then the score.
    stages: Vec<Stage>,
    /// The head of the plain inner product, the bias where there is none, and that of layers.
    ones: Buffer<f32>,
    zeros: Buffer<f32>,
}

/// A module, or (without layer) the score.
struct Stage {
    head: Option<DeviceParam>,
    bias: Option<DeviceParam>,
    layer: Option<DeviceParam>,
}

/// Gradients of the stages' values, each (n); none where nothing is learned of them.
type Slopes = Vec<Option<Buffer<f32>>>;

/// What a stage read and said of the pairs: x (n, d or 2 d), value (n), and of a module h (n, d).
struct Walked {
    x: Buffer<f32>,
    value: Buffer<f32>,
    h: Option<Buffer<f32>>,
}

impl Weights {
    fn upload(ops: &GpuOps, rule: &Rule, training: &mut Training<'_>) -> Result<Self, GpuError> {
        let Training { params, keys, config, .. } = training;
        let [users, items] = params.rows_mut([keys.users, keys.items]);
        let tables = [DeviceParam::from_rows(ops, users, rule)?, DeviceParam::from_rows(ops, items, rule)?];
        let mut dense = |key: Option<DenseKey>| {
            let upload = |key| {
                let [param] = params.dense_mut([key]);
                DeviceParam::from_dense(ops, param, rule)
            };
            key.map(upload).transpose()
        };
        let stages = (0..=keys.modules.len()).map(|stage| {
            let keys = keys.stage(stage);
            Ok(Stage { head: dense(keys.head)?, bias: dense(keys.bias)?, layer: dense(keys.layer)? })
        });
        let stages = stages.collect::<Result<_, GpuError>>()?;
        let d = config.embedding_dim;
        Ok(Self { tables, stages, ones: ops.gpu().upload(&vec![1.0; d])?, zeros: ops.gpu().zeros(d)? })
    }

    fn bring_back(self, ops: &GpuOps, rule: &Rule, params: &mut ParamStore, keys: &Keys) -> Result<(), GpuError> {
        let [users, items] = self.tables;
        let [user_table, item_table] = params.rows_mut([keys.users, keys.items]);
        users.into_rows(ops, user_table, rule)?;
        items.into_rows(ops, item_table, rule)?;
        for (at, Stage { head, bias, layer }) in self.stages.into_iter().enumerate() {
            let keys = keys.stage(at);
            for (key, param) in [(keys.head, head), (keys.bias, bias), (keys.layer, layer)] {
                if let (Some(key), Some(param)) = (key, param) {
                    let [to] = params.dense_mut([key]);
                    param.into_dense(ops, to, rule)?;
                }
            }
        }
        Ok(())
    }

    /// One step on the mean loss of the batch, whose rows are numbered; returns the sum over its pairs before it.
    fn step(&mut self, ops: &GpuOps, rule: &Rule, config: &HdnConfig, pass: &Pass) -> Result<f64, GpuError> {
        let (gpu, d, n) = (ops.gpu(), config.embedding_dim, pass.batch.users.len());
        let rows = [pass.users.rows(), pass.items.rows()];
        let slots = [&pass.user_slots, &pass.item_slots];
        let gather = |side: usize| {
            let table = &self.tables[side].values;
            let mut out = gpu.zeros(rows[side].len() * d)?;
            ops.gather_rows(table, d, &ops.places(rows[side], table.len() / d)?, &mut out)?;
            Ok::<_, GpuError>(out)
        };
        let (p, q) = (gather(0)?, gather(1)?);
        let (u, i) = (ops.places(slots[0], rows[0].len())?, ops.places(slots[1], rows[1].len())?);
        // z = P[u] ⊙ Q[i]: pairs of which a product alone reads.
        let (mut z, mut tower) = (gpu.zeros(n * d)?, gpu.zeros(0)?);
        ops.read_pairs((&p, &q), (&u, &i), PairWidths { gmf: d, mlp: 0 }, &mut z, &mut tower)?;
        let walked = self.forward(ops, z, n)?;
        let (loss, slopes) = losses(ops, config, &pass.batch, &walked)?;
        let d_z = self.backward(ops, rule, &walked, &slopes)?;
        for (side, (others, other_of)) in [(&q, &i), (&p, &u)].into_iter().enumerate() {
            let groups = ops.groups(slots[side], rows[side].len())?;
            let mut gradient = gpu.zeros(rows[side].len() * d)?;
            ops.product_gradients(others, other_of, &groups, d, &d_z, &mut gradient)?;
            ops.step_rows(&mut self.tables[side], rule, d, rows[side], config.row_update, &gradient)?;
        }
        Ok(loss)
    }

    /// All pairs through all stages; z (n, d).
    fn forward(&self, ops: &GpuOps, z: Buffer<f32>, n: usize) -> Result<Vec<Walked>, GpuError> {
        let (gpu, d) = (ops.gpu(), z.len() / n);
        let nothing = gpu.zeros(0)?;
        let one_zero = gpu.zeros(1)?;
        let mut walked: Vec<Walked> = Vec::new();
        let mut x = z;
        for Stage { head, bias, layer } in &self.stages {
            let head = head.as_ref().map_or(&self.ones, |head| &head.values);
            let bias = bias.as_ref().map_or(&one_zero, |bias| &bias.values);
            let mut value = gpu.zeros(n)?;
            ops.pair_logits(&nothing, &x, 0, (head, bias), &mut value)?;
            let Some(layer) = layer else {
                walked.push(Walked { x, value, h: None });
                break;
            };
            let mut h = gpu.zeros(n * d)?;
            ops.gemm((n, d, x.len() / n), 1.0, &x, Op::Plain, &layer.values, Op::Plain, 0.0, &mut h)?;
            ops.bias_act(&mut h, &self.zeros, Activation::Relu)?;
            let mut next = gpu.zeros(n * 2 * d)?;
            let z = walked.first().map_or(&x, |first| &first.x);
            ops.copy_columns(z, (d, 0), d, &mut next, (2 * d, 0))?;
            ops.copy_columns(&h, (d, 0), d, &mut next, (2 * d, d))?;
            walked.push(Walked { x, value, h: Some(h) });
            x = next;
        }
        Ok(walked)
    }

    /// Steps of heads and layers, from the slopes of the stages' values; returns the gradient of z.
    fn backward(
        &mut self,
        ops: &GpuOps,
        rule: &Rule,
        walked: &[Walked],
        slopes: &Slopes,
    ) -> Result<Buffer<f32>, GpuError> {
        let gpu = ops.gpu();
        let (n, len) = (walked[0].value.len(), walked[0].x.len());
        let d = len / n;
        let mut d_z = gpu.zeros(len)?;
        // Gradient of what the stage hands on; heads and layers above were walked.
        let mut d_handed: Option<Buffer<f32>> = None;
        for ((stage, Walked { x, h, .. }), slopes) in self.stages.iter_mut().zip(walked).zip(slopes).rev() {
            let width = x.len() / n;
            let mut d_x = gpu.zeros(x.len())?;
            if let Some(slopes) = slopes {
                ops.outer(slopes, stage.head.as_ref().map_or(&self.ones, |head| &head.values), 0, &mut d_x)?;
                if let Some(head) = &mut stage.head {
                    let mut gradient = gpu.zeros(width)?;
                    ops.weighted_column_sums_add(x, slopes, width, 0, &mut gradient)?;
                    ops.step(head, rule, &gradient)?;
                }
                if let Some(bias) = &mut stage.bias {
                    let mut gradient = gpu.zeros(1)?;
                    ops.column_sums_add(slopes, &mut gradient)?;
                    ops.step(bias, rule, &gradient)?;
                }
            }
            if let (Some(layer), Some(h), Some(mut d_h)) = (&mut stage.layer, h, d_handed.take()) {
                ops.activation_backward(h, &mut d_h, Activation::Relu)?;
                let mut gradient = gpu.zeros(width * d)?;
                ops.gemm((width, d, n), 1.0, x, Op::Transposed, &d_h, Op::Plain, 0.0, &mut gradient)?;
                ops.gemm((n, width, d), 1.0, &d_h, Op::Plain, &layer.values, Op::Transposed, 1.0, &mut d_x)?;
                ops.step(layer, rule, &gradient)?;
            }
            let half = |from: usize| {
                let mut out = gpu.zeros(len)?;
                ops.copy_columns(&d_x, (width, from), d, &mut out, (d, 0))?;
                Ok::<_, GpuError>(out)
            };
            ops.axpy(1.0, &half(0)?, &mut d_z)?;
            d_handed = if width > d { Some(half(d)?) } else { None };
        }
        Ok(d_z)
    }
}

/// Sum of the pairs' losses, and the slopes of each stage's values by their mean.
fn losses(ops: &GpuOps, config: &HdnConfig, batch: &Batch, walked: &[Walked]) -> Result<(f64, Slopes), GpuError> {
    let gpu = ops.gpu();
    let (n, n_modules) = (batch.users.len(), config.n_modules());
    let scale = 1.0 / n as f32;
    let (mut loss, mut slopes) = (0.0, Vec::new());
    for (module, labels) in batch.labels.iter().enumerate() {
        if config.decisions.is_none() {
            slopes.push(None);
            continue;
        }
        let weight = config.decision_weights.get(module).copied().unwrap_or(1.0);
        let (labels, mut d) = (gpu.upload(labels)?, gpu.zeros(n)?);
        let sum = ops.labelled_hinge(&walked[module].value, &labels, weight as f32 * scale, &mut d)?;
        loss += weight * sum;
        slopes.push(Some(d));
    }
    let (y, targets, mut d) = (&walked[n_modules].value, gpu.upload(&batch.scores)?, gpu.zeros(n)?);
    loss += match config.score_loss {
        ScoreLoss::Bernoulli => ops.bce_with_logits(y, &targets, scale, &mut d)?,
        ScoreLoss::Gaussian => ops.half_squares(y, &targets, scale, &mut d)?,
    };
    slopes.push(Some(d));
    Ok((loss, slopes))
}
