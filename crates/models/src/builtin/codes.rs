//! Kinds whose items are codewords: LightRec, and quantisers that know a teacher's vectors alone.

use std::path::Path;

use rectify_core::artifact::ArtifactWriter;
use rectify_core::{ForUsers, Format, Index};
use rectify_quantize::{CodedFactors, InvertedFactors};
use serde::Deserialize;
use serde_json::Value;

#[cfg(feature = "train")]
use super::learn::codes as learn;
use super::learning;
use crate::settings::read;
use crate::{Answers, Kind, Model, ModelError, Newcomers, Query, Reader, Settings, SettingsError, TeacherForm, Users};

impl Model for CodedFactors {
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
        Newcomers::by_vector(self.index())
    }

    fn users(&self) -> Option<Users> {
        Some(Users::Vectors(ForUsers::users(self).clone()))
    }

    fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(Self::new(users.vectors()?, self.index().clone(), self.provenance().clone())?))
    }

    fn with_items(&self, vectors: &[f32]) -> Result<Box<dyn Model>, ModelError> {
        let items = self.index().with_items(vectors).map_err(ModelError::other)?;
        Ok(Box::new(Self::new(ForUsers::users(self).clone(), items, self.provenance().clone())?))
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.index().size_bytes())
    }
}

impl Model for InvertedFactors {
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
        Newcomers::by_vector(self.index())
    }

    fn users(&self) -> Option<Users> {
        Some(Users::Vectors(ForUsers::users(self).clone()))
    }

    fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(Self::new(users.vectors()?, self.index().clone(), self.provenance().clone())?))
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.index().size_bytes())
    }
}

/// How else trained codes are served: in inverted lists.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Served {
    /// Lists that a query visits at most.
    n_probes: usize,
}

impl Served {
    fn read(how: &Settings) -> Result<Self, SettingsError> {
        let served: Self = read(Value::Object(how.clone()))?;
        if served.n_probes == 0 {
            return Err(SettingsError::Values("n_probes is 0, expected at least 1".into()));
        }
        Ok(served)
    }
}

fn check_variant(_: &Value, how: &Settings) -> Result<(), SettingsError> {
    Served::read(how).map(|_| ())
}

fn open_variant(path: &Path, how: &Settings) -> Result<Box<dyn Model>, ModelError> {
    let Served { n_probes } = Served::read(how).map_err(|problem| ModelError::Variant { kind: "codes", problem })?;
    let (users, codes, provenance) = CodedFactors::open(path)?.into_parts();
    let lists = rectify_quantize::InvertedIndex::new(&codes, n_probes).map_err(ModelError::other)?;
    Ok(Box::new(InvertedFactors::new(users, lists, provenance)?))
}

const fn kind(name: &'static str, paper: &'static str) -> Kind {
    Kind::new(name, paper, Reader::of::<CodedFactors>())
        .taught_by(TeacherForm::Any)
        .asked_by(Query::Vector)
        .varied(check_variant, open_variant)
}

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        learning!(
            kind("light-rec", "Lian et al., LightRec, WWW 2020").by_epochs(),
            learn::light_rec_settings,
            learn::light_rec,
            on device learn::light_rec_on
        ),
        learning!(
            kind("rvq", "residual vector quantisation: Chen et al., 2010"),
            learn::quantiser_settings,
            learn::rvq
        ),
        learning!(kind("pq", "Jégou et al., Product Quantization, TPAMI 2011"), learn::quantiser_settings, learn::pq),
        learning!(kind("opq", "Ge et al., Optimized Product Quantization, CVPR 2013"), learn::opq_settings, learn::opq),
    ]
}
