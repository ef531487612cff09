//! New items: from the teacher's vectors to those that a student is asked with.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{IdMap, ItemId, Violation};
use rectify_models::Newcomers;
use serde::{Deserialize, Serialize};

use crate::{Catalogue, RecommendError, Recommender};

/// Name of the array of the map.
const MAP: &str = "encoder/map";

/// A linear map from the space of a teacher's item vectors to that of a student's: what turns an item that the teacher knows into one
/// that the student can encode. OPQ and iterative quantisation rotate, bits scale, learned codes move: the map is fitted to all items at
/// once, by least squares, when a student is distilled.
#[derive(Clone, Debug)]
pub struct Encoder {
    from: usize,
    to: usize,
    /// Row-major `[from, to]`.
    map: Array<f32>,
}

/// What the file's configuration says of it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Widths {
    from: usize,
    to: usize,
}

impl Encoder {
    /// A map, row-major `[from, to]`.
    ///
    /// # Errors
    /// [`RecommendError::Count`] for another number of values.
    pub fn new(map: Vec<f32>, from: usize, to: usize) -> Result<Self, RecommendError> {
        let (expected, got) = (from.saturating_mul(to), map.len());
        if got != expected {
            return Err(RecommendError::Count { what: "values of an encoder", expected, got });
        }
        Ok(Self { from, to, map: map.into() })
    }

    /// Width of a vector of the teacher.
    #[must_use]
    pub const fn teacher_dim(&self) -> usize {
        self.from
    }

    /// Maps row-major vectors.
    pub(crate) fn apply(&self, vectors: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; vectors.len() / self.from * self.to];
        for (vector, out) in vectors.chunks_exact(self.from).zip(out.chunks_exact_mut(self.to)) {
            for (x, row) in vector.iter().zip(self.map.chunks_exact(self.to)) {
                out.iter_mut().zip(row).for_each(|(out, weight)| *out += x * weight);
            }
        }
        out
    }

    pub(crate) fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>) {
        writer.config_of("encoder/", &Widths { from: self.from, to: self.to });
        writer.array(MAP, &[self.from, self.to], &self.map);
    }

    pub(crate) fn read(artifact: &Artifact) -> Result<Option<Self>, ArtifactError> {
        if !artifact.has(MAP) {
            return Ok(None);
        }
        let Widths { from, to } = artifact.config_of("encoder/")?;
        let map: Array<f32> = artifact.array_shaped(MAP, &[from, to])?;
        let sound = from > 0 && to > 0 && map.iter().all(|value| value.is_finite());
        let broken = || Violation { field: MAP.to_owned(), problem: "is empty or not finite".to_owned() };
        artifact.reject(if sound { Vec::new() } else { vec![broken()] })?;
        Ok(Some(Self { from, to, map }))
    }
}

impl Recommender {
    /// Takes new items in with an encoder from now on.
    #[must_use]
    pub fn with_encoder(mut self, encoder: Encoder) -> Self {
        self.encoder = Some(encoder);
        self
    }

    /// Width of the vectors that [`with_items`](Self::with_items) takes: of the teacher's items if this is its student, of its own
    /// otherwise; nothing for a model to which no item can be added.
    #[must_use]
    pub fn new_item_dim(&self) -> Option<usize> {
        match (&self.encoder, self.model.newcomers()) {
            (Some(encoder), _) => Some(encoder.from),
            (None, Newcomers::ByVector(model)) => Some(model.items().dim()),
            (None, Newcomers::ByHistory(_) | Newcomers::Unanswered) => None,
        }
    }

    /// The same people with more items: their ids and their vectors in the space of the teacher's items, row-major, encoded as the items are
    /// and put behind them. Nothing is trained; names, categories and counts of the new items are unknown.
    ///
    /// # Errors
    /// Vectors of another width, an id that is there already, or a model to which no item can be added (EASE, Item-CF, trees: train again).
    pub fn with_items<S: AsRef<str>>(&self, ids: &[S], vectors: &[f32]) -> Result<Self, RecommendError> {
        let dim = self.new_item_dim().ok_or(rectify_models::ModelError::ItemsFixed)?;
        let expected = ids.len() * dim;
        if vectors.len() != expected {
            return Err(RecommendError::Count { what: "values of new items", expected, got: vectors.len() });
        }
        let model = match &self.encoder {
            Some(encoder) => self.model.with_items(&encoder.apply(vectors))?,
            None => self.model.with_items(vectors)?,
        };
        let old = (0..self.n_items() as u32).filter_map(|item| self.items.ids.name(item));
        let all = IdMap::from_names(old.chain(ids.iter().map(|id| id.as_ref().to_owned())));
        let ids = all.map_err(|problem| RecommendError::Ids { what: "items", problem })?;
        let rows = (0..self.n_users() as u32).map(|user| self.people.seen(rectify_core::UserId(user)));
        let people = crate::People::new(self.people.ids.clone(), rows.map(<[ItemId]>::to_vec))?;
        let longer = Self::new(self.kind, model, Catalogue::of(ids), people, self.provenance.clone())?;
        let longer = Self { encoder: self.encoder.clone(), ..longer };
        match self.fold_in_config() {
            Some(config) => longer.with_fold_in(*config),
            None => Ok(longer),
        }
    }
}
