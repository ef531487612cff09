//! What a caller decides of a training, the same for every model.

use rectify_core::rng::Seed;

use super::{BoxError, FitConfig, FitReport, Observer, Silent, Step, TrainError, fit};

/// Measures a model on held-out data; higher is better. Its errors come back inside [`TrainError::Model`].
pub type Validate<'a, M> = &'a mut dyn FnMut(&M) -> Result<f64, BoxError>;

/// One training: from which seed, for how long, measured by what, watched by whom.
///
/// `M` is the model as it is served, which `validate` gets.
///
/// ```
/// use rectify_core::rng::Seed;
/// use rectify_tensor::train::{FitConfig, TrainRun};
///
/// // Twenty epochs, and the parameters of the last one.
/// let run: TrainRun<'_, ()> = TrainRun::new(Seed(42)).epochs(20);
/// assert_eq!((run.fit.max_epochs, run.fit.eval_every), (20, 0));
/// // Early stopping, by a metric.
/// let mut metric = |_: &()| Ok(0.5);
/// let run = TrainRun::new(Seed(42)).fit(&FitConfig::default()).validate(&mut metric);
/// assert_eq!(run.fit.eval_every, 1);
/// ```
pub struct TrainRun<'a, M: ?Sized> {
    /// Where all random numbers come from.
    pub seed: Seed,
    /// How long, and what is kept.
    pub fit: FitConfig,
    /// The metric; without one `fit.eval_every` must be 0.
    pub validate: Option<Validate<'a, M>>,
    /// Who is told of every epoch.
    pub observer: Option<&'a mut dyn Observer>,
}

impl<'a, M: ?Sized> TrainRun<'a, M> {
    /// A training of [`FitConfig::default`]'s length without validation, watched by nobody.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        let fit = FitConfig { patience: None, eval_every: 0, ..FitConfig::default() };
        Self { seed, fit, validate: None, observer: None }
    }

    /// So many epochs at most.
    #[must_use]
    pub const fn epochs(mut self, max_epochs: u32) -> Self {
        self.fit.max_epochs = max_epochs;
        self
    }

    /// With these settings of the loop.
    #[must_use]
    pub fn fit(mut self, fit: &FitConfig) -> Self {
        self.fit = fit.clone();
        self
    }

    /// Measured by `validate`.
    #[must_use]
    pub fn validate(mut self, validate: Validate<'a, M>) -> Self {
        self.validate = Some(validate);
        self
    }

    /// Watched by `observer`.
    #[must_use]
    pub fn observer(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Trains; `served` makes the model that is measured of the one in training.
    ///
    /// # Errors
    /// As [`fit`], or an error of `served`, inside [`TrainError::Model`]. [`TrainError::Config`]: epochs to validate after, and nothing to
    /// validate by.
    pub fn drive<S: Step, E: Into<BoxError>>(
        self,
        step: &mut S,
        mut served: impl FnMut(&mut S) -> Result<M, E>,
    ) -> Result<FitReport, TrainError>
    where
        M: Sized,
    {
        let Self { fit: config, validate, observer, .. } = self;
        let blind = validate.is_none() && config.eval_every > 0;
        rectify_core::ConfigError::check(!blind, "eval_every", "0 without a validation", config.eval_every)?;
        let mut validate = validate;
        let mut measure = |step: &mut S, epoch| {
            let fail = |source| TrainError::Model { epoch, source };
            let model = served(step).map_err(|error| fail(error.into()))?;
            // Asked for only with a validation, as checked above.
            validate.as_mut().map_or(Ok(0.0), |validate| validate(&model)).map_err(fail)
        };
        fit(step, &config, &mut measure, observer.unwrap_or(&mut Silent))
    }
}
