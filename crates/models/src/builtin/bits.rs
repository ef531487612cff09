//! Kinds whose users and items are bits: those of `rectify-hashing`.

use rectify_core::artifact::ArtifactWriter;
use rectify_core::{
    ForUsers, Format, Hit, Index, ItemFilter, ItemId, ItemVectors, QueryError, Retriever, TopK, UserVectors, check_len,
};
use rectify_hashing::{BinaryCodes, BinaryFactors, HammingIndex};

#[cfg(feature = "train")]
use super::learn::bits as learn;
use super::learning;
use crate::{Answers, ByVector, Kind, Model, ModelError, Newcomers, Query, Reader, TeacherForm, Users};

/// Nearest codes whose order a vector decides.
const NEAREST: usize = 1_000;

/// A vector asks by its signs for the nearest codes, and puts these into the order of its inner products with their ±1: known users
/// are bits, somebody new need not lose what signs lose.
struct Signs<'a>(&'a HammingIndex);

impl ByVector for Signs<'_> {
    fn items(&self) -> &dyn ItemVectors {
        self.0
    }

    fn top_k_by_vector(
        &self,
        vector: &[f32],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<(), QueryError> {
        out.clear();
        let mut near = TopK::new();
        self.0.top_k(signs(self.0, vector)?.words_of(0), NEAREST.max(k), filter, &mut near)?;
        let items: Vec<ItemId> = near.items().collect();
        let mut scores = vec![0.0; items.len()];
        self.score_by_vector(vector, &items, &mut scores)?;
        out.assign(k, items.into_iter().zip(scores).map(|(item, score)| Hit::new(item, score)));
        Ok(())
    }

    fn score_by_vector(&self, vector: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        signs(self.0, vector)?;
        check_len("scores", items.len(), out.len())?;
        let mut signs = vec![0.0; vector.len()];
        for (score, item) in out.iter_mut().zip(items) {
            self.0.item_vector_into(*item, &mut signs)?;
            *score = signs.iter().zip(vector).map(|(sign, value)| sign * value).sum();
        }
        Ok(())
    }
}

fn signs(index: &HammingIndex, vector: &[f32]) -> Result<BinaryCodes, QueryError> {
    check_len("vector", index.code_bits(), vector.len())?;
    if let Some(position) = vector.iter().position(|value| !value.is_finite()) {
        return Err(QueryError::NotFinite { position, value: vector[position] });
    }
    BinaryCodes::from_signs(vector, index.code_bits()).map_err(|error| QueryError::Unsupported(error.to_string()))
}

impl Model for BinaryFactors {
    fn answers(&self) -> Answers<'_> {
        // Bits are no vectors to imitate.
        Answers::listed(self)
    }

    fn format(&self) -> Format {
        <Self as Index>::format()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        Index::write(self, writer, prefix);
    }

    fn newcomers(&self) -> Newcomers<'_> {
        Newcomers::ByVector(Box::new(Signs(self.index())))
    }

    fn users(&self) -> Option<Users> {
        let codes = ForUsers::users(self);
        // Signs are finite, and whole rows of a code's length.
        UserVectors::new(codes.to_signs(), codes.code_bits()).ok().map(Users::Vectors)
    }

    fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
        let codes = BinaryCodes::from_signs(&users.vectors()?, self.index().code_bits()).map_err(ModelError::other)?;
        Ok(Box::new(Self::new(codes, self.index().clone(), self.provenance().clone())?))
    }

    fn with_items(&self, vectors: &[f32]) -> Result<Box<dyn Model>, ModelError> {
        let code_bits = self.index().code_bits();
        let new = BinaryCodes::from_signs(vectors, code_bits).map_err(ModelError::other)?;
        let words = [self.index().codes().as_words(), new.as_words()].concat();
        let items = BinaryCodes::from_words(words, code_bits).and_then(|codes| HammingIndex::new(&codes));
        let items = items.map_err(ModelError::other)?;
        Ok(Box::new(Self::new(ForUsers::users(self).clone(), items, self.provenance().clone())?))
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.index().size_bytes())
    }
}

const fn kind(name: &'static str, paper: &'static str) -> Kind {
    Kind::new(name, paper, Reader::of::<BinaryFactors>()).asked_by(Query::Bits)
}

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        learning!(
            kind("dgcn-bincf", "Wang et al., DGCN-BinCF, IJCAI 2019").by_epochs().taught_by(TeacherForm::Any),
            learn::bin_cf_settings,
            learn::bin_cf
        ),
        learning!(
            kind("signs", "Gong and Lazebnik, Iterative Quantization, CVPR 2011").taught_by(TeacherForm::Any),
            learn::signs_settings,
            learn::signs
        ),
        learning!(
            kind("dcf", "Zhang et al., Discrete Collaborative Filtering, SIGIR 2016").by_epochs(),
            learn::dcf_settings,
            learn::dcf
        ),
        learning!(
            kind("dcmf", "Lian et al., Discrete Content-aware Matrix Factorization, KDD 2017").by_epochs(),
            learn::dcmf_settings,
            learn::dcmf
        ),
        learning!(
            kind("bccf", "Zhou and Zha, Learning Binary Codes for Collaborative Filtering, KDD 2012").by_epochs(),
            learn::bccf_settings,
            learn::bccf
        ),
        learning!(
            kind("pph", "Zhang et al., Preference Preserving Hashing, SIGIR 2014").by_epochs(),
            learn::pph_settings,
            learn::pph
        ),
    ]
}
