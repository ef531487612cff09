//! The loss over all entities of a batch: blocks of them in parallel, then experts in parallel.

use rayon::prelude::*;
use rectify_tensor::kernels::{Level, Op};

use super::block::{Block, Input, Pairs, Passes, Scratch, Share, add_column_sums};
use super::model::Experts;
use crate::error::{check_len, check_rows};
use crate::math::Real;
use crate::{ConfigError, LossError};

/// Entities of a block; a block is the unit of parallel work, and its size is fixed so that threads change no bits.
const BLOCK: usize = 1024;

impl Experts {
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
        let n = check_rows("teacher vectors", self.teacher_dim(), teachers.len())?;
        check_len("student vectors", n * self.student_dim(), students.len())?;
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
    let (ds, dt, dh, m) =
        (experts.student_dim(), experts.teacher_dim(), experts.hidden_dim(), experts.config().n_experts);
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
