//! Product quantisation (PQ).

use rectify_core::rng::Seed;

use super::kmeans::{Clusters, Points, kmeans};
use crate::{CodeIndex, CodeShape, Composition, FitError, QuantiserConfig};

/// Codes items `[n, dim]` as codewords one after another: k-means of each of `n_codebooks` equal parts of the vectors.
///
/// Jégou et al., "Product quantization for nearest neighbor search", PAMI 2011.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Codes`] (a width that the codebooks do not divide), [`FitError::Rows`] (no whole rows),
/// [`FitError::Empty`], [`FitError::NotFinite`].
pub fn fit(items: &[f32], dim: usize, config: &QuantiserConfig, seed: Seed) -> Result<CodeIndex, FitError> {
    let shape = config.shape(items, dim, Composition::Product)?;
    let parts: Vec<Clusters> = (0..config.n_codebooks)
        .map(|b| {
            let part = part_of(items, &shape, b);
            kmeans(Points::new(&part, shape.codeword_dim()), shape.n_codewords, config.iterations, part_seed(seed, b))
        })
        .collect();
    index(&shape, &parts)
}

pub(super) fn part_seed(seed: Seed, b: usize) -> Seed {
    seed.stream(&format!("codebook {b}"))
}

/// The dimensions of codebook b, of all items.
pub(super) fn part_of(items: &[f32], shape: &CodeShape, b: usize) -> Vec<f32> {
    let width = shape.codeword_dim();
    items.chunks_exact(shape.embedding_dim).flat_map(|x| &x[b * width..(b + 1) * width]).copied().collect()
}

/// Codes and codebooks of all parts.
pub(super) fn index(shape: &CodeShape, parts: &[Clusters]) -> Result<CodeIndex, FitError> {
    let codebooks: Vec<f32> = parts.iter().flat_map(|part| &part.centres).copied().collect();
    let codes: Vec<u8> =
        (0..parts[0].nearest.len()).flat_map(|i| parts.iter().map(move |part| part.nearest[i])).collect();
    Ok(CodeIndex::from_codes(*shape, &codebooks, &codes)?)
}
