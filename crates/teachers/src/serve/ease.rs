//! EASE, frozen: what having an item adds to the score of every other.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{
    Catalogue, Exhaustive, FoldIn, ForUsers, Format, Histories, Index, ItemFilter, ItemId, QueryError, Retriever,
    Scorer, TopK, Violation, WithUsers, check_len,
};
use rectify_tensor::kernels::add_assign;

use super::history::{ascending, upgraded};

/// A frozen EASE with the histories of its users.
///
/// `score(u, i) = Σ B_ai` over the items a of the user; a user without items scores everything 0. People who were not trained on are
/// answered by [`EaseWeights`] alone.
pub type Ease = ForUsers<Histories, EaseWeights>;

/// Item-to-item weights B, asked with what somebody has: `score(history, i) = Σ B_ai` over the items a of the history.
///
/// A history is a set: neither order nor repetition changes a bit of a score. An empty one scores everything 0.
///
/// - **Shapes**: B is row-major `[n_items, n_items]`; row a is what having item a adds to each score.
#[derive(Clone, Debug)]
pub struct EaseWeights {
    weights: Array<f32>,
    n_items: usize,
}

impl EaseWeights {
    /// Takes weights over, `n_items²` finite values.
    ///
    /// # Errors
    /// What is wrong with the weights.
    pub fn new(weights: impl Into<Array<f32>>, n_items: usize) -> Result<Self, Violation> {
        let weights = Self { weights: weights.into(), n_items };
        weights.validate().pop().map_or(Ok(weights), Err)
    }

    /// B, row-major `[n_items, n_items]`; B_ij is what having item i adds to the score of item j.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn row(&self, item: ItemId) -> &[f32] {
        &self.weights[item.index() * self.n_items..][..self.n_items]
    }
}

impl Catalogue for EaseWeights {
    fn n_items(&self) -> usize {
        self.n_items
    }
}

impl Scorer for EaseWeights {
    type Query = [ItemId];

    fn score_into(&self, history: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let history = ascending(history, self.n_items)?;
        check_len("out", items.len(), out.len())?;
        for (&item, score) in items.iter().zip(out) {
            if item.index() >= self.n_items {
                return Err(QueryError::UnknownItem { item, n_items: self.n_items });
            }
            *score = history.iter().fold(0.0, |sum, &a| sum + self.row(a)[item.index()]);
        }
        Ok(())
    }

    fn score_all_into(&self, history: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let history = ascending(history, self.n_items)?;
        check_len("out", self.n_items, out.len())?;
        out.fill(0.0);
        for &item in history.iter() {
            add_assign(out, self.row(item));
        }
        Ok(())
    }
}

/// Scores every item.
impl Retriever for EaseWeights {
    type Query = [ItemId];

    fn top_k(&self, history: &[ItemId], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        Exhaustive::new(self).top_k(history, k, filter, out)
    }
}

impl FoldIn for EaseWeights {
    type Query = [ItemId];

    fn fold_in(&self, history: &[ItemId]) -> Result<Vec<ItemId>, QueryError> {
        Ok(ascending(history, self.n_items)?.into_owned())
    }
}

/// A file has 4 · n_items² bytes and more.
impl Index for EaseWeights {
    fn format() -> Format {
        Format { kind: "ease-weights", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        size_of_val(&*self.weights)
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.array(&format!("{prefix}weights"), &[self.n_items, self.n_items], &self.weights);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let name = format!("{prefix}weights");
        let n_items = artifact.array::<f32>(&name)?.1.first().copied().unwrap_or(0);
        Ok(Self { weights: artifact.array_shaped(&name, &[n_items, n_items])?, n_items })
    }

    fn validate(&self) -> Vec<Violation> {
        let (n, got) = (self.n_items, self.weights.len());
        let problem = if n.checked_mul(n) != Some(got) || u32::try_from(n).is_err() {
            format!("{got} values are no matrix of {n} by {n}, of fewer than 2^32 items")
        } else if let Some(at) = self.weights.iter().position(|w| !w.is_finite()) {
            format!("row {}, column {} is {}", at / n, at % n, self.weights[at])
        } else {
            return Vec::new();
        };
        vec![Violation { field: "weights".into(), problem }]
    }
}

/// Version 1 had other names for the histories.
impl WithUsers for EaseWeights {
    const FORMAT_WITH_USERS: Format = Format { kind: "ease", version: 2 };

    fn upgraded(artifact: Artifact) -> Result<Artifact, ArtifactError> {
        upgraded(&artifact, Self::FORMAT_WITH_USERS.kind)
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::{Provenance, UserId, testing};

    use super::*;

    fn weights(n: u16) -> EaseWeights {
        let values: Vec<f32> = (0..n * n).map(|at| (f32::from(at) * 0.7).sin()).collect();
        EaseWeights::new(values, n.into()).unwrap()
    }

    #[test]
    fn weights_keep_every_promise_of_a_scorer_retriever_and_index_for_any_history() {
        let weights = weights(30);
        let histories = [&[ItemId(3), ItemId(17)][..], &[], &[ItemId(29), ItemId(0), ItemId(5), ItemId(29)]];
        testing::scorer(&weights, &histories);
        testing::scorer_refuses(&weights, &[ItemId(30)][..]);
        testing::retriever(&weights, &histories, &testing::Oracle::scorer(&weights));
        testing::retriever_refuses(&weights, histories[0], &[ItemId(30)][..]);
        testing::index(&weights, &histories);
    }

    #[test]
    fn the_order_of_a_history_changes_no_bit_and_a_user_is_its_history() {
        let (weights, mut out) = (weights(40), [[0.0f32; 40]; 3]);
        let history: Vec<ItemId> = (0..40).step_by(3).map(ItemId).collect();
        let shuffled: Vec<ItemId> = (0..14).map(|at| history[at * 5 % 14]).collect();
        weights.score_all_into(&history, &mut out[0]).unwrap();
        weights.score_all_into(&shuffled, &mut out[1]).unwrap();
        assert_eq!(weights.fold_in(&shuffled).unwrap(), history);
        assert!(weights.fold_in(&[ItemId(40)]).is_err());
        let model = Ease::new(Histories::from_rows([shuffled]), weights, Provenance::default()).unwrap();
        model.score_all_into(&UserId(0), &mut out[2]).unwrap();
        assert_eq!((out[0], out[0]), (out[1], out[2]));
        testing::index(&model, &[&UserId(0)]);
    }

    #[test]
    fn weights_that_are_no_square_or_no_numbers_are_named() {
        let refused = |values: Vec<f32>, n| EaseWeights::new(values, n).unwrap_err().to_string();
        assert!(refused(vec![0.0; 5], 2).starts_with("weights: 5 values are no matrix of 2 by 2"));
        assert_eq!(refused(vec![0.0, 0.0, f32::NAN, 0.0], 2), "weights: row 1, column 0 is NaN");
    }
}
