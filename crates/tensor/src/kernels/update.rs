//! Optimiser steps on whole matrices and on rows, which first take the steps they missed.

use super::narrow::{NARROW, adam_replay_narrow};
use super::replay::{LANES, adam_replay};
use super::rules::{AdagradStep, AdamConstants, AdamScale, adagrad_one, adam_one, sgd_one};
use super::vector::AHEAD;
use super::{kernel, prefetch};

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
