//! The certified first pass: the tower in 16-bit integers decides which items may be among the best.
//!
//! With `h` the values between two layers as f32 has them and `g` as the pass does, `‖h - g‖ ≤ e` and `‖g‖ ≤ n`, the pass rounds `g` to
//! integers `q = s·g`, each by half, so that `g` loses at most `r = √k / (2s)`, multiplies by integers `Q = t·W`, rounded alike, and turns
//! the sums, which are exact, back. Since relu moves nothing further apart, a layer of weights `W` and bias `b` gives
//!
//! `e' = ‖W‖·(e + r) + ‖W - Q/t‖·(n + r)` and `n' = ‖W‖·(n + e) + ‖b‖ + e'`
//!
//! in Euclidean lengths and spectral norms. The scales `s` and `t` are as large as 32-bit sums allow: rows of `q` and columns of `Q` are
//! at most 2¹⁵ long. The first layer is f32 in both, so `e = 0`, and `n` is the length of the positive part of the user's share plus that of
//! the longest item's. A score thus lies within a distance of the user from what the pass says. An item that is below the `k`-th best by
//! more than twice that cannot be among the best `k`; the others are scored in f32. The answers are those of scoring everything, always.
//!
//! What keeps the distance sound in f32: sums of `k` products differ from exact ones by `γ·‖W‖_F·n`, `γ = k·2⁻²⁴` and a little
//! (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1); the roundings of the pass between its sums and the last sums
//! of both ways are few and paid alike. Norms are computed in f64 and rounded up. Lengths beyond 1e15 and weights next to nothing
//! take the f32 path, which excludes overflow and underflow.

use rectify_core::{Hit, ItemFilter, ItemId, Selector};
use rectify_tensor::kernels::int16_product;

use super::kernels::{ITEMS, first_words, next_words, top_scores};
use super::parts::{Layer, Parts};

/// Weights of the largest layer; of larger ones the products wait for memory.
const MAX_WEIGHTS: usize = 1 << 15;
/// Norms beyond it have no first pass.
const LARGEST: f64 = 1e15;
/// Length of a row or column of integers whose product fits 32 bits.
const LONGEST: f64 = 32767.0;
/// Relative error of rounding to f32.
const UNIT_ROUNDOFF: f64 = 1.0 / (1u64 << 24) as f64;
/// What rounding to an integer may lose, f32 arithmetic before it included.
const HALF: f64 = 0.53;

/// A layer beyond the first.
#[derive(Clone, Debug)]
struct Rounded {
    /// `Q`, an output after the other: (bias.len(), k).
    weight: Vec<i16>,
    bias: Vec<f32>,
    /// Inputs.
    k: usize,
    /// `t`.
    scale: f64,
    /// `‖W‖`.
    norm: f64,
    /// `‖W - Q/t‖`.
    lost: f64,
    /// `γ·‖W‖_F`, of both ways.
    summing: f64,
    /// `‖b‖`.
    bias_norm: f64,
}

/// A model's tower from its second layer on, and how far it may be from f32.
#[derive(Clone, Debug)]
pub(super) struct FirstPass {
    layers: Vec<Rounded>,
    /// The tower's part of the output weights, and their length.
    output: Vec<f32>,
    output_norm: f64,
    bias: f32,
    n_items: usize,
    /// The items' shares of the first layer and their product parts in blocks of `[width, ITEMS]`, so that a register holds one value of
    /// many items and no sum goes across; the last block is filled up with zeros.
    first: Vec<f32>,
    products: Vec<f32>,
    /// Lengths of the longest item: of the positive part of its share of the first layer, and of its product part.
    longest: (f64, f64),
}

/// What the pass needs of a query.
pub(super) struct Query<'a> {
    /// The user's share of the first layer.
    pub(super) first: &'a [f32],
    /// `w ⊙ p_u`.
    pub(super) weighted: &'a [f32],
}

/// Scales of a query.
pub(super) struct Scales {
    /// `s` of each layer's input.
    inputs: Vec<f32>,
    /// `1 / (s·t)` of each layer.
    units: Vec<f32>,
    /// No score is further from that of f32.
    pub(super) distance: f64,
}

/// Rows of `width` in blocks of `[width, ITEMS]`.
fn blocks(rows: &[f32], width: usize) -> Vec<f32> {
    let mut blocks = vec![0.0; (rows.len() / width.max(1)).div_ceil(ITEMS) * ITEMS * width];
    for (i, row) in rows.chunks_exact(width.max(1)).enumerate() {
        let block = &mut blocks[i / ITEMS * ITEMS * width..];
        row.iter().enumerate().for_each(|(j, x)| block[j * ITEMS + i % ITEMS] = *x);
    }
    blocks
}

fn length(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|x| x * x).sum::<f64>().sqrt() * (1.0 + 1e-9)
}

fn positive_length(values: &[f32]) -> f64 {
    length(values.iter().map(|&x| f64::from(x.max(0.0))))
}

/// At least the spectral norm of a row-major matrix with `n` columns, and at most a few per cent more: with `G = M·Mᵀ`,
/// `‖M‖² ≤ ‖G^(2^t)‖_F^(1 / 2^t)`, and less than `n^(1 / 2^(t+1))` times as much.
fn spectral_norm(matrix: &[f64], n: usize) -> f64 {
    const SQUARINGS: i32 = 5;
    let m = matrix.len() / n.max(1);
    let (size, long) = (m.min(n), m.max(n));
    let at = |i: usize, p: usize| if m <= n { matrix[i * n + p] } else { matrix[p * n + i] };
    let mut gram = vec![0.0; size * size];
    for p in 0..long {
        for i in 0..size {
            let x = at(i, p);
            gram[i * size..][..size].iter_mut().enumerate().for_each(|(j, sum)| *sum += x * at(j, p));
        }
    }
    let mut log = 0.0;
    for t in 0..=SQUARINGS {
        let norm = gram.iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm == 0.0 {
            return 0.0;
        }
        log += norm.ln() / f64::from(1 << t);
        gram.iter_mut().for_each(|x| *x /= norm);
        if t < SQUARINGS {
            let mut square = vec![0.0; size * size];
            for (row, out) in gram.chunks_exact(size).zip(square.chunks_exact_mut(size)) {
                for (x, other) in row.iter().zip(gram.chunks_exact(size)) {
                    out.iter_mut().zip(other).for_each(|(out, y)| *out += x * y);
                }
            }
            gram = square;
        }
    }
    (0.5 * log).exp() * (1.0 + 1e-9)
}

impl Rounded {
    /// `None` if its inputs are odd, or it is too large for the nearest cache.
    fn new((weight, bias): &Layer) -> Option<Self> {
        let (n, k) = (bias.len(), weight.len() / bias.len());
        if !k.is_multiple_of(2) || weight.len() > MAX_WEIGHTS {
            return None;
        }
        let exact: Vec<f64> = weight.iter().map(|&w| f64::from(w)).collect();
        let column = |j: usize| length(exact[j..].iter().step_by(n).copied());
        let longest = (0..n).map(column).fold(1e-30, f64::max);
        let scale = (LONGEST - HALF * (k as f64).sqrt()) / longest;
        let rounded: Vec<i16> = exact.iter().map(|w| (w * scale).round() as i16).collect();
        let lost: Vec<f64> = exact.iter().zip(&rounded).map(|(w, q)| w - f64::from(*q) / scale).collect();
        Some(Self {
            weight: (0..n).flat_map(|j| rounded[j..].iter().step_by(n).copied()).collect(),
            bias: bias.to_vec(),
            k,
            scale,
            norm: spectral_norm(&exact, n),
            lost: spectral_norm(&lost, n),
            summing: (k + 16) as f64 * UNIT_ROUNDOFF * 1.02 * length(exact.iter().copied()),
            bias_norm: length(bias.iter().map(|&b| f64::from(b))),
        })
    }
}

impl FirstPass {
    /// Of a network's tower; `first` and `products` are the items' shares of the first layer and product parts. `None` where the pass cannot help:
    /// no layer beyond the first, inputs that are not even, or layers too large for the nearest cache.
    pub(super) fn new(parts: &Parts, first: &[f32], products: &[f32]) -> Option<Self> {
        let Parts { layers, output, bias, .. } = parts;
        let (bottom, above) = layers.split_first()?;
        let top = above.last()?.1.len();
        let layers: Vec<Rounded> = above.iter().map(Rounded::new).collect::<Option<_>>()?;
        let (width, gmf) = (bottom.1.len(), output.len() - top);
        let output = &output[gmf..];
        let widen = |x: &f32| f64::from(*x);
        let longest = (
            first.chunks_exact(width).map(positive_length).fold(0.0, f64::max),
            products.chunks_exact(gmf.max(1)).map(|row| length(row.iter().map(widen))).fold(0.0, f64::max),
        );
        Some(Self {
            layers,
            output: output.to_vec(),
            output_norm: length(output.iter().map(widen)),
            bias: *bias,
            n_items: first.len() / width,
            first: blocks(first, width),
            products: blocks(products, gmf),
            longest,
        })
    }

    /// Bytes of what a query reads.
    pub(super) fn size_bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(|layer| 2 * layer.weight.len() + 4 * layer.bias.len()).sum();
        layers + 4 * (self.output.len() + self.first.len() + self.products.len())
    }

    /// `None` if the bounds are not good for a user.
    pub(super) fn scales(&self, query: &Query<'_>) -> Option<Scales> {
        let mut scales = Scales { inputs: Vec::new(), units: Vec::new(), distance: 0.0 };
        // Underflow is below the constants.
        let (mut error, mut longest) = (1e-25, positive_length(query.first) + self.longest.0 + 1e-20);
        for layer in &self.layers {
            let root = (layer.k as f64).sqrt();
            let scale = (LONGEST - HALF * root) / longest;
            let lost = HALF * root / scale;
            let unit = 1.0 / (f64::from(scale as f32) * layer.scale);
            scales.inputs.push(scale as f32);
            scales.units.push(unit as f32);
            let exact = longest + error;
            let summing = layer.summing * 2.0 * (exact + lost) + 16.0 * UNIT_ROUNDOFF * layer.bias_norm;
            error = layer.norm * (error + lost) + layer.lost * (longest + lost) + summing;
            longest = layer.norm * exact + layer.bias_norm + error;
            // Also false for NaN. A smaller unit, of weights that are next to nothing, would lose digits as a subnormal number.
            if !(longest <= LARGEST && scale >= 1e-15 && unit >= 1e-25) {
                return None;
            }
        }
        // The last sums, of both ways.
        let (tower, product) =
            (self.output_norm * (longest + error), length(query.weighted.iter().map(|&x| f64::from(x))));
        let last = (self.output.len() + query.weighted.len() + 32) as f64 * UNIT_ROUNDOFF * 1.02;
        let sums = 2.0 * (tower + product * self.longest.1 + f64::from(self.bias.abs()));
        scales.distance = self.output_norm * error + last * sums + 1e-20;
        (sums <= LARGEST).then_some(scales)
    }

    /// The items that may be among the best `k`, ascending, or `None` if the bound is not good for this user.
    pub(super) fn candidates(&self, query: &Query<'_>, k: usize, filter: &ItemFilter<'_>) -> Option<Vec<ItemId>> {
        let scales = self.scales(query)?;
        let scores = self.scores(query, &scales);
        let mut best = Selector::new(k);
        let hits = || scores.iter().enumerate().map(|(i, score)| Hit { item: ItemId(i as u32), score: *score });
        for hit in hits() {
            if hit.score >= best.threshold() && filter.allows(hit.item) {
                best.push(hit);
            }
        }
        best.compact();
        let bar = ((f64::from(best.threshold()) - 2.0 * scales.distance) as f32).next_down();
        Some(hits().filter(|hit| hit.score >= bar && filter.allows(hit.item)).map(|hit| hit.item).collect())
    }

    /// Scores of all items as the pass has them.
    pub(super) fn scores(&self, query: &Query<'_>, scales: &Scales) -> Vec<f32> {
        let (width, gmf) = (query.first.len(), query.weighted.len());
        let widest = self.layers.iter().map(|layer| layer.bias.len()).fold(width, usize::max);
        let (mut words, mut sums) = (vec![0i32; widest.div_ceil(2) * ITEMS], vec![0i32; widest * ITEMS]);
        let scaled = |values: &[f32], scale: f32| -> Vec<f32> { values.iter().map(|x| x * scale).collect() };
        let user = scaled(query.first, scales.inputs[0]);
        let biases: Vec<_> = self.layers.iter().zip(&scales.inputs[1..]).map(|(l, s)| scaled(&l.bias, *s)).collect();
        let mut scores = vec![0.0; self.n_items.next_multiple_of(ITEMS)];
        for (block, out) in scores.as_chunks_mut::<ITEMS>().0.iter_mut().enumerate() {
            let first = &self.first[block * width * ITEMS..][..width * ITEMS];
            first_words(&user, first, scales.inputs[0], &mut words[..width / 2 * ITEMS]);
            for (l, layer) in self.layers.iter().enumerate() {
                let n = layer.bias.len();
                let sums = &mut sums[..n * ITEMS];
                int16_product((n, ITEMS, layer.k), &layer.weight, &words[..layer.k / 2 * ITEMS], sums);
                if let Some(bias) = biases.get(l) {
                    let words = &mut words[..n / 2 * ITEMS];
                    next_words(sums, scales.units[l] * scales.inputs[l + 1], bias, words);
                } else {
                    let products = &self.products[block * gmf * ITEMS..][..gmf * ITEMS];
                    top_scores(sums, scales.units[l], &layer.bias, &self.output, query.weighted, products, out);
                }
            }
        }
        scores.truncate(self.n_items);
        scores.iter_mut().for_each(|score| *score += self.bias);
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers of zeros, and weights beyond all bounds: everything is scored in f32.
    #[test]
    fn sizes_that_the_bound_is_not_good_for_have_no_candidates() {
        for (weight, has_candidates) in [(0.0f32, false), (1e-30, false), (0.1, true), (1e15, false)] {
            let layer = |k: usize, n: usize| (vec![weight; k * n].into(), vec![0.5; n].into());
            let first = vec![1.0; 40 * 8];
            let parts = Parts {
                users: Vec::new().into(),
                items: Vec::new().into(),
                layers: vec![layer(4, 8), layer(8, 4)],
                output: vec![1.0; 4].into(),
                bias: 0.0,
            };
            let pass = FirstPass::new(&parts, &first, &[]).unwrap();
            let query = Query { first: &[1.0; 8], weighted: &[] };
            assert_eq!(pass.candidates(&query, 3, &ItemFilter::all()).is_some(), has_candidates, "{weight:e}");
        }
    }

    #[test]
    fn the_norm_is_above_the_spectral_one_by_little() {
        // Columns (3, 4, 0) and (0, 0, 2): singular values 5 and 2.
        let norm = spectral_norm(&[3.0, 0.0, 4.0, 0.0, 0.0, 2.0], 2);
        assert!((5.0..5.0001).contains(&norm), "{norm}");
        assert_eq!(spectral_norm(&[0.0; 6], 3), 0.0);
        // The worst case: all singular values alike.
        let identity: Vec<f64> = (0..64 * 64).map(|at| if at % 65 == 0 { 1.0 } else { 0.0 }).collect();
        let norm = spectral_norm(&identity, 64);
        assert!((1.0..1.07).contains(&norm), "{norm}");
    }
}
