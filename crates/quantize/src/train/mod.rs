//! LightRec's training.

mod batch;
#[cfg(feature = "cuda")]
mod device;
mod step;

use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_data::samplers::PositiveBatches;
use rectify_distill::InnerProductHint;
use rectify_tensor::train::{self, EpochStats, FitConfig, FitReport, Observer, Step, TrainError};
use rectify_tensor::{Init, ParamStore, RowsKey};

use self::batch::Batch;
use self::step::Workspace;
use crate::model::Encoder;
use crate::{
    CodeIndex, CodedFactors, Distillation, FitError, LightRecConfig, QuantiserConfig, TeacherVectors, residual,
};

#[cfg(feature = "cuda")]
pub use device::fit_on;

/// Measures a model on held-out data; higher is better. Its errors come back inside [`TrainError::Model`].
pub type Validate<'a> = &'a mut dyn FnMut(&CodedFactors) -> Result<f64, Box<dyn std::error::Error + Send + Sync>>;

/// Learns LightRec (Lian et al., WWW 2020): codes of items, codebooks and user vectors, from interactions and a teacher.
///
/// A step takes a batch of interactions (u, i) with their negatives j. Items are encoded (see [`LightRecConfig`]) and decoded to
/// `y`; the loss is the mean of `−ln σ(p_u·y_i − p_u·y_j)`, with L2 and what [`Distillation`] says. Users start at the teacher's
/// vectors and are trained; item vectors enter the encoder as the teacher has them. In the end every item is encoded once
/// more, and only codes, codebooks and users stay.
///
/// An epoch visits every interaction once, in a fresh order; `run` says how many and where to checkpoint, and `validate` gets the
/// served model after an epoch. The loss reported is the mean over interactions of everything but L2. The same seed gives the same bits
/// on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Shape`] (a teacher of other users or items),
/// [`FitError::Negatives`] (a user who has every item), [`FitError::Train`], [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    teacher: &TeacherVectors,
    config: &LightRecConfig,
    run: &FitConfig,
    seed: Seed,
    validate: Validate<'_>,
    observer: &mut dyn Observer,
) -> Result<(CodedFactors, FitReport), FitError> {
    let mut training = Training::new(train, teacher, config, seed)?;
    let mut validate = |training: &mut Training<'_>, epoch| {
        let fail = |source| TrainError::Model { epoch, source };
        let model = training.model.served().map_err(|error| fail(error.into()))?;
        validate(&model).map_err(fail)
    };
    let report = train::fit(&mut training, run, &mut validate, observer)?;
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
                return Err(FitError::Shape { what, expected: expected.to_string(), got: got.to_string() });
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
            let start = residual::codebooks(teacher.items(), &weights, dim, &quantiser, seed.stream("k-means"))?;
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
            return Err(FitError::NotFinite { what: format!("user {}", at / dim), hint });
        }
        let codebooks = self.params.dense(self.encoder.keys.codebooks).values();
        if let Some(at) = codebooks.iter().position(|x| !x.is_finite()) {
            return Err(FitError::NotFinite { what: format!("codeword {}", at / dim), hint });
        }
        let items = self.items.map_or(self.teacher.items(), |key| self.params.rows(key).values());
        let codes = self.encoder.encode(&self.params, items);
        let index = CodeIndex::from_codes(self.config.shape(dim), codebooks, &codes)?;
        Ok(CodedFactors::new(users.to_vec(), index)?)
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

#[cfg(test)]
mod graph;
#[cfg(test)]
mod tests;
