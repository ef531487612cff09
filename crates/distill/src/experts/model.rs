//! Experts and selection network: their sizes and parameters.

use rectify_core::rng::Seed;
use rectify_tensor::kernels::Op;

use super::{ExpertsConfig, Selection};
use crate::error::check_len;
use crate::math::Real;
use crate::{ConfigError, LossError};

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
    pub(super) fn sizes(&self) -> [usize; 6] {
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
