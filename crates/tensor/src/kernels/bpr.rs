//! Bayesian personalised ranking on factor matrices, forward and backward in one pass.

use super::activation::{sigmoid_body, softplus_body};
use super::vector::{AHEAD, sum_lanes};
use super::{kernel, mul_add, prefetch};

/// Samples (user, positive item, negative item), each by two numbers: the row its vector is read from, and the row its
/// gradient is added to. With gathered leaves both are the same slice.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// Rows of the user matrix.
    pub users: &'a [u32],
    /// Rows of the item matrix: what the user chose.
    pub positives: &'a [u32],
    /// Rows of the item matrix: what the user did not choose.
    pub negatives: &'a [u32],
    /// Rows of the user gradient.
    pub user_slots: &'a [u32],
    /// Rows of the item gradient, of the positives.
    pub positive_slots: &'a [u32],
    /// Rows of the item gradient, of the negatives.
    pub negative_slots: &'a [u32],
}

/// Samples whose margins are computed before any of their gradients: their rows stay in the first-level cache.
pub(super) const BLOCK: usize = 32;

#[inline(always)]
pub(super) fn row(matrix: &[f32], dim: usize, row: u32) -> &[f32] {
    let start = row as usize * dim;
    &matrix[start..start + dim]
}

/// `u · (i - j)`.
#[inline(always)]
fn margin<const FMA: bool>(u: &[f32], i: &[f32], j: &[f32]) -> f32 {
    let (u_chunks, u_tail) = u.as_chunks::<16>();
    let (i_chunks, i_tail) = i.as_chunks::<16>();
    let (j_chunks, j_tail) = j.as_chunks::<16>();
    let mut lanes = [0.0f32; 16];
    for ((u, i), j) in u_chunks.iter().zip(i_chunks).zip(j_chunks) {
        for l in 0..16 {
            lanes[l] = mul_add::<FMA>(u[l], i[l] - j[l], lanes[l]);
        }
    }
    let mut sum = sum_lanes(lanes);
    for ((u, i), j) in u_tail.iter().zip(i_tail).zip(j_tail) {
        sum = mul_add::<FMA>(*u, i - j, sum);
    }
    sum
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
fn bpr_body<const FMA: bool>(
    users: &[f32],
    items: &[f32],
    dim: usize,
    pairs: &Pairs<'_>,
    scale: f32,
    l2: f32,
    d_users: &mut [f32],
    d_items: &mut [f32],
) -> f64 {
    let n = pairs.users.len();
    let slices = [pairs.positives, pairs.negatives, pairs.user_slots, pairs.positive_slots, pairs.negative_slots];
    for slice in slices {
        assert_eq!(slice.len(), n, "each sample needs a user, two items and their slots");
    }
    let mut total = 0.0;
    let mut start = 0;
    while start < n {
        let end = (start + BLOCK).min(n);
        let (mut slopes, mut losses) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
        for s in start..end {
            if s + AHEAD < n {
                prefetch(users, pairs.users[s + AHEAD] as usize * dim, dim);
                prefetch(items, pairs.positives[s + AHEAD] as usize * dim, dim);
                prefetch(items, pairs.negatives[s + AHEAD] as usize * dim, dim);
            }
            let u = row(users, dim, pairs.users[s]);
            let (i, j) = (row(items, dim, pairs.positives[s]), row(items, dim, pairs.negatives[s]));
            slopes[s - start] = margin::<FMA>(u, i, j);
        }
        for (slope, loss) in slopes.iter_mut().zip(&mut losses) {
            *loss = softplus_body::<FMA>(-*slope);
            *slope = -scale * sigmoid_body::<FMA>(-*slope);
        }
        total += losses[..end - start].iter().map(|l| f64::from(*l)).sum::<f64>();
        for s in start..end {
            let slope = slopes[s - start];
            let u = row(users, dim, pairs.users[s]);
            let (i, j) = (row(items, dim, pairs.positives[s]), row(items, dim, pairs.negatives[s]));
            let slot = pairs.user_slots[s] as usize * dim;
            let d_u = &mut d_users[slot..slot + dim];
            for (((d, u), i), j) in d_u.iter_mut().zip(u).zip(i).zip(j) {
                *d = mul_add::<FMA>(l2, *u, mul_add::<FMA>(slope, i - j, *d));
            }
            for (item, slot, slope) in [(i, pairs.positive_slots[s], slope), (j, pairs.negative_slots[s], -slope)] {
                let slot = slot as usize * dim;
                let d_i = &mut d_items[slot..slot + dim];
                for ((d, u), i) in d_i.iter_mut().zip(u).zip(item) {
                    *d = mul_add::<FMA>(l2, *i, mul_add::<FMA>(slope, *u, *d));
                }
            }
        }
        start = end;
    }
    total
}

kernel! {
    /// BPR (Rendle et al., UAI 2009): returns `Σ -ln σ(u·(i - j))` in nats, and adds the gradients of
    /// `scale · Σ -ln σ(u·(i - j)) + l2/2 · Σ (|u|² + |i|² + |j|²)` to `d_users` and `d_items`.
    ///
    /// - **Shapes**: users (n, dim), items (m, dim); gradients (rows that the slots name, dim).
    /// - `l2` weighs each occurrence of a vector in the batch, as BPR's own updates do. The returned sum leaves it out and is
    ///   not scaled; `scale = 1 / batch` trains on the mean.
    ///
    /// # Panics
    /// If slices disagree in length, or a row or slot is out of range.
    pub fn bpr / bpr_at(
        users: &[f32],
        items: &[f32],
        dim: usize,
        pairs: &Pairs<'_>,
        scale: f32,
        l2: f32,
        d_users: &mut [f32],
        d_items: &mut [f32],
    ) -> f64 = bpr_body
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::dot;
    use super::super::testing::{assert_close, normals};
    use super::*;

    /// In double precision: loss with regulariser.
    fn loss(users: &[f32], items: &[f32], dim: usize, triples: &[[u32; 3]], scale: f64, l2: f64) -> f64 {
        let at = |m: &[f32], r: u32, k: usize| f64::from(m[r as usize * dim + k]);
        triples
            .iter()
            .map(|&[u, i, j]| {
                let x: f64 = (0..dim).map(|k| at(users, u, k) * (at(items, i, k) - at(items, j, k))).sum();
                let norms: f64 =
                    (0..dim).map(|k| at(users, u, k).powi(2) + at(items, i, k).powi(2) + at(items, j, k).powi(2)).sum();
                scale * (-x).exp().ln_1p() + 0.5 * l2 * norms
            })
            .sum()
    }

    #[test]
    fn gradients_match_finite_differences_at_every_level() {
        let dim = 19;
        let (users, items) = (normals("u", 3 * dim), normals("i", 4 * dim));
        let triples: Vec<[u32; 3]> = (0..70).map(|s| [s % 3, s % 4, (s + 1 + s % 3) % 4]).collect();
        let column = |c: usize| triples.iter().map(|t| t[c]).collect::<Vec<u32>>();
        let (u, p, n) = (column(0), column(1), column(2));
        let pairs =
            Pairs { users: &u, positives: &p, negatives: &n, user_slots: &u, positive_slots: &p, negative_slots: &n };
        for level in Level::available() {
            let (mut du, mut di) = (vec![0.0; users.len()], vec![0.0; items.len()]);
            let sum = bpr_at(level, &users, &items, dim, &pairs, 0.25, 0.01, &mut du, &mut di);
            let want = loss(&users, &items, dim, &triples, 1.0, 0.0);
            assert!((sum - want).abs() < 1e-5 * want, "{sum} {want}");
            for k in 0..users.len() {
                let side = |delta: f32| {
                    let mut users = users.clone();
                    users[k] += delta;
                    loss(&users, &items, dim, &triples, 0.25, 0.01)
                };
                assert_close(&[du[k]], &[((side(1e-3) - side(-1e-3)) / 2e-3) as f32], 2e-3);
            }
            for k in 0..items.len() {
                let side = |delta: f32| {
                    let mut items = items.clone();
                    items[k] += delta;
                    loss(&users, &items, dim, &triples, 0.25, 0.01)
                };
                assert_close(&[di[k]], &[((side(1e-3) - side(-1e-3)) / 2e-3) as f32], 2e-3);
            }
        }
    }

    #[test]
    fn loss_and_gradient_are_finite_at_margins_of_100() {
        let pairs = Pairs {
            users: &[0, 0],
            positives: &[0, 1],
            negatives: &[1, 0],
            user_slots: &[0, 0],
            positive_slots: &[0, 1],
            negative_slots: &[1, 0],
        };
        let (mut du, mut di) = ([0.0], [0.0; 2]);
        let sum = bpr(&[10.0], &[5.0, -5.0], 1, &pairs, 1.0, 0.0, &mut du, &mut di);
        assert!((sum - 100.0).abs() < 1e-4 && du == [10.0] && di == [10.0, -10.0], "{sum} {du:?} {di:?}");
    }

    #[test]
    fn the_margin_is_the_difference_of_two_dot_products() {
        let (u, i, j) = (normals("u", 50), normals("i", 50), normals("j", 50));
        let want = dot(&u, &i) - dot(&u, &j);
        assert_close(&[margin::<false>(&u, &i, &j)], &[want], 1e-5);
    }
}
