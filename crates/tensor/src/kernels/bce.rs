//! Logistic matrix factorisation, forward and backward in one pass.

use super::activation::{sigmoid_body, softplus_body};
use super::bpr::{BLOCK, row};
use super::vector::{AHEAD, dot_body};
use super::{kernel, mul_add, prefetch};

/// Samples (user, item, label), each vector by two numbers: the row it is read from, and the row its gradient is added to.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// Rows of the user matrix.
    pub users: &'a [u32],
    /// Rows of the item matrix.
    pub items: &'a [u32],
    /// 1 if the user chose the item, 0 if not; anything between is a probability.
    pub labels: &'a [f32],
    /// Rows of the user gradient.
    pub user_slots: &'a [u32],
    /// Rows of the item gradient.
    pub item_slots: &'a [u32],
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
fn bce_body<const FMA: bool>(
    users: &[f32],
    items: &[f32],
    dim: usize,
    samples: &Labelled<'_>,
    scale: f32,
    l2: f32,
    d_users: &mut [f32],
    d_items: &mut [f32],
) -> f64 {
    let n = samples.users.len();
    let lengths = [samples.items.len(), samples.labels.len(), samples.user_slots.len(), samples.item_slots.len()];
    assert_eq!(lengths, [n; 4], "each sample needs a user, an item, a label and two slots");
    let mut total = 0.0;
    let mut start = 0;
    while start < n {
        let end = (start + BLOCK).min(n);
        let mut slopes = [0.0f32; BLOCK];
        for s in start..end {
            if s + AHEAD < n {
                prefetch(users, samples.users[s + AHEAD] as usize * dim, dim);
                prefetch(items, samples.items[s + AHEAD] as usize * dim, dim);
            }
            let (u, i) = (row(users, dim, samples.users[s]), row(items, dim, samples.items[s]));
            slopes[s - start] = dot_body::<FMA>(u, i);
        }
        let mut loss = [0.0f32; BLOCK];
        for (s, (slope, loss)) in slopes.iter_mut().zip(&mut loss).enumerate().take(end - start) {
            let (score, label) = (*slope, samples.labels[start + s]);
            *loss = softplus_body::<FMA>(score) - label * score;
            *slope = scale * (sigmoid_body::<FMA>(score) - label);
        }
        total += loss[..end - start].iter().map(|l| f64::from(*l)).sum::<f64>();
        for s in start..end {
            let slope = slopes[s - start];
            let (u, i) = (row(users, dim, samples.users[s]), row(items, dim, samples.items[s]));
            let slot = samples.user_slots[s] as usize * dim;
            for ((d, u), i) in d_users[slot..slot + dim].iter_mut().zip(u).zip(i) {
                *d = mul_add::<FMA>(l2, *u, mul_add::<FMA>(slope, *i, *d));
            }
            let slot = samples.item_slots[s] as usize * dim;
            for ((d, u), i) in d_items[slot..slot + dim].iter_mut().zip(u).zip(i) {
                *d = mul_add::<FMA>(l2, *i, mul_add::<FMA>(slope, *u, *d));
            }
        }
        start = end;
    }
    total
}

kernel! {
    /// Cross-entropy of `σ(u·i)` against labels y (He et al., WWW 2017, Eq. 7): returns `Σ -y ln σ - (1 - y) ln(1 - σ)` in
    /// nats, and adds the gradients of `scale · Σ … + l2/2 · Σ (|u|² + |i|²)` to `d_users` and `d_items`.
    ///
    /// - **Shapes**: users (n, dim), items (m, dim); gradients (rows that the slots name, dim).
    /// - `l2` weighs each occurrence of a vector in the batch. The returned sum leaves it out and is not scaled.
    ///
    /// # Panics
    /// If slices disagree in length, or a row or slot is out of range.
    pub fn bce / bce_at(
        users: &[f32],
        items: &[f32],
        dim: usize,
        samples: &Labelled<'_>,
        scale: f32,
        l2: f32,
        d_users: &mut [f32],
        d_items: &mut [f32],
    ) -> f64 = bce_body
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{assert_close, normals};
    use super::*;

    #[test]
    fn gradients_match_finite_differences_at_every_level() {
        let dim = 19;
        let (mut users, mut items) = (normals("u", 3 * dim), normals("i", 4 * dim));
        let (u, i): (Vec<u32>, Vec<u32>) = ((0..70).map(|s| s % 3).collect(), (0..70).map(|s| s * 3 % 4).collect());
        let y: Vec<f32> = (0..70).map(|s| [1.0, 0.0, 0.0, 0.3][s % 4]).collect();
        let samples = Labelled { users: &u, items: &i, labels: &y, user_slots: &u, item_slots: &i };
        // In double precision: loss with regulariser.
        let loss = |users: &[f32], items: &[f32], scale: f64, l2: f64| -> f64 {
            let sample = |s: usize| {
                let at = |m: &[f32], r: u32, k: usize| f64::from(m[r as usize * dim + k]);
                let x: f64 = (0..dim).map(|k| at(users, u[s], k) * at(items, i[s], k)).sum();
                let norms: f64 = (0..dim).map(|k| at(users, u[s], k).powi(2) + at(items, i[s], k).powi(2)).sum();
                scale * (x.exp().ln_1p() - f64::from(y[s]) * x) + 0.5 * l2 * norms
            };
            (0..70).map(sample).sum()
        };
        for level in Level::available() {
            let (mut du, mut di) = (vec![0.0; users.len()], vec![0.0; items.len()]);
            let sum = bce_at(level, &users, &items, dim, &samples, 0.25, 0.01, &mut du, &mut di);
            let want = loss(&users, &items, 1.0, 0.0);
            assert!((sum - want).abs() < 1e-5 * want, "{sum} {want}");
            for k in 0..users.len() {
                let before = users[k];
                let mut side = |delta: f32| {
                    users[k] = before + delta;
                    loss(&users, &items, 0.25, 0.01)
                };
                let slope = (side(1e-3) - side(-1e-3)) / 2e-3;
                users[k] = before;
                assert_close(&[du[k]], &[slope as f32], 2e-3);
            }
            for k in 0..items.len() {
                let before = items[k];
                let mut side = |delta: f32| {
                    items[k] = before + delta;
                    loss(&users, &items, 0.25, 0.01)
                };
                let slope = (side(1e-3) - side(-1e-3)) / 2e-3;
                items[k] = before;
                assert_close(&[di[k]], &[slope as f32], 2e-3);
            }
        }
    }

    #[test]
    fn loss_and_gradient_are_finite_at_scores_of_100() {
        let samples =
            Labelled { users: &[0, 0], items: &[0, 1], labels: &[0.0, 1.0], user_slots: &[0, 0], item_slots: &[0, 1] };
        let (mut du, mut di) = ([0.0], [0.0; 2]);
        let sum = bce(&[10.0], &[10.0, -10.0], 1, &samples, 1.0, 0.0, &mut du, &mut di);
        assert!((sum - 200.0).abs() < 1e-3 && du == [20.0] && di == [10.0, -10.0], "{sum} {du:?} {di:?}");
    }
}
