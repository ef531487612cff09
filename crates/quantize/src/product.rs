//! Product quantisation (PQ), and with a learned rotation (OPQ).

use faer::Mat;
use rectify_core::rng::Seed;
use rectify_core::{QueryError, check_len};
use rectify_tensor::kernels::{Op, gemm};
use serde::{Deserialize, Serialize};

use crate::kmeans::{Clusters, Points, kmeans, lloyd};
use crate::{CodeIndex, CodeShape, Composition, ConfigError, FitError, QuantiserConfig};

/// Codes items `[n, dim]` as codewords one after another: k-means of each of `n_codebooks` equal parts of the vectors.
///
/// Jégou et al., "Product quantization for nearest neighbor search", PAMI 2011.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Codes`] (a width that the codebooks do not divide), [`FitError::Shape`] (no whole rows),
/// [`FitError::Empty`], [`FitError::NotFinite`].
pub fn product_quantiser(
    items: &[f32],
    dim: usize,
    config: &QuantiserConfig,
    seed: Seed,
) -> Result<CodeIndex, FitError> {
    let shape = config.shape(items, dim, Composition::Product)?;
    let parts: Vec<Clusters> = (0..config.n_codebooks)
        .map(|b| {
            let part = part_of(items, &shape, b);
            kmeans(Points::new(&part, shape.codeword_dim()), shape.n_codewords, config.iterations, part_seed(seed, b))
        })
        .collect();
    index(&shape, &parts)
}

/// Settings of [`optimised_product_quantiser`].
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

/// An orthogonal matrix R: what is quantised, and what asks, is `x R`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    dim: usize,
    /// Row-major.
    matrix: Vec<f32>,
}

impl Rotation {
    fn identity(dim: usize) -> Self {
        let mut matrix = vec![0.0; dim * dim];
        matrix.iter_mut().step_by(dim + 1).for_each(|x| *x = 1.0);
        Self { dim, matrix }
    }

    /// The rotation that brings the rows of x nearest to those of y (orthogonal Procrustes): `argmin ‖x R − y‖` over
    /// orthogonal R is `U Vᵀ` with `xᵀ y = U S Vᵀ` (Schönemann, Psychometrika 1966).
    ///
    /// # Errors
    /// [`FitError::Shape`] if the tables are no whole rows, or not equally many; [`FitError::Empty`];
    /// [`FitError::NotFinite`].
    pub fn procrustes(x: &[f32], y: &[f32], dim: usize) -> Result<Self, FitError> {
        crate::teacher::check_rows("rows to rotate", "row", x, dim)?;
        crate::teacher::check_rows("rows to reach", "row", y, dim)?;
        if x.len() != y.len() {
            let (expected, got) = (format!("{} rows", x.len() / dim), format!("{} rows", y.len() / dim));
            return Err(FitError::Shape { what: "rows to reach", expected, got });
        }
        let mut cross = vec![0.0; dim * dim];
        gemm((dim, dim, x.len() / dim), 1.0, x, Op::Transposed, y, Op::Plain, 0.0, &mut cross);
        let cross = Mat::from_fn(dim, dim, |i, j| f64::from(cross[i * dim + j]));
        let svd = cross.svd().map_err(|error| FitError::Shape {
            what: "rows to rotate",
            expected: "a product with a singular value decomposition".into(),
            got: format!("{error:?}"),
        })?;
        let rotation = svd.U() * svd.V().transpose();
        let matrix = (0..dim * dim).map(|at| rotation[(at / dim, at % dim)] as f32).collect();
        Ok(Self { dim, matrix })
    }

    /// The matrix, row-major `[dim, dim]`.
    #[must_use]
    pub fn matrix(&self) -> &[f32] {
        &self.matrix
    }

    /// `out ← rows R` for any number of rows, such as the queries of an index over rotated items.
    ///
    /// # Errors
    /// Rows that are not whole, or `out` of another size.
    pub fn rotate_into(&self, rows: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
        let (n, d) = (rows.len() / self.dim, self.dim);
        check_len("rows to rotate", n * d, rows.len())?;
        check_len("rotated rows", rows.len(), out.len())?;
        gemm((n, d, d), 1.0, rows, Op::Plain, &self.matrix, Op::Plain, 0.0, out);
        Ok(())
    }

    fn rotate(&self, rows: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; rows.len()];
        let (n, d) = (rows.len() / self.dim, self.dim);
        gemm((n, d, d), 1.0, rows, Op::Plain, &self.matrix, Op::Plain, 0.0, &mut out);
        out
    }
}

/// [`product_quantiser`] of rotated items, with the rotation that suits it: k-means of the parts of `x R`, then the R that
/// brings the items nearest to what their codes say, in turn.
///
/// Ge et al., "Optimized product quantization", CVPR 2013, the non-parametric form. Ask the index with
/// [rotated](Rotation::rotate_into) queries.
///
/// # Errors
/// As [`product_quantiser`].
pub fn optimised_product_quantiser(
    items: &[f32],
    dim: usize,
    config: &OpqConfig,
    seed: Seed,
) -> Result<(Rotation, CodeIndex), FitError> {
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

fn part_seed(seed: Seed, b: usize) -> Seed {
    seed.stream(&format!("codebook {b}"))
}

/// The dimensions of codebook b, of all items.
fn part_of(items: &[f32], shape: &CodeShape, b: usize) -> Vec<f32> {
    let width = shape.codeword_dim();
    items.chunks_exact(shape.embedding_dim).flat_map(|x| &x[b * width..(b + 1) * width]).copied().collect()
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

fn index(shape: &CodeShape, parts: &[Clusters]) -> Result<CodeIndex, FitError> {
    let codebooks: Vec<f32> = parts.iter().flat_map(|part| &part.centres).copied().collect();
    let codes: Vec<u8> =
        (0..parts[0].nearest.len()).flat_map(|i| parts.iter().map(move |part| part.nearest[i])).collect();
    Ok(CodeIndex::from_codes(*shape, &codebooks, &codes)?)
}
