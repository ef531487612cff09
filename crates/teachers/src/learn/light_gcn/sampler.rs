//! The triples of an epoch.

use rectify_core::UserId;
use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_data::samplers::{SamplerError, UniformNegatives};

use crate::learn::graph::Graph;
use crate::learn::triples::Batch;

/// Draws as the authors' code does: a user uniformly among those who have an item, one of the user's items uniformly, one
/// uniform negative; as many triples an epoch as there are interactions. (Not each interaction once: users weigh alike.)
#[derive(Debug)]
pub(super) struct Triples<'a> {
    train: &'a Interactions,
    active: Vec<UserId>,
    negatives: UniformNegatives<'a>,
    seed: Seed,
}

impl<'a> Triples<'a> {
    pub(super) fn new(train: &'a Interactions, seed: Seed) -> Result<Self, SamplerError> {
        let seed = seed.stream("triples");
        let active = train.users().filter(|user| !train.items_of(*user).is_empty()).collect();
        Ok(Self { train, active, negatives: UniformNegatives::new(train, seed)?, seed })
    }

    /// Triples an epoch.
    pub(super) fn len(&self) -> usize {
        self.train.n_interactions()
    }

    /// Triples number `range` of `epoch`.
    pub(super) fn fill(&self, epoch: u32, range: std::ops::Range<usize>, graph: &Graph, batch: &mut Batch) {
        batch.clear();
        for index in range {
            let mut rng = self.seed.at(epoch, index as u64);
            let user = self.active[rng.below(self.active.len() as u32) as usize];
            let items = self.train.items_of(user);
            let positive = items[rng.below(items.len() as u32) as usize];
            let negative = self.negatives.draw_with(user, &mut rng);
            batch.users.push(graph.users()[user.index()]);
            batch.positives.push(graph.items()[positive.index()]);
            batch.negatives.push(graph.items()[negative.index()]);
        }
    }
}
