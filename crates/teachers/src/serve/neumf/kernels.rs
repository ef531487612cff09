//! The loops between the matrix products of a query.

use rectify_tensor::kernels::simd::{kernel, mul_add};

/// Numbers at a time in loops over the short vectors of one pair: a loop of unknown length runs 32 at a time, or one by one.
pub(crate) const LANES: usize = 8;

/// Not `max`: it would turn a NaN into 0 and hide it.
#[inline(always)]
fn relu(z: f32) -> f32 {
    if z < 0.0 { 0.0 } else { z }
}

/// `out ← relu(a + b)`.
#[inline(always)]
pub(crate) fn relu_sum(a: &[f32], b: &[f32], out: &mut [f32]) {
    let ((a, a_rest), (b, b_rest), (out, out_rest)) =
        (a.as_chunks::<LANES>(), b.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        for l in 0..LANES {
            out[l] = relu(a[l] + b[l]);
        }
    }
    for ((out, a), b) in out_rest.iter_mut().zip(a_rest).zip(b_rest) {
        *out = relu(a + b);
    }
}

#[inline(always)]
fn first_layer_body<const FMA: bool>(user: &[f32], items: &[f32], out: &mut [f32]) {
    for (row, item) in out.chunks_exact_mut(user.len()).zip(items.chunks_exact(user.len())) {
        relu_sum(user, item, row);
    }
}

/// Adding it leaves a small number, rounded to an integer, in the low bits.
const ROUND: f32 = 1.5 * (1 << 23) as f32;
/// Items of a block of the first pass; its matrices are (width, ITEMS).
pub(super) const ITEMS: usize = 32;

/// `relu(x · scale + shift)`, rounded to an integer, in the low 16 bits.
#[inline(always)]
fn relu_int16<const FMA: bool>(x: f32, scale: f32, shift: f32) -> u32 {
    (relu(mul_add::<FMA>(x, scale, shift)) + ROUND).to_bits()
}

#[inline(always)]
fn first_words_body<const FMA: bool>(scaled_user: &[f32], items: &[f32], scale: f32, out: &mut [i32]) {
    let (pairs, user) = (items.as_chunks::<{ 2 * ITEMS }>().0, scaled_user.as_chunks::<2>().0);
    for ((out, pair), [low, high]) in out.as_chunks_mut::<ITEMS>().0.iter_mut().zip(pairs).zip(user) {
        for l in 0..ITEMS {
            let word = relu_int16::<FMA>(pair[l], scale, *low) & 0xffff;
            out[l] = (word | relu_int16::<FMA>(pair[ITEMS + l], scale, *high) << 16) as i32;
        }
    }
}

#[inline(always)]
fn next_words_body<const FMA: bool>(sums: &[i32], unit: f32, scaled_bias: &[f32], out: &mut [i32]) {
    let (pairs, bias) = (sums.as_chunks::<{ 2 * ITEMS }>().0, scaled_bias.as_chunks::<2>().0);
    for ((out, pair), [low, high]) in out.as_chunks_mut::<ITEMS>().0.iter_mut().zip(pairs).zip(bias) {
        for l in 0..ITEMS {
            let word = relu_int16::<FMA>(pair[l] as f32, unit, *low) & 0xffff;
            out[l] = (word | relu_int16::<FMA>(pair[ITEMS + l] as f32, unit, *high) << 16) as i32;
        }
    }
}

#[inline(always)]
fn top_scores_body<const FMA: bool>(
    sums: &[i32],
    unit: f32,
    bias: &[f32],
    output: &[f32],
    weighted: &[f32],
    products: &[f32],
    out: &mut [f32; ITEMS],
) {
    let mut scores = [0.0f32; ITEMS];
    for ((sums, bias), output) in sums.as_chunks::<ITEMS>().0.iter().zip(bias).zip(output) {
        for l in 0..ITEMS {
            scores[l] = mul_add::<FMA>(relu(mul_add::<FMA>(sums[l] as f32, unit, *bias)), *output, scores[l]);
        }
    }
    for (products, weight) in products.as_chunks::<ITEMS>().0.iter().zip(weighted) {
        for l in 0..ITEMS {
            scores[l] = mul_add::<FMA>(products[l], *weight, scores[l]);
        }
    }
    *out = scores;
}

kernel! {
    /// `out ← relu(user + items)`; user (h), items and out (n, h).
    pub(super) fn first_layer / first_layer_at(user: &[f32], items: &[f32], out: &mut [f32]) = first_layer_body
}
kernel! {
    /// `out ← round(relu(scaled_user + scale · items))`, rows 2p and 2p + 1 side by side in a word; scaled_user (h), items (h, ITEMS),
    /// out (h / 2, ITEMS).
    pub(super) fn first_words / first_words_at(scaled_user: &[f32], items: &[f32], scale: f32, out: &mut [i32])
        = first_words_body
}
kernel! {
    /// `out ← round(relu(scaled_bias + unit · sums))`, likewise; sums (h, ITEMS), scaled_bias (h), out (h / 2, ITEMS).
    pub(super) fn next_words / next_words_at(sums: &[i32], unit: f32, scaled_bias: &[f32], out: &mut [i32])
        = next_words_body
}
kernel! {
    /// `out ← output · relu(unit · sums + bias) + weighted · products`; sums (h, ITEMS), bias and output (h), products (g, ITEMS),
    /// weighted (g).
    pub(super) fn top_scores / top_scores_at(
        sums: &[i32],
        unit: f32,
        bias: &[f32],
        output: &[f32],
        weighted: &[f32],
        products: &[f32],
        out: &mut [f32; ITEMS],
    ) = top_scores_body
}

#[cfg(test)]
mod tests {
    use rectify_tensor::kernels::Level;

    use super::*;

    #[test]
    fn a_nan_is_not_hidden_by_the_activation() {
        let mut out = [0.0; 9];
        for level in Level::available() {
            first_layer_at(level, &[f32::NAN; 9], &[1.0; 9], &mut out);
            assert!(out.iter().all(|x| x.is_nan()));
        }
    }
}
