//! LightRec (Lian et al., WWW 2020): codes, codebooks and users learned end to end.

mod batch;
mod config;
#[cfg(feature = "cuda")]
mod device;
mod encoder;
#[cfg(test)]
mod graph;
mod step;
#[cfg(test)]
mod tests;

use rectify_core::rng::Seed;
use rectify_core::{Provenance, UserVectors};
use rectify_data::Interactions;
use rectify_data::samplers::PositiveBatches;
use rectify_distill::InnerProductHint;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{Init, ParamStore, RowsKey};

use self::batch::Batch;
use self::encoder::Encoder;
use self::step::Workspace;
use super::rvq;
use crate::{CodeIndex, CodedFactors, FitError, QuantiserConfig, TeacherVectors};

pub use self::config::{Distillation, LightRecConfig, Recurrence, Similarity};
#[cfg(feature = "cuda")]
pub use self::device::fit_on;

/// What a model of this method says it comes from.
const NAME: &str = "light-rec";

/// Learns codes of items, codebooks and user vectors, from interactions and a teacher.
///
/// A step takes a batch of interactions (u, i) with their negatives j. Items are encoded (see [`LightRecConfig`]) and decoded to
/// `y`; the loss is the mean of `−ln σ(p_u·y_i − p_u·y_j)`, with L2 and what [`Distillation`] says. Users start at the teacher's
/// vectors and are trained; item vectors enter the encoder as the teacher has them. In the end every item is encoded once
/// more, and only codes, codebooks and users stay.
///
/// An epoch visits every interaction once, in a fresh order; `run` says how many and where to checkpoint, and its validation gets the
/// served model after an epoch. The loss reported is the mean over interactions of everything but L2. The same seed gives the same bits
/// on any number of threads, and after a resume.
///
/// ```
/// use rectify_quantize::{
///     Interactions, ItemFilter, LightRecConfig, Retriever, Seed, TeacherVectors, TopK, TrainRun, UserId, light_rec,
/// };
///
/// // Two users with a taste each, two items of each taste, and a teacher's vectors of them.
/// let train = Interactions::from_pairs(2, 4, &[(0, 0), (0, 2), (1, 1), (1, 3)])?;
/// let items = vec![1.0, 0.1, 0.0, 0.9, 0.8, 0.0, 0.1, 1.1];
/// let teacher = TeacherVectors::new(vec![1.0, 0.0, 0.0, 1.0], items, 2)?;
/// let config = LightRecConfig { n_codebooks: 2, n_codewords: 4, ..LightRecConfig::default() };
/// let (model, report) = light_rec::fit(&train, &teacher, &config, TrainRun::new(Seed(42)).epochs(8))?;
/// assert_eq!((report.history.len(), model.index().codes().len()), (8, 4 * 2));
/// let mut top = TopK::new();
/// model.top_k(&UserId(1), 2, &ItemFilter::all(), &mut top)?;
/// assert!(top.items().all(|item| item.0 % 2 == 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Count`] (a teacher of other users or items),
/// [`FitError::Negatives`] (a user who has every item), [`FitError::Train`], [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    teacher: &TeacherVectors,
    config: &LightRecConfig,
    run: TrainRun<'_, CodedFactors>,
) -> Result<(CodedFactors, FitReport), FitError> {
    let mut training = Training::new(train, teacher, config, run.seed)?;
    let report = run.drive(&mut training, |training| training.model.served())?;
    Ok((training.model.served()?, report))
}

/// A model in training, and the walk over its data.
struct Training<'a> {
    batches: PositiveBatches<'a>,
    model: Model<'a>,
}

/// A model in training.
struct Model<'a> {
    teacher: &'a TeacherVectors,
    config: &'a LightRecConfig,
    params: ParamStore,
    users: RowsKey,
    /// Item vectors that enter the encoder, if they are trained.
    items: Option<RowsKey>,
    encoder: Encoder,
    hint: Option<InnerProductHint>,
    batch: Batch,
    work: Workspace,
}

impl<'a> Training<'a> {
    fn new(
        data: &'a Interactions,
        teacher: &'a TeacherVectors,
        config: &'a LightRecConfig,
        seed: Seed,
    ) -> Result<Self, FitError> {
        config.validate()?;
        if data.n_interactions() == 0 {
            return Err(FitError::Empty { what: "interactions" });
        }
        for (what, expected, got) in [
            ("users of the teacher", data.n_users(), teacher.n_users()),
            ("items of the teacher", data.n_items(), teacher.n_items()),
        ] {
            if expected != got {
                return Err(FitError::Count { what, expected, got });
            }
        }
        Ok(Self { batches: PositiveBatches::new(data, seed)?, model: Model::new(data, teacher, config, seed)? })
    }
}

impl<'a> Model<'a> {
    /// The start: users and items of the teacher, codebooks at random or by k-means. The settings are valid.
    fn new(
        data: &Interactions,
        teacher: &'a TeacherVectors,
        config: &'a LightRecConfig,
        seed: Seed,
    ) -> Result<Self, FitError> {
        let dim = teacher.dim();
        let mut params = ParamStore::new(seed);
        let mut table = |name, values: &[f32]| {
            let key = params.add_rows(name, values.len() / dim, dim, Init::Zeros, config.row_update);
            let [table] = params.rows_mut([key]);
            table.values_mut().copy_from_slice(values);
            key
        };
        let users = table("users", teacher.users());
        let items = config.train_items.then(|| table("items", teacher.items()));
        let encoder = Encoder::new(config, dim, &mut params);
        if config.kmeans_start {
            let quantiser = QuantiserConfig {
                n_codebooks: config.n_codebooks,
                n_codewords: config.n_codewords,
                ..QuantiserConfig::default()
            };
            let weights: Vec<f32> = data.item_counts().iter().map(|n| 1.0 + *n as f32).collect();
            let start = rvq::codebooks(teacher.items(), &weights, dim, &quantiser, seed.stream("k-means"))?;
            let [codebooks] = params.dense_mut([encoder.keys.codebooks]);
            codebooks.values_mut().copy_from_slice(&start);
        }
        let hints = match config.distillation {
            Distillation::None | Distillation::Euclidean { .. } => false,
            Distillation::InnerProduct { .. } | Distillation::RankedInnerProduct { .. } => true,
        };
        let hint = |teacher: &TeacherVectors| {
            InnerProductHint::new(teacher.users(), dim, teacher.users(), dim).expect("one table fits itself")
        };
        Ok(Self {
            teacher,
            config,
            users,
            items,
            encoder,
            params,
            hint: hints.then(|| hint(teacher)),
            batch: Batch::new(teacher.n_users(), teacher.n_items()),
            work: Workspace::default(),
        })
    }

    /// Everything encoded with hard codes, as it is served.
    fn served(&self) -> Result<CodedFactors, FitError> {
        let hint = "lower the learning rate, or the weight of the distillation";
        let users = self.params.rows(self.users).values();
        let dim = self.teacher.dim();
        if let Some(at) = users.iter().position(|x| !x.is_finite()) {
            return Err(FitError::NotFinite { what: "user", at: at / dim, hint });
        }
        let codebooks = self.params.dense(self.encoder.keys.codebooks).values();
        if let Some(at) = codebooks.iter().position(|x| !x.is_finite()) {
            return Err(FitError::NotFinite { what: "codeword", at: at / dim, hint });
        }
        let items = self.items.map_or(self.teacher.items(), |key| self.params.rows(key).values());
        let codes = self.encoder.encode(&self.params, items);
        let index = CodeIndex::from_codes(self.config.shape(dim), codebooks, &codes)?;
        let provenance = Provenance::new(NAME, self.config);
        Ok(CodedFactors::new(UserVectors::new(users.to_vec(), dim)?, index, provenance)?)
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let (config, model) = (self.model.config, &mut self.model);
        let (mut loss, mut samples) = (0.0, 0);
        self.batches.for_each(epoch, config.batch_size, config.n_negatives, |drawn| {
            loss += model.step(drawn) * drawn.users.len() as f64;
            samples += drawn.users.len() as u64;
            Ok::<(), TrainError>(())
        })?;
        Ok(EpochStats { loss: loss / samples as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        &self.model.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.model.params
    }
}
