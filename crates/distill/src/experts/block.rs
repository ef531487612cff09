//! Forward and backward of some entities: everything that belongs to rows, not to parameters.

use rectify_tensor::kernels::Op;
use rectify_tensor::kernels::simd::kernel;

use super::model::{Experts, Parameters};
use super::selection::{mix, mix_backward, softmax};
use super::{ExpertsConfig, Selection};
use crate::math::{Real, sum_by};

/// What a block is computed from; slices belong to the block's rows.
pub(super) struct Input<'a, R> {
    pub(super) experts: &'a Experts,
    pub(super) params: &'a Parameters<'a, R>,
    pub(super) students: &'a [R],
    pub(super) teachers: &'a [R],
    pub(super) noise: &'a [R],
    pub(super) temperature: R,
    pub(super) weight: R,
}

/// The rows that run through each expert, with the inner values that the parameters' gradients need.
#[derive(Clone, Debug, Default)]
pub(super) struct Block<R> {
    /// Rows of expert m: `rows[starts[m]..starts[m + 1]]`, ascending. A (row, expert) pair with weight 0 is left out.
    pub(super) rows: Vec<u32>,
    pub(super) starts: Vec<usize>,
    /// Hidden vectors of the pairs after ReLU, times the mixture weight (pairs, hidden).
    pub(super) hidden: Vec<R>,
    /// Gradients of the hidden units before ReLU (pairs, hidden).
    pub(super) d_hidden: Vec<R>,
    /// Mixture weights (rows, experts).
    pub(super) z: Vec<R>,
    /// Gradients of the mixture's output (rows, teacher).
    pub(super) d_output: Vec<R>,
    /// Gradients of the selection network's outputs (rows, experts).
    pub(super) d_selection: Vec<R>,
    alpha: Vec<R>,
    gathered: Vec<R>,
    product: Vec<R>,
}

impl<R: Real> Block<R> {
    /// The part of the pairs that belongs to one expert.
    pub(super) fn pairs(&self, expert: usize) -> std::ops::Range<usize> {
        self.starts[expert]..self.starts[expert + 1]
    }
}

/// Rows of a matrix (n, width): all of them as they lie, or the chosen ones gathered.
#[inline(always)]
pub(super) fn select<'a, R: Real>(matrix: &'a [R], width: usize, chosen: &[u32], gathered: &'a mut Vec<R>) -> &'a [R] {
    if chosen.len() * width == matrix.len() {
        return matrix;
    }
    gathered.clear();
    gathered.reserve(chosen.len() * width);
    for row in chosen {
        let start = *row as usize * width;
        gathered.extend_from_slice(&matrix[start..start + width]);
    }
    gathered
}

/// `out[chosen rows] += a · op(b)`; a (chosen, k), out (n, width).
#[inline(always)]
fn add_product<R: Real>(
    (width, k): (usize, usize),
    a: &[R],
    (b, op): (&[R], Op),
    chosen: &[u32],
    product: &mut Vec<R>,
    out: &mut [R],
) {
    if chosen.len() * width == out.len() {
        return R::gemm((chosen.len(), width, k), R::ONE, a, Op::Plain, b, op, R::ONE, out);
    }
    product.resize(chosen.len() * width, R::ZERO);
    R::gemm((chosen.len(), width, k), R::ONE, a, Op::Plain, b, op, R::ZERO, product);
    for (row, product) in chosen.iter().zip(product.chunks_exact(width)) {
        let start = *row as usize * width;
        for (o, p) in out[start..start + width].iter_mut().zip(product) {
            *o += *p;
        }
    }
}

/// Loss of the block's rows; fills the block and adds to the gradients of its students.
#[inline(always)]
pub(super) fn run_body<R: Real, const FMA: bool>(
    input: &Input<'_, R>,
    block: &mut Block<R>,
    d_students: &mut [R],
) -> f64 {
    let Input { experts, params, students, teachers, noise, temperature, weight } = *input;
    let (ds, dt, dh) = (experts.student_dim(), experts.teacher_dim(), experts.hidden_dim());
    let ExpertsConfig { n_experts: m, selection } = *experts.config();
    let n = teachers.len() / dt;
    let Block { rows, starts, hidden, d_hidden, z, d_output, d_selection, alpha, gathered, product } = block;

    // Mixture weights.
    alpha.clear();
    z.clear();
    z.resize(n * m, R::ZERO);
    if selection != Selection::Average {
        alpha.resize(n * m, R::ZERO);
        for row in alpha.chunks_exact_mut(m) {
            row.copy_from_slice(params.selection_bias);
        }
        R::gemm((n, m, dt), R::ONE, teachers, Op::Plain, params.selection_weight, Op::Plain, R::ONE, alpha);
    }
    for (row, z) in z.chunks_exact_mut(m).enumerate() {
        let alpha = if alpha.is_empty() { &mut [][..] } else { &mut alpha[row * m..(row + 1) * m] };
        softmax::<R, FMA>(alpha);
        let noise = if noise.is_empty() { noise } else { &noise[row * m..(row + 1) * m] };
        mix::<R, FMA>(selection, alpha, noise, temperature, z);
    }
    rows.clear();
    starts.clear();
    starts.push(0);
    for expert in 0..m {
        let weights = z[expert..].iter().step_by(m).enumerate();
        rows.extend(weights.filter(|(_, z)| **z != R::ZERO).map(|(row, _)| row as u32));
        starts.push(rows.len());
    }

    // Forward: Σ_m z_m (relu(x W₁ + b₁) W₂ + b₂), expert by expert, with z inside the last product.
    // Products fill these whole: what they held does not matter.
    hidden.resize(rows.len() * dh, R::ZERO);
    d_output.resize(n * dt, R::ZERO);
    R::gemm((n, dt, m), R::ONE, z, Op::Plain, params.output_bias, Op::Plain, R::ZERO, d_output);
    for (expert, pairs) in starts.windows(2).enumerate() {
        let chosen = &rows[pairs[0]..pairs[1]];
        if chosen.is_empty() {
            continue;
        }
        let part = params.expert(experts, expert);
        let hidden = &mut hidden[pairs[0] * dh..pairs[1] * dh];
        let x = select(students, ds, chosen, gathered);
        R::gemm((chosen.len(), dh, ds), R::ONE, x, Op::Plain, part.hidden_weight, Op::Plain, R::ZERO, hidden);
        for (row, hidden) in chosen.iter().zip(hidden.chunks_exact_mut(dh)) {
            let z = z[*row as usize * m + expert];
            for (h, b) in hidden.iter_mut().zip(part.hidden_bias) {
                let pre = *h + *b;
                // Not the maximum with 0, which would hide a NaN.
                *h = if pre < R::ZERO { R::ZERO } else { z * pre };
            }
        }
        add_product((dt, dh), hidden, (part.output_weight, Op::Plain), chosen, product, d_output);
    }

    // Residuals, and their gradient in place.
    let mut total = 0.0;
    for (output, target) in d_output.chunks_exact_mut(dt).zip(teachers.chunks_exact(dt)) {
        for (o, t) in output.iter_mut().zip(target) {
            *o = *o - *t;
        }
        total += sum_by(output, |r| r * r).wide();
        for o in output {
            *o *= weight + weight;
        }
    }

    // Backward. q = z · ∂l/∂z = hidden · ∂l/∂hidden + z (b₂ · ∂l/∂output).
    d_selection.clear();
    d_selection.resize(n * m, R::ZERO);
    if selection != Selection::Average {
        R::gemm((n, m, dt), R::ONE, d_output, Op::Plain, params.output_bias, Op::Transposed, R::ZERO, d_selection);
        for (q, z) in d_selection.iter_mut().zip(&*z) {
            *q *= *z;
        }
    }
    d_hidden.resize(rows.len() * dh, R::ZERO);
    for (expert, pairs) in starts.windows(2).enumerate() {
        let chosen = &rows[pairs[0]..pairs[1]];
        if chosen.is_empty() {
            continue;
        }
        let part = params.expert(experts, expert);
        let range = pairs[0] * dh..pairs[1] * dh;
        let (hidden, d_hidden) = (&hidden[range.clone()], &mut d_hidden[range]);
        let upstream = select(d_output, dt, chosen, gathered);
        R::gemm(
            (chosen.len(), dh, dt),
            R::ONE,
            upstream,
            Op::Plain,
            part.output_weight,
            Op::Transposed,
            R::ZERO,
            d_hidden,
        );
        for ((row, hidden), d) in chosen.iter().zip(hidden.chunks_exact(dh)).zip(d_hidden.chunks_exact_mut(dh)) {
            let at = *row as usize * m + expert;
            d_selection[at] += dot(hidden, d);
            let z = z[at];
            for (d, h) in d.iter_mut().zip(hidden) {
                *d = if *h > R::ZERO { z * *d } else { R::ZERO };
            }
        }
        add_product((ds, dh), d_hidden, (part.hidden_weight, Op::Transposed), chosen, product, d_students);
    }
    if selection != Selection::Average {
        for ((q, z), alpha) in d_selection.chunks_exact_mut(m).zip(z.chunks_exact(m)).zip(alpha.chunks_exact(m)) {
            mix_backward(selection, alpha, z, temperature, q);
        }
    }
    total
}

/// `Σ aᵢ bᵢ`, in 16 lanes.
#[inline(always)]
fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    let (a, a_tail) = a.as_chunks::<16>();
    let (b, b_tail) = b.as_chunks::<16>();
    let mut lanes = [R::ZERO; 16];
    for (a, b) in a.iter().zip(b) {
        for l in 0..16 {
            lanes[l] += a[l] * b[l];
        }
    }
    let mut sum = sum_by(&lanes, |x| x);
    for (a, b) in a_tail.iter().zip(b_tail) {
        sum += *a * *b;
    }
    sum
}

#[inline(always)]
fn run_f32<const FMA: bool>(input: &Input<'_, f32>, block: &mut Block<f32>, d_students: &mut [f32]) -> f64 {
    run_body::<f32, FMA>(input, block, d_students)
}

kernel! {
    /// [`run_body`] in single precision.
    pub(super) fn run / run_at(input: &Input<'_, f32>, block: &mut Block<f32>, d_students: &mut [f32]) -> f64 = run_f32
}

/// [`run`] at one level, for tests that compare levels.
#[cfg(test)]
pub(super) fn run_level(
    level: rectify_tensor::kernels::Level,
    input: &Input<'_, f32>,
    block: &mut Block<f32>,
    d_students: &mut [f32],
) -> f64 {
    run_at(level, input, block, d_students)
}
