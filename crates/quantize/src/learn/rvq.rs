//! Residual quantisation (RVQ).

use rectify_core::rng::Seed;

use super::kmeans::{Points, kmeans};
use crate::{CodeIndex, Composition, FitError, QuantiserConfig};

/// Codes items `[n, dim]` as sums of codewords: k-means of the vectors, then of what is left of them, and so on.
///
/// Chen et al., "Approximate nearest neighbor search by residual vector quantization", Sensors 2010. Each codebook is fitted and
/// each code chosen given those before it. A surplus codeword (fewer distinct vectors than codewords) is a copy that no item uses.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Rows`] (no whole rows), [`FitError::Empty`], [`FitError::NotFinite`].
pub fn fit(items: &[f32], dim: usize, config: &QuantiserConfig, seed: Seed) -> Result<CodeIndex, FitError> {
    let shape = config.shape(items, dim, Composition::Sum)?;
    let (codebooks, codes) = stages(Points::new(items, dim), config, seed);
    Ok(CodeIndex::from_codes(shape, &codebooks, &codes)?)
}

/// The codebooks alone, `[n_codebooks, n_codewords, dim]`, of items that count as their weights say.
pub(super) fn codebooks(
    items: &[f32],
    weights: &[f32],
    dim: usize,
    config: &QuantiserConfig,
    seed: Seed,
) -> Result<Vec<f32>, FitError> {
    config.shape(items, dim, Composition::Sum)?;
    Ok(stages(Points::weighted(items, dim, weights), config, seed).0)
}

/// Codebooks, and codes `[n, n_codebooks]`.
fn stages(items: Points<'_>, config: &QuantiserConfig, seed: Seed) -> (Vec<f32>, Vec<u8>) {
    let dim = items.dim;
    let mut left = items.values.to_vec();
    let mut codebooks = Vec::with_capacity(config.n_codebooks * config.n_codewords * dim);
    let mut codes = vec![0; items.len() * config.n_codebooks];
    for b in 0..config.n_codebooks {
        let points = Points { values: &left, ..items };
        let clusters = kmeans(points, config.n_codewords, config.iterations, seed.stream(&format!("codebook {b}")));
        for (i, (x, &code)) in left.chunks_exact_mut(dim).zip(&clusters.nearest).enumerate() {
            codes[i * config.n_codebooks + b] = code;
            let centre = &clusters.centres[usize::from(code) * dim..][..dim];
            x.iter_mut().zip(centre).for_each(|(x, c)| *x -= c);
        }
        codebooks.extend(clusters.centres);
    }
    (codebooks, codes)
}
