//! DGCN-BinCF (Wang et al., "Binarized Collaborative Filtering with Distilling Graph Convolutional Networks", IJCAI 2019), and
//! BinCF, the same without a teacher's rankings.
//!
//! Codes are learned as real rows p with `x = tanh p`. Per batch (Eq. 18)
//!
//! ```text
//! L = BPR + α T² L_rank + ν Σ E[(b - x)²] + β Σ (|x| - 1)²
//! ```
//!
//! - BPR: mean of `-ln σ(x_u·(x_i - x_j))` over interactions (u, i), with one uniform negative j each;
//! - `L_rank`: the cross-entropy between the teacher's and the codes' softmax over a user's items, plus that over the
//!   user's negatives; mean over users ([`rectify_distill::list_distillation`]);
//! - noise: what rounding x to a random bit costs, `1 + x² - 2 x tanh(x / 2τ)`; corner: the distance to ±1.
//!
//! Served codes are signs of p, with sign(0) = +1.
//!
//! **Readings**:
//! - Eq. 15 sums over pairs; the softmax runs over the items of one user, or users with large scores would drown the others.
//! - Eq. 17's text draws bits with probability tanh(p), which may be negative; `σ(x / τ)`, as the text before it says.
//! - Penalties are over all codes, while a batch sees some rows: we take the distinct rows of the batch and divide by its
//!   interactions, the scale of BPR's mean.
//! - The corner penalty is quadratic near the corner, so that the paper's exactness proof does not hold; codes end near ±1, and
//!   the sign is still needed.
//! - A batch is users with all their interactions, since the lists need them together.
//! - Scores are multiplied by [`BinCfConfig::score_scale`], and the start is centred and rotated ([`BinCfConfig::centre`],
//!   [`BinCfConfig::rotation_rounds`]); the paper does neither. Centring leaves a user's order of items as it is up to one shift an
//!   item, rotation leaves it altogether.

mod batch;
mod config;
mod kernels;
mod step;

pub use config::{BinCfConfig, Relaxation, Start};

use rectify_core::rng::Seed;
use rectify_core::{Teacher, UserId};
use rectify_data::Interactions;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{Init, ParamStore, RowUpdate, RowsKey};

use super::vectors::{Vectors, by_sign, hidden_vectors};
use super::{FitError, TeacherError};
use crate::BinaryFactors;
use batch::{Batch, Lists};
use step::Rows;

/// Learns codes from interactions and a teacher.
///
/// An epoch visits every interaction once; `run` says how many epochs and where to checkpoint. `run.validate` gets the
/// **binarised** codes after an epoch, so that the epoch kept is the best of what will be served. The loss reported is L, the mean
/// over interactions. A user without interactions keeps the code of its start. The same seed gives the same bits on any number
/// of threads, and after a resume.
///
/// The teacher gives its hidden vectors for [`Start::Teacher`], and its scores unless `ranking_weight` is 0.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`] (a user who has every item), [`FitError::Teacher`] (no
/// vectors, or another number of items), [`FitError::Query`] (it refuses a user), [`FitError::Train`], [`FitError::Diverged`].
pub fn fit(
    train: &Interactions,
    teacher: &dyn Teacher<Query = UserId>,
    config: &BinCfConfig,
    run: TrainRun<'_, BinaryFactors>,
) -> Result<(BinaryFactors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let mut model = Training::new(train, teacher, config, run.seed)?;
    let report = run.drive(&mut model, |model| model.codes())?;
    Ok((model.codes()?, report))
}

/// The codes before the first epoch: what `start` and `centre` give.
///
/// # Errors
/// As [`fit`].
pub fn start(
    train: &Interactions,
    teacher: &dyn Teacher<Query = UserId>,
    config: &BinCfConfig,
    seed: Seed,
) -> Result<BinaryFactors, FitError> {
    config.validate()?;
    Training::new(train, teacher, config, seed)?.codes()
}

struct Training<'a> {
    config: &'a BinCfConfig,
    teacher: &'a dyn Teacher<Query = UserId>,
    lists: Lists<'a>,
    params: ParamStore,
    users: RowsKey,
    items: RowsKey,
    dim: usize,
    batch: Batch,
    rows: Rows,
    noise: Seed,
}

impl<'a> Training<'a> {
    fn new(
        train: &'a Interactions,
        teacher: &'a dyn Teacher<Query = UserId>,
        config: &'a BinCfConfig,
        seed: Seed,
    ) -> Result<Self, FitError> {
        let lists = Lists::new(train, config.list_limit, seed)?;
        if teacher.n_items() != train.n_items() {
            let (expected, got) = (train.n_items(), teacher.n_items());
            return Err(TeacherError::Items { expected, got }.into());
        }
        let mut params = ParamStore::new(seed);
        let add = |params: &mut ParamStore, dim: usize, init| {
            let users = params.add_rows("users", train.n_users(), dim, init, RowUpdate::Exact);
            (users, params.add_rows("items", train.n_items(), dim, init, RowUpdate::Exact))
        };
        let (users, items, dim) = match config.start {
            Start::Random { code_bits, std } => {
                let (users, items) = add(&mut params, code_bits, Init::Normal { std: std as f32 });
                (users, items, code_bits)
            }
            Start::Teacher => {
                let mut vectors = hidden_vectors(teacher, train.n_users())?;
                vectors.centre(config.centre);
                vectors.rotate(config.model(), config.rotation_rounds, seed)?;
                let Vectors { users: user_vectors, items: item_vectors, dim } = vectors;
                let (users, items) = add(&mut params, dim, Init::Zeros);
                let [user_rows, item_rows] = params.rows_mut([users, items]);
                user_rows.values_mut().copy_from_slice(&user_vectors);
                item_rows.values_mut().copy_from_slice(&item_vectors);
                (users, items, dim)
            }
        };
        let (batch, noise) = (Batch::new(train.n_items()), seed.stream("bits"));
        Ok(Self { config, teacher, lists, params, users, items, dim, batch, rows: Rows::default(), noise })
    }

    fn codes(&self) -> Result<BinaryFactors, FitError> {
        let (users, items) = (self.params.rows(self.users).values(), self.params.rows(self.items).values());
        by_sign(self.config.model(), self.config, users, items, self.dim)
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let order = self.lists.order(epoch);
        let (mut loss, mut samples) = (0.0, 0);
        for (number, users) in order.chunks(self.config.batch_users).enumerate() {
            self.lists.fill(epoch, users, &mut self.batch);
            let batch = &self.batch;
            let teacher = if self.config.ranking_weight > 0.0 {
                let scores = step::teacher_scores(self.teacher, batch);
                Some(scores.map_err(|error| TrainError::Model { epoch, source: error.into() })?)
            } else {
                None
            };
            let [user_table, item_table] = self.params.rows_mut([self.users, self.items]);
            let rows = &mut self.rows;
            rows.users.resize(users.len() * self.dim, 0.0);
            rows.items.resize(batch.items().len() * self.dim, 0.0);
            user_table.gather(users, &mut rows.users);
            item_table.gather(batch.items(), &mut rows.items);
            let noise = (self.noise.stream(&number.to_string()), epoch);
            let losses = step::step(self.config, self.dim, batch, teacher.as_ref(), noise, rows);
            user_table.apply(users, &rows.d_users, &self.config.optimizer);
            item_table.apply(batch.items(), &rows.d_items, &self.config.optimizer);
            loss += losses.total(self.config) * batch.n_triples() as f64;
            samples += batch.n_triples() as u64;
        }
        Ok(EpochStats { loss: loss / samples as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

#[cfg(test)]
mod tests;
