//! The passes over some entities: forward by rows, backward by experts, and what the experts say gathered by rows.

use rectify_tensor::kernels::simd::kernel;
use rectify_tensor::kernels::{Level, Op};

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

/// Some entities: the rows that run through each expert, with the inner values that gradients need.
#[derive(Clone, Debug, Default)]
pub(super) struct Block<R> {
    /// Rows of expert m: `rows[starts[m]..starts[m + 1]]`, ascending. A (row, expert) pair with weight 0 is left out.
    rows: Vec<u32>,
    starts: Vec<usize>,
    /// Where the pairs of each expert begin in [`Pairs`].
    pub(super) places: Vec<usize>,
    /// Hidden vectors of the pairs after ReLU, times the mixture weight (pairs, hidden).
    hidden: Vec<R>,
    /// Mixture weights (rows, experts).
    pub(super) z: Vec<R>,
    /// Gradients of the mixture's output (rows, teacher).
    pub(super) d_output: Vec<R>,
    /// Gradients of the selection network's outputs (rows, experts).
    pub(super) d_selection: Vec<R>,
    alpha: Vec<R>,
    scratch: Scratch<R>,
}

/// Memory that a pass fills anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch<R> {
    chosen: Vec<R>,
    chosen_too: Vec<R>,
    product: Vec<R>,
}

/// What the experts tell the rows, for all (expert, row) pairs, those of an expert together.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs<R> {
    /// Gradients of the student's vectors (pairs, student).
    pub(super) d_students: Vec<R>,
    /// `hidden · ∂l/∂hidden` (pairs).
    pub(super) slopes: Vec<R>,
}

/// Where the gradients of one expert go, and what it tells its rows.
pub(super) struct Share<'a, R> {
    pub(super) hidden_weight: &'a mut [R],
    pub(super) hidden_bias: &'a mut [R],
    pub(super) output_weight: &'a mut [R],
    pub(super) d_students: &'a mut [R],
    pub(super) slopes: &'a mut [R],
}

impl<R: Real> Block<R> {
    /// The part of the pairs that belongs to one expert.
    pub(super) fn pairs(&self, expert: usize) -> std::ops::Range<usize> {
        self.starts[expert]..self.starts[expert + 1]
    }
}

/// Rows of a matrix (n, width): all of them as they lie, or the chosen ones gathered.
#[inline(always)]
fn select<'a, R: Real>(matrix: &'a [R], width: usize, chosen: &[u32], gathered: &'a mut Vec<R>) -> &'a [R] {
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

/// Loss of the block's rows, and the gradient of their outputs.
#[inline(always)]
pub(super) fn forward_body<R: Real, const FMA: bool>(input: &Input<'_, R>, block: &mut Block<R>) -> f64 {
    let Input { experts, params, students, teachers, noise, temperature, weight } = *input;
    let (ds, dt, dh) = (experts.student_dim(), experts.teacher_dim(), experts.hidden_dim());
    let ExpertsConfig { n_experts: m, selection } = *experts.config();
    let n = teachers.len() / dt;
    let Block { rows, starts, hidden, z, d_output, alpha, scratch: Scratch { chosen: gathered, product, .. }, .. } =
        block;

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

    total
}

/// Gradients of one expert from the block's rows, while their inner values are near; `at` is where its pairs lie in the share.
#[inline(always)]
pub(super) fn backward_body<R: Real, const FMA: bool>(
    input: &Input<'_, R>,
    block: &Block<R>,
    (expert, at): (usize, usize),
    scratch: &mut Scratch<R>,
    share: &mut Share<'_, R>,
) {
    let Input { experts, params, students, .. } = *input;
    let (ds, dt, dh, m) =
        (experts.student_dim(), experts.teacher_dim(), experts.hidden_dim(), experts.config().n_experts);
    let pairs = block.pairs(expert);
    let (rows, k) = (&block.rows[pairs.clone()], pairs.len());
    if k == 0 {
        return;
    }
    let hidden = &block.hidden[pairs.start * dh..pairs.end * dh];
    let part = params.expert(experts, expert);
    let (one, zero) = (R::ONE, R::ZERO);
    let upstream = select(&block.d_output, dt, rows, &mut scratch.chosen);
    let x = select(students, ds, rows, &mut scratch.chosen_too);
    let d_hidden = &mut scratch.product;
    d_hidden.resize(k * dh, zero);
    R::gemm((k, dh, dt), one, upstream, Op::Plain, part.output_weight, Op::Transposed, zero, d_hidden);
    let slopes = &mut share.slopes[at..at + k];
    let inner = hidden.chunks_exact(dh).zip(d_hidden.chunks_exact_mut(dh));
    for ((row, slope), (hidden, d)) in rows.iter().zip(slopes).zip(inner) {
        *slope = dot(hidden, d);
        let z = block.z[*row as usize * m + expert];
        for (d, h) in d.iter_mut().zip(hidden) {
            *d = if *h > zero { z * *d } else { zero };
        }
    }
    R::gemm((dh, dt, k), one, hidden, Op::Transposed, upstream, Op::Plain, one, share.output_weight);
    R::gemm((ds, dh, k), one, x, Op::Transposed, d_hidden, Op::Plain, one, share.hidden_weight);
    add_column_sums(d_hidden, share.hidden_bias);
    let d_students = &mut share.d_students[at * ds..(at + k) * ds];
    R::gemm((k, ds, dh), one, d_hidden, Op::Plain, part.hidden_weight, Op::Transposed, zero, d_students);
}

/// What the experts say of the block's rows, summed: adds to the gradients of its students, fills those of the selection network.
#[inline(always)]
pub(super) fn gather_body<R: Real, const FMA: bool>(
    input: &Input<'_, R>,
    block: &mut Block<R>,
    pairs: &Pairs<R>,
    d_students: &mut [R],
) {
    let Input { experts, params, temperature, .. } = *input;
    let (ds, dt) = (experts.student_dim(), experts.teacher_dim());
    let ExpertsConfig { n_experts: m, selection } = *experts.config();
    let Block { rows, starts, places, z, d_output, d_selection, alpha, .. } = block;
    let selects = selection != Selection::Average;
    // q = z · ∂l/∂z = hidden · ∂l/∂hidden + z (b₂ · ∂l/∂output).
    d_selection.resize(z.len(), R::ZERO);
    if selects {
        let n = z.len() / m;
        R::gemm((n, m, dt), R::ONE, d_output, Op::Plain, params.output_bias, Op::Transposed, R::ZERO, d_selection);
        for (q, z) in d_selection.iter_mut().zip(&*z) {
            *q *= *z;
        }
    }
    for (expert, (of, place)) in starts.windows(2).zip(&*places).enumerate() {
        for (row, pair) in rows[of[0]..of[1]].iter().zip(*place..) {
            let row = *row as usize;
            let told = &pairs.d_students[pair * ds..(pair + 1) * ds];
            for (d, t) in d_students[row * ds..(row + 1) * ds].iter_mut().zip(told) {
                *d += *t;
            }
            if selects {
                d_selection[row * m + expert] += pairs.slopes[pair];
            }
        }
    }
    if selects {
        for ((q, z), alpha) in d_selection.chunks_exact_mut(m).zip(z.chunks_exact(m)).zip(alpha.chunks_exact(m)) {
            mix_backward(selection, alpha, z, temperature, q);
        }
    }
}

/// Adds the rows of a matrix up.
#[inline(always)]
pub(super) fn add_column_sums<R: Real>(matrix: &[R], sums: &mut [R]) {
    for row in matrix.chunks_exact(sums.len()) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += *x;
        }
    }
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

/// The passes in one precision, in their order.
pub(super) trait Passes<R>: Sync {
    fn forward(&self, input: &Input<'_, R>, block: &mut Block<R>) -> f64;
    fn backward(
        &self,
        input: &Input<'_, R>,
        block: &Block<R>,
        expert: (usize, usize),
        scratch: &mut Scratch<R>,
        share: &mut Share<'_, R>,
    );
    fn gather(&self, input: &Input<'_, R>, block: &mut Block<R>, pairs: &Pairs<R>, d_students: &mut [R]);
}

/// Single precision.
impl Passes<f32> for Level {
    fn forward(&self, input: &Input<'_, f32>, block: &mut Block<f32>) -> f64 {
        forward_at(*self, input, block)
    }

    fn backward(
        &self,
        input: &Input<'_, f32>,
        block: &Block<f32>,
        expert: (usize, usize),
        scratch: &mut Scratch<f32>,
        share: &mut Share<'_, f32>,
    ) {
        backward_at(*self, input, block, expert, scratch, share);
    }

    fn gather(&self, input: &Input<'_, f32>, block: &mut Block<f32>, pairs: &Pairs<f32>, d_students: &mut [f32]) {
        gather_at(*self, input, block, pairs, d_students);
    }
}

#[inline(always)]
fn forward_f32<const FMA: bool>(input: &Input<'_, f32>, block: &mut Block<f32>) -> f64 {
    forward_body::<f32, FMA>(input, block)
}

#[inline(always)]
fn backward_f32<const FMA: bool>(
    input: &Input<'_, f32>,
    block: &Block<f32>,
    expert: (usize, usize),
    scratch: &mut Scratch<f32>,
    share: &mut Share<'_, f32>,
) {
    backward_body::<f32, FMA>(input, block, expert, scratch, share);
}

#[inline(always)]
fn gather_f32<const FMA: bool>(
    input: &Input<'_, f32>,
    block: &mut Block<f32>,
    pairs: &Pairs<f32>,
    d_students: &mut [f32],
) {
    gather_body::<f32, FMA>(input, block, pairs, d_students);
}

kernel! {
    /// [`forward_body`] in single precision.
    fn forward / forward_at(input: &Input<'_, f32>, block: &mut Block<f32>) -> f64 = forward_f32
}

kernel! {
    /// [`backward_body`] in single precision.
    fn backward / backward_at(input: &Input<'_, f32>, block: &Block<f32>, expert: (usize, usize), scratch: &mut Scratch<f32>, share: &mut Share<'_, f32>) = backward_f32
}

kernel! {
    /// [`gather_body`] in single precision.
    fn gather / gather_at(input: &Input<'_, f32>, block: &mut Block<f32>, pairs: &Pairs<f32>, d_students: &mut [f32]) = gather_f32
}
