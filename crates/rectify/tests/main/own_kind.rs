//! A kind of another crate: this one. It opens, serves and folds in from a served file.

use rectify::{Catalogue, IdMap, Kind, Kinds, Overwrite, People, Provenance, Recommender};
use rectify_core::artifact::ArtifactWriter;
use rectify_core::{
    ExactIndex, Factors, Format, Index, ItemFilter, ItemId, ItemVectors, QueryError, Retriever, Scorer, TopK,
};
use rectify_models::{Answers, Model, ModelError, Newcomers, Reader, Users};

/// Vectors under another name, whose newcomers are asked with vectors.
struct Mine(Factors);

impl Model for Mine {
    fn answers(&self) -> Answers<'_> {
        Answers::listed(&self.0)
    }

    fn format(&self) -> Format {
        <Factors as Index>::format()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        Index::write(&self.0, writer, prefix);
    }

    fn newcomers(&self) -> Newcomers<'_> {
        Newcomers::ByVector(Box::new(Halved(self.0.index())))
    }

    fn users(&self) -> Option<Users> {
        Some(Users::Vectors(self.0.users().clone()))
    }

    fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(Self(Factors::new(users.vectors()?, self.0.index().clone(), self.0.provenance().clone())?)))
    }
}

/// An index asked in a way of its own: with half a vector.
struct Halved<'a>(&'a ExactIndex);

impl rectify_models::ByVector for Halved<'_> {
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
        self.0.top_k(&vector.iter().map(|x| x / 2.0).collect::<Vec<_>>(), k, filter, out)
    }

    fn score_by_vector(&self, vector: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.0.score_into(&vector.iter().map(|x| x / 2.0).collect::<Vec<_>>(), items, out)
    }
}

fn kind() -> Kind {
    let reader = Reader::new(<Factors as Index>::format, |artifact, prefix| {
        Ok(Box::new(Mine(Factors::read_checked(artifact, prefix)?)))
    });
    Kind::new("mine", "this test", reader)
}

#[test]
fn a_kind_of_another_crate_opens_folds_in_and_serves() {
    let factors = Factors::from_vectors(vec![1.0, 0.0], vec![1.0, 0.0, 0.8, 0.6, 0.0, 1.0], 2, Provenance::default());
    let items = Catalogue::new(["a", "b", "c"]).unwrap();
    let people = People::new(IdMap::from_names(["u"]).unwrap(), [[ItemId(0)]]).unwrap();
    let model = Box::new(Mine(factors.unwrap()));
    let made = Recommender::new(kind(), model, items, people, Provenance::default()).unwrap();
    let made = made.with_fold_in(rectify::RidgeConfig::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.rectify");
    made.save(&path, Overwrite::Refuse).unwrap();

    let said = Recommender::open(&path).unwrap_err().to_string();
    assert!(said.starts_with("unknown kind of model 'mine'"), "{said}");
    let opened = Recommender::open_with(&Kinds::builtin().with(kind()), &path).unwrap();
    assert_eq!(opened.recommend("u", 3).unwrap(), made.recommend("u", 3).unwrap());
    assert_eq!(opened.recommend_for(&["c"], 1).unwrap()[0].item, "b");
    assert_eq!(opened.update([("v", "c")]).unwrap().recommend("v", 1).unwrap()[0].item, "b");
    assert_eq!(opened.without_users().unwrap().n_users(), 0);
}
