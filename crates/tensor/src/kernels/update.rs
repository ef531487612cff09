//! Optimiser steps on rows and on whole matrices, and the replay of steps that a row missed.
//!
//! One function per rule (`adam_one`, …) is the arithmetic of every path, so that a row that was replayed has the bits
//! of one that a dense pass visited each step.

use super::narrow::{NARROW, adam_replay_narrow};
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

/// Numbers handled together while steps are replayed: one AVX-512 register, two of AVX2.
pub(super) const LANES: usize = 16;
type Lanes = [f32; LANES];

/// `DECAY` says whether there is weight decay: without it m and v do not wait for w, so that the divisions of successive
/// replayed steps overlap (twice as fast).
#[inline(always)]
fn adam_one<const FMA: bool, const DECAY: bool>(
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
fn adagrad_one<const FMA: bool>(w: &mut f32, sum: &mut f32, g: f32, s: &AdagradStep) {
    let g = mul_add::<FMA>(s.weight_decay, *w, g);
    *sum = mul_add::<FMA>(g, g, *sum);
    *w = mul_add::<FMA>(-s.learning_rate, g / (sum.sqrt() + s.epsilon), *w);
}

#[inline(always)]
fn sgd_one<const FMA: bool>(w: &mut f32, g: f32, learning_rate: f32, weight_decay: f32) {
    let g = mul_add::<FMA>(weight_decay, *w, g);
    *w = mul_add::<FMA>(-learning_rate, g, *w);
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
    // Copies: the compiler must see that no store changes a constant.
    let c = *c;
    let all = w.iter_mut().zip(m).zip(v).zip(grads);
    if c.weight_decay == 0.0 {
        for (((w, m), v), g) in all {
            adam_one::<FMA, false>(w, m, v, *g, &c, s);
        }
    } else {
        for (((w, m), v), g) in all {
            adam_one::<FMA, true>(w, m, v, *g, &c, s);
        }
    }
}

#[inline(always)]
fn adagrad_dense_body<const FMA: bool>(w: &mut [f32], sum: &mut [f32], grads: &[f32], s: &AdagradStep) {
    let s = *s;
    for ((w, sum), g) in w.iter_mut().zip(sum).zip(grads) {
        adagrad_one::<FMA>(w, sum, *g, &s);
    }
}

#[inline(always)]
fn sgd_dense_body<const FMA: bool>(w: &mut [f32], grads: &[f32], learning_rate: f32, weight_decay: f32) {
    for (w, g) in w.iter_mut().zip(grads) {
        sgd_one::<FMA>(w, *g, learning_rate, weight_decay);
    }
}

/// Zero-gradient steps after which a stretch of lanes is asked whether it still moves.
const STRIDE: usize = 16;

/// Replays zero-gradient Adam steps `missed` on one stretch of lanes, with the bits that taking them one by one gives.
///
/// Without weight decay the step `step_size · m / (√v̂ + ε)` is at most `step_size · |m| / ε`, and neither factor grows
/// while no gradient comes (the learning rate is constant in a history). Once that bound is under a quarter of the spacing
/// of w's numbers, w is done moving, and only m and v still fade.
#[inline(always)]
fn adam_replay_lanes<const FMA: bool, const DECAY: bool>(
    w: &mut Lanes,
    m: &mut Lanes,
    v: &mut Lanes,
    c: &AdamConstants,
    missed: &[AdamScale],
) {
    for (i, stride) in missed.chunks(STRIDE).enumerate() {
        if !DECAY && i > 0 {
            let bound = stride[0].step_size / c.epsilon;
            let mut still = true;
            for l in 0..LANES {
                // 2⁻²⁶ |w| is a quarter of the spacing at most.
                still &= (m[l] == 0.0) | (bound * m[l].abs() < w[l].abs() * 1.490_116_1e-8);
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
            for l in 0..LANES {
                adam_one::<FMA, DECAY>(&mut w[l], &mut m[l], &mut v[l], 0.0, c, *s);
            }
        }
    }
}

/// Stretches of lanes that are replayed side by side with weight decay: each step of one waits for the step before, so that
/// only other stretches fill the time (three times as fast as one after the other).
const ABREAST: usize = 4;

/// Replays zero-gradient Adam steps with weight decay on N stretches of lanes.
#[inline(always)]
pub(super) fn adam_replay_abreast<const FMA: bool, const N: usize>(
    w: &mut [Lanes],
    m: &mut [Lanes],
    v: &mut [Lanes],
    c: &AdamConstants,
    missed: &[AdamScale],
) {
    // Copies stay in registers from step to step.
    let (mut lanes_w, mut lanes_m, mut lanes_v) = ([[0.0; LANES]; N], [[0.0; LANES]; N], [[0.0; LANES]; N]);
    lanes_w.copy_from_slice(&w[..N]);
    lanes_m.copy_from_slice(&m[..N]);
    lanes_v.copy_from_slice(&v[..N]);
    for s in missed {
        for k in 0..N {
            for l in 0..LANES {
                adam_one::<FMA, true>(&mut lanes_w[k][l], &mut lanes_m[k][l], &mut lanes_v[k][l], 0.0, c, *s);
            }
        }
    }
    w[..N].copy_from_slice(&lanes_w);
    m[..N].copy_from_slice(&lanes_m);
    v[..N].copy_from_slice(&lanes_v);
}

/// Replays the missed steps of whole stretches of lanes.
#[inline(always)]
fn adam_replay_chunks<const FMA: bool, const DECAY: bool>(
    w: &mut [Lanes],
    m: &mut [Lanes],
    v: &mut [Lanes],
    c: &AdamConstants,
    missed: &[AdamScale],
) {
    if !DECAY {
        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
            // Copies stay in registers from step to step.
            let (mut lanes_w, mut lanes_m, mut lanes_v) = (*w, *m, *v);
            adam_replay_lanes::<FMA, DECAY>(&mut lanes_w, &mut lanes_m, &mut lanes_v, c, missed);
            (*w, *m, *v) = (lanes_w, lanes_m, lanes_v);
        }
        return;
    }
    let (mut w, mut m, mut v) = (w.chunks_mut(ABREAST), m.chunks_mut(ABREAST), v.chunks_mut(ABREAST));
    while let (Some(w), Some(m), Some(v)) = (w.next(), m.next(), v.next()) {
        match w.len() {
            1 => adam_replay_abreast::<FMA, 1>(w, m, v, c, missed),
            2 => adam_replay_abreast::<FMA, 2>(w, m, v, c, missed),
            3 => adam_replay_abreast::<FMA, 3>(w, m, v, c, missed),
            _ => adam_replay_abreast::<FMA, ABREAST>(w, m, v, c, missed),
        }
    }
}

/// Replays the missed steps of one row.
#[inline(always)]
fn adam_replay<const FMA: bool, const DECAY: bool>(
    w: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    c: &AdamConstants,
    missed: &[AdamScale],
) {
    // The last, partly filled stretch goes with the whole ones before it: on the side, with zeros behind.
    let whole = w.len() / LANES / ABREAST * ABREAST;
    let ((w, w_tail), (m, m_tail), (v, v_tail)) =
        (w.split_at_mut(whole * LANES), m.split_at_mut(whole * LANES), v.split_at_mut(whole * LANES));
    let (w, m, v) = (w.as_chunks_mut().0, m.as_chunks_mut().0, v.as_chunks_mut().0);
    adam_replay_chunks::<FMA, DECAY>(w, m, v, c, missed);
    let width = w_tail.len();
    if width > 0 {
        let n = width.div_ceil(LANES);
        let mut side = [[[0.0; LANES]; ABREAST]; 3];
        for (side, tail) in side.iter_mut().zip([&*w_tail, m_tail, v_tail]) {
            side.as_flattened_mut()[..width].copy_from_slice(tail);
        }
        let [side_w, side_m, side_v] = &mut side;
        adam_replay_chunks::<FMA, DECAY>(&mut side_w[..n], &mut side_m[..n], &mut side_v[..n], c, missed);
        for (side, tail) in side.iter().zip([w_tail, m_tail, v_tail]) {
            tail.copy_from_slice(&side.as_flattened()[..width]);
        }
    }
}

/// One row of a matrix.
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
    if c.weight_decay != 0.0 && dim > 0 && 2 * dim <= NARROW * LANES {
        let rows: Vec<u32> = rows.collect();
        adam_replay_narrow::<FMA>(w, m, v, dim, &rows, missed, history, c);
        if let Some((grads, now)) = grads {
            for (row, grads) in rows.iter().zip(grads.chunks_exact(dim)) {
                adam_dense_body::<FMA>(row!(w, *row, dim), row!(m, *row, dim), row!(v, *row, dim), grads, c, now);
            }
        }
        return;
    }
    for (i, row) in rows.enumerate() {
        if let Some(next) = ahead.get(i + AHEAD) {
            let start = *next as usize * dim;
            prefetch(w, start, dim);
            prefetch(m, start, dim);
            prefetch(v, start, dim);
        }
        let behind = missed(row);
        let (w, m, v) = (row!(w, row, dim), row!(m, row, dim), row!(v, row, dim));
        if behind > 0 {
            let missed = &history[history.len() - behind..];
            if c.weight_decay == 0.0 {
                adam_replay::<FMA, false>(w, m, v, c, missed);
            } else {
                adam_replay::<FMA, true>(w, m, v, c, missed);
            }
        }
        if let Some((grads, now)) = grads {
            adam_dense_body::<FMA>(w, m, v, &grads[i * dim..(i + 1) * dim], c, now);
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
        let (w, sum) = (row!(w, row, dim), row!(sum, row, dim));
        for _ in 0..missed(row) {
            for (w, sum) in w.iter_mut().zip(sum.iter_mut()) {
                adagrad_one::<FMA>(w, sum, 0.0, s);
            }
        }
        if let Some(grads) = grads {
            adagrad_dense_body::<FMA>(w, sum, &grads[i * dim..(i + 1) * dim], s);
        }
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
        let w = row!(w, row, dim);
        for _ in 0..missed(row) {
            for w in w.iter_mut() {
                sgd_one::<FMA>(w, 0.0, learning_rate, weight_decay);
            }
        }
        if let Some(grads) = grads {
            sgd_dense_body::<FMA>(w, &grads[i * dim..(i + 1) * dim], learning_rate, weight_decay);
        }
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
