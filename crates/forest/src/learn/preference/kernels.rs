//! Loops of training, by lanes.
//!
//! The history of a group is stored by columns, padded to whole vectors: padded embeddings are zero, so whatever attention they get
//! reaches nothing, and their gradients are zero.

use rectify_tensor::kernels::simd::{kernel, mul_add};

use crate::serve::model::profile::Part;

/// Floats that the reductions keep apart; columns of a history are padded to a multiple.
pub(super) const LANES: usize = 8;
pub(super) type Lanes = [f32; LANES];

#[inline(always)]
fn prelu(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}

#[inline(always)]
fn sum(x: Lanes) -> f32 {
    ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
}

#[inline(always)]
fn axpy<const FMA: bool>(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.iter().zip(y) {
        *y = mul_add::<FMA>(alpha, *x, *y);
    }
}

/// [`axpy`] of whole vectors: a history's columns are too few for the compiler's own way to leave nothing behind.
#[inline(always)]
fn axpy_lanes<const FMA: bool>(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.as_chunks::<LANES>().0.iter().zip(y.as_chunks_mut::<LANES>().0) {
        for l in 0..LANES {
            y[l] = mul_add::<FMA>(alpha, x[l], y[l]);
        }
    }
}

/// Inner product and sum; both as long, whole vectors.
#[inline(always)]
fn dot_and_sum<const FMA: bool>(x: &[f32], y: &[f32]) -> (f32, f32) {
    let (mut dots, mut sums) = ([0.0; LANES], [0.0; LANES]);
    for (x, y) in x.as_chunks::<LANES>().0.iter().zip(y.as_chunks::<LANES>().0) {
        for l in 0..LANES {
            dots[l] = mul_add::<FMA>(x[l], y[l], dots[l]);
            sums[l] += x[l];
        }
    }
    (sum(dots), sum(sums))
}

/// The first layer of the attention unit, `[E, hidden]` each but the bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit<'a> {
    pub(super) history: &'a [f32],
    pub(super) product: &'a [f32],
    pub(super) node: &'a [f32],
    pub(super) bias: &'a [f32],
}

#[inline(always)]
fn mixing_body<const FMA: bool>(unit: Unit<'_>, history: &[f32], columns: usize, out: &mut [f32]) {
    let hidden = unit.bias.len();
    let dim = unit.history.len() / hidden;
    assert!(history.len() == dim * columns && columns.is_multiple_of(LANES), "a history by whole vectors of columns");
    let (products, first) = out.split_at_mut(dim * hidden * columns);
    for (d, (e, out)) in history.chunks_exact(columns).zip(products.chunks_exact_mut(hidden * columns)).enumerate() {
        for (h, out) in out.chunks_exact_mut(columns).enumerate() {
            let (b, c) = (unit.product[d * hidden + h], unit.node[d * hidden + h]);
            for (out, e) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(e.as_chunks::<LANES>().0) {
                for l in 0..LANES {
                    out[l] = mul_add::<FMA>(b, e[l], c);
                }
            }
        }
    }
    for (h, out) in first.chunks_exact_mut(columns).enumerate() {
        out.fill(unit.bias[h]);
        for (d, e) in history.chunks_exact(columns).enumerate() {
            axpy_lanes::<FMA>(unit.history[d * hidden + h], e, out);
        }
    }
}

/// Gradients of a [`Unit`].
#[derive(Debug)]
pub(super) struct UnitGradients<'a> {
    pub(super) history: &'a mut [f32],
    pub(super) product: &'a mut [f32],
    pub(super) node: &'a mut [f32],
    pub(super) bias: &'a mut [f32],
}

#[inline(always)]
fn mixing_backward_body<const FMA: bool>(
    unit: Unit<'_>,
    history: &[f32],
    columns: usize,
    d_out: &[f32],
    gradients: &mut UnitGradients<'_>,
    d_history: &mut [f32],
) {
    let hidden = unit.bias.len();
    let dim = unit.history.len() / hidden;
    assert!(history.len() == dim * columns && d_history.len() == history.len(), "a history by columns");
    let (products, first) = d_out.split_at(dim * hidden * columns);
    let rows = history.chunks_exact(columns).zip(d_history.chunks_exact_mut(columns));
    for (d, ((e, d_e), products)) in rows.zip(products.chunks_exact(hidden * columns)).enumerate() {
        for h in 0..hidden {
            let at = d * hidden + h;
            let (own, user) = (&products[h * columns..][..columns], &first[h * columns..][..columns]);
            let (dot, sum) = dot_and_sum::<FMA>(own, e);
            gradients.product[at] += dot;
            gradients.node[at] += sum;
            axpy_lanes::<FMA>(unit.product[at], own, d_e);
            gradients.history[at] += dot_and_sum::<FMA>(user, e).0;
            axpy_lanes::<FMA>(unit.history[at], user, d_e);
        }
    }
    for (h, user) in first.chunks_exact(columns).enumerate() {
        gradients.bias[h] += dot_and_sum::<FMA>(user, user).1;
    }
}

#[inline(always)]
fn attend_body<const FMA: bool>(z: &[f32], columns: usize, slope: &[f32], out: (&[f32], f32), attention: &mut [f32]) {
    let hidden = slope.len();
    for (z, attention) in z.chunks_exact(hidden * columns).zip(attention.chunks_exact_mut(columns)) {
        attention.fill(out.1);
        for ((z, slope), out) in z.chunks_exact(columns).zip(slope).zip(out.0) {
            for (a, z) in attention.as_chunks_mut::<LANES>().0.iter_mut().zip(z.as_chunks::<LANES>().0) {
                for l in 0..LANES {
                    let y = mul_add::<FMA>(*slope, z[l].min(0.0), z[l].max(0.0));
                    a[l] = mul_add::<FMA>(*out, y, a[l]);
                }
            }
        }
    }
}

#[inline(always)]
fn attend_backward_body<const FMA: bool>(
    z: &mut [f32],
    columns: usize,
    slope: &[f32],
    out: &[f32],
    d_attention: &[f32],
    sums: &mut [[Lanes; 2]],
) {
    let hidden = slope.len();
    assert_eq!(sums.len(), hidden, "sums of each hidden value");
    for (z, d) in z.chunks_exact_mut(hidden * columns).zip(d_attention.chunks_exact(columns)) {
        let d = d.as_chunks::<LANES>().0;
        for (((z, slope), out), sums) in z.chunks_exact_mut(columns).zip(slope).zip(out).zip(sums.iter_mut()) {
            let [mut d_slope, mut d_out] = *sums;
            for (z, d) in z.as_chunks_mut::<LANES>().0.iter_mut().zip(d) {
                // One choice at a time: choices in pairs are compiled as branches.
                let (mut above, mut below, mut factor) = ([0.0; LANES], [0.0; LANES], [*slope; LANES]);
                for l in 0..LANES {
                    above[l] = z[l].max(0.0);
                    below[l] = z[l].min(0.0);
                    factor[l] = if z[l] > 0.0 { 1.0 } else { factor[l] };
                }
                for l in 0..LANES {
                    d_out[l] = mul_add::<FMA>(d[l], mul_add::<FMA>(*slope, below[l], above[l]), d_out[l]);
                    d_slope[l] = mul_add::<FMA>(d[l] * out, below[l], d_slope[l]);
                    z[l] = d[l] * out * factor[l];
                }
            }
            *sums = [d_slope, d_out];
        }
    }
}

#[inline(always)]
fn pool_body<const FMA: bool>(
    parts: &[Part],
    history: &[f32],
    dim: usize,
    weight: &[f32],
    width: usize,
    out: &mut [f32],
) {
    for part in parts {
        let e = &history[part.slot as usize * dim..][..dim];
        let out = &mut out[part.slot as usize * width..][..width];
        let weight = &weight[part.window as usize * dim * width..][..dim * width];
        for (e, weight) in e.iter().zip(weight.chunks_exact(width)) {
            axpy::<FMA>(part.share * e, weight, out);
        }
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
fn pool_backward_body<const FMA: bool>(
    parts: &[Part],
    history: &[f32],
    dim: usize,
    weight: &[f32],
    width: usize,
    d_out: &[f32],
    d_weight: &mut [f32],
    d_history: &mut [f32],
) {
    for part in parts {
        let at = part.slot as usize * dim;
        let d_out = &d_out[part.slot as usize * width..][..width];
        let rows = part.window as usize * dim * width..(part.window as usize + 1) * dim * width;
        let weights = weight[rows.clone()].chunks_exact(width).zip(d_weight[rows].chunks_exact_mut(width));
        for ((e, d_e), (weight, d_weight)) in
            history[at..at + dim].iter().zip(&mut d_history[at..at + dim]).zip(weights)
        {
            axpy::<FMA>(part.share * e, d_out, d_weight);
            let mut lanes = [0.0; LANES];
            let (w, w_tail) = weight.as_chunks::<LANES>();
            let (g, g_tail) = d_out.as_chunks::<LANES>();
            for (w, g) in w.iter().zip(g) {
                for l in 0..LANES {
                    lanes[l] = mul_add::<FMA>(w[l], g[l], lanes[l]);
                }
            }
            let tail = w_tail.iter().zip(g_tail).fold(0.0, |sum, (w, g)| mul_add::<FMA>(*w, *g, sum));
            *d_e = mul_add::<FMA>(part.share, sum(lanes) + tail, *d_e);
        }
    }
}

/// A batch norm with its scale, shift and PReLU, one value an output each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normed<'a> {
    pub(super) mean: &'a [f32],
    /// `1 / √(variance + ε)`.
    pub(super) inverse: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
    pub(super) slope: &'a [f32],
}

#[inline(always)]
fn deviations_body<const FMA: bool>(z: &[f32], mean: &[f32], out: &mut [f32]) {
    for z in z.chunks_exact(mean.len()) {
        for ((z, mean), out) in z.iter().zip(mean).zip(out.iter_mut()) {
            let gap = z - mean;
            *out = mul_add::<FMA>(gap, gap, *out);
        }
    }
}

#[inline(always)]
fn norm_body<const FMA: bool>(n: Normed<'_>, z: &[f32], out: &mut [f32]) {
    let width = n.mean.len();
    assert!(z.len() == out.len() && [n.inverse, n.scale, n.shift, n.slope].iter().all(|x| x.len() == width));
    for (z, out) in z.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        for j in 0..width {
            let y = mul_add::<FMA>(n.scale[j], (z[j] - n.mean[j]) * n.inverse[j], n.shift[j]);
            out[j] = prelu(y, n.slope[j]);
        }
    }
}

#[inline(always)]
fn norm_backward_body<const FMA: bool>(
    n: Normed<'_>,
    z: &[f32],
    d: &mut [f32],
    d_scale: &mut [f32],
    d_shift: &mut [f32],
    d_slope: &mut [f32],
) {
    let width = n.mean.len();
    assert!(z.len() == d.len() && [n.inverse, n.scale, n.shift, n.slope].iter().all(|x| x.len() == width));
    assert!(d_scale.len() == width && d_shift.len() == width && d_slope.len() == width);
    for (z, d) in z.chunks_exact(width).zip(d.chunks_exact_mut(width)) {
        for j in 0..width {
            let x = (z[j] - n.mean[j]) * n.inverse[j];
            let y = mul_add::<FMA>(n.scale[j], x, n.shift[j]);
            let factor = if y > 0.0 { 1.0 } else { n.slope[j] };
            d_slope[j] = mul_add::<FMA>(d[j], y.min(0.0), d_slope[j]);
            d[j] *= factor;
            d_shift[j] += d[j];
            d_scale[j] = mul_add::<FMA>(d[j], x, d_scale[j]);
        }
    }
}

#[inline(always)]
fn through_norm_body<const FMA: bool>(n: Normed<'_>, z: &[f32], d_mean: &[f32], d_x_mean: &[f32], d: &mut [f32]) {
    let width = n.mean.len();
    assert!(z.len() == d.len() && [n.inverse, n.scale, d_mean, d_x_mean].iter().all(|x| x.len() == width));
    for (z, d) in z.chunks_exact(width).zip(d.chunks_exact_mut(width)) {
        for j in 0..width {
            let x = (z[j] - n.mean[j]) * n.inverse[j];
            let rest = mul_add::<FMA>(-x, d_x_mean[j], d[j] - d_mean[j]);
            d[j] = n.scale[j] * n.inverse[j] * rest;
        }
    }
}

kernel! {
    /// What a node's embedding, with a one behind it, is multiplied by to give the hidden values of the attention unit:
    /// `out[d, h, k] = e_k[d] B[d, h] + C[d, h]`, and in the row of the one `e_k A + b`.
    ///
    /// **Shapes**: history (E, columns), out (E + 1, hidden, columns).
    pub(super) fn mixing / mixing_at(unit: Unit<'_>, history: &[f32], columns: usize, out: &mut [f32]) = mixing_body
}
kernel! {
    /// Backward of [`mixing`]; everything is added.
    pub(super) fn mixing_backward / mixing_backward_at(
        unit: Unit<'_>,
        history: &[f32],
        columns: usize,
        d_out: &[f32],
        gradients: &mut UnitGradients<'_>,
        d_history: &mut [f32],
    ) = mixing_backward_body
}
kernel! {
    /// `attention[n, k] ← Σ_h out_h PReLU(z[n, h, k]) + bias`.
    pub(super) fn attend / attend_at(
        z: &[f32],
        columns: usize,
        slope: &[f32],
        out: (&[f32], f32),
        attention: &mut [f32],
    ) = attend_body
}
kernel! {
    /// Backward of [`attend`]: z becomes its own gradient; the sums for slopes and `out` are added, by lanes.
    pub(super) fn attend_backward / attend_backward_at(
        z: &mut [f32],
        columns: usize,
        slope: &[f32],
        out: &[f32],
        d_attention: &[f32],
        sums: &mut [[Lanes; 2]],
    ) = attend_backward_body
}
kernel! {
    /// `out[slot] += share · e_slot W_window` for each part; history (slots, dim), weight (windows, dim, width).
    pub(super) fn pool / pool_at(
        parts: &[Part],
        history: &[f32],
        dim: usize,
        weight: &[f32],
        width: usize,
        out: &mut [f32],
    ) = pool_body
}
kernel! {
    /// Backward of [`pool`]; everything is added.
    pub(super) fn pool_backward / pool_backward_at(
        parts: &[Part],
        history: &[f32],
        dim: usize,
        weight: &[f32],
        width: usize,
        d_out: &[f32],
        d_weight: &mut [f32],
        d_history: &mut [f32],
    ) = pool_backward_body
}
kernel! {
    /// `out += Σ_rows (z − mean)²`.
    pub(super) fn deviations / deviations_at(z: &[f32], mean: &[f32], out: &mut [f32]) = deviations_body
}
kernel! {
    /// `out ← PReLU(scale · (z − mean) · inverse + shift)`, row by row.
    pub(super) fn norm / norm_at(n: Normed<'_>, z: &[f32], out: &mut [f32]) = norm_body
}
kernel! {
    /// Through the PReLU: d becomes the gradient before it; those of scale, shift and slope are added.
    pub(super) fn norm_backward / norm_backward_at(
        n: Normed<'_>,
        z: &[f32],
        d: &mut [f32],
        d_scale: &mut [f32],
        d_shift: &mut [f32],
        d_slope: &mut [f32],
    ) = norm_backward_body
}
kernel! {
    /// Through the batch norm: `d ← scale · inverse · (d − mean d − x · mean(d x))` with x the normed value and means over the batch.
    pub(super) fn through_norm / through_norm_at(
        n: Normed<'_>,
        z: &[f32],
        d_mean: &[f32],
        d_x_mean: &[f32],
        d: &mut [f32],
    ) = through_norm_body
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;
    use rectify_tensor::kernels::Level;

    use super::*;

    fn draw(name: &str, n: usize) -> Vec<f32> {
        let mut rng = Seed(1).stream(name).rng();
        (0..n).map(|_| rng.normal() as f32).collect()
    }

    /// Everything that the kernels write, at one level.
    fn everything(level: Level) -> Vec<Vec<f32>> {
        let (dim, hidden, columns, n, width, windows) = (5, 7, 16, 9, 19, 3);
        let [history, product, node] = ["history", "product", "node"].map(|name| draw(name, dim * hidden));
        let bias = draw("bias", hidden);
        let unit = Unit { history: &history, product: &product, node: &node, bias: &bias };
        let e = draw("e", dim * columns);
        let mut mixed = vec![0.0; (dim + 1) * hidden * columns];
        mixing_at(level, unit, &e, columns, &mut mixed);
        let mut d = [dim * hidden, dim * hidden, dim * hidden, hidden].map(|n| vec![0.5; n]);
        let mut d_e = vec![0.5; e.len()];
        let [h, p, o, b] = &mut d;
        let gradients = &mut UnitGradients { history: h, product: p, node: o, bias: b };
        mixing_backward_at(level, unit, &e, columns, &draw("d mixed", mixed.len()), gradients, &mut d_e);

        let (mut z, out, slope) = (draw("z", n * hidden * columns), draw("out", hidden), draw("slope", hidden));
        let mut attention = vec![0.0; n * columns];
        attend_at(level, &z, columns, &slope, (&out, 0.3), &mut attention);
        let mut sums = vec![[[0.0; LANES]; 2]; hidden];
        attend_backward_at(level, &mut z, columns, &slope, &out, &draw("d", n * columns), &mut sums);

        let rows = draw("rows", 4 * dim);
        let part = |slot, window| Part { slot, window, share: 0.25 };
        let parts = [part(0, 0), part(3, 0), part(1, 2), part(0, 2)];
        let weight = draw("weight", windows * dim * width);
        let mut pooled = vec![0.0; 4 * width];
        pool_at(level, &parts, &rows, dim, &weight, width, &mut pooled);
        let (mut d_weight, mut d_rows) = (vec![0.0; weight.len()], vec![0.0; rows.len()]);
        let d_pooled = draw("d pooled", pooled.len());
        pool_backward_at(level, &parts, &rows, dim, &weight, width, &d_pooled, &mut d_weight, &mut d_rows);

        let [mean, scale, shift, slopes] = ["m", "s", "t", "p"].map(|name| draw(name, width));
        let inverse: Vec<f32> = draw("i", width).iter().map(|x| x.abs() + 0.1).collect();
        let normed = Normed { mean: &mean, inverse: &inverse, scale: &scale, shift: &shift, slope: &slopes };
        let values = draw("values", n * width);
        let (mut squares, mut y, mut back) = (vec![0.0; width], vec![0.0; n * width], draw("back", n * width));
        deviations_at(level, &values, &mean, &mut squares);
        norm_at(level, normed, &values, &mut y);
        let [mut d_scale, mut d_shift, mut d_slope] = [const { Vec::new() }; 3].map(|_: Vec<f32>| vec![0.0; width]);
        norm_backward_at(level, normed, &values, &mut back, &mut d_scale, &mut d_shift, &mut d_slope);
        let before = back.clone();
        through_norm_at(level, normed, &values, &mean, &shift, &mut back);

        let sums = sums.into_iter().flatten().flatten().collect();
        let mut all = vec![mixed, d_e, z, attention, sums, pooled, d_weight, d_rows, squares, y, before, back];
        all.extend(d);
        all.extend([d_scale, d_shift, d_slope]);
        all
    }

    #[test]
    fn every_instruction_set_gives_the_portable_answer() {
        let want = everything(Level::Scalar);
        for level in Level::available() {
            for (array, (got, want)) in everything(level).iter().zip(&want).enumerate() {
                for (got, want) in got.iter().zip(want) {
                    assert!((got - want).abs() <= 2e-5 * want.abs().max(1.0), "{level:?}, array {array}: {got} {want}");
                }
            }
        }
    }
}
