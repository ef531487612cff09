//! Kinds that are small models of a family, guided by a teacher: KD, RD, CD, DE, RRD.

#[cfg(feature = "train")]
use super::learn::distilled as learn;
use super::learning;
use super::teachers::{factors, neu_mf};
use crate::{Kind, TeacherForm};

pub(super) fn kinds() -> Vec<Kind> {
    const DE_RRD: &str = "Kang et al., DE-RRD, CIKM 2020, and what it compares with";
    vec![
        learning!(factors("distilled-mf", DE_RRD).taught_by(TeacherForm::Any), learn::mf_settings, learn::mf),
        learning!(
            neu_mf("distilled-neu-mf", DE_RRD).taught_by(TeacherForm::Any),
            learn::neu_mf_settings,
            learn::neu_mf
        ),
    ]
}
