//! A query's table in bytes, with the promise that comes with it.

use crate::codebooks::CodeShape;

/// Codebooks whose bytes are summed in a byte.
pub(crate) const GROUP: usize = 8;

/// The table of a query rounded down to bytes with one shared step.
///
/// For an item with f32 score `s` and byte sum `q` (over all codebooks) the promise is `s ≤ low + step · q + error`, with f32
/// rounding of `s` included in `error`. So whoever needs `s ≥ τ` may skip every item with `q < limit(τ)`. The bytes of up to 8
/// codebooks add up to at most 255.
#[derive(Clone, Debug)]
pub(crate) struct QuickTable {
    /// `[n_codebooks, 256]`, or `[n_codebooks (even), 16]` for four-bit codes; unused places are 0.
    pub(crate) bytes: Vec<u8>,
    low: f64,
    step: f64,
    error: f64,
    largest: u16,
}

impl QuickTable {
    /// Rounds a table `[n_codebooks, n_codewords]` of finite numbers.
    pub(crate) fn new(shape: &CodeShape, table: &[f32]) -> Self {
        let width = if shape.is_four_bit() { 16 } else { 256 };
        let rows = table.chunks_exact(shape.n_codewords);
        let range = |row: &[f32]| {
            let low = row.iter().copied().fold(f32::INFINITY, f32::min);
            (f64::from(low), f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max)))
        };
        let ranges: Vec<(f64, f64)> = rows.clone().map(range).collect();
        // The widest group decides the step, so that its sum still fits a byte.
        let widest =
            ranges.chunks(GROUP).map(|g| g.iter().map(|(low, high)| high - low).sum::<f64>()).fold(0.0, f64::max);
        let step = if widest > 0.0 { widest / 255.0 * (1.0 + 1e-12) } else { 1.0 };

        let mut bytes = vec![0; shape.bytes_per_item() * if shape.is_four_bit() { 2 } else { 1 } * width];
        let mut error = 0.0;
        for ((row, &(low, _)), bytes) in rows.zip(&ranges).zip(bytes.chunks_exact_mut(width)) {
            let mut worst = 0.0f64;
            for (&value, byte) in row.iter().zip(bytes) {
                let steps = ((f64::from(value) - low) / step).floor();
                *byte = steps as u8;
                worst = worst.max(f64::from(value) - low - steps * step);
            }
            error += worst;
        }
        // Each of the n additions of f32 rounds by at most half an ulp of a partial sum; this is twice the bound and more.
        let magnitude: f64 = ranges.iter().map(|(low, high)| low.abs().max(high.abs())).sum();
        error += ranges.len() as f64 * f64::from(f32::EPSILON) * magnitude + f64::from(f32::MIN_POSITIVE);
        let largest = (255 * shape.n_codebooks.div_ceil(GROUP)) as u16;
        Self { bytes, low: ranges.iter().map(|(low, _)| low).sum(), step, error, largest }
    }

    /// Byte sums below this belong to scores below `threshold`; above the largest sum when no item can reach it.
    pub(crate) fn limit(&self, threshold: f32) -> u16 {
        let limit = ((f64::from(threshold) - self.low - self.error) / self.step).ceil();
        // The comparison also sends -inf to 0; the cast saturates.
        if limit > 0.0 { (limit as u16).min(self.largest + 1) } else { 0 }
    }
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
            let quick = QuickTable::new(&shape, &table);
            let width = if shape.is_four_bit() { 16 } else { 256 };
            for _ in 0..50 {
                let codes: Vec<usize> = (0..b).map(|_| rng.below(w as u32) as usize).collect();
                let score = codes.iter().enumerate().fold(0.0f32, |sum, (b, code)| sum + table[b * w + code]);
                let bytes = codes.iter().enumerate().map(|(b, code)| quick.bytes[b * width + code]);
                let sums: Vec<u32> = bytes.collect::<Vec<_>>().chunks(GROUP)
                    .map(|g| g.iter().copied().map(u32::from).sum()).collect();
                prop_assert!(sums.iter().all(|&sum| sum <= 255));
                prop_assert!(sums.iter().sum::<u32>() >= u32::from(quick.limit(score)));
            }
            prop_assert_eq!(quick.limit(f32::NEG_INFINITY), 0);
            prop_assert!(quick.limit(f32::INFINITY) > quick.largest);
        }
    }
}
