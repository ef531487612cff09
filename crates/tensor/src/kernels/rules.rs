//! The rules of the optimisers on one number: the arithmetic of every path, so that a row whose steps were replayed has the bits of
//! one that a dense pass visited each step.

use super::mul_add;

/// Constants of Adam that do not change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdamConstants {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// `1 - β₁` and `1 - β₂`, rounded once from double precision as PyTorch does.
    pub(crate) one_minus_beta1: f32,
    pub(crate) one_minus_beta2: f32,
    pub(crate) epsilon: f32,
    pub(crate) weight_decay: f32,
}

/// What changes with Adam's step number t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdamScale {
    /// `lr / (1 - β₁ᵗ)`.
    pub(crate) step_size: f32,
    /// `1 / √(1 - β₂ᵗ)`.
    pub(crate) inverse_root: f32,
}

/// Constants of Adagrad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdagradStep {
    pub(crate) learning_rate: f32,
    pub(crate) epsilon: f32,
    pub(crate) weight_decay: f32,
}

/// `DECAY` says whether there is weight decay: without it m and v do not wait for w, so that the divisions of successive
/// replayed steps overlap (twice as fast).
#[inline(always)]
pub(super) fn adam_one<const FMA: bool, const DECAY: bool>(
    w: &mut f32,
    m: &mut f32,
    v: &mut f32,
    g: f32,
    c: &AdamConstants,
    s: AdamScale,
) {
    let g = if DECAY { mul_add::<FMA>(c.weight_decay, *w, g) } else { g };
    *m = mul_add::<FMA>(c.one_minus_beta1, g, c.beta1 * *m);
    *v = mul_add::<FMA>(c.one_minus_beta2 * g, g, c.beta2 * *v);
    let root = mul_add::<FMA>(v.sqrt(), s.inverse_root, c.epsilon);
    *w = mul_add::<FMA>(-s.step_size, *m / root, *w);
}

#[inline(always)]
pub(super) fn adagrad_one<const FMA: bool>(w: &mut f32, sum: &mut f32, g: f32, s: &AdagradStep) {
    let g = mul_add::<FMA>(s.weight_decay, *w, g);
    *sum = mul_add::<FMA>(g, g, *sum);
    *w = mul_add::<FMA>(-s.learning_rate, g / (sum.sqrt() + s.epsilon), *w);
}

#[inline(always)]
pub(super) fn sgd_one<const FMA: bool>(w: &mut f32, g: f32, learning_rate: f32, weight_decay: f32) {
    let g = mul_add::<FMA>(weight_decay, *w, g);
    *w = mul_add::<FMA>(-learning_rate, g, *w);
}
