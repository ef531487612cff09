//! Kinds that reject early: HDN, its ablations, and the MF student.

use rectify_cascade::{CascadeIndex, CascadeParts};
use rectify_core::artifact::ArtifactWriter;
use rectify_core::{Format, Index, ItemFilter, ItemId, ItemVectors, QueryError, Retriever, Scorer, TopK, UserVectors};
use rectify_teachers::{LocallyLinear, RidgeFoldIn};

#[cfg(feature = "train")]
use super::learn::cascades as learn;
use super::learning;
use crate::{Answers, ByVector, Kind, Model, ModelError, Newcomers, Reader, TeacherForm, Users};

/// A vector goes through all modules.
struct Modules<'a>(&'a CascadeIndex);

impl LocallyLinear for Modules<'_> {
    fn gradient_into(&self, vector: &[f32], item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        self.0.items().gradient_into(vector, item, out)
    }
}

impl ByVector for Modules<'_> {
    fn items(&self) -> &dyn ItemVectors {
        self.0
    }

    /// Through the network: what a module's layers make of a pair decides too.
    fn fold_in(&self, solver: &RidgeFoldIn, history: &[ItemId]) -> Result<Vec<f32>, QueryError> {
        solver.fold_in_through(self, history)
    }

    fn top_k_by_vector(
        &self,
        vector: &[f32],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<(), QueryError> {
        self.0.items().top_k(vector, k, filter, out)
    }

    fn score_by_vector(&self, vector: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.0.items().score_into(vector, items, out)
    }
}

impl Model for CascadeIndex {
    fn answers(&self) -> Answers<'_> {
        Answers::listed(self)
    }

    fn format(&self) -> Format {
        <Self as Index>::format()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        Index::write(self, writer, prefix);
    }

    fn newcomers(&self) -> Newcomers<'_> {
        Newcomers::ByVector(Box::new(Modules(self)))
    }

    fn users(&self) -> Option<Users> {
        UserVectors::new(self.parts().users, self.embedding_dim()).ok().map(Users::Vectors)
    }

    fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
        let parts = CascadeParts { users: users.vectors()?.to_vec().into(), ..self.parts() };
        Ok(Box::new(Self::new(parts, self.rejection().clone()).map_err(ModelError::other)?))
    }

    fn with_items(&self, vectors: &[f32]) -> Result<Box<dyn Model>, ModelError> {
        let parts = self.parts();
        let parts = CascadeParts { items: [&parts.items[..], vectors].concat().into(), ..parts };
        Ok(Box::new(Self::new(parts, self.rejection().clone()).map_err(ModelError::other)?))
    }

    fn n_params(&self) -> Option<usize> {
        let parts = self.parts();
        let modules = parts.modules.iter().map(|module| module.decision.len() + module.weight.len()).sum::<usize>();
        Some(parts.users.len() + parts.items.len() + modules + parts.score.len())
    }

    fn cascade(&self) -> Option<&CascadeIndex> {
        Some(self)
    }
}

const fn kind(name: &'static str) -> Kind {
    Kind::new(name, "Chen and Pan, HDN", Reader::of::<CascadeIndex>())
}

pub(super) fn kinds() -> Vec<Kind> {
    let taught = |name| kind(name).by_epochs().taught_by(TeacherForm::Any);
    let of_another = |name| kind(name).taught_by(TeacherForm::Cascade);
    vec![
        learning!(taught("hdn"), learn::hdn_settings, learn::fit, on device learn::fit_on),
        learning!(kind("hdn-nd").by_epochs(), learn::nd_settings, learn::fit, on device learn::fit_on),
        // Nothing is trained for these: they are another model's cascade.
        learning!(
            of_another("hdn-nr"),
            learn::no_settings,
            learn::without_rejection,
            on device |request, _| learn::without_rejection(request)
        ),
        learning!(
            of_another("hdn-calibrated"),
            learn::calibration_settings,
            learn::calibrated,
            on device |request, _| learn::calibrated(request)
        ),
        learning!(taught("hdn-nr-minus"), learn::nr_minus_settings, learn::fit, on device learn::fit_on),
        learning!(kind("hdn-nr-nd").by_epochs(), learn::nr_nd_settings, learn::fit, on device learn::fit_on),
        learning!(taught("mf-student"), learn::mf_student_settings, learn::fit, on device learn::fit_on),
    ]
}
