//! LightRec on a device: the same samples and steps, the arithmetic there.

use rectify_data::Interactions;
use rectify_tensor::cuda::{Buffer, DevicePairs, DeviceParam, GpuError, GpuOps, Places, Rule, failed};
use rectify_tensor::kernels::Op;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{DenseKey, ParamStore};

use super::batch::Batch;
use super::encoder::Sizes;
use super::{Distillation, LightRecConfig, Model, Recurrence, Similarity, Training};
use crate::{CodedFactors, ConfigError, FitError, TeacherVectors};

/// As [`fit`](super::fit), on a device, for settings like [the paper's](LightRecConfig::paper): bilinear similarity without a bias of the
/// codewords, residual recurrence, items as the teacher has them, the inner-product hint or none, and no Adagrad. The draws and steps are the
/// same, sums run in another order, so that losses agree to rounding. Codes that are served are chosen on the CPU.
///
/// # Errors
/// As [`fit`](super::fit); [`FitError::Config`] for other settings, which train on the CPU alone; [`FitError::Train`] for what the
/// device refuses.
pub fn fit_on(
    ops: &GpuOps,
    train: &Interactions,
    teacher: &TeacherVectors,
    config: &LightRecConfig,
    run: TrainRun<'_, CodedFactors>,
) -> Result<(CodedFactors, FitReport), FitError> {
    let (rule, hint) = settings(config)?;
    let training = Training::new(train, teacher, config, run.seed)?;
    let frozen = Frozen::upload(ops, teacher, hint).map_err(failed(0))?;
    let mut model = OnDevice { training, ops, rule, frozen };
    let report = run.drive(&mut model, |model| model.training.model.served())?;
    Ok((model.training.model.served()?, report))
}

/// The rule and the weight of the hint, if a device can train with these settings.
fn settings(config: &LightRecConfig) -> Result<(Rule, Option<f64>), ConfigError> {
    config.validate()?;
    let check = ConfigError::check;
    let bilinear = config.similarity == Similarity::Bilinear;
    check(bilinear, "similarity", "bilinear on a device", format!("{:?}", config.similarity))?;
    let residual = config.recurrence == Recurrence::Residual;
    check(residual, "recurrence", "residual on a device", format!("{:?}", config.recurrence))?;
    ConfigError::check(!config.codeword_bias, "codeword_bias", "false on a device", config.codeword_bias)?;
    ConfigError::check(!config.train_items, "train_items", "false on a device", config.train_items)?;
    let hint = match config.distillation {
        Distillation::None => None,
        Distillation::InnerProduct { weight } => Some(weight),
        Distillation::Euclidean { .. } | Distillation::RankedInnerProduct { .. } => {
            let expected = "none or inner-product on a device";
            return Err(ConfigError {
                model: None,
                field: "distillation",
                expected,
                got: format!("{:?}", config.distillation),
            });
        }
    };
    Ok((Rule::try_from(config.optimizer)?, hint))
}

struct OnDevice<'a> {
    training: Training<'a>,
    ops: &'a GpuOps,
    rule: Rule,
    frozen: Frozen,
}

/// The teacher's side.
struct Frozen {
    items: Buffer<f32>,
    n_items: usize,
    hint: Option<Hint>,
}

/// What the inner-product hint needs of the teacher's users: themselves and their Gram matrix.
struct Hint {
    weight: f64,
    users: Buffer<f32>,
    gram: Buffer<f32>,
}

impl Frozen {
    fn upload(ops: &GpuOps, teacher: &TeacherVectors, hint: Option<f64>) -> Result<Self, GpuError> {
        let (gpu, d, n) = (ops.gpu(), teacher.dim(), teacher.n_users());
        let hint = match hint {
            None => None,
            Some(weight) => {
                let (users, mut gram) = (gpu.upload(teacher.users())?, gpu.zeros(d * d)?);
                ops.gemm((d, d, n), 1.0, &users, Op::Transposed, &users, Op::Plain, 0.0, &mut gram)?;
                Some(Hint { weight, users, gram })
            }
        };
        Ok(Self { items: gpu.upload(teacher.items())?, n_items: teacher.n_items(), hint })
    }
}

impl Step for OnDevice<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let Self { training: Training { batches, model }, ops, rule, frozen } = self;
        let fail = failed(epoch);
        let config = model.config;
        let mut weights = Weights::upload(ops, model, rule).map_err(&fail)?;
        let (mut loss, mut samples) = (0.0, 0);
        batches.for_each(epoch, config.batch_size, config.n_negatives, |drawn| {
            let n = drawn.users.len();
            model.batch.fill(drawn);
            loss += weights.step(ops, frozen, config, rule, &model.batch).map_err(&fail)? * n as f64;
            samples += n as u64;
            Ok::<(), TrainError>(())
        })?;
        weights.bring_back(ops, model, rule).map_err(&fail)?;
        Ok(EpochStats { loss: loss / samples as f64, samples })
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
    sizes: Sizes,
    temperature: f32,
    users: DeviceParam,
    codebooks: DeviceParam,
    forms: DeviceParam,
}

/// One codebook on its way: what it saw, its similarities and choices, and the numbers it chose by.
struct Stage {
    seen: Buffer<f32>,
    similarity: Buffer<f32>,
    codes: Buffer<u32>,
    /// `C` (W, D), `A` (D, D), `K = A Cᵀ` (D, W).
    codebook: Buffer<f32>,
    form: Buffer<f32>,
    affine: Buffer<f32>,
}

impl Weights {
    fn keys(model: &Model<'_>) -> [DenseKey; 2] {
        let keys = model.encoder.keys;
        [keys.codebooks, keys.forms.expect("a bilinear similarity has forms")]
    }

    fn upload(ops: &GpuOps, model: &mut Model<'_>, rule: &Rule) -> Result<Self, GpuError> {
        let keys = Self::keys(model);
        let [users] = model.params.rows_mut([model.users]);
        let users = DeviceParam::from_rows(ops, users, rule)?;
        let [codebooks, forms] = model.params.dense_mut(keys);
        Ok(Self {
            sizes: model.encoder.sizes,
            temperature: model.encoder.temperature,
            users,
            codebooks: DeviceParam::from_dense(ops, codebooks, rule)?,
            forms: DeviceParam::from_dense(ops, forms, rule)?,
        })
    }

    fn bring_back(self, ops: &GpuOps, model: &mut Model<'_>, rule: &Rule) -> Result<(), GpuError> {
        let keys = Self::keys(model);
        let [users] = model.params.rows_mut([model.users]);
        self.users.into_rows(ops, users, rule)?;
        let [codebooks, forms] = model.params.dense_mut(keys);
        self.codebooks.into_dense(ops, codebooks, rule)?;
        self.forms.into_dense(ops, forms, rule)
    }

    /// One step; returns the loss of the batch before it, L2 left out.
    fn step(
        &mut self,
        ops: &GpuOps,
        frozen: &Frozen,
        config: &LightRecConfig,
        rule: &Rule,
        batch: &Batch,
    ) -> Result<f64, GpuError> {
        let (gpu, d) = (ops.gpu(), self.sizes.dim);
        let (n_users, m) = (batch.users.rows().len(), batch.items.rows().len());
        let all_users = self.users.values.len() / d;
        let user_rows = ops.places(batch.users.rows(), all_users)?;
        let mut p = gpu.zeros(n_users * d)?;
        ops.gather_rows(&self.users.values, d, &user_rows, &mut p)?;
        let mut entering = gpu.zeros(m * d)?;
        ops.gather_rows(&frozen.items, d, &ops.places(batch.items.rows(), frozen.n_items)?, &mut entering)?;
        let (stages, decoded) = self.forward(ops, entering)?;

        let pairs = [&batch.pair_users[..], &batch.pair_positives, batch.negative_slots()];
        let pairs = DevicePairs::new(ops, pairs, n_users, m)?;
        let n_pairs = batch.pair_users.len();
        let (mut d_p, mut d_decoded) = (gpu.zeros(p.len())?, gpu.zeros(decoded.len())?);
        let scale = 1.0 / n_pairs as f32;
        let sum = ops.bpr(&p, &decoded, d, &pairs, scale, 0.0, &mut d_p, &mut d_decoded)?;
        let mut loss = sum / n_pairs as f64;
        let l2 = (config.l2 / batch.n as f64) as f32;
        if l2 > 0.0 {
            for (slots, rows, gradient) in
                [(&batch.user_slots, &p, &mut d_p), (&batch.item_slots, &decoded, &mut d_decoded)]
            {
                let mut each = gpu.zeros(slots.len() * d)?;
                ops.gather_rows(rows, d, &ops.places(slots, rows.len() / d)?, &mut each)?;
                add_groups(ops, l2, &each, slots, d, gradient)?;
            }
        }
        match &frozen.hint {
            None => ops.step_rows(&mut self.users, rule, d, batch.users.rows(), config.row_update, &d_p)?,
            Some(hint) => {
                let (more, mut d_all) = self.hint(ops, frozen, hint, batch, &decoded, &mut d_decoded)?;
                loss += more;
                ops.add_to_rows(&d_p, &user_rows, d, &mut d_all)?;
                ops.step(&mut self.users, rule, &d_all)?;
            }
        }
        let [d_codebooks, d_forms] = self.backward(ops, &stages, &d_decoded)?;
        ops.step(&mut self.codebooks, rule, &d_codebooks)?;
        ops.step(&mut self.forms, rule, &d_forms)?;
        Ok(loss)
    }

    /// A part of a parameter, by its number.
    fn part(&self, ops: &GpuOps, of: &DeviceParam, b: usize, len: usize) -> Result<Buffer<f32>, GpuError> {
        let mut out = ops.gpu().zeros(len)?;
        ops.copy_columns(&of.values, (of.values.len(), b * len), len, &mut out, (len, 0))?;
        Ok(out)
    }

    /// Encodes and decodes items (m, D).
    fn forward(&self, ops: &GpuOps, items: Buffer<f32>) -> Result<(Vec<Stage>, Buffer<f32>), GpuError> {
        let (gpu, Sizes { n_codebooks, n_codewords: w, dim: d }) = (ops.gpu(), self.sizes);
        let (m, len) = (items.len() / d, items.len());
        let mut decoded = gpu.zeros(len)?;
        let (mut stages, mut seen) = (Vec::new(), items);
        for b in 0..n_codebooks {
            let codebook = self.part(ops, &self.codebooks, b, w * d)?;
            let form = self.part(ops, &self.forms, b, d * d)?;
            let (mut affine, mut similarity) = (gpu.zeros(d * w)?, gpu.zeros(m * w)?);
            ops.gemm((d, w, d), 1.0, &form, Op::Plain, &codebook, Op::Transposed, 0.0, &mut affine)?;
            ops.gemm((m, w, d), 1.0, &seen, Op::Plain, &affine, Op::Plain, 0.0, &mut similarity)?;
            let (mut codes, mut chosen) = (gpu.zeros(m)?, gpu.zeros(len)?);
            ops.select_codes(&similarity, &codebook, (w, d), &mut codes, &mut chosen)?;
            ops.axpy(1.0, &chosen, &mut decoded)?;
            let mut next = gpu.zeros(len)?;
            ops.axpy(1.0, &seen, &mut next)?;
            ops.axpy(-1.0, &chosen, &mut next)?;
            let seen = std::mem::replace(&mut seen, next);
            stages.push(Stage { seen, similarity, codes, codebook, form, affine });
        }
        Ok((stages, decoded))
    }

    /// From the gradient of the decoded items those of codebooks and forms.
    fn backward(&self, ops: &GpuOps, stages: &[Stage], d_decoded: &Buffer<f32>) -> Result<[Buffer<f32>; 2], GpuError> {
        let (gpu, Sizes { n_codewords: w, dim: d, .. }) = (ops.gpu(), self.sizes);
        let (len, m) = (d_decoded.len(), d_decoded.len() / d);
        let (mut d_codebooks, mut d_forms) =
            (gpu.zeros(self.codebooks.values.len())?, gpu.zeros(self.forms.values.len())?);
        // Gradient of what the next codebook sees.
        let mut d_next: Option<Buffer<f32>> = None;
        for (b, stage) in stages.iter().enumerate().rev() {
            let Stage { seen, similarity, codes, codebook, form, affine } = stage;
            let mut d_part = gpu.zeros(len)?;
            ops.axpy(1.0, d_decoded, &mut d_part)?;
            if let Some(d_next) = &d_next {
                ops.axpy(-1.0, d_next, &mut d_part)?;
            }
            let mut d_codebook = gpu.zeros(w * d)?;
            let groups = ops.groups(&gpu.download(codes)?, w)?;
            ops.sum_groups(&d_part, d, &groups, &mut d_codebook)?;
            let (mut d_similarity, mut d_affine) = (gpu.zeros(m * w)?, gpu.zeros(d * w)?);
            ops.gemm((m, w, d), 1.0, &d_part, Op::Plain, codebook, Op::Transposed, 0.0, &mut d_similarity)?;
            ops.straight_through(similarity, w, self.temperature, &mut d_similarity)?;
            ops.gemm((d, w, m), 1.0, seen, Op::Transposed, &d_similarity, Op::Plain, 0.0, &mut d_affine)?;
            let mut d_form = gpu.zeros(d * d)?;
            ops.gemm((d, d, w), 1.0, &d_affine, Op::Plain, codebook, Op::Plain, 0.0, &mut d_form)?;
            ops.gemm((w, d, d), 1.0, &d_affine, Op::Transposed, form, Op::Plain, 1.0, &mut d_codebook)?;
            for (from, to) in [(&d_codebook, &mut d_codebooks), (&d_form, &mut d_forms)] {
                let (part, whole) = (from.len(), to.len());
                ops.copy_columns(from, (part, 0), part, to, (whole, b * part))?;
            }
            if b > 0 {
                let mut d_seen = gpu.zeros(len)?;
                ops.gemm((m, d, w), 1.0, &d_similarity, Op::Plain, affine, Op::Transposed, 0.0, &mut d_seen)?;
                if let Some(d_next) = &d_next {
                    ops.axpy(1.0, d_next, &mut d_seen)?;
                }
                d_next = Some(d_seen);
            }
        }
        Ok([d_codebooks, d_forms])
    }

    /// The inner-product hint over the batch's items and all users: its loss, and the gradient of all users. That of the decoded items is
    /// added.
    fn hint(
        &self,
        ops: &GpuOps,
        frozen: &Frozen,
        hint: &Hint,
        batch: &Batch,
        decoded: &Buffer<f32>,
        d_decoded: &mut Buffer<f32>,
    ) -> Result<(f64, Buffer<f32>), GpuError> {
        let (gpu, d, users) = (ops.gpu(), self.sizes.dim, &self.users.values);
        let (n_users, n) = (users.len() / d, batch.item_slots.len());
        let (mut q, mut y) = (gpu.zeros(n * d)?, gpu.zeros(n * d)?);
        ops.gather_rows(&frozen.items, d, &ops.places(&batch.item_ids, frozen.n_items)?, &mut q)?;
        ops.gather_rows(decoded, d, &ops.places(&batch.item_slots, decoded.len() / d)?, &mut y)?;
        let product = |a: &Buffer<f32>, op, b: &Buffer<f32>, sizes: (usize, usize, usize)| {
            let mut out = gpu.zeros(sizes.0 * sizes.1)?;
            ops.gemm(sizes, 1.0, a, op, b, Op::Plain, 0.0, &mut out)?;
            Ok::<_, GpuError>(out)
        };
        let gram = product(users, Op::Transposed, users, (d, d, n_users))?;
        let cross = product(&hint.users, Op::Transposed, users, (d, d, n_users))?;
        let rows = (n, d, d);
        let (of_q, across, of_y) = (
            product(&q, Op::Plain, &hint.gram, rows)?,
            product(&q, Op::Plain, &cross, rows)?,
            product(&y, Op::Plain, &gram, rows)?,
        );
        // Sum over users and items of (p1·q - p·y)² = q G1 q - 2 q C y + y G y.
        let every = ops.places(&(0..n as u32).collect::<Vec<_>>(), n)?;
        let dots = |a: &Buffer<f32>, b: &Buffer<f32>, every: &Places| {
            let mut out = gpu.zeros(n)?;
            ops.list_dots(a, b, d, every, every, &mut out)?;
            ops.sum(&out)
        };
        let sum = dots(&of_q, &q, &every)? - 2.0 * dots(&across, &y, &every)? + dots(&of_y, &y, &every)?;
        let weight = hint.weight / (n * n_users) as f64;
        let slope = 2.0 * weight as f32;
        let mut d_y = of_y;
        ops.axpy(-1.0, &across, &mut d_y)?;
        add_groups(ops, slope, &d_y, &batch.item_slots, d, d_decoded)?;
        let (squares, crossed) =
            (product(&y, Op::Transposed, &y, (d, d, n))?, product(&q, Op::Transposed, &y, (d, d, n))?);
        let mut d_all = gpu.zeros(users.len())?;
        ops.gemm((n_users, d, d), slope, users, Op::Plain, &squares, Op::Plain, 0.0, &mut d_all)?;
        ops.gemm((n_users, d, d), -slope, &hint.users, Op::Plain, &crossed, Op::Plain, 1.0, &mut d_all)?;
        Ok((weight * sum, d_all))
    }
}

/// `out[slot] += factor · Σ rows` over the rows of each slot.
fn add_groups(
    ops: &GpuOps,
    factor: f32,
    rows: &Buffer<f32>,
    slots: &[u32],
    dim: usize,
    out: &mut Buffer<f32>,
) -> Result<(), GpuError> {
    let mut sums = ops.gpu().zeros(out.len())?;
    ops.sum_groups(rows, dim, &ops.groups(slots, out.len() / dim)?, &mut sums)?;
    ops.axpy(factor, &sums, out)
}
