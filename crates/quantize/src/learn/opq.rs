//! Product quantisation after a learned rotation (OPQ).

use rectify_core::rng::Seed;
use serde::{Deserialize, Serialize};

use super::kmeans::{Clusters, Points, kmeans, lloyd};
use super::pq::{index, part_of, part_seed};
pub use super::rotation::Rotation;
use crate::{CodeIndex, CodeShape, Composition, ConfigError, FitError, QuantiserConfig};

/// Settings of optimised product quantisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpqConfig {
    /// Codebooks, at least 1. Default 4.
    pub n_codebooks: usize,
    /// Codewords of a codebook, a power of two from 2 to 256. Default 256.
    pub n_codewords: usize,
    /// Iterations of k-means after the last rotation, at most. Default 25.
    pub iterations: u32,
    /// Rotations learned one after the other; 0 is product quantisation without any. Default 20.
    pub rotations: u32,
    /// Iterations of k-means between them. Default 4.
    pub iterations_between: u32,
}

impl Default for OpqConfig {
    fn default() -> Self {
        let QuantiserConfig { n_codebooks, n_codewords, iterations } = QuantiserConfig::default();
        Self { n_codebooks, n_codewords, iterations, rotations: 20, iterations_between: 4 }
    }
}

impl OpqConfig {
    /// Checks every setting that needs no data.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.quantiser().validate()
    }

    const fn quantiser(&self) -> QuantiserConfig {
        let Self { n_codebooks, n_codewords, iterations, .. } = *self;
        QuantiserConfig { n_codebooks, n_codewords, iterations }
    }
}

/// [Product codes](super::pq::fit) of rotated items, with the rotation that suits them: k-means of the parts of `x R`, then the R that
/// brings the items nearest to what their codes say, in turn.
///
/// Ge et al., "Optimized product quantization", CVPR 2013, the non-parametric form. Ask the index with
/// [rotated](Rotation::rotate_into) queries.
///
/// # Errors
/// As [`pq::fit`](super::pq::fit), and [`FitError::Rotation`].
pub fn fit(items: &[f32], dim: usize, config: &OpqConfig, seed: Seed) -> Result<(Rotation, CodeIndex), FitError> {
    let shape = config.quantiser().shape(items, dim, Composition::Product)?;
    let width = shape.codeword_dim();
    let mut rotation = Rotation::identity(dim);
    let mut parts: Vec<Clusters> = Vec::new();
    for round in 0..=config.rotations {
        let rotated = rotation.rotate(items);
        let last = round == config.rotations;
        let iterations = if last { config.iterations } else { config.iterations_between };
        for b in 0..shape.n_codebooks {
            let part = part_of(&rotated, &shape, b);
            let points = Points::new(&part, width);
            match parts.get_mut(b) {
                Some(clusters) => lloyd(points, clusters, iterations),
                None => parts.push(kmeans(points, shape.n_codewords, iterations, part_seed(seed, b))),
            }
        }
        if !last {
            rotation = Rotation::procrustes(items, &decoded(&shape, &parts), dim)?;
        }
    }
    Ok((rotation, index(&shape, &parts)?))
}

/// What the codes say, `[n, dim]`.
fn decoded(shape: &CodeShape, parts: &[Clusters]) -> Vec<f32> {
    let (width, n) = (shape.codeword_dim(), parts[0].nearest.len());
    let mut out = Vec::with_capacity(n * shape.embedding_dim);
    for i in 0..n {
        for part in parts {
            out.extend_from_slice(&part.centres[usize::from(part.nearest[i]) * width..][..width]);
        }
    }
    out
}
