//! Kinds that learn from interactions alone, or with the words of items: the teachers.

use rectify_core::artifact::ArtifactWriter;
use rectify_core::{
    Catalogue, Factors, ForUsers, Format, Histories, Index, ItemFilter, ItemId, QueryError, TopK, check_len,
    select_top_k,
};
use rectify_teachers::{ConvNcf, Ease, ItemCf, NeuMf, PopRank, Prm};

#[cfg(feature = "train")]
use super::learn::{networks, teachers as learn};
use super::learning;
use crate::{Answers, ByHistory, Kind, Model, ModelError, Needs, Newcomers, Query, Reader, TeacherForm, Users};

/// Models without a faster way than scoring everything.
macro_rules! scored {
    ($($model:ty $(, folding in by $index:ident)?;)*) => { $(
        impl Model for $model {
            fn answers(&self) -> Answers<'_> {
                Answers::scored(self)
            }

            fn format(&self) -> Format {
                <Self as Index>::format()
            }

            fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
                Index::write(self, writer, prefix);
            }
            $(
                fn newcomers(&self) -> Newcomers<'_> {
                    Newcomers::by_history(self.$index())
                }

                fn users(&self) -> Option<Users> {
                    Some(Users::Histories(ForUsers::users(self).clone()))
                }

                fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
                    Ok(Box::new(Self::new(users.histories()?, self.$index().clone(), self.provenance().clone())?))
                }
            )?
        }
    )* };
}

scored!(ItemCf, folding in by index; Ease, folding in by index; ConvNcf;);

/// Everybody gets the same list, whatever they did.
struct Popular<'a>(&'a PopRank);

impl ByHistory for Popular<'_> {
    fn top_k_by_history(
        &self,
        history: &[ItemId],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<(), QueryError> {
        out.clear();
        known(self.0, history)?;
        select_top_k(self.0.counts(), k, filter, out)
    }

    fn score_by_history(&self, history: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        known(self.0, history)?;
        known(self.0, items)?;
        check_len("out", items.len(), out.len())?;
        items.iter().zip(out).for_each(|(item, score)| *score = self.0.counts()[item.index()]);
        Ok(())
    }
}

fn known(model: &PopRank, items: &[ItemId]) -> Result<(), QueryError> {
    let n_items = model.n_items();
    let unknown = items.iter().find(|item| item.index() >= n_items);
    unknown.map_or(Ok(()), |&item| Err(QueryError::UnknownItem { item, n_items }))
}

impl Model for PopRank {
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
        Newcomers::ByHistory(Box::new(Popular(self)))
    }

    fn users(&self) -> Option<Users> {
        Some(Users::Histories(Histories::from_rows(vec![[]; self.n_users()])))
    }

    fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
        let n_users = users.histories()?.n_users();
        Ok(Box::new(Self::from_counts(n_users, self.counts().to_vec()).map_err(ModelError::other)?))
    }
}

impl Model for Factors {
    fn answers(&self) -> Answers<'_> {
        Answers::taught(self)
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
        let items = [self.items(), vectors].concat();
        let (users, dim) = (ForUsers::users(self).to_vec(), self.dim());
        Ok(Box::new(Self::from_vectors(users, items, dim, self.provenance().clone()).map_err(ModelError::other)?))
    }

    fn n_params(&self) -> Option<usize> {
        Some(self.users().len() + self.items().len())
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(size_of_val(self.items()))
    }

    fn factors(&self) -> Option<&Factors> {
        Some(self)
    }
}

impl Model for NeuMf {
    fn answers(&self) -> Answers<'_> {
        Answers::taught(self)
    }

    fn format(&self) -> Format {
        <Self as Index>::format()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        Index::write(self, writer, prefix);
    }

    fn n_params(&self) -> Option<usize> {
        Some(self.n_params())
    }
}

impl Model for Prm {
    fn answers(&self) -> Answers<'_> {
        Answers::listed(self)
    }

    fn format(&self) -> Format {
        <Self as Index>::format()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        Index::write(self, writer, prefix);
    }

    fn n_params(&self) -> Option<usize> {
        Some(self.n_params())
    }
}

/// Served as a vector a user and a vector an item.
pub(super) const fn factors(name: &'static str, paper: &'static str) -> Kind {
    Kind::new(name, paper, Reader::of::<Factors>()).by_epochs().asked_by(Query::Vector)
}

/// A member of NeuMF's family.
pub(super) const fn neu_mf(name: &'static str, paper: &'static str) -> Kind {
    Kind::new(name, paper, Reader::of::<NeuMf>()).by_epochs()
}

pub(super) fn kinds() -> Vec<Kind> {
    const NCF: &str = "He et al., Neural Collaborative Filtering, WWW 2017";
    vec![
        Kind::new("vectors", "vectors trained elsewhere", Reader::of::<Factors>()).asked_by(Query::Vector),
        learning!(
            Kind::new("pop-rank", "items by how many users have them", Reader::of::<PopRank>()),
            learn::no_settings,
            learn::pop_rank
        ),
        learning!(
            Kind::new("item-cf", "Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004", Reader::of::<ItemCf>())
                .asked_by(Query::History)
                .folding_in(),
            learn::item_cf_settings,
            learn::item_cf
        ),
        learning!(
            Kind::new("ease", "Steck, Embarrassingly Shallow Autoencoders, WWW 2019", Reader::of::<Ease>())
                .asked_by(Query::History)
                .folding_in(),
            learn::ease_settings,
            learn::ease
        ),
        learning!(
            factors("ials", "Hu et al., ICDM 2008; Rendle et al., RecSys 2022"),
            learn::ials_settings,
            learn::ials
        ),
        learning!(
            factors("mf-bpr", "Rendle et al., BPR, UAI 2009"),
            learn::mf_bpr_settings,
            learn::mf,
            on device learn::mf_on
        ),
        learning!(
            factors("mf-bce", "matrix factorisation by the cross-entropy of He et al., WWW 2017"),
            learn::mf_bce_settings,
            learn::mf,
            on device learn::mf_on
        ),
        learning!(neu_mf("gmf", NCF), networks::gmf_settings, networks::neu_mf, on device networks::neu_mf_on),
        learning!(neu_mf("mlp", NCF), networks::mlp_settings, networks::neu_mf, on device networks::neu_mf_on),
        learning!(neu_mf("neu-mf", NCF), networks::neu_mf_settings, networks::neu_mf, on device networks::neu_mf_on),
        learning!(
            neu_mf("neu-mf-pretrained", NCF),
            networks::pretrained_settings,
            networks::pretrained,
            on device networks::pretrained_on
        ),
        learning!(
            Kind::new(
                "conv-ncf",
                "He et al., Outer Product-based Neural Collaborative Filtering, IJCAI 2018",
                Reader::of::<ConvNcf>()
            )
            .by_epochs()
            .taught_by(TeacherForm::Factors),
            networks::conv_ncf_settings,
            networks::conv_ncf
        ),
        learning!(
            Kind::new(
                "prm-base",
                "Pei et al., Personalized Re-ranking for Recommendation, RecSys 2019",
                Reader::of::<Prm>()
            )
            .by_epochs()
            .taught_by(TeacherForm::Factors),
            networks::prm_settings,
            networks::prm
        ),
        learning!(factors("light-gcn", "He et al., LightGCN, SIGIR 2020"), learn::light_gcn_settings, learn::light_gcn),
        dssm(),
        learning!(
            factors("gcn-cf", "the teacher of Wang et al., DGCN-BinCF, IJCAI 2019"),
            learn::gcn_cf_settings,
            learn::gcn_cf,
            on device learn::gcn_cf_on
        ),
        learning!(
            factors("spectral-cf", "Zheng et al., Spectral Collaborative Filtering, RecSys 2018"),
            learn::spectral_cf_settings,
            learn::spectral_cf
        ),
    ]
}

fn dssm() -> Kind {
    let kind = factors("dssm", "Huang et al., CIKM 2013, as Lian et al., LightRec, WWW 2020, compare with it")
        .needing(Needs { text: true, ..Needs::default() });
    #[cfg(feature = "graph")]
    let kind = kind.learning(super::learn::graphs::dssm_settings, super::learn::graphs::dssm);
    kind
}
