//! EASE: a linear item-to-item model in closed form.

use std::path::Path;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{ItemId, QueryError, Scorer, Teacher, UserId, Violation, check_len};
use rectify_data::Interactions;
use rectify_tensor::kernels::add_assign;
use serde::{Deserialize, Serialize};

use crate::co_counts::CoCounts;
use crate::history::History;
use crate::{ConfigError, FitError};

const KIND: &str = "ease";
const VERSION: u32 = 1;

/// Settings of [`Ease`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EaseConfig {
    /// λ, added to the diagonal of XᵀX; above 0. Default 200. The one thing to tune: from 100 (small data) to 1000.
    pub l2: f64,
    /// Most bytes the fit may hold at its peak, 2 · 4 · n_items² of them. Default 8 GiB, enough for 32,768 items.
    pub memory_limit_bytes: u64,
}

impl Default for EaseConfig {
    fn default() -> Self {
        Self { l2: 200.0, memory_limit_bytes: 8 << 30 }
    }
}

impl EaseConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.l2 > 0.0 && self.l2.is_finite(), KIND, "l2", "a finite number above 0", self.l2)
    }
}

/// Embarrassingly shallow auto-encoder (Steck, WWW 2019): the item-to-item weights B with zero diagonal that minimise
/// `‖X − XB‖² + λ‖B‖²` are, with `P = (XᵀX + λI)⁻¹`, `B_ij = −P_ij / P_jj`. `score(u, i) = Σ B_ai` over the items a of the
/// user; a user without items scores everything 0.
///
/// Strong wherever the catalogue is small, and there is nothing to train. Memory grows with n_items² and time with
/// n_items³, whatever the number of users: above some 30,000 items take [`ials`](crate::ials).
///
/// Everything is computed in f32, and a λ too small for that is refused where the factorisation notices. The
/// factorisation runs on one thread, so any number of threads gives the same bits.
#[derive(Clone, Debug)]
pub struct Ease {
    config: EaseConfig,
    /// Row-major `[n_items, n_items]`; row a is what having item a adds to each score.
    weights: Array<f32>,
    history: History,
    n_items: usize,
}

impl Ease {
    /// Solves for the weights.
    ///
    /// # Errors
    /// [`FitError::Config`]; [`FitError::Empty`] without any interaction; [`FitError::Memory`] for a catalogue too large;
    /// [`FitError::Singular`] if λ is too small for f32.
    pub fn fit(train: &Interactions, config: &EaseConfig) -> Result<Self, FitError> {
        config.validate()?;
        FitError::check_not_empty(train)?;
        let n_items = train.n_items();
        let needed_bytes = (n_items as u64).saturating_mul(n_items as u64).saturating_mul(2 * size_of::<f32>() as u64);
        let limit_bytes = config.memory_limit_bytes;
        if needed_bytes > limit_bytes {
            return Err(FitError::Memory { model: KIND, n_items, needed_bytes, limit_bytes });
        }
        let gram = gram(train, config.l2 as f32);
        let mut weights = invert(gram, n_items).ok_or_else(|| FitError::Singular {
            model: KIND,
            what: format!("{n_items} items"),
            precision: "f32",
        })?;
        let scale: Vec<f32> = (0..n_items).map(|j| -1.0 / weights[j * n_items + j]).collect();
        weights.par_chunks_exact_mut(n_items).enumerate().for_each(|(a, row)| {
            row.iter_mut().zip(&scale).for_each(|(p, scale)| *p *= scale);
            row[a] = 0.0;
        });
        Ok(Self { config: config.clone(), weights: weights.into(), history: History::of(train), n_items })
    }

    /// The settings it was fitted with.
    #[must_use]
    pub const fn config(&self) -> &EaseConfig {
        &self.config
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.history.n_users()
    }

    /// B, row-major `[n_items, n_items]`; B_ij is what having item i adds to the score of item j.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Bytes of the arrays that answer queries.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of_val(&*self.weights) + self.history.size_bytes()
    }

    /// Writes the model to one file, of 4 · n_items² bytes and more.
    ///
    /// # Errors
    /// As [`ArtifactWriter::save`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&self.config);
        writer.array("weights", &[self.n_items, self.n_items], &self.weights);
        self.history.write(&mut writer);
        writer.save(path, overwrite)
    }

    /// Maps a model that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// A file that is not such a model, or is damaged.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let n_items = artifact.array::<f32>("weights")?.1.first().copied().unwrap_or(0);
        let weights = artifact.array_shaped::<f32>("weights", &[n_items, n_items])?;
        if let Some(at) = weights.iter().position(|w| !w.is_finite()) {
            let problem = format!("row {}, column {} is {}", at / n_items, at % n_items, weights[at]);
            artifact.reject(vec![Violation { field: "weights".into(), problem }])?;
        }
        let history = History::read(&artifact, n_items)?;
        Ok(Self { config: artifact.config()?, weights, history, n_items })
    }

    fn row(&self, item: ItemId) -> &[f32] {
        &self.weights[item.index() * self.n_items..][..self.n_items]
    }
}

/// `XᵀX + λI`, dense.
fn gram(train: &Interactions, l2: f32) -> Vec<f32> {
    let n = train.n_items();
    let mut gram = vec![0.0f32; n * n];
    gram.par_chunks_exact_mut(n).enumerate().with_min_len(16).for_each_init(
        || CoCounts::new(n),
        |scratch, (item, row)| {
            scratch.count(train, ItemId(item as u32));
            scratch.iter().for_each(|(other, shared)| row[other.index()] = shared as f32);
            row[item] += l2;
        },
    );
    gram
}

/// The inverse of a positive definite matrix, whole; holds two matrices at a time. `None` if f32 cannot factor it.
fn invert(mut a: Vec<f32>, n: usize) -> Option<Vec<f32>> {
    // A = LLᵀ, A⁻¹ = L⁻ᵀL⁻¹; only lower triangles are touched. Symmetric, so column-major is row-major.
    let mut scratch = MemBuffer::new(cholesky_in_place_scratch::<f32>(n, Par::Seq, Default::default()));
    let lower = MatMut::from_column_major_slice_mut(&mut a, n, n);
    let regularization = LltRegularization::default();
    cholesky_in_place(lower, regularization, Par::Seq, MemStack::new(&mut scratch), Default::default()).ok()?;
    let mut inverse = vec![0.0f32; n * n];
    let lower = MatRef::from_column_major_slice(&a, n, n);
    invert_lower_triangular(MatMut::from_column_major_slice_mut(&mut inverse, n, n), lower, Par::Seq);
    let factor = MatRef::from_column_major_slice(&inverse, n, n);
    matmul(
        MatMut::from_column_major_slice_mut(&mut a, n, n),
        BlockStructure::TriangularLower,
        Accum::Replace,
        factor.transpose(),
        BlockStructure::TriangularUpper,
        factor,
        BlockStructure::TriangularLower,
        1.0,
        Par::Seq,
    );
    drop(inverse);
    for column in 0..n {
        for row in column + 1..n {
            a[row * n + column] = a[column * n + row];
        }
    }
    a.iter().all(|x| x.is_finite()).then_some(a)
}

impl Scorer for Ease {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let history = self.history.items_of(*user)?;
        check_len("out", items.len(), out.len())?;
        for (&item, score) in items.iter().zip(out) {
            if item.index() >= self.n_items {
                return Err(QueryError::UnknownItem { item, n_items: self.n_items });
            }
            *score = history.iter().fold(0.0, |sum, &a| sum + self.row(a)[item.index()]);
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        let history = self.history.items_of(*user)?;
        check_len("out", self.n_items, out.len())?;
        out.fill(0.0);
        for &item in history {
            add_assign(out, self.row(item));
        }
        Ok(())
    }
}

impl Teacher for Ease {}

#[cfg(test)]
mod tests {
    use rectify_core::testing;

    use super::*;
    use crate::fixture;

    fn fit(train: &Interactions) -> Ease {
        Ease::fit(train, &EaseConfig { l2: 10.0, ..EaseConfig::default() }).unwrap()
    }

    #[test]
    fn two_items_give_the_weights_that_can_be_written_down() {
        // XᵀX = [[3, 2], [2, 2]], λ = 1: P ∝ [[3, -2], [-2, 4]], so B_01 = 2 / 4 and B_10 = 2 / 3.
        let train = Interactions::from_pairs(3, 2, &[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]).unwrap();
        let model = Ease::fit(&train, &EaseConfig { l2: 1.0, ..EaseConfig::default() }).unwrap();
        let want = [0.0, 0.5, 2.0 / 3.0, 0.0];
        assert!(model.weights().iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{:?}", model.weights());
    }

    #[test]
    fn the_weights_meet_the_optimality_condition_off_the_diagonal() {
        // The gradient of ‖X − XB‖² + λ‖B‖² vanishes off the diagonal: (G + λI) B = G there.
        let train = fixture::clusters(200, 90);
        let (n, model) = (90, fit(&train));
        let g = gram(&train, 0.0);
        for i in 0..n {
            for j in (0..n).filter(|j| *j != i) {
                let left: f64 = (0..n)
                    .map(|k| {
                        let l2 = if i == k { 10.0 } else { 0.0 };
                        (f64::from(g[i * n + k]) + l2) * f64::from(model.weights()[k * n + j])
                    })
                    .sum();
                assert!((left - f64::from(g[i * n + j])).abs() < 1e-2, "{i} {j}: {left} {}", g[i * n + j]);
            }
        }
    }

    #[test]
    fn ease_finds_the_held_out_item() {
        let (train, targets) = fixture::held_out(200, 90);
        let auc = fixture::auc(&fit(&train), &train, &targets);
        // Usually 0.854; 0.93 is the most that the four groups allow.
        assert!((0.80..0.95).contains(&auc), "{auc}");
    }

    #[test]
    fn ease_keeps_every_promise_of_a_scorer_for_users_with_and_without_items() {
        let model = fit(&fixture::clusters(60, 40));
        testing::scorer(&model, &[&UserId(0), &fixture::EMPTY_USER]);
        testing::scorer_refuses(&model, &UserId(60));
    }

    #[test]
    fn files_are_the_same_for_any_number_of_threads_and_answer_the_same() {
        let train = fixture::clusters(150, 130);
        let save = |model: &Ease, path: &Path| model.save(path, Overwrite::Refuse);
        fixture::same_file_for_any_threads(|| fit(&train), save, Ease::open);
    }

    #[test]
    fn a_catalogue_too_large_is_refused_before_anything_is_allocated() {
        let train = Interactions::from_pairs(1, 4_000_000, &[(0, 0)]).unwrap();
        let error = Ease::fit(&train, &EaseConfig::default()).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "ease on 4000000 items needs 128000000000000 bytes, but memory_limit_bytes is 8589934592; raise the limit"
            ),
            "{error}"
        );
    }

    #[test]
    fn bad_settings_and_empty_data_are_named() {
        let train = fixture::clusters(60, 40);
        for l2 in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Ease::fit(&train, &EaseConfig { l2, ..EaseConfig::default() }).unwrap_err().to_string();
            assert_eq!(error, format!("ease: l2 is {l2}, expected a finite number above 0"));
        }
        let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
        assert!(matches!(Ease::fit(&empty, &EaseConfig::default()), Err(FitError::Empty { .. })));
        assert!(serde_json::from_str::<EaseConfig>(r#"{"lambda": 3}"#).unwrap_err().to_string().contains("lambda"));
    }

    #[test]
    fn a_regularisation_below_f32_is_an_error_and_no_nonsense() {
        // Two equal columns of four: 4 + 1e-12 rounds to 4, and the system is singular.
        let pairs: Vec<(u32, u32)> = (0..4).flat_map(|user| [(user, 0), (user, 1)]).collect();
        let train = Interactions::from_pairs(4, 2, &pairs).unwrap();
        let error = Ease::fit(&train, &EaseConfig { l2: 1e-12, ..EaseConfig::default() }).unwrap_err();
        assert!(matches!(error, FitError::Singular { precision: "f32", .. }), "{error}");
    }
}
