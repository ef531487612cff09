//! The paper's way to run a cascade: whole batches, cut from one order of all items.

use rectify_core::simd::Level;
use rectify_core::{Catalogue, Hit, ItemFilter, ItemId, QueryError, Retriever, Selector, TopK, UserId};

use super::network::Network;
use super::rejection::marker;
use super::stages::{Above, Outcome, Rule, Workspace};
use crate::{CascadeError, CascadeIndex, Cost, Rejection};

/// What a batch-wise search is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Run this module, from 1.
    Module(usize),
    /// Score.
    Scoring,
    /// Choose the best.
    TopK,
}

/// Batch-wise search (HDN, Section on inference): items are sorted once, usually by popularity, and cut into batches; a batch of which
/// some item survives a module goes on **whole**, and one without survivors ends there.
///
/// Its lists are those of the [`CascadeIndex`] it was made of, for any order and any batch size; it computes more, and a batch
/// of one item is the finest compaction. It holds a copy of the items in its order.
///
/// **Reading**: a batch enters module n + 1 with the hidden vectors `h_n` of all its items; they are computed there, so that a batch
/// without survivors never pays for them.
#[derive(Clone, Debug)]
pub struct BatchWise {
    network: Network,
    thresholds: Vec<f32>,
    order: Vec<ItemId>,
    batch_size: usize,
}

impl CascadeIndex {
    /// Prepares batch-wise search: batches of `batch_size` items, cut from `order`.
    ///
    /// # Errors
    /// [`CascadeError::Size`] for a batch size of 0, [`CascadeError::Order`] for an item that is unknown or comes twice,
    /// [`CascadeError::ShortOrder`] for one that is missing, [`CascadeError::Rule`] for a rule that rejects by share.
    pub fn batch_wise(&self, order: &[ItemId], batch_size: usize) -> Result<BatchWise, CascadeError> {
        let n_items = self.network().n_items;
        if batch_size == 0 {
            return Err(CascadeError::Size { what: "batch_size", got: 0, most: usize::MAX });
        }
        let mut seen = vec![false; n_items];
        for (position, item) in order.iter().enumerate() {
            match seen.get_mut(item.index()) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(CascadeError::Order { position, item: *item, n_items }),
            }
        }
        if order.len() != n_items {
            return Err(CascadeError::ShortOrder { position: order.len(), n_items });
        }
        let thresholds = match self.rejection() {
            Rejection::Above(thresholds) => thresholds.clone(),
            Rejection::Never => vec![f32::INFINITY; self.n_modules()],
            Rejection::Share(_) => return Err(CascadeError::Rule { expected: self.n_modules(), got: 0 }),
        };
        let network = self.network().reordered(order.iter().map(|item| item.index()));
        Ok(BatchWise { network, thresholds, order: order.to_vec(), batch_size })
    }
}

impl BatchWise {
    /// [`Retriever::top_k`] that calls `on_stage` before each stage of each batch, so that a caller with a clock can tell what each
    /// stage takes, and says what was computed.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn search(
        &self,
        user: UserId,
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
        on_stage: &mut dyn FnMut(Stage),
    ) -> Result<Cost, QueryError> {
        out.clear();
        let (network, level) = (&self.network, Level::best());
        let vector = network.user(user)?;
        let n_modules = network.n_modules();
        let mut cost = Cost::new(n_modules);
        if k == 0 || network.n_items == 0 {
            return Ok(cost);
        }
        let (mut selector, mut n_found, mut n_rejected) = (Selector::new(k), 0, 0);
        let mut work = Workspace::default();
        let mut alive = Vec::new();
        let rule = Above(&self.thresholds);
        work.begin(network, vector);
        for first in (0..network.n_items).step_by(self.batch_size) {
            let n = self.batch_size.min(network.n_items - first);
            on_stage(if n_modules == 0 { Stage::Scoring } else { Stage::Module(1) });
            work.first(network, level, first, n);
            cost.entered[0] += n as u64;
            alive.clear();
            alive.resize(n, true);
            let mut n_alive = n;
            for module in 0..n_modules {
                let decided = alive.iter_mut().zip(&work.slots).zip(&work.values);
                decided.for_each(|((alive, slot), value)| *alive &= rule.keeps(module, *slot, *value));
                n_alive = alive.iter().filter(|alive| **alive).count();
                if n_alive == 0 {
                    break;
                }
                on_stage(if module + 1 < n_modules { Stage::Module(module + 2) } else { Stage::Scoring });
                if module == 0 {
                    work.gather(network, vector, |slot| slot as usize);
                }
                cost.entered[module + 1] += n as u64;
                work.advance(network, level, module + 1);
            }
            n_rejected += n - n_alive;
            if n_alive > 0 {
                on_stage(Stage::TopK);
                for ((slot, score), _) in work.slots.iter().zip(&work.values).zip(&alive).filter(|(_, alive)| **alive) {
                    let item = self.order[*slot as usize];
                    if *score >= selector.threshold() && filter.allows(item) {
                        n_found += 1;
                        selector.push(Hit { item, score: *score });
                    }
                }
            }
        }
        on_stage(Stage::TopK);
        let once: u64 = cost.entered.iter().enumerate().map(|(stage, n)| n * network.multiply_adds(stage)).sum();
        cost.multiply_adds = once;
        if n_found < k && n_rejected > 0 {
            self.fill(vector, filter, &mut work, &mut selector, &mut cost);
        }
        selector.finish_into(out);
        cost.filled = out.hits().iter().filter(|hit| hit.score <= crate::REJECTED).count();
        Ok(cost)
    }

    /// Offers the rejected items.
    fn fill(
        &self,
        vector: &[f32],
        filter: &ItemFilter<'_>,
        work: &mut Workspace,
        selector: &mut Selector,
        cost: &mut Cost,
    ) {
        let (network, level) = (&self.network, Level::best());
        let mut entered = vec![0; network.n_modules() + 1];
        for first in (0..network.n_items).step_by(self.batch_size) {
            work.first(network, level, first, self.batch_size.min(network.n_items - first));
            let mut rule = Above(&self.thresholds);
            work.finish(
                network,
                level,
                vector,
                &mut rule,
                |slot| slot as usize,
                &mut entered,
                |slot, outcome| {
                    let item = self.order[slot as usize];
                    if let Outcome::Rejected { module, value } = outcome
                        && filter.allows(item)
                    {
                        selector.push(Hit { item, score: marker(network.n_modules(), module, value) });
                    }
                },
            );
        }
        cost.passes += 1;
        cost.multiply_adds +=
            entered.iter().enumerate().map(|(stage, n)| n * network.multiply_adds(stage)).sum::<u64>();
    }
}

impl Catalogue for BatchWise {
    fn n_items(&self) -> usize {
        self.network.n_items
    }
}

impl Retriever for BatchWise {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.search(*user, k, filter, out, &mut |_| {}).map(|_| ())
    }
}
