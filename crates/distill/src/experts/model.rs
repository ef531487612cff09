//! Experts and selection network: parameters, loss and gradients.

use rayon::prelude::*;
use rectify_core::rng::Seed;
use rectify_tensor::kernels::{Level, Op};

use super::block::{Block, Input, Pairs, Passes, Scratch, Share, add_column_sums};
use super::{ExpertsConfig, Selection};
use crate::error::{check_len, check_rows};
use crate::math::Real;
use crate::{ConfigError, LossError};

/// Entities of a block; a block is the unit of parallel work, and its size is fixed so that threads change no bits.
const BLOCK: usize = 1024;

/// Distillation experts (DE): M decoders that rebuild the teacher's vector of an entity from the student's, and a
/// network that selects among them by the teacher's vector.
///
/// DE-RRD (Kang et al., CIKM 2020), Eqs. 4 to 8. For an entity with teacher vector `t` and student vector `v`:
/// `α = softmax(S(t))`, `z = softmax((ln(α + 10⁻¹⁰) + g) / τ)` with Gumbel noise g, `l = ‖t - Σ_m z_m E_m(v)‖²`. An expert
/// is `d_s → ⌊(d_s + d_t) / 2⌋ → d_t` with biases and one ReLU between; S is one affine layer `d_t → M`.
///
/// One value of this type describes one set of experts: for MF, make one for users and one for items; for NeuMF, one for
/// pairs. It holds no numbers: the parameters are **one flat slice** of [`n_params`](Self::n_params) values, which a
/// trainer keeps as one parameter among its own, so that one optimiser step moves student and experts together. They are
/// thrown away after training.
///
/// **Layout of the parameters**: first-layer weights (M, `d_s`, h), biases (M, h); second-layer weights (M, h, `d_t`),
/// biases (M, `d_t`); selection weights (`d_t`, M), bias (M), left out for [`Selection::Average`].
///
/// **Readings**: the paper writes an unsquared norm; the authors' code squares it, the published λ fit that, and it is
/// smooth at 0. For `d_s = d_t` the authors' hidden width is `⌊d_s / 2⌋`.
#[derive(Clone, Debug, PartialEq)]
pub struct Experts {
    config: ExpertsConfig,
    student_dim: usize,
    teacher_dim: usize,
}

impl Experts {
    /// Experts from vectors of `student_dim` (`d_s`) to vectors of `teacher_dim` (`d_t`).
    ///
    /// # Errors
    /// No experts, or a width of 0.
    pub fn new(config: ExpertsConfig, student_dim: usize, teacher_dim: usize) -> Result<Self, ConfigError> {
        config.validate()?;
        ConfigError::check(student_dim > 0, "student_dim", "at least 1", student_dim)?;
        ConfigError::check(teacher_dim > 0, "teacher_dim", "at least 1", teacher_dim)?;
        let experts = Self { config, student_dim, teacher_dim };
        ConfigError::check(experts.hidden_dim() > 0, "student_dim", "wide enough for a hidden layer", student_dim)?;
        Ok(experts)
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &ExpertsConfig {
        &self.config
    }

    /// Width of the student's vectors (`d_s`).
    #[must_use]
    pub const fn student_dim(&self) -> usize {
        self.student_dim
    }

    /// Width of the teacher's vectors (`d_t`).
    #[must_use]
    pub const fn teacher_dim(&self) -> usize {
        self.teacher_dim
    }

    /// Width of an expert's hidden layer: half the sum of both widths, or half of one if they are equal.
    #[must_use]
    pub const fn hidden_dim(&self) -> usize {
        if self.student_dim == self.teacher_dim {
            self.student_dim / 2
        } else {
            self.student_dim.midpoint(self.teacher_dim)
        }
    }

    /// Number of parameters.
    #[must_use]
    pub fn n_params(&self) -> usize {
        self.sizes().iter().sum()
    }

    /// Sizes of the six parts of the parameters, in order.
    fn sizes(&self) -> [usize; 6] {
        let (m, s, h, t) = (self.config.n_experts, self.student_dim, self.hidden_dim(), self.teacher_dim);
        let selected = usize::from(self.config.selection != Selection::Average);
        [m * s * h, m * h, m * h * t, m * t, t * m * selected, m * selected]
    }

    /// Initial parameters: each layer, weights and biases alike, uniform in `±1 / √(inputs of the layer)`.
    ///
    /// The paper does not say; this is the default of the authors' framework.
    ///
    /// # Errors
    /// `params.len() != n_params()`.
    pub fn init(&self, seed: Seed, params: &mut [f32]) -> Result<(), LossError> {
        check_len("parameters", self.n_params(), params.len())?;
        let inputs = [
            self.student_dim,
            self.student_dim,
            self.hidden_dim(),
            self.hidden_dim(),
            self.teacher_dim,
            self.teacher_dim,
        ];
        let mut rest = params;
        for (part, (size, inputs)) in self.sizes().into_iter().zip(inputs).enumerate() {
            let (values, others) = rest.split_at_mut(size);
            let (mut rng, bound) = (seed.at(0, part as u64), 1.0 / (inputs as f32).sqrt());
            values.fill_with(|| bound * (2.0 * rng.unit_f32() - 1.0));
            rest = others;
        }
        Ok(())
    }

    /// Numbers of noise that a [`loss`](Self::loss) over `n` entities needs: `n · M` for [`Selection::Gumbel`], else 0.
    #[must_use]
    pub const fn noise_len(&self, n: usize) -> usize {
        match self.config.selection {
            Selection::Gumbel => n * self.config.n_experts,
            Selection::Attention | Selection::Average => 0,
        }
    }

    /// Sum over entities of `‖t - t̂‖²`, and its gradients.
    ///
    /// - **Shapes**: `params`, `d_params` ([`n_params`](Self::n_params)); `students`, `d_students` (n, `d_s`); `teachers`
    ///   (n, `d_t`); `noise` (n, M) from [`gumbel_noise`](crate::gumbel_noise), empty unless
    ///   [`noise_len`](Self::noise_len) asks for it.
    /// - **Returns** the unweighted sum; **adds** `weight ·` its gradients to `d_params` and `d_students`. The teacher
    ///   gets no gradient. For MF, weigh users 1 and items 0.5 (positives and negatives each, as the authors' code).
    /// - **Edges**: no entities give 0. M = 1 is a plain decoder: its weight is 1 and the selection network's gradient 0.
    /// - **Cost**: experts whose weight for an entity is below 10⁻⁹ · min(τ, 1) are skipped for it; that is under the
    ///   rounding of single precision, and makes late epochs, with one expert an entity, about M times cheaper.
    /// - Runs on all threads of the current pool; the bits do not depend on their number.
    ///
    /// # Errors
    /// A temperature ([`Annealing::at`](crate::Annealing::at)) that is not positive and finite; sizes that do not agree.
    #[expect(clippy::too_many_arguments, reason = "what a loss reads, and what it writes")]
    pub fn loss(
        &self,
        params: &[f32],
        students: &[f32],
        teachers: &[f32],
        noise: &[f32],
        temperature: f32,
        weight: f32,
        workspace: &mut ExpertsWorkspace,
        d_params: &mut [f32],
        d_students: &mut [f32],
    ) -> Result<f64, LossError> {
        let n = check_rows("teacher vectors", self.teacher_dim, teachers.len())?;
        check_len("student vectors", n * self.student_dim, students.len())?;
        check_len("noise", self.noise_len(n), noise.len())?;
        check_len("parameters", self.n_params(), params.len())?;
        check_len("gradients of parameters", params.len(), d_params.len())?;
        check_len("gradients of student vectors", students.len(), d_students.len())?;
        ConfigError::check(
            temperature > 0.0 && temperature.is_finite(),
            "temperature",
            "positive and finite",
            temperature,
        )?;
        let params = self.split(params);
        let whole = Input { experts: self, params: &params, students, teachers, noise, temperature, weight };
        Ok(run_all(&whole, &Level::best(), &mut workspace.0, d_params, d_students))
    }

    /// The expert that the selection network favours for each entity: the largest `α`, the first of equals.
    ///
    /// DE-RRD, Figure 6, plots them over the teacher's space. **Shapes**: `teachers` (n, `d_t`), `chosen` (n).
    ///
    /// # Errors
    /// Sizes that do not agree; [`Selection::Average`], which selects nothing.
    pub fn favoured(&self, params: &[f32], teachers: &[f32], chosen: &mut [u32]) -> Result<(), LossError> {
        let selects = self.config.selection != Selection::Average;
        ConfigError::check(selects, "selection", "gumbel or attention", "average")?;
        check_len("parameters", self.n_params(), params.len())?;
        check_len("teacher vectors", chosen.len() * self.teacher_dim, teachers.len())?;
        let (params, m) = (self.split(params), self.config.n_experts);
        let mut scores: Vec<f32> = params.selection_bias.repeat(chosen.len());
        let size = (chosen.len(), m, self.teacher_dim);
        f32::gemm(size, 1.0, teachers, Op::Plain, params.selection_weight, Op::Plain, 1.0, &mut scores);
        for (chosen, scores) in chosen.iter_mut().zip(scores.chunks_exact(m)) {
            let best = scores.iter().enumerate().fold(0, |best, (m, s)| if *s > scores[best] { m } else { best });
            *chosen = best as u32;
        }
        Ok(())
    }

    pub(super) fn split<'a, R: Real>(&self, params: &'a [R]) -> Parameters<'a, R> {
        let mut rest = params;
        let parts = self.sizes().map(|size| {
            let (part, others) = rest.split_at(size);
            rest = others;
            part
        });
        let [hidden_weight, hidden_bias, output_weight, output_bias, selection_weight, selection_bias] = parts;
        Parameters { hidden_weight, hidden_bias, output_weight, output_bias, selection_weight, selection_bias }
    }
}

/// The parts of the flat parameters.
pub(super) struct Parameters<'a, R> {
    pub(super) hidden_weight: &'a [R],
    pub(super) hidden_bias: &'a [R],
    pub(super) output_weight: &'a [R],
    pub(super) output_bias: &'a [R],
    pub(super) selection_weight: &'a [R],
    pub(super) selection_bias: &'a [R],
}

/// The parts of one expert, but for the bias of its output.
pub(super) struct Expert<'a, R> {
    pub(super) hidden_weight: &'a [R],
    pub(super) hidden_bias: &'a [R],
    pub(super) output_weight: &'a [R],
}

impl<'a, R> Parameters<'a, R> {
    pub(super) fn expert(&self, experts: &Experts, m: usize) -> Expert<'a, R> {
        let (s, h, t) = (experts.student_dim, experts.hidden_dim(), experts.teacher_dim);
        Expert {
            hidden_weight: &self.hidden_weight[m * s * h..(m + 1) * s * h],
            hidden_bias: &self.hidden_bias[m * h..(m + 1) * h],
            output_weight: &self.output_weight[m * h * t..(m + 1) * h * t],
        }
    }
}

/// Memory that [`Experts::loss`] reuses from step to step; it grows to what the largest batch needs.
#[derive(Clone, Debug, Default)]
pub struct ExpertsWorkspace(Workspace<f32>);

/// The same in any precision.
#[derive(Clone, Debug, Default)]
pub(super) struct Workspace<R> {
    blocks: Vec<Block<R>>,
    pairs: Pairs<R>,
}

/// Blocks of rows in parallel, then experts in parallel, each over all blocks in order, then blocks again.
pub(super) fn run_all<R: Real>(
    whole: &Input<'_, R>,
    passes: &impl Passes<R>,
    workspace: &mut Workspace<R>,
    d_params: &mut [R],
    d_students: &mut [R],
) -> f64 {
    let experts = whole.experts;
    let (ds, dt, dh, m) = (experts.student_dim, experts.teacher_dim, experts.hidden_dim(), experts.config.n_experts);
    let Workspace { blocks, pairs } = workspace;
    let n_blocks = (whole.teachers.len() / dt).div_ceil(BLOCK);
    if blocks.len() < n_blocks {
        blocks.resize_with(n_blocks, Block::default);
    }
    let blocks = &mut blocks[..n_blocks];
    let noise_width = if whole.noise.is_empty() { 0 } else { m };
    let part = |slice: &'_ [R], width: usize, b: usize| b * BLOCK * width..((b + 1) * BLOCK * width).min(slice.len());
    let input = |b: usize| Input {
        students: &whole.students[part(whole.students, ds, b)],
        teachers: &whole.teachers[part(whole.teachers, dt, b)],
        noise: &whole.noise[part(whole.noise, noise_width, b)],
        ..*whole
    };
    let losses: Vec<f64> =
        blocks.par_iter_mut().enumerate().map(|(b, block)| passes.forward(&input(b), block)).collect();

    let mut n_pairs = 0;
    blocks.iter_mut().for_each(|block| block.places.clear());
    for expert in 0..m {
        for block in &mut *blocks {
            block.places.push(n_pairs);
            n_pairs += block.pairs(expert).len();
        }
    }
    pairs.d_students.resize(n_pairs * ds, R::ZERO);
    pairs.slopes.resize(n_pairs, R::ZERO);
    let mut rest = d_params;
    let [d_hidden_weight, d_hidden_bias, d_output_weight, d_output_bias, d_selection_weight, d_selection_bias] =
        experts.sizes().map(|size| rest.split_off_mut(..size).expect("sizes add up to the parameters"));
    let (mut told, mut slopes) = (&mut pairs.d_students[..], &mut pairs.slopes[..]);
    let shares: Vec<Share<'_, R>> = d_hidden_weight
        .chunks_exact_mut(ds * dh)
        .zip(d_hidden_bias.chunks_exact_mut(dh))
        .zip(d_output_weight.chunks_exact_mut(dh * dt))
        .enumerate()
        .map(|(expert, ((hidden_weight, hidden_bias), output_weight))| {
            let n: usize = blocks.iter().map(|block| block.pairs(expert).len()).sum();
            let d_students = told.split_off_mut(..n * ds).expect("sized for all pairs");
            let slopes = slopes.split_off_mut(..n).expect("sized for all pairs");
            Share { hidden_weight, hidden_bias, output_weight, d_students, slopes }
        })
        .collect();
    shares.into_par_iter().enumerate().for_each_init(Scratch::default, |scratch, (expert, mut share)| {
        let mut at = 0;
        for (b, block) in blocks.iter().enumerate() {
            passes.backward(&input(b), block, (expert, at), scratch, &mut share);
            at += block.pairs(expert).len();
        }
    });

    let pairs = &*pairs;
    blocks
        .par_iter_mut()
        .zip(d_students.par_chunks_mut(BLOCK * ds))
        .enumerate()
        .for_each(|(b, (block, d_students))| passes.gather(&input(b), block, pairs, d_students));
    for (b, block) in blocks.iter().enumerate() {
        let n = block.d_output.len() / dt;
        R::gemm((m, dt, n), R::ONE, &block.z, Op::Transposed, &block.d_output, Op::Plain, R::ONE, d_output_bias);
        if !d_selection_bias.is_empty() {
            let teachers = &whole.teachers[part(whole.teachers, dt, b)];
            let upstream = &block.d_selection;
            R::gemm((dt, m, n), R::ONE, teachers, Op::Transposed, upstream, Op::Plain, R::ONE, d_selection_weight);
            add_column_sums(upstream, d_selection_bias);
        }
    }
    losses.iter().sum()
}
