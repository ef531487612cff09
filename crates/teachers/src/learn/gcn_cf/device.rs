//! GCN-CF on a device: the same samples and steps, the arithmetic there.

use rectify_data::Interactions;
use rectify_tensor::ParamStore;
use rectify_tensor::cuda::{Buffer, DeviceCsr, DevicePairs, DeviceParam, GpuError, GpuOps, Places, Rule, failed};
use rectify_tensor::kernels::{Activation, Op};
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};

use super::norm::Norm;
use super::{GcnCfConfig, Keys, MODEL, Training};
use crate::learn::device::rule;
use crate::learn::triples::{Batch, BatchRows};
use crate::{Factors, FitError};

/// As [`fit`](super::fit), on a device: the same draws and steps, with sums in another order, so that losses agree to rounding. Two
/// runs on one device have the same bits. Served vectors are made on the CPU.
///
/// # Errors
/// As [`fit`](super::fit); [`FitError::Config`] for Adagrad; [`FitError::Train`] for what the device refuses.
pub fn fit_on(
    ops: &GpuOps,
    train: &Interactions,
    config: &GcnCfConfig,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let rule = rule(MODEL, &config.optimizer)?;
    let training = Training::new(train, config, run.seed)?;
    let graph = Graph::upload(ops, &training).map_err(failed(0))?;
    let mut model = OnDevice { training, ops, rule, graph };
    let report = run.drive(&mut model, |model| model.training.factors())?;
    Ok((model.training.factors()?, report))
}

struct OnDevice<'a> {
    training: Training<'a>,
    ops: &'a GpuOps,
    rule: Rule,
    graph: Graph,
}

impl Step for OnDevice<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let Self { training, ops, rule, graph } = self;
        let Training { config, graph: nodes, batches, rows, params, keys, .. } = training;
        let fail = failed(epoch);
        let mut weights = Weights::upload(ops, params, *keys, rule).map_err(&fail)?;
        let (mut batch, mut loss, mut n) = (Batch::default(), 0.0, 0);
        batches.for_each(epoch, config.batch_size, 1, |drawn| {
            batch.set(drawn, nodes);
            rows.index(&batch);
            let mean = graph.step(ops, &mut weights, rule, rows, config.l2 as f32).map_err(&fail)?;
            loss += mean * batch.len() as f64;
            n += batch.len();
            Ok::<(), TrainError>(())
        })?;
        weights.bring_back(ops, params, *keys, rule).map_err(&fail)?;
        Ok(EpochStats { loss: loss / n as f64, samples: n as u64 })
    }

    fn params(&self) -> &ParamStore {
        self.training.params()
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        self.training.params_mut()
    }
}

/// All parameters on the device, in the order of [`Keys::all`].
struct Weights {
    all: Vec<DeviceParam>,
}

/// Places in [`Weights`].
const EMBEDDINGS: usize = 0;
const CROSSES: [usize; 2] = [1, 2];
const FILTERS: [usize; 2] = [3, 4];
const SCALES: [usize; 2] = [5, 6];
const SHIFTS: [usize; 2] = [7, 8];

impl Keys {
    fn all(self) -> [rectify_tensor::DenseKey; 9] {
        let Self { embeddings, crosses, filters, scales, shifts } = self;
        let ([c1, c2], [f1, f2], [s1, s2], [t1, t2]) = (crosses, filters, scales, shifts);
        [embeddings, c1, c2, f1, f2, s1, s2, t1, t2]
    }
}

impl Weights {
    fn upload(ops: &GpuOps, params: &mut ParamStore, keys: Keys, rule: &Rule) -> Result<Self, GpuError> {
        let upload = |param| DeviceParam::from_dense(ops, param, rule);
        Ok(Self { all: params.dense_mut(keys.all()).into_iter().map(upload).collect::<Result<_, _>>()? })
    }

    fn bring_back(self, ops: &GpuOps, params: &mut ParamStore, keys: Keys, rule: &Rule) -> Result<(), GpuError> {
        let mut both = self.all.into_iter().zip(params.dense_mut(keys.all()));
        both.try_for_each(|(weights, param)| weights.into_dense(ops, param, rule))
    }

    fn values(&self, at: usize) -> &Buffer<f32> {
        &self.all[at].values
    }
}

/// `M = I + Â` and its row sums.
struct Graph {
    matrix: DeviceCsr,
    row_sums: Buffer<f32>,
    n: usize,
    dim: usize,
}

/// Statistics of a normalisation, here and there.
struct DeviceNorm {
    norm: Norm,
    mean: Buffer<f32>,
}

impl Graph {
    fn upload(ops: &GpuOps, training: &Training<'_>) -> Result<Self, GpuError> {
        let matrix = &training.graph.matrix;
        let sums: Vec<f32> = (0..matrix.n_rows()).map(|row| matrix.row(row).1.iter().sum()).collect();
        Ok(Self {
            matrix: DeviceCsr::new(ops, matrix)?,
            row_sums: ops.gpu().upload(&sums)?,
            n: matrix.n_rows(),
            dim: training.config.embedding_dim,
        })
    }

    /// Statistics of x over all nodes. The columns' sums come back: there are few, and what is made of them wants double precision.
    fn norm(&self, ops: &GpuOps, x: &Buffer<f32>) -> Result<DeviceNorm, GpuError> {
        let (gpu, n) = (ops.gpu(), self.n as f64);
        let mut sums = gpu.zeros(self.dim)?;
        ops.column_sums_add(x, &mut sums)?;
        let mean: Vec<f32> = gpu.download(&sums)?.iter().map(|sum| (f64::from(*sum) / n) as f32).collect();
        let on_device = gpu.upload(&mean)?;
        let squares = gpu.download(&ops.covariances((x, &on_device), (x, &on_device))?)?;
        Ok(DeviceNorm { norm: Norm::from_sums(mean, &squares, self.n), mean: on_device })
    }

    /// `p ← M BN(X)` from `M X`, at the rows whose sums are given.
    fn normalise(
        &self,
        ops: &GpuOps,
        p: &mut Buffer<f32>,
        sums: &Buffer<f32>,
        norm: &DeviceNorm,
        (scale, shift): (&Buffer<f32>, &Buffer<f32>),
    ) -> Result<(), GpuError> {
        let gpu = ops.gpu();
        let (a, b) = norm.norm.affine(&gpu.download(scale)?, &gpu.download(shift)?);
        ops.affine_rows(p, sums, &gpu.upload(&a)?, &gpu.upload(&b)?)
    }

    /// `σ(p Θ)`.
    fn layer(&self, ops: &GpuOps, p: &Buffer<f32>, filter: &Buffer<f32>) -> Result<Buffer<f32>, GpuError> {
        let (gpu, dim) = (ops.gpu(), self.dim);
        let mut x = gpu.zeros(p.len())?;
        ops.gemm((p.len() / dim, dim, dim), 1.0, p, Op::Plain, filter, Op::Plain, 0.0, &mut x)?;
        ops.bias_act(&mut x, &gpu.zeros(dim)?, Activation::Sigmoid)?;
        Ok(x)
    }

    /// Backward of [`layer`](Self::layer): the gradients of p and of the filter.
    fn layer_backward(
        &self,
        ops: &GpuOps,
        (p, x): (&Buffer<f32>, &Buffer<f32>),
        filter: &Buffer<f32>,
        mut d: Buffer<f32>,
    ) -> Result<(Buffer<f32>, Buffer<f32>), GpuError> {
        let (gpu, dim, rows) = (ops.gpu(), self.dim, p.len() / self.dim);
        ops.activation_backward(x, &mut d, Activation::Sigmoid)?;
        let (mut d_p, mut d_filter) = (gpu.zeros(p.len())?, gpu.zeros(dim * dim)?);
        ops.gemm((dim, dim, rows), 1.0, p, Op::Transposed, &d, Op::Plain, 0.0, &mut d_filter)?;
        ops.gemm((rows, dim, dim), 1.0, &d, Op::Plain, filter, Op::Transposed, 0.0, &mut d_p)?;
        Ok((d_p, d_filter))
    }

    /// Backward of a normalisation, in place; the gradients of scale and shift.
    fn norm_backward(
        &self,
        ops: &GpuOps,
        norm: &DeviceNorm,
        x: &Buffer<f32>,
        scale: &Buffer<f32>,
        d: &mut Buffer<f32>,
    ) -> Result<[Buffer<f32>; 2], GpuError> {
        let gpu = ops.gpu();
        let (mut sums, zeros) = (gpu.zeros(self.dim)?, gpu.zeros(self.dim)?);
        ops.column_sums_add(d, &mut sums)?;
        let products = ops.covariances((x, &norm.mean), (d, &zeros))?;
        let double = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
        let (sums, products) = (double(gpu.download(&sums)?), double(gpu.download(&products)?));
        let back = norm.norm.factors(&gpu.download(scale)?, &sums, &products, self.n);
        let [a, b, c] = [gpu.upload(&back.d)?, gpu.upload(&back.x)?, gpu.upload(&back.constant)?];
        ops.combine_columns(d, x, &norm.mean, [&a, &b, &c])?;
        Ok([gpu.upload(&back.scale)?, gpu.upload(&back.shift)?])
    }

    /// One step; the loss before it, as [`Propagation::step`](super::step::Propagation::step) has it.
    fn step(
        &self,
        ops: &GpuOps,
        weights: &mut Weights,
        rule: &Rule,
        batch: &BatchRows,
        l2: f32,
    ) -> Result<f64, GpuError> {
        let (gpu, n, dim) = (ops.gpu(), self.n, self.dim);
        let (nodes, m) = (ops.places(batch.rows(), n)?, batch.rows().len());
        let w = |at: usize| weights.values(at);
        let x0 = w(EMBEDDINGS);
        let crosses = [w(CROSSES[0]), w(CROSSES[1])];

        let norm0 = self.norm(ops, x0)?;
        let mut p1 = gpu.zeros(n * dim)?;
        ops.spmm(&self.matrix, x0, dim, &mut p1)?;
        self.normalise(ops, &mut p1, &self.row_sums, &norm0, (w(SCALES[0]), w(SHIFTS[0])))?;
        let x1 = self.layer(ops, &p1, w(FILTERS[0]))?;
        let (mut gains, mut x3) = (gpu.zeros(2 * n)?, gpu.zeros(n * dim)?);
        ops.cross_steps(&x1, crosses, dim, &mut gains, &mut x3)?;
        let norm1 = self.norm(ops, &x3)?;
        let (mut p4, mut sums) = (gpu.zeros(m * dim)?, gpu.zeros(m)?);
        ops.spmm_rows(&self.matrix, &nodes, &x3, dim, &mut p4)?;
        ops.gather_rows(&self.row_sums, 1, &nodes, &mut sums)?;
        self.normalise(ops, &mut p4, &sums, &norm1, (w(SCALES[1]), w(SHIFTS[1])))?;
        let x4 = self.layer(ops, &p4, w(FILTERS[1]))?;

        let mut leaf = gpu.zeros(m * 3 * dim)?;
        let mut part = gpu.zeros(m * dim)?;
        for (at, source) in [x0, &x1].into_iter().enumerate() {
            ops.gather_rows(source, dim, &nodes, &mut part)?;
            ops.copy_columns(&part, (dim, 0), dim, &mut leaf, (3 * dim, at * dim))?;
        }
        ops.copy_columns(&x4, (dim, 0), dim, &mut leaf, (3 * dim, 2 * dim))?;
        let (loss, d_leaf) = self.rank(ops, batch, &leaf, l2)?;
        let column = |at: usize| {
            let mut out = gpu.zeros(m * dim)?;
            ops.copy_columns(&d_leaf, (3 * dim, at * dim), dim, &mut out, (dim, 0))?;
            Ok::<_, GpuError>(out)
        };

        let (d_p4, d_filter1) = self.layer_backward(ops, (&p4, &x4), w(FILTERS[1]), column(2)?)?;
        let mut d = gpu.zeros(n * dim)?;
        // M is symmetric: no transpose.
        ops.spmm_rows_backward(&self.matrix, &ops.slots(batch.rows(), n)?, &d_p4, dim, &mut d)?;
        let [d_scale1, d_shift1] = self.norm_backward(ops, &norm1, &x3, w(SCALES[1]), &mut d)?;
        let (mut d_w1, mut d_w2) = (gpu.zeros(n * dim)?, gpu.zeros(n * dim)?);
        ops.cross_steps_backward(&x1, crosses, dim, &gains, &mut d, [&mut d_w1, &mut d_w2])?;
        ops.add_to_rows(&column(1)?, &nodes, dim, &mut d)?;
        let (d_p1, d_filter0) = self.layer_backward(ops, (&p1, &x1), w(FILTERS[0]), d)?;
        let mut d_x0 = gpu.zeros(n * dim)?;
        ops.spmm(&self.matrix, &d_p1, dim, &mut d_x0)?;
        let [d_scale0, d_shift0] = self.norm_backward(ops, &norm0, x0, w(SCALES[0]), &mut d_x0)?;
        ops.add_to_rows(&column(0)?, &nodes, dim, &mut d_x0)?;

        let gradients = [d_x0, d_w1, d_w2, d_filter0, d_filter1, d_scale0, d_scale1, d_shift0, d_shift1];
        for (param, gradient) in weights.all.iter_mut().zip(&gradients) {
            ops.step(param, rule, gradient)?;
        }
        Ok(loss)
    }

    /// Loss of a batch whose vectors stand in `leaf`, and its gradient.
    fn rank(
        &self,
        ops: &GpuOps,
        batch: &BatchRows,
        leaf: &Buffer<f32>,
        l2: f32,
    ) -> Result<(f64, Buffer<f32>), GpuError> {
        let (gpu, m, dim, n) = (ops.gpu(), batch.rows().len(), 3 * self.dim, batch.n_triples() as f32);
        // One table for both sides: users stand before items.
        let slots = batch.leaf_slots();
        let triples = DevicePairs::new(ops, [&slots[0], &slots[1], &slots[2]], m, m)?;
        let (mut d_users, mut d_items) = (gpu.zeros(m * dim)?, gpu.zeros(m * dim)?);
        let (scale, decay) = (1.0 / n, 2.0 * l2 / n);
        let sum = ops.bpr(leaf, leaf, dim, &triples, scale, decay, &mut d_users, &mut d_items)?;
        let everywhere: Vec<u32> = (0..m as u32).collect();
        ops.add_to_rows(&d_users, &ops.places(&everywhere, m)?, dim, &mut d_items)?;
        let mut loss = sum / f64::from(n);
        if l2 > 0.0 {
            let occurrences: Places = ops.places(&slots.concat(), m)?;
            let mut squares = gpu.zeros(occurrences.len())?;
            ops.list_dots(leaf, leaf, dim, &occurrences, &occurrences, &mut squares)?;
            loss += f64::from(l2) * ops.sum(&squares)? / f64::from(n);
        }
        Ok((loss, d_items))
    }
}
