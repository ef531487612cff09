//! Row after row: batch normalisation and the cross steps, forward and backward.

use rectify_tensor::kernels::simd::{kernel, mul_add};

#[inline(always)]
fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut lanes = [0.0f32; 16];
    for (a, b) in a.iter().zip(b) {
        for l in 0..16 {
            lanes[l] = mul_add::<FMA>(a[l], b[l], lanes[l]);
        }
    }
    let mut sum = 0.0;
    for lane in lanes {
        sum += lane;
    }
    for (a, b) in a_tail.iter().zip(b_tail) {
        sum = mul_add::<FMA>(*a, *b, sum);
    }
    sum
}

#[inline(always)]
fn squares_body<const FMA: bool>(x: &[f32], mean: &[f32], sums: &mut [f32]) {
    for row in x.chunks_exact(mean.len()) {
        for ((sum, x), mean) in sums.iter_mut().zip(row).zip(mean) {
            let centred = x - mean;
            *sum = mul_add::<FMA>(centred, centred, *sum);
        }
    }
}

#[inline(always)]
fn covariances_body<const FMA: bool>(x: &[f32], mean: &[f32], d: &[f32], sums: &mut [f32], products: &mut [f32]) {
    let dim = mean.len();
    for (row, d) in x.chunks_exact(dim).zip(d.chunks_exact(dim)) {
        for ((((sum, product), d), x), mean) in sums.iter_mut().zip(&mut *products).zip(d).zip(row).zip(mean) {
            *sum += d;
            *product = mul_add::<FMA>(*d, x - mean, *product);
        }
    }
}

#[inline(always)]
fn combine_body<const FMA: bool>(d: &mut [f32], x: &[f32], mean: &[f32], a: &[f32], b: &[f32], c: &[f32]) {
    let dim = mean.len();
    for (d, row) in d.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
        for (((((d, x), mean), a), b), c) in d.iter_mut().zip(row).zip(mean).zip(a).zip(b).zip(c) {
            *d = mul_add::<FMA>(*a, *d, mul_add::<FMA>(*b, x - mean, *c));
        }
    }
}

#[inline(always)]
fn affine_body<const FMA: bool>(p: &mut [f32], weights: &[f32], a: &[f32], b: &[f32]) {
    for (p, weight) in p.chunks_exact_mut(a.len()).zip(weights) {
        for ((p, a), b) in p.iter_mut().zip(a).zip(b) {
            *p = mul_add::<FMA>(*weight, *b, *p * a);
        }
    }
}

#[inline(always)]
fn cross_body<const FMA: bool>(x: &[f32], w: [&[f32]; 2], dim: usize, gains: &mut [[f32; 2]], out: &mut [f32]) {
    let rows = x.chunks_exact(dim).zip(w[0].chunks_exact(dim)).zip(w[1].chunks_exact(dim));
    for (((x, w1), w2), (gains, out)) in rows.zip(gains.iter_mut().zip(out.chunks_exact_mut(dim))) {
        let first = 1.0 + dot::<FMA>(w1, x);
        let second = 1.0 + first * dot::<FMA>(w2, x);
        *gains = [first, second];
        let gain = first * second;
        for (out, x) in out.iter_mut().zip(x) {
            *out = gain * x;
        }
    }
}

#[inline(always)]
fn cross_backward_body<const FMA: bool>(
    x: &[f32],
    w: [&[f32]; 2],
    dim: usize,
    gains: &[[f32; 2]],
    d: &mut [f32],
    d_w: [&mut [f32]; 2],
) {
    let [d_w1, d_w2] = d_w;
    let rows = x.chunks_exact(dim).zip(w[0].chunks_exact(dim)).zip(w[1].chunks_exact(dim)).zip(gains);
    let out = d.chunks_exact_mut(dim).zip(d_w1.chunks_exact_mut(dim)).zip(d_w2.chunks_exact_mut(dim));
    for ((((x, w1), w2), [first, second]), ((d, d_w1), d_w2)) in rows.zip(out) {
        // With d the gradient of x₃ = c₂ x₂, x₂ = c₁ x: that of x₂ is e = c₂ d + (d·x₂) w₂.
        let along = dot::<FMA>(d, x);
        let d_x2 = first * along;
        let e_x = mul_add::<FMA>(d_x2, dot::<FMA>(w2, x), second * along);
        let to_w2 = first * d_x2;
        for (((((d, d_w1), d_w2), x), w1), w2) in d.iter_mut().zip(d_w1).zip(d_w2).zip(x).zip(w1).zip(w2) {
            let e = mul_add::<FMA>(d_x2, *w2, second * *d);
            *d = mul_add::<FMA>(e_x, *w1, first * e);
            *d_w1 = e_x * x;
            *d_w2 = to_w2 * x;
        }
    }
}

kernel! {
    /// `sums += Σ_rows (x - mean)²`; x (rows, dim), mean and sums (dim).
    pub(super) fn squares / squares_at(x: &[f32], mean: &[f32], sums: &mut [f32]) = squares_body
}
kernel! {
    /// `sums += Σ_rows d`, `products += Σ_rows d (x - mean)`; d and x (rows, dim).
    pub(super) fn covariances / covariances_at(x: &[f32], mean: &[f32], d: &[f32], sums: &mut [f32], products: &mut [f32])
        = covariances_body
}
kernel! {
    /// `d ← a d + b (x - mean) + c`, column by column; d and x (rows, dim).
    pub(super) fn combine / combine_at(d: &mut [f32], x: &[f32], mean: &[f32], a: &[f32], b: &[f32], c: &[f32])
        = combine_body
}
kernel! {
    /// `p ← a p + weight b`; p (rows, dim), one weight a row, a and b (dim).
    pub(super) fn affine / affine_at(p: &mut [f32], weights: &[f32], a: &[f32], b: &[f32]) = affine_body
}
kernel! {
    /// Two cross steps: `x₂ = c₁ x`, `out = c₂ x₂` with gains `c₁ = 1 + w₁·x`, `c₂ = 1 + w₂·x₂`; all (rows, dim).
    pub(super) fn cross / cross_at(x: &[f32], w: [&[f32]; 2], dim: usize, gains: &mut [[f32; 2]], out: &mut [f32])
        = cross_body
}
kernel! {
    /// Backward of [`cross`]: `d` comes as the gradient of its output and leaves as that of x; writes those of w.
    pub(super) fn cross_backward / cross_backward_at(
        x: &[f32],
        w: [&[f32]; 2],
        dim: usize,
        gains: &[[f32; 2]],
        d: &mut [f32],
        d_w: [&mut [f32]; 2],
    ) = cross_backward_body
}

#[cfg(test)]
mod tests {
    use rectify_tensor::kernels::Level;

    use super::*;

    const LEVELS: [Level; 3] = [Level::Scalar, Level::Avx2, Level::Avx512];

    #[test]
    fn a_cross_step_scales_the_row_by_one_plus_its_product() {
        for level in LEVELS {
            let (mut gains, mut out) = ([[0.0; 2]; 3], [0.0; 6]);
            let x = [1.0, 2.0].repeat(3);
            let w1 = [0.5, -0.25, 0.5, 0.25, 0.5, 0.25];
            let w2 = [0.0, 0.0, 0.0, 0.0, 0.5, 0.25];
            cross_at(level, &x, [&w1, &w2], 2, &mut gains, &mut out);
            // The original cross network would give (4, 8) for the last.
            assert_eq!(out, [1.0, 2.0, 2.0, 4.0, 6.0, 12.0]);
            assert_eq!(gains, [[1.0, 1.0], [2.0, 1.0], [2.0, 3.0]]);
        }
    }

    #[test]
    fn levels_agree_at_awkward_widths() {
        for dim in [1, 15, 16, 33, 64] {
            let wave = |shift: f32| (0..3 * dim).map(|k| 0.3 * (k as f32 * 0.7 + shift).sin()).collect::<Vec<_>>();
            let (x, w1, w2, d) = (wave(0.0), wave(1.0), wave(2.0), wave(3.0));
            let run = |level| {
                let (mut gains, mut out) = ([[0.0; 2]; 3], vec![0.0; 3 * dim]);
                cross_at(level, &x, [&w1, &w2], dim, &mut gains, &mut out);
                let (mut d, mut d1, mut d2) = (d.clone(), out.clone(), out.clone());
                cross_backward_at(level, &x, [&w1, &w2], dim, &gains, &mut d, [&mut d1, &mut d2]);
                let (mean, mut sums, mut products) = (&w1[..dim], vec![0.0; dim], vec![0.0; dim]);
                squares_at(level, &x, mean, &mut sums);
                covariances_at(level, &x, mean, &d, &mut sums, &mut products);
                let mut p = x.clone();
                affine_at(level, &mut p, &[0.5, 1.0, -2.0], &w1[..dim], &w2[..dim]);
                combine_at(level, &mut p, &d, mean, &w2[..dim], &sums, &products);
                [out, d, d1, d2, sums, products, p].concat()
            };
            let want = run(Level::Scalar);
            for level in LEVELS {
                for (got, want) in run(level).iter().zip(&want) {
                    assert!((got - want).abs() <= 3e-5 * want.abs().max(1.0), "{level:?} {dim}: {got} {want}");
                }
            }
        }
    }
}
