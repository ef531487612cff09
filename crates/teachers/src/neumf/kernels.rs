//! The loops between the matrix products.

use rectify_tensor::kernels::simd::{kernel, mul_add};

/// Which rows the samples of a batch read and write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// Row of each sample in the table.
    pub(super) ids: &'a [u32],
    /// Row of each sample in the gradient.
    pub(super) slots: &'a [u32],
}

/// Widths of a row: product part, tower part; and of the joint vector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) gmf: usize,
    pub(super) mlp: usize,
    pub(super) joint: usize,
}

#[inline(always)]
fn split_row(table: &[f32], row: u32, w: Widths) -> (&[f32], &[f32]) {
    let dim = w.gmf + w.mlp;
    let start = row as usize * dim;
    table[start..start + dim].split_at(w.gmf)
}

#[inline(always)]
fn read_pairs_body<const FMA: bool>(
    users: &[f32],
    items: &[f32],
    user_ids: &[u32],
    item_ids: &[u32],
    w: Widths,
    joint: &mut [f32],
    tower: &mut [f32],
) {
    for (s, (user, item)) in user_ids.iter().zip(item_ids).enumerate() {
        let (u, p) = split_row(users, *user, w);
        let (i, q) = split_row(items, *item, w);
        let product = &mut joint[s * w.joint..s * w.joint + w.gmf];
        for ((out, u), i) in product.iter_mut().zip(u).zip(i) {
            *out = u * i;
        }
        let (left, right) = tower[s * 2 * w.mlp..(s + 1) * 2 * w.mlp].split_at_mut(w.mlp);
        left.copy_from_slice(p);
        right.copy_from_slice(q);
    }
}

#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
#[inline(always)]
fn add_gradients_body<const FMA: bool>(
    users: &[f32],
    items: &[f32],
    user_rows: Rows<'_>,
    item_rows: Rows<'_>,
    w: Widths,
    d_logits: &[f32],
    output: &[f32],
    d_tower: &[f32],
    d_users: &mut [f32],
    d_items: &mut [f32],
) {
    let dim = w.gmf + w.mlp;
    for (s, slope) in d_logits.iter().enumerate() {
        let (u, _) = split_row(users, user_rows.ids[s], w);
        let (i, _) = split_row(items, item_rows.ids[s], w);
        let (left, right) = d_tower[s * 2 * w.mlp..(s + 1) * 2 * w.mlp].split_at(w.mlp);
        for (slot, other, d_input, grads) in
            [(user_rows.slots[s], i, left, &mut *d_users), (item_rows.slots[s], u, right, &mut *d_items)]
        {
            let start = slot as usize * dim;
            let (d_product, d_embedding) = grads[start..start + dim].split_at_mut(w.gmf);
            for ((d, other), weight) in d_product.iter_mut().zip(other).zip(output) {
                *d += slope * weight * other;
            }
            for (d, input) in d_embedding.iter_mut().zip(d_input) {
                *d += input;
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
#[inline(always)]
fn add_product_gradients_body<const FMA: bool>(
    users: &[f32],
    items: &[f32],
    user_rows: Rows<'_>,
    item_rows: Rows<'_>,
    w: Widths,
    d_joint: &[f32],
    d_users: &mut [f32],
    d_items: &mut [f32],
) {
    let dim = w.gmf + w.mlp;
    for (s, d_joint) in d_joint.chunks_exact(w.joint).enumerate() {
        let (u, _) = split_row(users, user_rows.ids[s], w);
        let (i, _) = split_row(items, item_rows.ids[s], w);
        for (slot, other, grads) in [(user_rows.slots[s], i, &mut *d_users), (item_rows.slots[s], u, &mut *d_items)] {
            let start = slot as usize * dim;
            for ((d, other), up) in grads[start..start + w.gmf].iter_mut().zip(other).zip(d_joint) {
                *d += up * other;
            }
        }
    }
}

#[inline(always)]
fn outer_body<const FMA: bool>(d_logits: &[f32], output: &[f32], d_top: &mut [f32]) {
    for (slope, row) in d_logits.iter().zip(d_top.chunks_exact_mut(output.len())) {
        for (d, weight) in row.iter_mut().zip(output) {
            *d = slope * weight;
        }
    }
}

#[inline(always)]
fn first_layer_body<const FMA: bool>(user: &[f32], items: &[f32], out: &mut [f32]) {
    for (row, item) in out.chunks_exact_mut(user.len()).zip(items.chunks_exact(user.len())) {
        for ((out, u), i) in row.iter_mut().zip(user).zip(item) {
            let z = u + i;
            *out = if z < 0.0 { 0.0 } else { z };
        }
    }
}

/// Adding it leaves a small number, rounded to an integer, in the low bits.
const ROUND: f32 = 1.5 * (1 << 23) as f32;
/// Items of a block of the first pass; its matrices are (width, ITEMS).
pub(super) const ITEMS: usize = 32;

/// `relu(x · scale + shift)`, rounded to an integer, in the low 16 bits.
#[inline(always)]
fn relu_int16<const FMA: bool>(x: f32, scale: f32, shift: f32) -> u32 {
    let z = mul_add::<FMA>(x, scale, shift);
    (if z < 0.0 { 0.0 } else { z } + ROUND).to_bits()
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
            let z = mul_add::<FMA>(sums[l] as f32, unit, *bias);
            scores[l] = mul_add::<FMA>(if z < 0.0 { 0.0 } else { z }, *output, scores[l]);
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
    /// Products into the first `gmf` columns of `joint` (n, w.joint), concatenations into `tower` (n, 2·w.mlp).
    pub(super) fn read_pairs / read_pairs_at(
        users: &[f32],
        items: &[f32],
        user_ids: &[u32],
        item_ids: &[u32],
        w: Widths,
        joint: &mut [f32],
        tower: &mut [f32],
    ) = read_pairs_body
}
kernel! {
    /// Adds the gradients of both branches to `d_users` and `d_items` (distinct rows, gmf + mlp), in order of the samples.
    pub(super) fn add_gradients / add_gradients_at(
        users: &[f32],
        items: &[f32],
        user_rows: Rows<'_>,
        item_rows: Rows<'_>,
        w: Widths,
        d_logits: &[f32],
        output: &[f32],
        d_tower: &[f32],
        d_users: &mut [f32],
        d_items: &mut [f32],
    ) = add_gradients_body
}
kernel! {
    /// Adds what reaches the products `p_u ⊙ q_i` from the first `gmf` columns of `d_joint` (n, w.joint).
    pub(super) fn add_product_gradients / add_product_gradients_at(
        users: &[f32],
        items: &[f32],
        user_rows: Rows<'_>,
        item_rows: Rows<'_>,
        w: Widths,
        d_joint: &[f32],
        d_users: &mut [f32],
        d_items: &mut [f32],
    ) = add_product_gradients_body
}
kernel! {
    /// `d_top[s] ← d_logits[s] · output`; d_top (n, output.len()).
    pub(super) fn outer / outer_at(d_logits: &[f32], output: &[f32], d_top: &mut [f32]) = outer_body
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
