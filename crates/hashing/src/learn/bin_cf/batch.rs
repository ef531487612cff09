//! The lists of a batch: users, their items, the negatives drawn for them, and which of these are distilled.

use rectify_core::rng::Seed;
use rectify_core::{ItemId, UserId, as_u32s};
use rectify_data::Interactions;
use rectify_data::samplers::{SamplerError, UniformNegatives};
use rectify_tensor::DistinctRows;

/// Users with all their interactions, each with one negative.
///
/// The list of a user is its positives followed by as many negatives; `offsets` count both.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) users: Vec<UserId>,
    /// Where the list of each user starts, in `slots`; one more than users.
    pub(super) offsets: Vec<usize>,
    /// Place of each listed item among `items`.
    pub(super) slots: Vec<u32>,
    items: DistinctRows,
    /// Where each user's distilled positives (or negatives: they are as many) start; one more than users.
    pub(super) list_offsets: Vec<usize>,
    /// Interaction of each distilled positive, by its place among its user's; its negative has the same place.
    pub(super) chosen: Vec<u32>,
}

impl Batch {
    pub(super) fn new(n_items: usize) -> Self {
        Self {
            users: Vec::new(),
            offsets: vec![0],
            slots: Vec::new(),
            items: DistinctRows::new(n_items),
            list_offsets: vec![0],
            chosen: Vec::new(),
        }
    }

    /// The distinct items of the batch.
    pub(super) fn items(&self) -> &[u32] {
        self.items.rows()
    }

    /// Interactions of the batch.
    pub(super) fn n_triples(&self) -> usize {
        self.slots.len() / 2
    }

    /// Interactions of its user number `u`.
    pub(super) fn length(&self, u: usize) -> usize {
        (self.offsets[u + 1] - self.offsets[u]) / 2
    }

    /// Visits the distilled pairs: place among the distilled ones, place of the positive and of the negative in `slots`.
    pub(super) fn for_each_chosen(&self, mut f: impl FnMut(usize, usize, usize)) {
        for u in 0..self.users.len() {
            let (start, length) = (self.offsets[u], self.length(u));
            for at in self.list_offsets[u]..self.list_offsets[u + 1] {
                let positive = start + self.chosen[at] as usize;
                f(at, positive, positive + length);
            }
        }
    }
}

/// Draws the batches of an epoch.
#[derive(Debug)]
pub(super) struct Lists<'a> {
    train: &'a Interactions,
    /// Users with an interaction.
    active: Vec<u32>,
    negatives: UniformNegatives<'a>,
    order: Seed,
    parts: Seed,
    limit: usize,
}

impl<'a> Lists<'a> {
    pub(super) fn new(train: &'a Interactions, limit: usize, seed: Seed) -> Result<Self, SamplerError> {
        let active = train.users().filter(|user| !train.items_of(*user).is_empty()).map(|user| user.0).collect();
        let negatives = UniformNegatives::new(train, seed.stream("negatives"))?;
        Ok(Self { train, active, negatives, order: seed.stream("order"), parts: seed.stream("parts"), limit })
    }

    /// The users of an epoch, in its order.
    pub(super) fn order(&self, epoch: u32) -> Vec<u32> {
        let mut order = self.active.clone();
        self.order.at(epoch, 0).shuffle(&mut order);
        order
    }

    pub(super) fn fill(&self, epoch: u32, users: &[u32], batch: &mut Batch) {
        let Batch { users: out, offsets, slots, items, list_offsets, chosen } = batch;
        out.clear();
        out.extend(users.iter().copied().map(UserId));
        for starts in [&mut *offsets, &mut *list_offsets] {
            starts.clear();
            starts.push(0);
        }
        slots.clear();
        chosen.clear();
        items.clear();
        let mut negatives: Vec<ItemId> = Vec::new();
        for &user in &*out {
            let positives = self.train.items_of(user);
            negatives.resize(positives.len(), ItemId(0));
            // All negatives of a user are one sequence, whatever batch it stands in.
            self.negatives.fill(epoch, u64::from(user.0), &[user], &mut negatives);
            items.add(as_u32s(positives), slots);
            items.add(as_u32s(&negatives), slots);
            offsets.push(slots.len());
            if positives.len() <= self.limit {
                chosen.extend(0..positives.len() as u32);
            } else {
                let mut rng = self.parts.at(epoch, u64::from(user.0));
                chosen.extend(rng.sample_distinct(positives.len() as u32, self.limit as u32));
            }
            list_offsets.push(chosen.len());
        }
    }
}
