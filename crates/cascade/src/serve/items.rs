//! A cascade asked by a vector: all that a search does.

use std::cell::RefCell;

use rectify_core::simd::Level;
use rectify_core::{
    Catalogue, Hit, ItemFilter, ItemId, ItemVectors, QueryError, Retriever, Scorer, Selector, TopK, check_len,
};

use super::rejection::marker;
use super::share::Share;
use super::stages::{Above, Outcome, Rule, Workspace};
use crate::{CascadeIndex, Cost, REJECTED, Rejection, RejectionRatios};

/// Pairs that go through all stages before the next ones begin: their rows stay in the cache.
const TILE: usize = 1024;

/// The items and modules of a [`CascadeIndex`], asked by a vector of its width, `P[u]` of a known user or anybody else's.
///
/// A user's own vector gets the list and the scores of that user, bit for bit. A vector that is not finite, or so long that the values
/// of some pair could be beyond 2⁶⁰, is refused.
///
/// ```
/// use rectify_cascade::{CascadeIndex, CascadeParts, ItemFilter, ModuleParts, Rejection, Retriever, TopK};
///
/// let parts = CascadeParts {
///     embedding_dim: 2,
///     users: vec![].into(), // nobody is known
///     items: vec![1.0, 1.0, -1.0, 0.5, -1.0, -1.0].into(),
///     modules: vec![ModuleParts { decision: vec![-1.0, -1.0], bias: 0.0, weight: vec![1.0, 0.0, 0.0, 1.0] }],
///     score: vec![1.0, 1.0, 0.0, 0.0],
///     score_bias: 0.0,
/// };
/// let index = CascadeIndex::new(parts, Rejection::learned(1))?;
/// let mut top = TopK::new();
/// index.items().top_k(&[1.0, 2.0], 2, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.items().map(|item| item.0).collect::<Vec<_>>(), [0, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CascadeItems<'a> {
    index: &'a CascadeIndex,
}

/// What a search is for.
#[derive(Clone, Copy)]
pub(super) struct Query<'q> {
    pub(super) vector: &'q [f32],
    pub(super) k: usize,
    pub(super) filter: &'q ItemFilter<'q>,
}

impl<'a> CascadeItems<'a> {
    pub(super) const fn of(index: &'a CascadeIndex) -> Self {
        Self { index }
    }

    pub(super) const fn index(&self) -> &'a CascadeIndex {
        self.index
    }

    /// [`Retriever::top_k`] that tells what it cost.
    ///
    /// # Errors
    /// [`QueryError::Length`], [`QueryError::NotFinite`], [`QueryError::Unsupported`] for a vector that is too long.
    pub fn search(
        &self,
        vector: &[f32],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<Cost, QueryError> {
        out.clear();
        self.index.network().check_query(vector)?;
        Ok(self.best(vector, k, filter, out))
    }

    /// `D_1 … D_N` and y of an item, whatever is rejected.
    ///
    /// # Errors
    /// As [`search`](Self::search), or [`QueryError::UnknownItem`].
    pub fn values(&self, vector: &[f32], item: ItemId) -> Result<Vec<f32>, QueryError> {
        self.index.network().check_query(vector)?;
        self.values_of(vector, item)
    }

    /// As [`values`](Self::values), of a vector that is sound.
    pub(super) fn values_of(&self, vector: &[f32], item: ItemId) -> Result<Vec<f32>, QueryError> {
        let (network, mut work) = (self.index.network(), Workspace::default());
        self.known(item)?;
        work.begin(network, vector);
        work.first_of(network, 0, [item.index()].into_iter());
        let mut values = vec![work.values[0]];
        work.gather(network, vector, |_| item.index());
        for stage in 1..=network.n_modules() {
            work.advance(network, Level::best(), stage);
            values.push(work.values[0]);
        }
        Ok(values)
    }

    /// As [`search`](Self::search), for a vector that is sound; `out` is empty.
    pub(super) fn best(&self, vector: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Cost {
        self.best_at(Level::best(), &Query { vector, k, filter }, out)
    }

    pub(super) fn best_at(&self, level: Level, query: &Query<'_>, out: &mut TopK) -> Cost {
        let mut cost = Cost::new(self.index.n_modules());
        if query.k == 0 || self.n_items() == 0 {
            return cost;
        }
        match self.index.rejection() {
            Rejection::Share(ratios) => self.by_share(level, query, ratios, &mut cost, out),
            Rejection::Above(_) | Rejection::Never => self.by_threshold(level, query, &mut cost, out),
        }
        let multiply_adds = |(stage, n): (usize, &u64)| n * self.index.network().multiply_adds(stage);
        cost.multiply_adds = cost.passes * cost.entered.iter().enumerate().map(multiply_adds).sum::<u64>();
        cost
    }

    /// Survivors, then rejected items if there are too few.
    fn by_share(&self, level: Level, query: &Query<'_>, ratios: &RejectionRatios, cost: &mut Cost, out: &mut TopK) {
        let mut selector = Selector::new(query.k);
        let (mut n_found, mut rejected) = (0, Vec::new());
        let allowed: Vec<usize> = (0..self.n_items()).filter(|i| query.filter.allows(item(*i))).collect();
        let emit = |slot: u32, outcome| match outcome {
            Outcome::Scored(score) => {
                n_found += 1;
                selector.push(Hit { item: item(allowed[slot as usize]), score });
            }
            Outcome::Rejected { module, value } => rejected.push((slot, module, value)),
        };
        let mut rule = Share::new(ratios.kept(allowed.len()));
        self.list(level, query.vector, &mut rule, &allowed, allowed.len(), &mut cost.entered, emit);
        cost.filled = rejected.len().min(query.k.saturating_sub(n_found));
        if cost.filled > 0 {
            for (slot, module, value) in rejected {
                let score = marker(self.index.n_modules(), module, value);
                selector.push(Hit { item: item(allowed[slot as usize]), score });
            }
        }
        selector.finish_into(out);
    }

    /// Survivors, then in a second pass rejected items if there are too few.
    fn by_threshold(&self, level: Level, query: &Query<'_>, cost: &mut Cost, out: &mut TopK) {
        let Query { vector, k, filter } = *query;
        let mut selector = Selector::new(k);
        let (n_modules, mut n_found) = (self.index.n_modules(), 0);
        self.all(level, vector, &mut cost.entered, |slot, outcome| {
            if let Outcome::Scored(score) = outcome
                && score >= selector.threshold()
                && filter.allows(ItemId(slot))
            {
                n_found += 1;
                selector.push(Hit { item: ItemId(slot), score });
            }
        });
        let n_rejected = self.n_items() as u64 - cost.entered[n_modules];
        if n_found < k && n_rejected > 0 {
            self.all(level, vector, &mut vec![0; n_modules + 1], |slot, outcome| {
                if let Outcome::Rejected { module, value } = outcome {
                    let score = marker(n_modules, module, value);
                    if score >= selector.threshold() && filter.allows(ItemId(slot)) {
                        selector.push(Hit { item: ItemId(slot), score });
                    }
                }
            });
            cost.passes = 2;
        }
        selector.finish_into(out);
        cost.filled = out.hits().iter().filter(|hit| hit.score <= REJECTED).count();
    }

    /// As [`Scorer::score_into`], of a vector that is sound.
    pub(super) fn scores_of(&self, vector: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        self.check_scores_exist()?;
        items.iter().try_for_each(|item| self.known(*item))?;
        let rows: Vec<usize> = items.iter().map(|item| item.index()).collect();
        let mut entered = vec![0; self.index.n_modules() + 1];
        let mut rule = Above(self.index.thresholds());
        let emit = |slot: u32, outcome| out[slot as usize] = self.score_of(outcome);
        self.list(Level::best(), vector, &mut rule, &rows, TILE, &mut entered, emit);
        Ok(())
    }

    /// As [`Scorer::score_all_into`], of a vector that is sound.
    pub(super) fn all_scores_of(&self, vector: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.n_items(), out.len())?;
        self.check_scores_exist()?;
        let mut entered = vec![0; self.index.n_modules() + 1];
        self.all(Level::best(), vector, &mut entered, |slot, outcome| out[slot as usize] = self.score_of(outcome));
        Ok(())
    }

    /// All items through all stages, a tile at a time.
    fn all(&self, level: Level, vector: &[f32], entered: &mut [u64], mut emit: impl FnMut(u32, Outcome)) {
        let (network, mut rule) = (self.index.network(), Above(self.index.thresholds()));
        with_workspace(|work| {
            work.begin(network, vector);
            for first in (0..network.n_items).step_by(TILE) {
                work.first(network, level, first, TILE.min(network.n_items - first));
                work.finish(network, level, vector, &mut rule, |slot| slot as usize, entered, &mut emit);
            }
        });
    }

    /// A list of items through all stages, a tile at a time; slots are places in the list.
    #[expect(clippy::too_many_arguments, reason = "a list, a rule, and where results go")]
    fn list(
        &self,
        level: Level,
        vector: &[f32],
        rule: &mut impl Rule,
        items: &[usize],
        tile: usize,
        entered: &mut [u64],
        mut emit: impl FnMut(u32, Outcome),
    ) {
        let network = self.index.network();
        with_workspace(|work| {
            work.begin(network, vector);
            for (t, tile_items) in items.chunks(tile.max(1)).enumerate() {
                work.first_of(network, t * tile, tile_items.iter().copied());
                work.finish(network, level, vector, rule, |slot| items[slot as usize], entered, &mut emit);
            }
        });
    }

    fn known(&self, item: ItemId) -> Result<(), QueryError> {
        let n_items = self.n_items();
        if item.index() < n_items { Ok(()) } else { Err(QueryError::UnknownItem { item, n_items }) }
    }

    fn check_scores_exist(&self) -> Result<(), QueryError> {
        match self.index.rejection() {
            Rejection::Above(_) | Rejection::Never => Ok(()),
            Rejection::Share(_) => Err(QueryError::Unsupported(
                "what a cascade rejects by share depends on the other candidates; ask it for lists, not for scores"
                    .into(),
            )),
        }
    }

    fn score_of(&self, outcome: Outcome) -> f32 {
        match outcome {
            Outcome::Scored(score) => score,
            Outcome::Rejected { module, value } => marker(self.index.n_modules(), module, value),
        }
    }
}

fn item(at: usize) -> ItemId {
    ItemId(at as u32)
}

/// Runs with the thread's own workspace.
fn with_workspace<R>(f: impl FnOnce(&mut Workspace) -> R) -> R {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    WORKSPACE.with_borrow_mut(f)
}

impl Catalogue for CascadeItems<'_> {
    fn n_items(&self) -> usize {
        self.index.n_items()
    }
}

/// What the first module sees of an item; later modules see more.
impl ItemVectors for CascadeIndex {
    fn dim(&self) -> usize {
        self.embedding_dim()
    }

    fn item_vector_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.embedding_dim(), out.len())?;
        self.items().known(item)?;
        out.copy_from_slice(self.network().item(item.index()));
        Ok(())
    }
}

impl Retriever for CascadeItems<'_> {
    type Query = [f32];

    fn top_k(&self, vector: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.search(vector, k, filter, out).map(|_| ())
    }
}

/// Scores as lists have them; [`QueryError::Unsupported`] under [`Rejection::Share`].
impl Scorer for CascadeItems<'_> {
    type Query = [f32];

    fn score_into(&self, vector: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.index.network().check_query(vector)?;
        self.scores_of(vector, items, out)
    }

    fn score_all_into(&self, vector: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
        self.index.network().check_query(vector)?;
        self.all_scores_of(vector, out)
    }
}
