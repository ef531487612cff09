//! The closed form of iALS for one person, over anybody's item vectors.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{ConfigError, ItemId, ItemVectors, QueryError};
use rectify_tensor::kernels::{add_assign, cholesky_solve, gram_add, padded};
use serde::{Deserialize, Serialize};

/// Name of the array of `QᵀQ`.
const GRAM: &str = "gram";
/// Item vectors that a kernel takes together.
const BLOCK: usize = 64;
/// Items that stand for all of them where vectors of items move with the person.
const SAMPLE: usize = 512;
/// Systems that are solved for one person then.
const STEPS: usize = 3;

/// Scores that are linear in the vector that asks, as long as it stays near: those of a network of relus.
pub trait LocallyLinear: Send + Sync {
    /// The vector `e` with `score = e · vector + constant` near `vector`.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`], lengths that disagree.
    fn gradient_into(&self, vector: &[f32], item: ItemId, out: &mut [f32]) -> Result<(), QueryError>;
}

/// Settings of [`RidgeFoldIn`]; those of iALS mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RidgeConfig {
    /// Weight of an item that a person does not have (α₀), at least 0; one that the person has weighs 1 more. Default 0.1.
    pub unobserved_weight: f64,
    /// λ, above 0. Default 0.003.
    pub l2: f64,
    /// How the regularisation grows with a person's weight (ν): `λ (n_u + α₀ n_items)^ν`, in [0, 1]. Default 1.
    pub frequency_exponent: f64,
}

impl Default for RidgeConfig {
    fn default() -> Self {
        Self { unobserved_weight: 0.1, l2: 0.003, frequency_exponent: 1.0 }
    }
}

impl RidgeConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let finite = |x: f64, least: bool| x.is_finite() && least;
        let (weight, l2, nu) = (self.unobserved_weight, self.l2, self.frequency_exponent);
        let check = |holds, field, expected, got: f64| ConfigError::check_of(holds, "fold-in", field, expected, got);
        check(finite(weight, weight >= 0.0), "unobserved_weight", "a finite number of at least 0", weight)?;
        check(finite(l2, l2 > 0.0), "l2", "a finite number above 0", l2)?;
        check((0.0..=1.0).contains(&nu), "frequency_exponent", "in [0, 1]", nu)
    }
}

/// Vectors of people who were not trained on, by least squares over the vectors of the items they have:
/// `p = (Σ_{i∈H} q_i q_iᵀ + α₀ QᵀQ + λ (|H| + α₀ n)^ν I)⁻¹ Σ_{i∈H} q_i`.
///
/// For the items of iALS, and its settings, that is the vector that iALS itself would give to a user with this history (Hu et al., ICDM
/// 2008, Eq. 4; Rendle et al., RecSys 2022). For decoded codes, bits and other vectors it is the same least squares problem, with
/// settings that validation data choose.
///
/// - A history is a set: neither order nor repetition changes a bit. An empty one gives zeros.
/// - **Cost**: `|H| d² / 2 + d³ / 6` multiplications a person; `QᵀQ` is made once, `n d² / 2`.
#[derive(Clone, Debug)]
pub struct RidgeFoldIn {
    config: RidgeConfig,
    dim: usize,
    n_items: usize,
    /// `QᵀQ`, upper triangle, `[dim, padded(dim)]`.
    gram: Array<f32>,
}

impl RidgeFoldIn {
    /// Over these items.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(items: &dyn ItemVectors, config: RidgeConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let (dim, n_items) = (items.dim(), items.n_items());
        let stride = padded(dim);
        let (mut gram, mut block) = (vec![0.0; dim * stride], vec![0.0; BLOCK * stride]);
        for first in (0..n_items).step_by(BLOCK) {
            let n = BLOCK.min(n_items - first);
            for (at, row) in block.chunks_exact_mut(stride).take(n).enumerate() {
                // Every item below the number of items has a vector.
                let _ = items.item_vector_into(ItemId((first + at) as u32), &mut row[..dim]);
            }
            gram_add(&block[..n * stride], stride, 1.0, &mut gram);
        }
        Ok(Self { config, dim, n_items, gram: gram.into() })
    }

    /// The same items under other settings.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn with_config(&self, config: RidgeConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, ..self.clone() })
    }

    /// Its settings.
    #[must_use]
    pub const fn config(&self) -> &RidgeConfig {
        &self.config
    }

    /// Width of a vector.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// The vector of somebody with this history; `items` are those it was made over.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`]; [`QueryError::Length`] for other items; [`QueryError::Unsupported`] if single precision cannot solve
    /// the system, which a larger `l2` mends.
    pub fn fold_in(&self, items: &dyn ItemVectors, history: &[ItemId]) -> Result<Vec<f32>, QueryError> {
        rectify_core::check_len("an item vector", self.dim, items.dim())?;
        let history = as_set(history);
        let weight = self.config.unobserved_weight as f32;
        let mut system = System::new(self.dim, self.gram.iter().map(|value| value * weight).collect());
        system.add(&history, 1.0, true, |item, row| items.item_vector_into(item, row))?;
        system.solve(self.l2(history.len()))
    }

    /// As [`fold_in`](Self::fold_in) through a network over the same items: the gradients of its scores stand for their vectors, those
    /// at the vector of zeros first, then those at what was found, three systems in all (Gauss and Newton's method). In the sum over all
    /// items 512, evenly spread over their ids, stand for the others.
    ///
    /// # Errors
    /// As [`fold_in`](Self::fold_in).
    pub fn fold_in_through(&self, network: &dyn LocallyLinear, history: &[ItemId]) -> Result<Vec<f32>, QueryError> {
        let history = as_set(history);
        let sample: Vec<ItemId> = (0..SAMPLE.min(self.n_items))
            .map(|at| ItemId((at * self.n_items / SAMPLE.min(self.n_items)) as u32))
            .collect();
        let weight = (self.config.unobserved_weight * self.n_items as f64 / sample.len().max(1) as f64) as f32;
        let mut x = vec![0.0; self.dim];
        if history.is_empty() {
            return Ok(x);
        }
        for _ in 0..STEPS {
            let mut system = System::new(self.dim, vec![0.0; self.gram.len()]);
            system.add(&sample, weight, false, |item, row| network.gradient_into(&x, item, row))?;
            system.add(&history, 1.0, true, |item, row| network.gradient_into(&x, item, row))?;
            x = system.solve(self.l2(history.len()))?;
        }
        Ok(x)
    }

    /// What is added to the diagonal for a history of `n` items.
    fn l2(&self, n: usize) -> f32 {
        let mass = n as f64 + self.config.unobserved_weight * self.n_items as f64;
        (self.config.l2 * mass.powf(self.config.frequency_exponent)) as f32
    }

    /// Adds it to an artifact, each name after `prefix`.
    pub fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.config_of(prefix, &self.config);
        writer.array(&format!("{prefix}{GRAM}"), &[self.dim, padded(self.dim)], &self.gram);
    }

    /// What [`write`](Self::write) added, over `items`.
    ///
    /// # Errors
    /// [`ArtifactError::Field`]: a setting or array that is missing or of another form.
    pub fn read(artifact: &Artifact, prefix: &str, items: &dyn ItemVectors) -> Result<Self, ArtifactError> {
        let config: RidgeConfig = artifact.config_of(prefix)?;
        config.validate().map_err(|error| artifact.field_error("fold-in", error.to_string()))?;
        let dim = items.dim();
        let gram = artifact.array_shaped(&format!("{prefix}{GRAM}"), &[dim, padded(dim)])?;
        Ok(Self { config, dim, n_items: items.n_items(), gram })
    }
}

/// Neither order nor repetition matters.
fn as_set(history: &[ItemId]) -> Vec<ItemId> {
    let mut history = history.to_vec();
    history.sort_unstable();
    history.dedup();
    history
}

/// The normal equations of one person.
struct System {
    stride: usize,
    matrix: Vec<f32>,
    right: Vec<f32>,
}

impl System {
    fn new(dim: usize, matrix: Vec<f32>) -> Self {
        Self { stride: padded(dim), matrix, right: vec![0.0; dim] }
    }

    /// Adds `weight e eᵀ` of each item, and `e` to the right side where it is wanted.
    fn add(
        &mut self,
        items: &[ItemId],
        weight: f32,
        wanted: bool,
        vector: impl Fn(ItemId, &mut [f32]) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let (dim, stride) = (self.right.len(), self.stride);
        let mut block = vec![0.0; BLOCK * stride];
        for part in items.chunks(BLOCK) {
            for (row, &item) in block.chunks_exact_mut(stride).zip(part) {
                vector(item, &mut row[..dim])?;
                if wanted {
                    add_assign(&mut self.right, &row[..dim]);
                }
            }
            gram_add(&block[..part.len() * stride], stride, weight, &mut self.matrix);
        }
        Ok(())
    }

    fn solve(self, l2: f32) -> Result<Vec<f32>, QueryError> {
        let Self { stride, mut matrix, right: mut x } = self;
        if x.iter().all(|value| *value == 0.0) {
            return Ok(x);
        }
        (0..x.len()).for_each(|k| matrix[k * stride + k] += l2);
        if cholesky_solve(&mut matrix, stride, &mut x) && x.iter().all(|value| value.is_finite()) {
            return Ok(x);
        }
        Err(QueryError::Unsupported(
            "the least squares problem of a history is singular; fold in with a larger l2".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::{Catalogue as _, ExactConfig, ExactIndex};

    use super::*;

    fn items() -> ExactIndex {
        let rows = (0u16..30 * 5).map(|x| (f32::from(x) * 0.37).sin()).collect::<Vec<_>>();
        ExactIndex::build(rows, 5, &ExactConfig::default()).unwrap()
    }

    /// The system of the doc comment, by Gauss and in double precision.
    fn by_hand(items: &ExactIndex, history: &[usize], config: &RidgeConfig) -> Vec<f64> {
        let d = items.dim();
        let row = |i: usize| -> Vec<f64> { items.rows()[i * d..][..d].iter().map(|x| f64::from(*x)).collect() };
        let mut a = vec![vec![0.0; d + 1]; d];
        for i in 0..items.n_items() {
            let weight = config.unobserved_weight + if history.contains(&i) { 1.0 } else { 0.0 };
            let q = row(i);
            for r in 0..d {
                (0..d).for_each(|c| a[r][c] += weight * q[r] * q[c]);
                a[r][d] += if history.contains(&i) { q[r] } else { 0.0 };
            }
        }
        let mass = history.len() as f64 + config.unobserved_weight * items.n_items() as f64;
        (0..d).for_each(|r| a[r][r] += config.l2 * mass.powf(config.frequency_exponent));
        for pivot in 0..d {
            for r in 0..d {
                if r != pivot {
                    let factor = a[r][pivot] / a[pivot][pivot];
                    (0..=d).for_each(|c| a[r][c] -= factor * a[pivot][c]);
                }
            }
        }
        (0..d).map(|r| a[r][d] / a[r][r]).collect()
    }

    #[test]
    fn the_vector_solves_the_equation_of_ials() {
        let items = items();
        for config in [
            RidgeConfig::default(),
            RidgeConfig { unobserved_weight: 0.0, l2: 0.5, frequency_exponent: 0.0 },
            RidgeConfig { unobserved_weight: 0.02, l2: 0.1, frequency_exponent: 0.5 },
        ] {
            let fold_in = RidgeFoldIn::new(&items, config).unwrap();
            let got = fold_in.fold_in(&items, &[ItemId(7), ItemId(2), ItemId(29)]).unwrap();
            for (got, expected) in got.iter().zip(by_hand(&items, &[2, 7, 29], &config)) {
                assert!((f64::from(*got) - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{got} {expected}");
            }
        }
    }

    #[test]
    fn a_history_is_a_set_and_an_unknown_item_is_named() {
        let items = items();
        let fold_in = RidgeFoldIn::new(&items, RidgeConfig::default()).unwrap();
        let of = |history: &[u32]| fold_in.fold_in(&items, &history.iter().copied().map(ItemId).collect::<Vec<_>>());
        assert_eq!(of(&[3, 1, 3]).unwrap(), of(&[1, 3]).unwrap());
        assert_eq!(of(&[]).unwrap(), [0.0; 5]);
        assert_eq!(of(&[30]), Err(QueryError::UnknownItem { item: ItemId(30), n_items: 30 }));
        assert!(RidgeFoldIn::new(&items, RidgeConfig { l2: 0.0, ..RidgeConfig::default() }).is_err());
    }
}
