//! A trained model, whatever it is.

use std::path::Path;

#[cfg(feature = "cascade")]
use rectify_cascade::CascadeIndex;
use rectify_core::artifact::{ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{
    Catalogue, Exhaustive, Factors, FoldIn, Format, Hidden, Histories, ItemFilter, ItemId, ItemVectors, QueryError,
    Retriever, Scorer, Teacher, TopK, UserId, UserVectors,
};
use rectify_teachers::RidgeFoldIn;

use crate::ModelError;

/// A trained model as it is evaluated, and as it teaches.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    /// Scores of a user's items.
    pub scorer: &'a dyn Scorer<Query = UserId>,
    /// A faster way to the best items than scoring all, if the model has one.
    pub retriever: Option<&'a dyn Retriever<Query = UserId>>,
    /// What students may imitate beside scores.
    pub hidden: Option<&'a dyn Hidden>,
}

impl<'a> Answers<'a> {
    /// Of a model without a faster way than scoring everything.
    pub fn scored(scorer: &'a dyn Scorer<Query = UserId>) -> Self {
        Self { scorer, retriever: None, hidden: None }
    }

    /// Of a model that gives lists, and shows no vectors.
    pub fn listed<M: Scorer<Query = UserId> + Retriever<Query = UserId>>(model: &'a M) -> Self {
        Self { scorer: model, retriever: Some(model), hidden: None }
    }

    /// Of a teacher that gives lists.
    pub fn taught<M: Teacher<Query = UserId> + Retriever<Query = UserId>>(model: &'a M) -> Self {
        Self { hidden: model.hidden(), ..Self::listed(model) }
    }
}

impl Catalogue for Answers<'_> {
    fn n_items(&self) -> usize {
        self.scorer.n_items()
    }
}

/// Lists by the fastest way that the model has; by scoring every item if it has none.
impl Retriever for Answers<'_> {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        match self.retriever {
            Some(retriever) => retriever.top_k(user, k, filter, out),
            None => Exhaustive::new(self.scorer).top_k(user, k, filter, out),
        }
    }

    fn top_k_batch(
        &self,
        users: &[&UserId],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        match self.retriever {
            Some(retriever) => retriever.top_k_batch(users, k, filters, out),
            None => Exhaustive::new(self.scorer).top_k_batch(users, k, filters, out),
        }
    }
}

/// A trained model.
pub trait Model: Send + Sync {
    /// As it is evaluated, asked by users that it was trained on.
    fn answers(&self) -> Answers<'_>;

    /// Kind and version of a file that holds it alone.
    fn format(&self) -> Format;

    /// Adds its arrays, each name after `prefix`, and its configuration to an artifact.
    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str);

    /// How it answers people whom it was not trained on.
    fn newcomers(&self) -> Newcomers<'_> {
        Newcomers::Unanswered
    }

    /// What its users ask with, if that lies apart from the items.
    fn users(&self) -> Option<Users> {
        None
    }

    /// The same items for other users, as many as there are in `users`; without any it holds no person's data.
    ///
    /// # Errors
    /// [`ModelError::UsersInside`] if users cannot be taken from it, users of another form, or queries that do not fit the items.
    fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
        let _ = users;
        Err(ModelError::UsersInside)
    }

    /// More items for the same users: their vectors, row-major, of the width and in the space of the items' (see
    /// [`Newcomers::ByVector`]), encoded as the items are.
    ///
    /// # Errors
    /// [`ModelError::ItemsFixed`] if items cannot be added, or vectors that do not fit.
    fn with_items(&self, vectors: &[f32]) -> Result<Box<dyn Model>, ModelError> {
        let _ = vectors;
        Err(ModelError::ItemsFixed)
    }

    /// Number of learned values, if it counts them.
    fn n_params(&self) -> Option<usize> {
        None
    }

    /// Bytes of what a search reads of the items, if it can tell them from users.
    fn item_bytes(&self) -> Option<usize> {
        None
    }

    /// As vectors, if it is nothing else.
    fn factors(&self) -> Option<&Factors> {
        None
    }

    /// As a cascade, if it is one.
    #[cfg(feature = "cascade")]
    fn cascade(&self) -> Option<&CascadeIndex> {
        None
    }
}

impl dyn Model {
    /// Writes it to one file, in place of what is there.
    ///
    /// # Errors
    /// The operating system's reason.
    pub fn save(&self, path: &Path) -> Result<(), ArtifactError> {
        let Format { kind, version } = self.format();
        let mut writer = ArtifactWriter::new(kind, version);
        self.write(&mut writer, "");
        writer.save(path, Overwrite::Replace)
    }
}

/// What users ask with.
#[derive(Clone, Debug)]
pub enum Users {
    /// A vector each; where users are bits, +1 and -1.
    Vectors(UserVectors),
    /// What each did, newest first.
    Histories(Histories),
}

impl Users {
    /// As vectors.
    ///
    /// # Errors
    /// [`ModelError::UsersForm`] for histories.
    pub fn vectors(self) -> Result<UserVectors, ModelError> {
        match self {
            Self::Vectors(vectors) => Ok(vectors),
            Self::Histories(_) => Err(ModelError::UsersForm { got: "histories", expected: "vectors" }),
        }
    }

    /// As histories.
    ///
    /// # Errors
    /// [`ModelError::UsersForm`] for vectors.
    pub fn histories(self) -> Result<Histories, ModelError> {
        match self {
            Self::Histories(histories) => Ok(histories),
            Self::Vectors(_) => Err(ModelError::UsersForm { got: "vectors", expected: "histories" }),
        }
    }
}

/// How a model answers people whom it was not trained on.
pub enum Newcomers<'a> {
    /// It does not.
    Unanswered,
    /// Asked with what they did.
    ByHistory(Box<dyn ByHistory + 'a>),
    /// Asked with a vector, which is found by folding in over the vectors of the items.
    ByVector(Box<dyn ByVector + 'a>),
}

impl<'a> Newcomers<'a> {
    /// An index that folds histories in.
    pub fn by_history<T>(index: &'a T) -> Self
    where
        T: Retriever + FoldIn<Query = <T as Retriever>::Query> + Scorer<Query = <T as Retriever>::Query>,
        <T as Retriever>::Query: ToOwned,
    {
        Self::ByHistory(Box::new(Folding(index)))
    }

    /// An index that is asked with vectors, and shows its items as vectors.
    pub fn by_vector<T: Retriever<Query = [f32]> + Scorer<Query = [f32]> + ItemVectors>(index: &'a T) -> Self {
        Self::ByVector(Box::new(Folding(index)))
    }
}

/// An index behind [`ByHistory`] or [`ByVector`].
struct Folding<'a, T>(&'a T);

/// Answers to histories, newest first.
pub trait ByHistory: Send + Sync {
    /// The best `k` items that pass `filter` for somebody with this history.
    ///
    /// # Errors
    /// An unknown item, or a history that nothing can be made of; `out` is empty then.
    fn top_k_by_history(
        &self,
        history: &[ItemId],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<(), QueryError>;

    /// Scores of `items` for somebody with this history.
    ///
    /// # Errors
    /// As [`top_k_by_history`](Self::top_k_by_history), or lengths that disagree.
    fn score_by_history(&self, history: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError>;
}

impl<T> ByHistory for Folding<'_, T>
where
    T: Retriever + FoldIn<Query = <T as Retriever>::Query> + Scorer<Query = <T as Retriever>::Query>,
    <T as Retriever>::Query: ToOwned,
{
    fn top_k_by_history(
        &self,
        history: &[ItemId],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<(), QueryError> {
        out.clear();
        let query = self.0.fold_in(history)?;
        self.0.top_k(std::borrow::Borrow::borrow(&query), k, filter, out)
    }

    fn score_by_history(&self, history: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let query = self.0.fold_in(history)?;
        self.0.score_into(std::borrow::Borrow::borrow(&query), items, out)
    }
}

/// Answers to vectors of the width of the items'.
pub trait ByVector: Send + Sync {
    /// The items as vectors.
    fn items(&self) -> &dyn ItemVectors;

    /// The vector of somebody with this history; `solver` was made over [`items`](Self::items).
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`], or a problem that single precision cannot solve.
    fn fold_in(&self, solver: &RidgeFoldIn, history: &[ItemId]) -> Result<Vec<f32>, QueryError> {
        solver.fold_in(self.items(), history)
    }

    /// The best `k` items that pass `filter` for somebody with this vector.
    ///
    /// # Errors
    /// A vector of another width, or one that is not finite; `out` is empty then.
    fn top_k_by_vector(
        &self,
        vector: &[f32],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<(), QueryError>;

    /// Scores of `items` for somebody with this vector.
    ///
    /// # Errors
    /// As [`top_k_by_vector`](Self::top_k_by_vector), an unknown item, or lengths that disagree.
    fn score_by_vector(&self, vector: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError>;
}

impl<T: Retriever<Query = [f32]> + Scorer<Query = [f32]> + ItemVectors> ByVector for Folding<'_, T> {
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
        self.0.top_k(vector, k, filter, out)
    }

    fn score_by_vector(&self, vector: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.0.score_into(vector, items, out)
    }
}

/// Any trained model as a teacher: a black box if it shows no hidden vectors.
pub struct AsTeacher<'a>(pub Answers<'a>);

impl Catalogue for AsTeacher<'_> {
    fn n_items(&self) -> usize {
        self.0.scorer.n_items()
    }
}

impl Scorer for AsTeacher<'_> {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.0.scorer.score_into(user, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.0.scorer.score_all_into(user, out)
    }
}

impl Teacher for AsTeacher<'_> {
    fn hidden(&self) -> Option<&dyn Hidden> {
        self.0.hidden
    }
}
