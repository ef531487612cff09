//! A model that answers in the user's own ids.

use std::sync::OnceLock;

use rectify_core::{ExactConfig, ExactIndex, ItemFilter, ItemId, ItemVectors, Provenance, QueryError, Retriever, TopK};
use rectify_models::{Kind, Model, ModelError, Newcomers, Users};
use rectify_teachers::RidgeFoldIn;

use crate::{Catalogue, Encoder, Filter, People, RecommendError};

/// A model with its catalogue, and with the people it knows, if any: what one file holds.
///
/// It answers three questions: what somebody known should see ([`recommend`](Self::recommend)), what somebody new should see, by
/// what they liked ([`recommend_for`](Self::recommend_for)), and what is like an item ([`similar`](Self::similar)).
pub struct Recommender {
    pub(crate) kind: Kind,
    pub(crate) model: Box<dyn Model>,
    pub(crate) items: Catalogue,
    pub(crate) people: People,
    pub(crate) fold_in: Option<RidgeFoldIn>,
    pub(crate) encoder: Option<Encoder>,
    pub(crate) provenance: Provenance,
    pub(crate) unit_vectors: OnceLock<ExactIndex>,
}

impl std::fmt::Debug for Recommender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recommender")
            .field("kind", &self.kind.name)
            .field("n_items", &self.n_items())
            .field("n_users", &self.n_users())
            .finish_non_exhaustive()
    }
}

/// An item with its score; higher is better, and scores of different models do not compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// Its own id.
    pub item: String,
    /// Its score.
    pub score: f32,
}

impl Recommender {
    /// Puts a trained model, its items and the people it knows together.
    ///
    /// # Errors
    /// [`RecommendError::Count`] if the model speaks of other numbers of items or users.
    pub fn new(
        kind: Kind,
        model: Box<dyn Model>,
        items: Catalogue,
        people: People,
        provenance: Provenance,
    ) -> Result<Self, RecommendError> {
        let n_items = model.answers().scorer.n_items();
        if items.len() != n_items {
            return Err(RecommendError::Count { what: "ids of items", expected: n_items, got: items.len() });
        }
        let n_users = model.users().map(|users| match users {
            Users::Vectors(vectors) => vectors.len() / vectors.dim(),
            Users::Histories(histories) => histories.n_users(),
        });
        if let Some(expected) = n_users.filter(|n| *n != people.len()) {
            return Err(RecommendError::Count { what: "ids of users", expected, got: people.len() });
        }
        Ok(Self { kind, model, items, people, fold_in: None, encoder: None, provenance, unit_vectors: OnceLock::new() })
    }

    /// Number of items.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.items.len()
    }

    /// Number of people that it knows.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.people.len()
    }

    /// Its items.
    #[must_use]
    pub const fn items(&self) -> &Catalogue {
        &self.items
    }

    /// The people that it knows.
    #[must_use]
    pub const fn people(&self) -> &People {
        &self.people
    }

    /// What kind of model it is.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The model, asked by dense ids: item `i` is the `i`-th id of the catalogue.
    #[must_use]
    pub fn model(&self) -> &dyn Model {
        &*self.model
    }

    /// Where it comes from, and what was measured of it.
    #[must_use]
    pub const fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// A filter that lets everything pass but what the person has.
    #[must_use]
    pub const fn filter(&self) -> Filter<'_> {
        Filter::new(self)
    }

    /// The best `k` items for somebody known, best first, without the items that they have.
    ///
    /// # Errors
    /// [`RecommendError::UnknownUser`], [`RecommendError::NoUsers`].
    pub fn recommend(&self, user: &str, k: usize) -> Result<Vec<Recommendation>, RecommendError> {
        self.recommend_with(user, k, &self.filter())
    }

    /// As [`recommend`](Self::recommend), of the items that pass a filter.
    ///
    /// # Errors
    /// As [`recommend`](Self::recommend).
    pub fn recommend_with(
        &self,
        user: &str,
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Vec<Recommendation>, RecommendError> {
        let user = self.people.user(user)?;
        let mut top = TopK::new();
        self.top_k(user, k, &filter.of(self.people.seen(user))?, &mut top)?;
        Ok(self.named(&top))
    }

    /// The best `k` items for somebody new, by the ids of what they liked, newest first; those are left out.
    ///
    /// Models that answer histories (EASE, Item-CF, trees) are asked with them. For vectors, codes, bits and cascades a vector is folded
    /// in by least squares over the items' vectors: the closed form of iALS.
    ///
    /// # Errors
    /// [`RecommendError::UnknownItem`]; [`RecommendError::NoNewcomers`] for a model whose users are part of its network.
    pub fn recommend_for<S: AsRef<str>>(&self, liked: &[S], k: usize) -> Result<Vec<Recommendation>, RecommendError> {
        self.recommend_for_with(liked, k, &self.filter())
    }

    /// As [`recommend_for`](Self::recommend_for), of the items that pass a filter.
    ///
    /// # Errors
    /// As [`recommend_for`](Self::recommend_for).
    pub fn recommend_for_with<S: AsRef<str>>(
        &self,
        liked: &[S],
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Vec<Recommendation>, RecommendError> {
        let history = self.history(liked)?;
        let mut seen = history.clone();
        seen.sort_unstable();
        seen.dedup();
        let mut top = TopK::new();
        self.top_k_for(&history, k, &filter.of(&seen)?, &mut top)?;
        Ok(self.named(&top))
    }

    /// The `k` items most like one, best first, without itself.
    ///
    /// By the cosine of their vectors, if the model has vectors of items; of a model that answers histories, what it recommends to somebody
    /// who has this item alone.
    ///
    /// # Errors
    /// [`RecommendError::UnknownItem`]; [`RecommendError::NoNewcomers`] for a model that shows neither.
    pub fn similar(&self, item: &str, k: usize) -> Result<Vec<Recommendation>, RecommendError> {
        let item = self.items.item(item)?;
        let own = [item];
        let filter = ItemFilter::seen(&own)?;
        let mut top = TopK::new();
        match self.model.newcomers() {
            Newcomers::Unanswered => return Err(self.no_newcomers("similar items need a model with vectors of items")),
            Newcomers::ByHistory(model) => model.top_k_by_history(&own, k, &filter, &mut top)?,
            Newcomers::ByVector(model) => {
                let items = model.items();
                let mut query = vec![0.0; items.dim()];
                items.item_vector_into(item, &mut query)?;
                self.unit_vectors(items)?.top_k(&query, k, &filter, &mut top)?;
            }
        }
        Ok(self.named(&top))
    }

    /// Scores of items for somebody known.
    ///
    /// # Errors
    /// [`RecommendError::UnknownUser`], [`RecommendError::UnknownItem`].
    pub fn score<S: AsRef<str>>(&self, user: &str, items: &[S]) -> Result<Vec<f32>, RecommendError> {
        let user = self.people.user(user)?;
        let items = self.history(items)?;
        let mut scores = vec![0.0; items.len()];
        self.model.answers().scorer.score_into(&user, &items, &mut scores)?;
        Ok(scores)
    }

    /// The same items without people: a file of it holds nobody's data.
    ///
    /// # Errors
    /// A model whose users are part of its network.
    pub fn without_users(&self) -> Result<Self, RecommendError> {
        let nobody = match self.model.users().ok_or(ModelError::UsersInside)? {
            Users::Vectors(users) => {
                Users::Vectors(rectify_core::UserVectors::new(Vec::new(), users.dim()).map_err(ModelError::from)?)
            }
            Users::Histories(_) => Users::Histories(rectify_core::Histories::from_rows::<[ItemId; 0]>([])),
        };
        Ok(Self {
            kind: self.kind,
            model: self.model.with_users(nobody)?,
            items: self.items.clone(),
            people: People::nobody(),
            fold_in: self.fold_in.clone(),
            encoder: self.encoder.clone(),
            provenance: self.provenance.clone(),
            unit_vectors: OnceLock::new(),
        })
    }

    /// Dense ids of items.
    pub(crate) fn history<S: AsRef<str>>(&self, items: &[S]) -> Result<Vec<ItemId>, RecommendError> {
        items.iter().map(|id| self.items.item(id.as_ref())).collect()
    }

    /// Item vectors of length 1, made when they are first asked for.
    fn unit_vectors(&self, items: &dyn ItemVectors) -> Result<&ExactIndex, RecommendError> {
        if let Some(index) = self.unit_vectors.get() {
            return Ok(index);
        }
        let mut rows = vec![0.0; items.n_items() * items.dim()];
        for (row, item) in rows.chunks_exact_mut(items.dim()).zip((0..).map(ItemId)) {
            items.item_vector_into(item, row)?;
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|x| *x /= length);
            }
        }
        let index = ExactIndex::build(rows, items.dim(), &ExactConfig::default());
        let index = index.map_err(|error| QueryError::Unsupported(error.to_string()))?;
        Ok(self.unit_vectors.get_or_init(|| index))
    }

    /// Hits with their own ids.
    pub(crate) fn named(&self, top: &TopK) -> Vec<Recommendation> {
        let name = |item: ItemId| self.items.ids.name(item.0).unwrap_or_default();
        top.hits().iter().map(|hit| Recommendation { item: name(hit.item), score: hit.score }).collect()
    }

    pub(crate) fn no_newcomers(&self, remedy: &'static str) -> RecommendError {
        RecommendError::NoNewcomers { kind: self.kind.name.to_owned(), remedy }
    }
}
