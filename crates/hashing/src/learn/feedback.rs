//! Implicit feedback as the ratings that older methods were made for.

use rectify_core::rng::Seed;
use rectify_core::{ItemId, as_u32s};
use rectify_data::Interactions;
use rectify_data::samplers::{SamplerError, UniformNegatives};
use rectify_tensor::Csr;
use serde::{Deserialize, Serialize};

/// What stands for a low rating where data tell only what users chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feedback {
    /// Nothing: chosen pairs alone, all with the highest target. The reading closest to what was published, and degenerate where
    /// nothing else keeps codes apart: one code for everybody fits it.
    PositivesOnly,
    /// One uniform unobserved item for each chosen one, drawn once, with the lowest target.
    #[default]
    SampledNegatives,
}

impl Feedback {
    /// Pairs with label 1 (chosen) or -1 (drawn), users by rows.
    pub(super) fn labels(self, train: &Interactions, seed: Seed) -> Result<Csr, SamplerError> {
        let (mut offsets, mut columns, mut labels) = (vec![0u64], Vec::new(), Vec::new());
        let sampler = match self {
            Self::PositivesOnly => None,
            Self::SampledNegatives => Some(UniformNegatives::new(train, seed.stream("negatives"))?),
        };
        let mut negatives = Vec::new();
        for user in train.users() {
            let positives = train.items_of(user);
            columns.extend_from_slice(as_u32s(positives));
            labels.resize(columns.len(), 1.0);
            if let Some(sampler) = &sampler {
                negatives.resize(positives.len(), ItemId(0));
                sampler.fill(0, u64::from(user.0), &[user], &mut negatives);
                columns.extend_from_slice(as_u32s(&negatives));
                labels.resize(columns.len(), -1.0);
            }
            offsets.push(columns.len() as u64);
        }
        Ok(Csr::new(train.n_items(), offsets, columns, labels).expect("rows were made from sound interactions"))
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::UserId;

    use super::*;

    #[test]
    fn each_chosen_item_has_one_unseen_item_beside_it_unless_positives_stand_alone() {
        let train = Interactions::from_pairs(3, 30, &[(0, 1), (0, 5), (2, 7)]).unwrap();
        let labels = Feedback::SampledNegatives.labels(&train, Seed(1)).unwrap();
        for user in train.users() {
            let (items, labels) = labels.row(user.index());
            let n = train.items_of(user).len();
            assert_eq!(&items[..n], as_u32s(train.items_of(user)));
            assert_eq!(labels, [vec![1.0; n], vec![-1.0; n]].concat());
            assert!(items[n..].iter().all(|item| !train.contains(user, ItemId(*item))));
        }
        let alone = Feedback::PositivesOnly.labels(&train, Seed(1)).unwrap();
        assert_eq!((alone.n_edges(), alone.row(0)), (3, (&[1, 5][..], &[1.0, 1.0][..])));
        assert!(labels.row(UserId(1).index()).0.is_empty());
    }
}
