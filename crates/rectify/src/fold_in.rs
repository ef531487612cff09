//! People whom a model was not trained on, and what people did since.

use rectify_core::{Histories, ItemFilter, ItemId, Retriever, TopK, UserId, UserVectors};
use rectify_models::{ModelError, Newcomers, Users};
use rectify_teachers::{RidgeConfig, RidgeFoldIn};

use crate::{IdMap, People, RecommendError, Recommender};

impl Recommender {
    /// How vectors of new people are found: the settings of the least squares problem (those of iALS). Models that answer histories have
    /// none.
    #[must_use]
    pub fn fold_in_config(&self) -> Option<&RidgeConfig> {
        self.fold_in.as_ref().map(RidgeFoldIn::config)
    }

    /// Finds vectors of new people with these settings from now on. Choose them on validation data:
    /// [`RidgeConfig::default`] suits iALS, whose own settings are the best for it.
    ///
    /// # Errors
    /// A setting out of its range; [`RecommendError::NoNewcomers`] for a model that is not asked with vectors.
    pub fn with_fold_in(mut self, config: RidgeConfig) -> Result<Self, RecommendError> {
        let fold_in = match (&self.fold_in, self.model.newcomers()) {
            (Some(made), _) => made.with_config(config)?,
            (None, Newcomers::ByVector(model)) => RidgeFoldIn::new(model.items(), config)?,
            (None, Newcomers::ByHistory(_) | Newcomers::Unanswered) => {
                return Err(self.no_newcomers("it is not asked with vectors, so there is nothing to solve for"));
            }
        };
        self.fold_in = Some(fold_in);
        Ok(self)
    }

    /// The vector of somebody with this history.
    pub(crate) fn vector_for(&self, history: &[ItemId]) -> Result<Vec<f32>, RecommendError> {
        let Newcomers::ByVector(model) = self.model.newcomers() else {
            return Err(self.no_newcomers("it is not asked with vectors"));
        };
        Ok(match &self.fold_in {
            Some(solver) => model.fold_in(solver, history)?,
            None => model.fold_in(&RidgeFoldIn::new(model.items(), RidgeConfig::default())?, history)?,
        })
    }

    /// The list of somebody known.
    pub(crate) fn top_k(
        &self,
        user: UserId,
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<(), RecommendError> {
        Ok(self.model.answers().top_k(&user, k, filter, out)?)
    }

    /// The list of somebody by their history, newest first.
    pub(crate) fn top_k_for(
        &self,
        history: &[ItemId],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<(), RecommendError> {
        match self.model.newcomers() {
            Newcomers::ByHistory(model) => model.top_k_by_history(history, k, filter, out)?,
            Newcomers::ByVector(model) => model.top_k_by_vector(&self.vector_for(history)?, k, filter, out)?,
            Newcomers::Unanswered => {
                return Err(self.no_newcomers("train another kind, or distil it into one that folds people in"));
            }
        }
        Ok(())
    }

    /// With what people did since: pairs of a user's and an item's own ids, oldest first. Users who are not known yet become known.
    ///
    /// Nothing is trained: the users of these pairs are folded in by all that they have now, everybody else and all items stay as they
    /// are. Train again when many items are new or tastes have moved.
    ///
    /// # Errors
    /// [`RecommendError::UnknownItem`]; a model whose users are part of its network.
    pub fn update<U: AsRef<str>, I: AsRef<str>>(
        &self,
        interactions: impl IntoIterator<Item = (U, I)>,
    ) -> Result<Self, RecommendError> {
        let users = self.model.users().ok_or(ModelError::UsersInside)?;
        let n_known = self.people.len();
        let mut names: Vec<String> = (0..n_known as u32).filter_map(|user| self.people.ids.name(user)).collect();
        let mut places = std::collections::HashMap::new();
        let mut news: Vec<Vec<ItemId>> = vec![Vec::new(); n_known];
        for (user, item) in interactions {
            let (user, item) = (user.as_ref(), self.items.item(item.as_ref())?);
            let known = self.people.ids.find(user).map(|user| user as usize);
            let at = known.unwrap_or_else(|| {
                *places.entry(user.to_owned()).or_insert_with(|| {
                    names.push(user.to_owned());
                    news.push(Vec::new());
                    news.len() - 1
                })
            });
            news[at].push(item);
        }
        let seen = |at: usize| if at < n_known { self.people.seen(UserId(at as u32)) } else { &[] };
        let users = match users {
            Users::Histories(histories) => {
                let row = |(at, new): (usize, &Vec<ItemId>)| {
                    let mut row: Vec<ItemId> = new.iter().rev().copied().collect();
                    if at < n_known {
                        row.extend(histories.of(UserId(at as u32)));
                    }
                    // The newest of an item that stands twice.
                    let mut met = std::collections::HashSet::new();
                    row.retain(|item| met.insert(*item));
                    row
                };
                Users::Histories(Histories::from_rows(news.iter().enumerate().map(row)))
            }
            Users::Vectors(vectors) => {
                let mut values = vectors.to_vec();
                values.resize(news.len() * vectors.dim(), 0.0);
                for (at, new) in news.iter().enumerate().filter(|(_, new)| !new.is_empty()) {
                    let all: Vec<ItemId> = seen(at).iter().chain(new).copied().collect();
                    values[at * vectors.dim()..][..vectors.dim()].copy_from_slice(&self.vector_for(&all)?);
                }
                Users::Vectors(UserVectors::new(values, vectors.dim()).map_err(ModelError::from)?)
            }
        };
        let rows: Vec<Vec<ItemId>> =
            news.iter().enumerate().map(|(at, new)| seen(at).iter().chain(new).copied().collect()).collect();
        let ids = IdMap::from_names(names).map_err(|problem| RecommendError::Ids { what: "users", problem })?;
        Ok(Self {
            kind: self.kind,
            model: self.model.with_users(users)?,
            items: self.items.clone(),
            people: People::new(ids, rows)?,
            fold_in: self.fold_in.clone(),
            encoder: self.encoder.clone(),
            provenance: self.provenance.clone(),
            unit_vectors: std::sync::OnceLock::new(),
        })
    }
}
