//! The loops between the matrix products of a step.

use rectify_tensor::kernels::simd::{kernel, mul_add, prefetch};

use crate::serve::neumf::kernels::{LANES, relu_sum};

/// What the pairs of a pass read: a product vector and a share of the first layer of each distinct row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reads<'a> {
    /// (rows, gmf).
    pub(super) products: &'a [f32],
    /// (rows, width of the first layer).
    pub(super) shares: &'a [f32],
    /// Row of each pair.
    pub(super) slots: &'a [u32],
}

/// Where the gradients of [`Reads`] go.
#[derive(Debug)]
pub(super) struct Writes<'a> {
    /// (rows, gmf).
    pub(super) products: &'a mut [f32],
    /// (rows, width of the first layer).
    pub(super) shares: &'a mut [f32],
}

/// Pairs ahead of which an item's rows are asked for: those of a list lie anywhere in tables that no near cache holds.
const AHEAD: usize = 8;

/// Row `slot` of a table of rows of `width`.
#[inline(always)]
fn row(table: &[f32], slot: u32, width: usize) -> &[f32] {
    &table[slot as usize * width..][..width]
}

#[inline(always)]
fn row_mut(table: &mut [f32], slot: u32, width: usize) -> &mut [f32] {
    &mut table[slot as usize * width..][..width]
}

/// `out ← a ⊙ b`.
#[inline(always)]
fn multiply(a: &[f32], b: &[f32], out: &mut [f32]) {
    let ((a, a_rest), (b, b_rest), (out, out_rest)) =
        (a.as_chunks::<LANES>(), b.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        for l in 0..LANES {
            out[l] = a[l] * b[l];
        }
    }
    for ((out, a), b) in out_rest.iter_mut().zip(a_rest).zip(b_rest) {
        *out = a * b;
    }
}

/// `out += a`.
#[inline(always)]
fn add(a: &[f32], out: &mut [f32]) {
    let ((a, a_rest), (out, out_rest)) = (a.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
    for (out, a) in out.iter_mut().zip(a) {
        for l in 0..LANES {
            out[l] += a[l];
        }
    }
    for (out, a) in out_rest.iter_mut().zip(a_rest) {
        *out += a;
    }
}

/// `out += scale · (a ⊙ b)`.
#[inline(always)]
fn add_product<const FMA: bool>(scale: f32, a: &[f32], b: &[f32], out: &mut [f32]) {
    let ((a, a_rest), (b, b_rest), (out, out_rest)) =
        (a.as_chunks::<LANES>(), b.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        for l in 0..LANES {
            out[l] = mul_add::<FMA>(scale * a[l], b[l], out[l]);
        }
    }
    for ((out, a), b) in out_rest.iter_mut().zip(a_rest).zip(b_rest) {
        *out = mul_add::<FMA>(scale * a, *b, *out);
    }
}

/// Not `copy_from_slice`, which calls a function for every short row.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<LANES>(), to.as_chunks_mut::<LANES>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}

#[inline(always)]
fn split_rows_body<const FMA: bool>(
    table: &[f32],
    ids: &[u32],
    (gmf, mlp): (usize, usize),
    products: &mut [f32],
    towers: &mut [f32],
) {
    let dim = gmf + mlp;
    for (s, id) in ids.iter().enumerate() {
        if let Some(next) = ids.get(s + AHEAD) {
            prefetch(table, *next as usize * dim, dim);
        }
        let (product, tower) = row(table, *id, dim).split_at(gmf);
        copy(product, &mut products[s * gmf..][..gmf]);
        copy(tower, &mut towers[s * mlp..][..mlp]);
    }
}

#[inline(always)]
fn join_rows_body<const FMA: bool>(products: &[f32], towers: &[f32], (gmf, mlp): (usize, usize), rows: &mut [f32]) {
    for (s, row) in rows.chunks_exact_mut(gmf + mlp).enumerate() {
        let (product, tower) = row.split_at_mut(gmf);
        copy(&products[s * gmf..][..gmf], product);
        copy(&towers[s * mlp..][..mlp], tower);
    }
}

#[inline(always)]
fn read_pairs_body<const FMA: bool>(
    users: Reads<'_>,
    items: Reads<'_>,
    (gmf, width): (usize, usize),
    products: &mut [f32],
    bottom: &mut [f32],
) {
    for (s, (user, item)) in users.slots.iter().zip(items.slots).enumerate() {
        if let Some(next) = items.slots.get(s + AHEAD) {
            prefetch(items.products, *next as usize * gmf, gmf);
            prefetch(items.shares, *next as usize * width, width);
        }
        let product = &mut products[s * gmf..][..gmf];
        multiply(row(users.products, *user, gmf), row(items.products, *item, gmf), product);
        let bottom = &mut bottom[s * width..][..width];
        relu_sum(row(users.shares, *user, width), row(items.shares, *item, width), bottom);
    }
}

#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
#[inline(always)]
fn add_gradients_body<const FMA: bool>(
    users: Reads<'_>,
    items: Reads<'_>,
    (gmf, width): (usize, usize),
    slopes: &[f32],
    output: &[f32],
    d_bottom: &[f32],
    d_users: &mut Writes<'_>,
    d_items: &mut Writes<'_>,
) {
    for (s, (user, item)) in users.slots.iter().zip(items.slots).enumerate() {
        if let Some(next) = items.slots.get(s + AHEAD) {
            prefetch(items.products, *next as usize * gmf, gmf);
            prefetch(d_items.products, *next as usize * gmf, gmf);
            prefetch(d_items.shares, *next as usize * width, width);
        }
        let (u, i) = (row(users.products, *user, gmf), row(items.products, *item, gmf));
        add_product::<FMA>(slopes[s], output, i, row_mut(d_users.products, *user, gmf));
        add_product::<FMA>(slopes[s], output, u, row_mut(d_items.products, *item, gmf));
        let d_bottom = &d_bottom[s * width..][..width];
        add(d_bottom, row_mut(d_users.shares, *user, width));
        add(d_bottom, row_mut(d_items.shares, *item, width));
    }
}

#[inline(always)]
fn add_product_gradients_body<const FMA: bool>(
    users: Reads<'_>,
    items: Reads<'_>,
    gmf: usize,
    d_joint: &[f32],
    joint: usize,
    d_users: &mut [f32],
    d_items: &mut [f32],
) {
    for (s, (user, item)) in users.slots.iter().zip(items.slots).enumerate() {
        let d_product = &d_joint[s * joint..][..gmf];
        add_product::<FMA>(1.0, d_product, row(items.products, *item, gmf), row_mut(d_users, *user, gmf));
        add_product::<FMA>(1.0, d_product, row(users.products, *user, gmf), row_mut(d_items, *item, gmf));
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

kernel! {
    /// Rows `ids` of `table` (rows, gmf + mlp) into `products` (ids, gmf) and `towers` (ids, mlp).
    pub(super) fn split_rows / split_rows_at(
        table: &[f32],
        ids: &[u32],
        widths: (usize, usize),
        products: &mut [f32],
        towers: &mut [f32],
    ) = split_rows_body
}
kernel! {
    /// The other way: `rows` (rows, gmf + mlp) from both parts.
    pub(super) fn join_rows / join_rows_at(
        products: &[f32],
        towers: &[f32],
        widths: (usize, usize),
        rows: &mut [f32],
    ) = join_rows_body
}
kernel! {
    /// `p_u ⊙ q_i` of each pair into `products` (pairs, gmf), the sum of the shares after ReLU into `bottom` (pairs, width).
    pub(super) fn read_pairs / read_pairs_at(
        users: Reads<'_>,
        items: Reads<'_>,
        widths: (usize, usize),
        products: &mut [f32],
        bottom: &mut [f32],
    ) = read_pairs_body
}
kernel! {
    /// Adds the gradients of what pairs read, in their order, from `slopes · output` (pairs; gmf) and from those before the first
    /// layer's activation, `d_bottom` (pairs, width).
    pub(super) fn add_gradients / add_gradients_at(
        users: Reads<'_>,
        items: Reads<'_>,
        widths: (usize, usize),
        slopes: &[f32],
        output: &[f32],
        d_bottom: &[f32],
        d_users: &mut Writes<'_>,
        d_items: &mut Writes<'_>,
    ) = add_gradients_body
}
kernel! {
    /// Adds what reaches the products `p_u ⊙ q_i` from the first `gmf` columns of `d_joint` (pairs, joint).
    pub(super) fn add_product_gradients / add_product_gradients_at(
        users: Reads<'_>,
        items: Reads<'_>,
        gmf: usize,
        d_joint: &[f32],
        joint: usize,
        d_users: &mut [f32],
        d_items: &mut [f32],
    ) = add_product_gradients_body
}
kernel! {
    /// `d_top[s] ← d_logits[s] · output`; d_top (n, output.len()).
    pub(super) fn outer / outer_at(d_logits: &[f32], output: &[f32], d_top: &mut [f32]) = outer_body
}
#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;
    use rectify_tensor::kernels::Level;

    use super::*;

    fn normals(name: &str, n: usize) -> Vec<f32> {
        let mut rng = Seed(4).stream(name).at(0, 0);
        (0..n).map(|_| rng.normal() as f32).collect()
    }

    fn assert_close(got: &[f32], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (at, (got, want)) in got.iter().zip(want).enumerate() {
            assert!((f64::from(*got) - want).abs() < 1e-5, "at {at}: {got}, expected {want}");
        }
    }

    /// Pairs that share rows; widths on both sides of whole chunks, and none.
    #[test]
    fn pairs_read_and_write_rows_as_defined_at_every_level() {
        let (user_slots, item_slots) = ([0, 1, 1, 0, 2], [1, 0, 1, 1, 0]);
        for (gmf, width) in [(25, 19), (8, 16), (3, 0), (0, 9)] {
            let of = |name: &str, n| normals(&format!("{name} {gmf} {width}"), n);
            let (up, us, ip, is) = (of("up", 3 * gmf), of("us", 3 * width), of("ip", 2 * gmf), of("is", 2 * width));
            let users = Reads { products: &up, shares: &us, slots: &user_slots };
            let items = Reads { products: &ip, shares: &is, slots: &item_slots };
            let (slopes, output, d_bottom) = (of("slopes", 5), of("output", gmf), of("d_bottom", 5 * width));
            let joint = gmf + 2;
            let d_joint = of("d_joint", 5 * joint);

            let at = |x: &[f32], i: usize| f64::from(x[i]);
            let (mut products, mut bottom) = (vec![0.0; 5 * gmf], vec![0.0; 5 * width]);
            let mut d_rows = [vec![0.0; 3 * gmf], vec![0.0; 2 * gmf], vec![0.0; 3 * width], vec![0.0; 2 * width]];
            for s in 0..5 {
                let (u, i) = (user_slots[s] as usize, item_slots[s] as usize);
                for g in 0..gmf {
                    let (p, q) = (at(&up, u * gmf + g), at(&ip, i * gmf + g));
                    products[s * gmf + g] = p * q;
                    let d = at(&slopes, s) * at(&output, g) + at(&d_joint, s * joint + g);
                    d_rows[0][u * gmf + g] += d * q;
                    d_rows[1][i * gmf + g] += d * p;
                }
                for h in 0..width {
                    bottom[s * width + h] = (at(&us, u * width + h) + at(&is, i * width + h)).max(0.0);
                    d_rows[2][u * width + h] += at(&d_bottom, s * width + h);
                    d_rows[3][i * width + h] += at(&d_bottom, s * width + h);
                }
            }
            for level in Level::available() {
                let (mut got_products, mut got_bottom) = (vec![f32::NAN; 5 * gmf], vec![f32::NAN; 5 * width]);
                read_pairs_at(level, users, items, (gmf, width), &mut got_products, &mut got_bottom);
                assert_close(&got_products, &products);
                assert_close(&got_bottom, &bottom);
                let [mut d_up, mut d_ip, mut d_us, mut d_is] = d_rows.clone().map(|rows| vec![0.0; rows.len()]);
                let mut d_users = Writes { products: &mut d_up, shares: &mut d_us };
                let mut d_items = Writes { products: &mut d_ip, shares: &mut d_is };
                let widths = (gmf, width);
                add_gradients_at(level, users, items, widths, &slopes, &output, &d_bottom, &mut d_users, &mut d_items);
                add_product_gradients_at(level, users, items, gmf, &d_joint, joint, &mut d_up, &mut d_ip);
                for (got, want) in [d_up, d_ip, d_us, d_is].iter().zip(&d_rows) {
                    assert_close(got, want);
                }
            }
        }
    }

    #[test]
    fn rows_split_and_joined_are_themselves() {
        let ids: Vec<u32> = (0..30).map(|i| i * 7 % 30).collect();
        for (gmf, mlp) in [(25, 19), (8, 16), (0, 3), (3, 0)] {
            let table = normals("table", 30 * (gmf + mlp));
            let want: Vec<f32> = ids.iter().flat_map(|id| row(&table, *id, gmf + mlp)).copied().collect();
            for level in Level::available() {
                let (mut products, mut towers) = (vec![f32::NAN; 30 * gmf], vec![f32::NAN; 30 * mlp]);
                split_rows_at(level, &table, &ids, (gmf, mlp), &mut products, &mut towers);
                let mut joined = vec![f32::NAN; want.len()];
                join_rows_at(level, &products, &towers, (gmf, mlp), &mut joined);
                assert_eq!(joined, want);
                assert!(gmf == 0 || products[gmf..2 * gmf] == row(&table, ids[1], gmf + mlp)[..gmf]);
            }
        }
    }
}
