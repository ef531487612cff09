//! Item-based collaborative filtering, frozen: the nearest neighbours of every item.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{
    Catalogue, Exhaustive, FoldIn, ForUsers, Format, Histories, Hit, Index, ItemFilter, ItemId, QueryError, Retriever,
    Scorer, TopK, Violation, WithUsers, check_len,
};

use super::history::{ascending, upgraded};
use super::scores::{not_finite, pick};

/// A frozen Item-CF with the histories of its users.
///
/// `score(u, i) = Σ sim(a, i)` over the items a of the user that have i among their nearest; a user without items scores everything 0.
/// People who were not trained on are answered by [`ItemNeighbours`] alone.
pub type ItemCf = ForUsers<Histories, ItemNeighbours>;

/// The nearest neighbours of every item, asked with what somebody has: `score(history, i) = Σ sim(a, i)` over the items a of the
/// history that have i among their neighbours.
///
/// A history is a set: neither order nor repetition changes a bit of a score. An empty one scores everything 0. Scoring some items
/// costs as much as scoring all.
#[derive(Clone, Debug)]
pub struct ItemNeighbours {
    offsets: Array<u64>,
    neighbours: Array<ItemId>,
    similarities: Array<f32>,
}

impl ItemNeighbours {
    /// Collects the neighbours of item 0, of item 1 and so on; the score of a hit is its similarity.
    ///
    /// # Errors
    /// A neighbour that is no item, or a similarity that is not finite.
    pub fn from_rows<R: AsRef<[Hit]>>(rows: impl IntoIterator<Item = R>) -> Result<Self, Violation> {
        let mut offsets = vec![0];
        let (mut neighbours, mut similarities) = (Vec::new(), Vec::new());
        for row in rows {
            neighbours.extend(row.as_ref().iter().map(|hit| hit.item));
            similarities.extend(row.as_ref().iter().map(|hit| hit.score));
            offsets.push(neighbours.len() as u64);
        }
        let index = Self { offsets: offsets.into(), neighbours: neighbours.into(), similarities: similarities.into() };
        index.validate().into_iter().next().map_or(Ok(index), Err)
    }

    /// The neighbours of an item, with their similarities; those of a trained model by ascending id.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`].
    pub fn neighbours(&self, item: ItemId) -> Result<impl Iterator<Item = Hit> + '_, QueryError> {
        if item.index() >= self.n_items() {
            return Err(QueryError::UnknownItem { item, n_items: self.n_items() });
        }
        Ok(self.row(item))
    }

    fn row(&self, item: ItemId) -> impl Iterator<Item = Hit> + '_ {
        let range = self.offsets[item.index()] as usize..self.offsets[item.index() + 1] as usize;
        let pairs = self.neighbours[range.clone()].iter().zip(&self.similarities[range]);
        pairs.map(|(&item, &score)| Hit { item, score })
    }

    /// Whether offsets start at 0, never fall, and end at the number of neighbours.
    fn rows_are_whole(&self) -> bool {
        let offsets = &self.offsets[..];
        offsets.first() == Some(&0)
            && offsets.last() == Some(&(self.neighbours.len() as u64))
            && offsets.windows(2).all(|w| w[0] <= w[1])
            && u32::try_from(offsets.len()).is_ok()
    }
}

impl Catalogue for ItemNeighbours {
    fn n_items(&self) -> usize {
        self.offsets.len() - 1
    }
}

impl Scorer for ItemNeighbours {
    type Query = [ItemId];

    fn score_into(&self, history: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let mut all = vec![0.0; self.n_items()];
        self.score_all_into(history, &mut all)?;
        pick(&all, items, out)
    }

    fn score_all_into(&self, history: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let history = ascending(history, self.n_items())?;
        check_len("out", self.n_items(), out.len())?;
        out.fill(0.0);
        for &item in history.iter() {
            for hit in self.row(item) {
                out[hit.item.index()] += hit.score;
            }
        }
        Ok(())
    }
}

/// Scores every item.
impl Retriever for ItemNeighbours {
    type Query = [ItemId];

    fn top_k(&self, history: &[ItemId], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        Exhaustive::new(self).top_k(history, k, filter, out)
    }
}

impl FoldIn for ItemNeighbours {
    type Query = [ItemId];

    fn fold_in(&self, history: &[ItemId]) -> Result<Vec<ItemId>, QueryError> {
        Ok(ascending(history, self.n_items())?.into_owned())
    }
}

impl Index for ItemNeighbours {
    fn format() -> Format {
        Format { kind: "item-neighbours", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        size_of_val(&*self.offsets) + size_of_val(&*self.neighbours) + size_of_val(&*self.similarities)
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.array(&format!("{prefix}offsets"), &[self.offsets.len()], &self.offsets);
        writer.array(&format!("{prefix}neighbours"), &[self.neighbours.len()], &self.neighbours);
        writer.array(&format!("{prefix}similarities"), &[self.similarities.len()], &self.similarities);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let name = format!("{prefix}offsets");
        let (offsets, _) = artifact.array(&name)?;
        let (neighbours, _) = artifact.array::<ItemId>(&format!("{prefix}neighbours"))?;
        let similarities = artifact.array_shaped(&format!("{prefix}similarities"), &[neighbours.len()])?;
        let index = Self { offsets, neighbours, similarities };
        // Rows are cut by these, so they are checked before anybody can ask for one.
        if index.rows_are_whole() {
            return Ok(index);
        }
        let n = index.neighbours.len();
        Err(artifact.field_error(&name, format!("do not rise from 0 to {n} in fewer than 2^32 steps")))
    }

    fn validate(&self) -> Vec<Violation> {
        let violation = |field: &str, problem| Violation { field: field.into(), problem };
        if !self.rows_are_whole() {
            let problem = format!("do not rise from 0 to {} in fewer than 2^32 steps", self.neighbours.len());
            return vec![violation("offsets", problem)];
        }
        let n_items = self.n_items();
        let unknown = self.neighbours.iter().position(|item| item.index() >= n_items).map(|at| {
            let problem = format!("position {at} names item {}, expected less than {n_items}", self.neighbours[at]);
            violation("neighbours", problem)
        });
        unknown.into_iter().chain(not_finite("similarities", &self.similarities)).collect()
    }
}

/// Version 1 had other names for the histories.
impl WithUsers for ItemNeighbours {
    const FORMAT_WITH_USERS: Format = Format { kind: "item-cf", version: 2 };

    fn upgraded(artifact: Artifact) -> Result<Artifact, ArtifactError> {
        upgraded(&artifact, Self::FORMAT_WITH_USERS.kind)
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::testing;

    use super::*;

    #[test]
    fn neighbours_keep_every_promise_of_a_scorer_retriever_and_index_for_any_history() {
        let row = |item: u32| {
            (0..item % 5).map(|j| Hit::new(ItemId((item * 7 + j * 3) % 25), 1.0 / (1.0 + j as f32))).collect::<Vec<_>>()
        };
        let index = ItemNeighbours::from_rows((0..25).map(row)).unwrap();
        let histories = [&[ItemId(3), ItemId(17)][..], &[], &[ItemId(24), ItemId(0), ItemId(9), ItemId(24)]];
        testing::scorer(&index, &histories);
        testing::scorer_refuses(&index, &[ItemId(25)][..]);
        testing::retriever(&index, &histories, &testing::Oracle::scorer(&index));
        testing::retriever_refuses(&index, histories[0], &[ItemId(25)][..]);
        testing::index(&index, &histories);
        assert_eq!(index.fold_in(histories[2]).unwrap(), [ItemId(0), ItemId(9), ItemId(24)]);
        assert_eq!(index.neighbours(ItemId(3)).unwrap().count(), 3);
        assert!(index.neighbours(ItemId(25)).is_err());
    }

    #[test]
    fn rows_of_unknown_items_or_no_numbers_are_named() {
        let refused = |hit: Hit| ItemNeighbours::from_rows([[hit], [hit]]).unwrap_err().to_string();
        assert!(refused(Hit::new(ItemId(2), 1.0)).contains("position 0 names item 2, expected less than 2"));
        let refused = refused(Hit { item: ItemId(1), score: f32::NAN });
        assert_eq!(refused, "similarities: value 0 is NaN, expected a finite number");
    }
}
