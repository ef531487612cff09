//! Optimiser steps on rows and on whole matrices, and the replay of steps that a row missed.
//!
//! One function per rule ([`adam_lanes`], …) is the arithmetic of every path, so that a row that was replayed has the bits
//! of one that a dense pass visited each step.

use super::vector::AHEAD;
use super::{kernel, mul_add, prefetch};

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

/// Numbers handled together: one AVX-512 register, two of AVX2.
const LANES: usize = 16;
type Lanes = [f32; LANES];

#[inline(always)]
fn adam_lanes<const FMA: bool>(
    w: &mut Lanes,
    m: &mut Lanes,
    v: &mut Lanes,
    g: &Lanes,
    c: &AdamConstants,
    s: AdamScale,
) {
    for l in 0..LANES {
        let g = mul_add::<FMA>(c.weight_decay, w[l], g[l]);
        m[l] = mul_add::<FMA>(c.one_minus_beta1, g, c.beta1 * m[l]);
        v[l] = mul_add::<FMA>(c.one_minus_beta2 * g, g, c.beta2 * v[l]);
        let root = mul_add::<FMA>(v[l].sqrt(), s.inverse_root, c.epsilon);
        w[l] = mul_add::<FMA>(-s.step_size, m[l] / root, w[l]);
    }
}

#[inline(always)]
fn adagrad_lanes<const FMA: bool>(w: &mut Lanes, sum: &mut Lanes, g: &Lanes, s: &AdagradStep) {
    for l in 0..LANES {
        let g = mul_add::<FMA>(s.weight_decay, w[l], g[l]);
        sum[l] = mul_add::<FMA>(g, g, sum[l]);
        w[l] = mul_add::<FMA>(-s.learning_rate, g / (sum[l].sqrt() + s.epsilon), w[l]);
    }
}

#[inline(always)]
fn sgd_lanes<const FMA: bool>(w: &mut Lanes, g: &Lanes, learning_rate: f32, weight_decay: f32) {
    for l in 0..LANES {
        let g = mul_add::<FMA>(weight_decay, w[l], g[l]);
        w[l] = mul_add::<FMA>(-learning_rate, g, w[l]);
    }
}

/// Cuts N mutable slices and the gradient into registers, the last one padded with zeros.
#[inline(always)]
fn for_lanes<const N: usize>(
    mut state: [&mut [f32]; N],
    grads: Option<&[f32]>,
    mut step: impl FnMut(&mut [Lanes; N], &Lanes),
) {
    let len = state[0].len();
    let mut at = 0;
    while at < len {
        let width = LANES.min(len - at);
        let mut lanes = [[0.0; LANES]; N];
        let mut g = [0.0; LANES];
        if width == LANES {
            for (lanes, state) in lanes.iter_mut().zip(&state) {
                lanes.copy_from_slice(&state[at..at + LANES]);
            }
            if let Some(grads) = grads {
                g.copy_from_slice(&grads[at..at + LANES]);
            }
            step(&mut lanes, &g);
            for (lanes, state) in lanes.iter().zip(&mut state) {
                state[at..at + LANES].copy_from_slice(lanes);
            }
        } else {
            for (lanes, state) in lanes.iter_mut().zip(&state) {
                lanes[..width].copy_from_slice(&state[at..at + width]);
            }
            if let Some(grads) = grads {
                g[..width].copy_from_slice(&grads[at..at + width]);
            }
            step(&mut lanes, &g);
            for (lanes, state) in lanes.iter().zip(&mut state) {
                state[at..at + width].copy_from_slice(&lanes[..width]);
            }
        }
        at += width;
    }
}

#[inline(always)]
fn adam_dense_body<const FMA: bool>(
    w: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    grads: &[f32],
    c: &AdamConstants,
    s: AdamScale,
) {
    for_lanes([w, m, v], Some(grads), |[w, m, v], g| adam_lanes::<FMA>(w, m, v, g, c, s));
}

#[inline(always)]
fn adagrad_dense_body<const FMA: bool>(w: &mut [f32], sum: &mut [f32], grads: &[f32], s: &AdagradStep) {
    for_lanes([w, sum], Some(grads), |[w, sum], g| adagrad_lanes::<FMA>(w, sum, g, s));
}

#[inline(always)]
fn sgd_dense_body<const FMA: bool>(w: &mut [f32], grads: &[f32], learning_rate: f32, weight_decay: f32) {
    for_lanes([w], Some(grads), |[w], g| sgd_lanes::<FMA>(w, g, learning_rate, weight_decay));
}

/// Zero-gradient steps after which a stretch of lanes is asked whether it still moves.
const STRIDE: usize = 16;

/// Replays zero-gradient Adam steps `missed` on one stretch of lanes, with the bits that taking them one by one gives.
///
/// Without weight decay the step `step_size · m / (√v̂ + ε)` is at most `step_size · |m| / ε`, and neither factor grows
/// while no gradient comes (the learning rate is constant in a history). Once that bound is under a quarter of the spacing
/// of w's numbers, w is done moving, and only m and v still fade.
#[inline(always)]
fn adam_replay<const FMA: bool>(w: &mut Lanes, m: &mut Lanes, v: &mut Lanes, c: &AdamConstants, missed: &[AdamScale]) {
    const ZERO: Lanes = [0.0; LANES];
    for (i, stride) in missed.chunks(STRIDE).enumerate() {
        if c.weight_decay == 0.0 && i > 0 {
            let bound = stride[0].step_size / c.epsilon;
            let mut still = true;
            for l in 0..LANES {
                // 2⁻²⁶ |w| is a quarter of the spacing at most.
                still &= m[l] == 0.0 || bound * m[l].abs() < w[l].abs() * 1.490_116_1e-8;
            }
            if still {
                for _ in i * STRIDE..missed.len() {
                    for l in 0..LANES {
                        m[l] = mul_add::<FMA>(c.one_minus_beta1, 0.0, c.beta1 * m[l]);
                        v[l] = mul_add::<FMA>(0.0, 0.0, c.beta2 * v[l]);
                    }
                }
                return;
            }
        }
        for s in stride {
            adam_lanes::<FMA>(w, m, v, &ZERO, c, *s);
        }
    }
}

/// One row of the matrices.
macro_rules! row {
    ($matrix:expr, $row:expr, $dim:expr) => {{
        let start = $row as usize * $dim;
        &mut $matrix[start..start + $dim]
    }};
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
fn adam_rows_body<const FMA: bool>(
    w: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    dim: usize,
    rows: &mut dyn Iterator<Item = u32>,
    ahead: &[u32],
    missed: &mut dyn FnMut(u32) -> usize,
    history: &[AdamScale],
    grads: Option<(&[f32], AdamScale)>,
    c: &AdamConstants,
) {
    for (i, row) in rows.enumerate() {
        if let Some(next) = ahead.get(i + AHEAD) {
            let start = *next as usize * dim;
            prefetch(w, start, dim);
            prefetch(m, start, dim);
            prefetch(v, start, dim);
        }
        let behind = missed(row);
        let state = [row!(w, row, dim), row!(m, row, dim), row!(v, row, dim)];
        let missed = &history[history.len() - behind..];
        match grads {
            Some((grads, now)) => for_lanes(state, Some(&grads[i * dim..(i + 1) * dim]), |[w, m, v], g| {
                adam_replay::<FMA>(w, m, v, c, missed);
                adam_lanes::<FMA>(w, m, v, g, c, now);
            }),
            None if behind == 0 => {}
            None => for_lanes(state, None, |[w, m, v], _| adam_replay::<FMA>(w, m, v, c, missed)),
        }
    }
}

#[inline(always)]
fn adagrad_rows_body<const FMA: bool>(
    w: &mut [f32],
    sum: &mut [f32],
    dim: usize,
    rows: &mut dyn Iterator<Item = u32>,
    missed: &mut dyn FnMut(u32) -> usize,
    grads: Option<&[f32]>,
    s: &AdagradStep,
) {
    for (i, row) in rows.enumerate() {
        let behind = missed(row);
        let grads = grads.map(|g| &g[i * dim..(i + 1) * dim]);
        for_lanes([row!(w, row, dim), row!(sum, row, dim)], grads, |[w, sum], g| {
            for _ in 0..behind {
                adagrad_lanes::<FMA>(w, sum, &[0.0; LANES], s);
            }
            if grads.is_some() {
                adagrad_lanes::<FMA>(w, sum, g, s);
            }
        });
    }
}

#[inline(always)]
fn sgd_rows_body<const FMA: bool>(
    w: &mut [f32],
    dim: usize,
    rows: &mut dyn Iterator<Item = u32>,
    missed: &mut dyn FnMut(u32) -> usize,
    grads: Option<&[f32]>,
    learning_rate: f32,
    weight_decay: f32,
) {
    for (i, row) in rows.enumerate() {
        let behind = missed(row);
        let grads = grads.map(|g| &g[i * dim..(i + 1) * dim]);
        for_lanes([row!(w, row, dim)], grads, |[w], g| {
            for _ in 0..behind {
                sgd_lanes::<FMA>(w, &[0.0; LANES], learning_rate, weight_decay);
            }
            if grads.is_some() {
                sgd_lanes::<FMA>(w, g, learning_rate, weight_decay);
            }
        });
    }
}

kernel! {
    /// One Adam step of a whole matrix.
    pub(crate) fn adam_dense / adam_dense_at(
        w: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
        grads: &[f32],
        c: &AdamConstants,
        s: AdamScale,
    ) = adam_dense_body
}
kernel! {
    /// One Adagrad step of a whole matrix.
    pub(crate) fn adagrad_dense / adagrad_dense_at(w: &mut [f32], sum: &mut [f32], grads: &[f32], s: &AdagradStep)
        = adagrad_dense_body
}
kernel! {
    /// One step of gradient descent of a whole matrix.
    pub(crate) fn sgd_dense / sgd_dense_at(w: &mut [f32], grads: &[f32], learning_rate: f32, weight_decay: f32)
        = sgd_dense_body
}
kernel! {
    /// For each row: replays the last `missed(row)` steps of `history`, then takes the step of its gradient, if any.
    ///
    /// `ahead` are the rows as far as they are known in advance, to be prefetched.
    pub(crate) fn adam_rows / adam_rows_at(
        w: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
        dim: usize,
        rows: &mut dyn Iterator<Item = u32>,
        ahead: &[u32],
        missed: &mut dyn FnMut(u32) -> usize,
        history: &[AdamScale],
        grads: Option<(&[f32], AdamScale)>,
        c: &AdamConstants,
    ) = adam_rows_body
}
kernel! {
    /// As [`adam_rows`], for Adagrad: its missed steps are all alike.
    pub(crate) fn adagrad_rows / adagrad_rows_at(
        w: &mut [f32],
        sum: &mut [f32],
        dim: usize,
        rows: &mut dyn Iterator<Item = u32>,
        missed: &mut dyn FnMut(u32) -> usize,
        grads: Option<&[f32]>,
        s: &AdagradStep,
    ) = adagrad_rows_body
}
kernel! {
    /// As [`adam_rows`], for gradient descent.
    pub(crate) fn sgd_rows / sgd_rows_at(
        w: &mut [f32],
        dim: usize,
        rows: &mut dyn Iterator<Item = u32>,
        missed: &mut dyn FnMut(u32) -> usize,
        grads: Option<&[f32]>,
        learning_rate: f32,
        weight_decay: f32,
    ) = sgd_rows_body
}
