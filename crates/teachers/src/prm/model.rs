//! The frozen re-ranker.

use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{
    Hit, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId, Violation, check_batch,
};
use serde::{Deserialize, Serialize};

use super::PrmConfig;
use super::network::{Pass, arrays};
use crate::{Factors, Origin};

const KIND: &str = "prm-base";
const VERSION: u32 = 1;

/// A frozen PRM-BASE with the first stage whose lists it puts in order.
///
/// A list is the first stage's best `list_len` items that pass the filter, in the order of their scores here. Asked for more, it goes on
/// with the first stage's next items, each below all before it. As a scorer it answers nothing: what an item is worth depends on the list
/// it stands in.
#[derive(Clone, Debug)]
pub struct Prm {
    config: PrmConfig,
    first: Factors,
    /// In the order of `arrays`.
    weights: Vec<Array<f32>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    settings: PrmConfig,
    first: Origin,
    first_dim: usize,
}

impl Prm {
    pub(super) fn from_parts(config: PrmConfig, first: Factors, weights: Vec<Array<f32>>) -> Self {
        Self { config, first, weights }
    }

    /// The settings it was trained with.
    #[must_use]
    pub const fn config(&self) -> &PrmConfig {
        &self.config
    }

    /// The first stage.
    #[must_use]
    pub const fn first(&self) -> &Factors {
        &self.first
    }

    /// Number of learned values, those of the first stage included.
    #[must_use]
    pub fn n_params(&self) -> usize {
        let own: usize = self.weights.iter().map(|array| array.len()).sum();
        own + self.first.users().len() + self.first.items().len()
    }

    /// Scores of a list in its order, at most `list_len` items.
    fn scores(&self, user: UserId, items: &[ItemId], pass: &mut Pass) -> Result<(), QueryError> {
        let weights: Vec<&[f32]> = self.weights.iter().map(|array| &array[..]).collect();
        pass.forward(&self.config, &weights, tokens(&self.first, user, items)?, None);
        Ok(())
    }

    /// Puts the first stage's answer in a new order.
    fn rank(&self, user: UserId, k: usize, top: &mut TopK, pass: &mut Pass) -> Result<(), QueryError> {
        let items: Vec<ItemId> = top.items().collect();
        let (listed, rest) = items.split_at(items.len().min(self.config.list_len));
        self.scores(user, listed, pass)?;
        if let Some(at) = pass.scores.iter().position(|score| !score.is_finite()) {
            return Err(QueryError::NotFinite { position: listed[at].index(), value: pass.scores[at] });
        }
        let lowest = pass.scores.iter().copied().fold(f32::INFINITY, f32::min);
        // Steps that a number of this size can still show.
        let step = lowest.abs().max(1.0);
        let listed = listed.iter().zip(&pass.scores).map(|(item, score)| Hit::new(*item, *score));
        let below = (1..).zip(rest).map(|(place, item)| Hit::new(*item, lowest - step * place as f32));
        top.assign(k, listed.chain(below));
        Ok(())
    }

    /// Writes model and first stage to one file.
    ///
    /// # Errors
    /// As [`ArtifactWriter::save`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let (dim, origin) = (self.first.dim(), self.first.origin().clone());
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&Saved { settings: self.config.clone(), first: origin, first_dim: dim });
        writer.array("first.users", &[self.first.n_users(), dim], self.first.users());
        writer.array("first.items", &[self.first.items().len() / dim, dim], self.first.items());
        for ((name, rows, columns, _), weight) in arrays(&self.config, 2 * dim).iter().zip(&self.weights) {
            writer.array(name, &[*rows, *columns], &weight[..]);
        }
        writer.save(path, overwrite)
    }

    /// Maps a model that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// A file that is not such a model, is damaged, or holds a value that is not finite.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let Saved { settings, first: origin, first_dim: dim } = artifact.config()?;
        settings.validate().map_err(|error| artifact.field_error("rectify.config", error.to_string()))?;
        let mut violations = Vec::new();
        let mut finite = |name: &str, array: Array<f32>| {
            if let Some(at) = array.iter().position(|x| !x.is_finite()) {
                let problem = format!("value {at} is {}, expected a finite number", array[at]);
                violations.push(Violation { field: name.to_owned(), problem });
            }
            array
        };
        let mut tables = Vec::new();
        for name in ["first.users", "first.items"] {
            let (array, shape) = artifact.array::<f32>(name)?;
            if dim == 0 || shape.len() != 2 || shape[1] != dim || u32::try_from(shape[0]).is_err() {
                let problem = format!("array has shape {shape:?}, expected [rows, {dim}] with at least one column");
                return Err(artifact.field_error(name, problem));
            }
            tables.push(finite(name, array));
        }
        let mut weights = Vec::new();
        for (name, rows, columns, _) in arrays(&settings, 2 * dim) {
            weights.push(finite(&name, artifact.array_shaped(&name, &[rows, columns])?));
        }
        artifact.reject(violations)?;
        let [users, items] = <[_; 2]>::try_from(tables).expect("two tables were read");
        let first = Factors::new(users, items, dim, origin)
            .map_err(|error| artifact.field_error("first.items", error.to_string()))?;
        Ok(Self { config: settings, first, weights })
    }
}

/// `[p_u ; q_i]` of each item of a list.
pub(super) fn tokens(first: &Factors, user: UserId, items: &[ItemId]) -> Result<Vec<f32>, QueryError> {
    let own = first.user(user)?;
    let mut tokens = Vec::with_capacity(2 * own.len() * items.len());
    for item in items {
        tokens.extend_from_slice(own);
        tokens.extend_from_slice(first.item(*item)?);
    }
    Ok(tokens)
}

impl Retriever for Prm {
    type Query = UserId;

    fn n_items(&self) -> usize {
        Retriever::n_items(&self.first)
    }

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.first.top_k(user, k.max(self.config.list_len), filter, out)?;
        self.rank(*user, k, out, &mut Pass::default())
    }

    fn top_k_batch(
        &self,
        queries: &[&UserId],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        use rayon::prelude::*;

        check_batch(queries.len(), filters.len(), out.len())?;
        self.first.top_k_batch(queries, k.max(self.config.list_len), filters, out)?;
        let ranked: Vec<Result<(), QueryError>> = queries
            .par_iter()
            .zip(out.par_iter_mut())
            .map_init(Pass::default, |pass, (user, top)| self.rank(**user, k, top, pass))
            .collect();
        ranked.into_iter().collect()
    }
}

/// Refuses: what an item is worth depends on its list.
impl Scorer for Prm {
    type Query = UserId;

    fn n_items(&self) -> usize {
        Retriever::n_items(&self.first)
    }

    fn score_into(&self, _: &UserId, _: &[ItemId], _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("PRM scores an item within its list; ask it for lists".into()))
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.score_into(user, &[], out)
    }
}

/// A black box.
impl Teacher for Prm {}
