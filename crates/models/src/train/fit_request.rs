//! One training: settings and data in, a model out.

use rectify_core::UserId;
use rectify_core::rng::Seed;
use rectify_data::{Categories, Interactions, WordCounts};
use rectify_tensor::train::{FitConfig, FitReport, Observer, TrainRun};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::settings::read;
use crate::{Answers, AsTeacher, BoxError, Model, ModelError, Needs};

/// Measures the model of the moment on held-out data; higher is better.
pub type Validate<'a> = dyn FnMut(Answers<'_>) -> Result<f64, BoxError> + 'a;

/// Measures any model on held-out data; higher is better.
pub(super) type Measure<'a> = dyn Fn(Answers<'_>) -> Result<f64, BoxError> + 'a;

/// Trains a model.
pub type Fit = fn(FitRequest<'_>) -> Result<Fitted, ModelError>;

/// Trains a model on a device.
#[cfg(feature = "cuda")]
pub type FitOn = fn(FitRequest<'_>, &rectify_tensor::cuda::GpuOps) -> Result<Fitted, ModelError>;

/// What the data set and its split tell beside the interactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct SideInformation<'a> {
    /// Categories of items, if there are any.
    pub categories: Option<&'a Categories>,
    /// Users whose whole rows are samples, where users were split.
    pub training_users: Option<&'a [UserId]>,
}

impl<'a> SideInformation<'a> {
    /// As far as a kind has use for it.
    #[must_use]
    pub const fn for_needs(self, needs: &Needs) -> Self {
        Self {
            categories: if needs.categories { self.categories } else { None },
            training_users: if needs.training_users { self.training_users } else { None },
        }
    }
}

/// One training.
pub struct FitRequest<'a> {
    /// What is learned from.
    pub train: &'a Interactions,
    /// What [`Kind::resolve`](crate::Kind::resolve) gave.
    pub config: &'a Value,
    /// How long, and what is kept; used by models that learn by epochs.
    pub fit: &'a FitConfig,
    /// Where all random numbers come from.
    pub seed: Seed,
    /// There if and only if the kind needs one.
    pub teacher: Option<&'a dyn Model>,
    /// There if and only if the kind needs it.
    pub text: Option<&'a WordCounts>,
    /// What the data set and its split tell beside the interactions.
    pub side: SideInformation<'a>,
    /// Measures the model of the moment.
    pub validate: &'a mut Validate<'a>,
    /// Is told of every epoch.
    pub observer: &'a mut dyn Observer,
}

/// A trained model.
pub struct Fitted {
    /// The model.
    pub model: Box<dyn Model>,
    /// Its epochs, if it learns by them.
    pub report: Option<FitReport>,
}

impl Fitted {
    /// A model that does not learn by epochs.
    pub fn at_once(model: impl Model + 'static) -> Self {
        Self { model: Box::new(model), report: None }
    }
}

impl<'a> FitRequest<'a> {
    /// The settings.
    ///
    /// # Errors
    /// Settings that are not those of the kind: they were not resolved.
    pub fn config<C: DeserializeOwned>(&self) -> Result<C, ModelError> {
        read(self.config.clone()).map_err(ModelError::other)
    }

    /// The teacher, as students see it.
    ///
    /// # Errors
    /// [`ModelError::NoTeacher`].
    pub fn teacher(&self, kind: &'static str) -> Result<AsTeacher<'a>, ModelError> {
        self.teacher.map(|teacher| AsTeacher(teacher.answers())).ok_or(ModelError::NoTeacher { kind })
    }

    /// Trains by epochs; `fit` gets seed, length, validation and observer.
    ///
    /// # Errors
    /// Those of `fit`.
    pub fn by_epochs<M: Model + 'static, E: Into<BoxError>>(
        self,
        fit: impl FnOnce(TrainRun<'_, M>) -> Result<(M, FitReport), E>,
    ) -> Result<Fitted, ModelError> {
        let Self { validate, observer, .. } = self;
        let mut validate = |model: &M| validate(model.answers());
        let run = TrainRun::new(self.seed).fit(self.fit).validate(&mut validate).observer(observer);
        let (model, report) = fit(run).map_err(ModelError::other)?;
        Ok(Fitted { model: Box::new(model), report: Some(report) })
    }
}
