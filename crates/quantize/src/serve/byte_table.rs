//! A query's table in bytes, with the promise that comes with it.

use crate::serve::codebooks::CodeShape;

/// Codebooks whose bytes are summed in a byte.
pub(crate) const GROUP: usize = 8;

/// The table of a query rounded down to bytes with one shared step.
///
/// For an item with f32 score `s` and byte sum `q` (over all codebooks) the promise is `low + step · q - rounding ≤ s ≤ low + step · q +
/// error`, where f32 rounding of `s` is in `error` too. So whoever needs `s ≥ τ` may skip every item with `q < limit(τ)`, and whoever knows
/// `k` items with byte sums of `q` or more may, for the best `k`, skip every item with a sum below `limit_after(q)`. The bytes of up
/// to 8 codebooks add up to at most 255.
#[derive(Clone, Debug)]
pub(crate) struct ByteTable {
    /// `[n_codebooks, 256]`, or `[n_codebooks (even), 16]` for four-bit codes; unused places are 0.
    pub(crate) bytes: Vec<u8>,
    low: f64,
    step: f64,
    error: f64,
    /// The largest byte sum there can be.
    pub(crate) largest: u16,
    /// Steps between a byte sum and the least one whose score may be as high.
    slack: u16,
}

impl ByteTable {
    /// Rounds a table `[n_codebooks, n_codewords]` of finite numbers.
    pub(crate) fn new(shape: &CodeShape, table: &[f32]) -> Self {
        let width = width(shape);
        let rows = table.chunks_exact(shape.n_codewords);
        let ranges: Vec<(f64, f64)> =
            rows.clone().map(range).map(|(low, high)| (f64::from(low), f64::from(high))).collect();
        // The widest group decides the step, so that its sum still fits a byte.
        let widest =
            ranges.chunks(GROUP).map(|g| g.iter().map(|(low, high)| high - low).sum::<f64>()).fold(0.0, f64::max);
        let step = if widest > 0.0 { widest / 255.0 * (1.0 + 1e-12) } else { 1.0 };

        let mut bytes = vec![0; shape.bytes_per_item() * if shape.is_four_bit() { 2 } else { 1 } * width];
        let mut error = 0.0;
        for ((row, &(low, _)), bytes) in rows.zip(&ranges).zip(bytes.chunks_exact_mut(width)) {
            error += round_down(row, low, step, bytes);
        }
        // Each of the n additions of f32 rounds by at most half an ulp of a partial sum; this is twice the bound and more.
        let magnitude: f64 = ranges.iter().map(|(low, high)| low.abs().max(high.abs())).sum();
        let rounding = ranges.len() as f64 * f64::from(f32::EPSILON) * magnitude + f64::from(f32::MIN_POSITIVE);
        error += rounding;
        let largest = (255 * shape.n_codebooks.div_ceil(GROUP)) as u16;
        // The cast saturates.
        let slack = ((error + rounding) / step).ceil() as u16;
        Self { bytes, low: ranges.iter().map(|(low, _)| low).sum(), step, error, largest, slack }
    }

    /// The bytes of each codebook's codewords.
    pub(crate) fn rows(&self, shape: &CodeShape) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(width(shape)).take(shape.n_codebooks).map(|row| &row[..shape.n_codewords])
    }

    /// Byte sums below this belong to scores below `threshold`; above the largest sum when no item can reach it.
    pub(crate) fn limit(&self, threshold: f32) -> u16 {
        let limit = ((f64::from(threshold) - self.low - self.error) / self.step).ceil();
        // The comparison also sends -inf to 0; the cast saturates.
        if limit > 0.0 { (limit as u16).min(self.largest + 1) } else { 0 }
    }

    /// Items with byte sums below this have scores below those of all items whose sum is `floor` or more.
    pub(crate) fn limit_after(&self, floor: u16) -> u16 {
        floor.saturating_sub(self.slack)
    }
}

/// Bytes of a codebook's row.
const fn width(shape: &CodeShape) -> usize {
    if shape.is_four_bit() { 16 } else { 256 }
}

/// Items that are worked on side by side, so that the compiler finds vectors.
const LANES: usize = 8;

/// The lowest and the highest number of a row; any NaN in the row makes both NaN.
pub(crate) fn range(row: &[f32]) -> (f32, f32) {
    let (mut low, mut high, mut nan) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES], false);
    let mut look = |values: &[f32]| {
        for ((low, high), &value) in low.iter_mut().zip(&mut high).zip(values) {
            *low = if value < *low { value } else { *low };
            *high = if value > *high { value } else { *high };
            nan |= value.is_nan();
        }
    };
    let (lanes, rest) = row.as_chunks::<LANES>();
    lanes.iter().for_each(|values| look(values));
    look(rest);
    if nan {
        return (f32::NAN, f32::NAN);
    }
    (low.into_iter().fold(f32::INFINITY, f32::min), high.into_iter().fold(f32::NEG_INFINITY, f32::max))
}

/// The whole steps of each number above `low`; returns the most that one of them has beyond its steps.
fn round_down(row: &[f32], low: f64, step: f64, bytes: &mut [u8]) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2(row: &[f32], low: f64, step: f64, bytes: &mut [u8]) -> f64 {
            round_down_plain(row, low, step, bytes)
        }
        if is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "calling a function compiled for an instruction set")]
            // SAFETY: the feature was just detected.
            return unsafe { with_avx2(row, low, step, bytes) };
        }
    }
    round_down_plain(row, low, step, bytes)
}

#[inline(always)]
fn round_down_plain(row: &[f32], low: f64, step: f64, bytes: &mut [u8]) -> f64 {
    let per_step = 1.0 / step;
    let mut worst = [0.0f64; LANES];
    let mut round = |values: &[f32], bytes: &mut [u8]| {
        for ((worst, &value), byte) in worst.iter_mut().zip(values).zip(bytes) {
            let above = f64::from(value) - low;
            let steps = (above * per_step) as i32;
            *byte = steps as u8;
            let beyond = above - f64::from(steps) * step;
            *worst = if beyond > *worst { beyond } else { *worst };
        }
    };
    let (lanes, rest) = row.as_chunks::<LANES>();
    for (values, bytes) in lanes.iter().zip(bytes.chunks_exact_mut(LANES)) {
        round(values, bytes);
    }
    round(rest, &mut bytes[row.len() - rest.len()..]);
    worst.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Composition;
    use proptest::prelude::*;
    use rectify_core::rng::Seed;

    proptest! {
        #[test]
        fn no_item_above_the_threshold_is_skipped(
            seed in any::<u64>(), b in 1usize..20, log_w in 1u32..9, exponent in -30i32..30,
        ) {
            let w = 1usize << log_w;
            let shape = CodeShape { embedding_dim: 1, n_codebooks: b, n_codewords: w, composition: Composition::Sum };
            let mut rng = Seed(seed).rng();
            let scale = 10f32.powi(exponent);
            let table: Vec<f32> = (0..b * w).map(|_| rng.normal() as f32 * scale).collect();
            let quick = ByteTable::new(&shape, &table);
            let width = width(&shape);
            let mut scored = Vec::new();
            for _ in 0..50 {
                let codes: Vec<usize> = (0..b).map(|_| rng.below(w as u32) as usize).collect();
                let score = codes.iter().enumerate().fold(0.0f32, |sum, (b, code)| sum + table[b * w + code]);
                let bytes = codes.iter().enumerate().map(|(b, code)| quick.bytes[b * width + code]);
                let sums: Vec<u32> = bytes.collect::<Vec<_>>().chunks(GROUP)
                    .map(|g| g.iter().copied().map(u32::from).sum()).collect();
                prop_assert!(sums.iter().all(|&sum| sum <= 255));
                let sum = sums.iter().sum::<u32>();
                prop_assert!(sum >= u32::from(quick.limit(score)));
                scored.push((score, sum as u16));
            }
            for &(score, sum) in &scored {
                for &(other, floor) in &scored {
                    prop_assert!(sum >= quick.limit_after(floor) || score < other);
                }
            }
            prop_assert_eq!(quick.limit(f32::NEG_INFINITY), 0);
            prop_assert!(quick.limit(f32::INFINITY) > quick.largest);
        }
    }
}
