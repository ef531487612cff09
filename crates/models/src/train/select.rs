//! What settings and epochs are chosen by.

use rectify_data::{Holdout, Interactions};
use rectify_eval::{Candidates, Cut, Metric, System, evaluate};

use crate::{Answers, BoxError};

/// A metric on held-out data.
#[derive(Clone, Copy)]
pub struct Selection {
    /// The metric.
    pub metric: Metric,
    /// What a true item competes with.
    pub candidates: Candidates,
}

impl Selection {
    /// Its value for a model.
    ///
    /// # Errors
    /// What the evaluation refuses.
    pub fn value(&self, model: Answers<'_>, train: &Interactions, holdout: &Holdout) -> Result<f64, BoxError> {
        let metrics = [self.metric];
        let evaluation = evaluate(system(model, &metrics, self.candidates), train, holdout, &metrics, self.candidates)?;
        evaluation.value(self.metric).ok_or_else(|| "the validation gave no value".into())
    }
}

/// The system to evaluate: lists where lists suffice and the model makes them fast, scores otherwise.
#[must_use]
pub fn system<'m>(model: Answers<'m>, metrics: &[Metric], candidates: Candidates) -> System<'m> {
    let lists_suffice =
        candidates != Candidates::Sampled && metrics.iter().all(|metric| matches!(metric.cut(), Cut::At(_)));
    match model.retriever {
        Some(retriever) if lists_suffice => System::Retriever(retriever),
        _ => System::Scorer(model.scorer),
    }
}
