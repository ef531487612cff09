//! A cascade, served.

use std::cell::RefCell;
use std::path::Path;

use rayon::prelude::*;
use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::simd::Level;
use rectify_core::{
    Hit, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, Selector, Teacher, TopK, UserId, Violation,
    check_len,
};
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::share::Share;
use crate::stages::{Above, Outcome, Rule, Workspace};
use crate::{CascadeError, CascadeParts, Cost, RejectionRatios};

const KIND: &str = "cascade-index";
const VERSION: u32 = 1;
/// Pairs that go through all stages before the next ones begin: their rows stay in the cache.
const TILE: usize = 1024;

/// Scores at or below this one are of items that a module rejected.
pub const REJECTED: f32 = -18_446_744_073_709_551_616.0; // -2⁶⁴

/// Which pairs a module rejects.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// Module n rejects where `D_n` is above its threshold (one a module). The paper's are 0, so `D = 0` is kept.
    Above(Vec<f32>),
    /// Module n rejects, for each user, the items with the largest `D_n`, so that the share of all candidates that is gone is `γ_n`
    /// (HDN-nd). Equal values go by item id, the lower one being kept.
    Share(RejectionRatios),
    /// No module rejects (HDN-nr).
    Never,
}

impl Rejection {
    /// The rule that modules are trained for: `D_n > 0` rejects.
    #[must_use]
    pub fn learned(n_modules: usize) -> Self {
        Self::Above(vec![0.0; n_modules])
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    n_users: usize,
    n_items: usize,
    embedding_dim: usize,
    n_modules: usize,
    rejection: RuleName,
}

/// The rule in a file; thresholds are an array beside it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RuleName {
    Above,
    Share(RejectionRatios),
    Never,
}

/// A hierarchical decision network over all items: each stage sees only what the ones before it let through.
///
/// With `z = P[u] ⊙ Q[i]` and `x_1 = z`, `x_n = [z ; h_{n−1}]`: module n has `D_n = θ_n · x_n` and `h_n = relu(W_n x_n)`, and the score of
/// a survivor is `y = w · [z ; h_N]`.
///
/// - **First stage**: `θ_1 ⊙ P[u]` is one vector, so it is one product a user with the item table. **Next stages**: layers and heads in
///   one pass over the survivors, which move together after each module.
/// - **Score**: `y`. Rejected items are below all others, the last rejected first and then by ascending D (rounded to 22 bits), at scores
///   of [`REJECTED`] and less. **Fill rule**: a list with fewer survivors than asked for goes on with these.
/// - **Order**: equal scores go to the lower id. **Bits**: the same on every instruction set, for any number of threads.
/// - **Filter**: items are left out of the list, not of the count of rejected ones; under [`Rejection::Share`] they are left out
///   before the first module.
///
/// A cascade without modules is a matrix factorisation: `y = w · z`.
///
/// ```
/// use rectify_cascade::{CascadeIndex, CascadeParts, ModuleParts, Rejection};
/// use rectify_core::{ItemFilter, TopK, UserId};
///
/// // One module that rejects what points away from the user.
/// let parts = CascadeParts {
///     embedding_dim: 2,
///     users: vec![1.0, 2.0].into(),
///     items: vec![1.0, 1.0, -1.0, 0.5, -1.0, -1.0].into(),
///     modules: vec![ModuleParts { decision: vec![-1.0, -1.0], bias: 0.0, weight: vec![1.0, 0.0, 0.0, 1.0] }],
///     score: vec![1.0, 1.0, 0.0, 0.0],
///     score_bias: 0.0,
/// };
/// let index = CascadeIndex::new(parts, Rejection::learned(1))?;
/// let mut top = TopK::new();
/// let cost = index.search(UserId(0), 2, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.items().map(|item| item.0).collect::<Vec<_>>(), [0, 1]);
/// assert_eq!(cost.entered, [3, 2]); // item 2 never reached the scorer
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CascadeIndex {
    network: Network,
    rejection: Rejection,
    /// What [`Rejection`] says as thresholds; empty for shares.
    thresholds: Vec<f32>,
}

/// The score of a pair that was rejected: below every survivor, later modules first, then by D.
///
/// `−2^(64 + N − n) · (1.5 + D / (2 + 2|D|))` for module n of N.
pub(crate) fn marker(n_modules: usize, module: usize, value: f32) -> f32 {
    let place = (value / (1.0 + value.abs())).clamp(-0.999_999, 0.999_999);
    marker_base(n_modules, module) * (1.5 + 0.5 * place)
}

/// `−2^(64 + N − n)`; `module` counts from 0.
pub(crate) fn marker_base(n_modules: usize, module: usize) -> f32 {
    let exponent = (64 + n_modules - module - 1) as u32;
    // The bits of a power of two are its exponent.
    -f32::from_bits((127 + exponent) << 23)
}

impl CascadeIndex {
    /// Serves a network made anywhere.
    ///
    /// # Errors
    /// [`CascadeError`]: sizes that do not fit, a value that is not finite or weights whose products could be beyond 2⁶⁰ for some pair, a
    /// rule for another number of modules.
    pub fn new(parts: CascadeParts, rejection: Rejection) -> Result<Self, CascadeError> {
        Self::from_network(Network::new(parts)?, rejection)
    }

    fn from_network(network: Network, rejection: Rejection) -> Result<Self, CascadeError> {
        let expected = network.n_modules();
        let (got, thresholds) = match &rejection {
            Rejection::Above(thresholds) => (thresholds.len(), thresholds.clone()),
            Rejection::Share(ratios) => (ratios.len(), Vec::new()),
            Rejection::Never => (expected, vec![f32::INFINITY; expected]),
        };
        if got != expected {
            return Err(CascadeError::Rule { expected, got });
        }
        if let Some(at) = thresholds.iter().position(|threshold| threshold.is_nan()) {
            return Err(CascadeError::Threshold { module: at + 1 });
        }
        Ok(Self { network, rejection, thresholds })
    }

    /// The same network under another rule.
    ///
    /// # Errors
    /// [`CascadeError::Rule`], [`CascadeError::Threshold`].
    pub fn with_rejection(self, rejection: Rejection) -> Result<Self, CascadeError> {
        Self::from_network(self.network, rejection)
    }

    /// Width of a vector (`d`).
    #[must_use]
    pub const fn embedding_dim(&self) -> usize {
        self.network.dim
    }

    /// Number of modules (`N`).
    #[must_use]
    pub fn n_modules(&self) -> usize {
        self.network.n_modules()
    }

    /// Number of users.
    #[must_use]
    pub const fn n_users(&self) -> usize {
        self.network.n_users
    }

    /// Which pairs are rejected.
    #[must_use]
    pub const fn rejection(&self) -> &Rejection {
        &self.rejection
    }

    /// Its arrays; those of a mapped file are shared, not copied.
    #[must_use]
    pub fn parts(&self) -> CascadeParts {
        self.network.parts()
    }

    #[cfg(feature = "cuda")]
    pub(crate) fn thresholds(&self) -> &[f32] {
        &self.thresholds
    }

    pub(crate) const fn network(&self) -> &Network {
        &self.network
    }

    /// `D_1 … D_N` and y of a pair, whatever is rejected.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`], [`QueryError::UnknownItem`].
    pub fn values(&self, user: UserId, item: ItemId) -> Result<Vec<f32>, QueryError> {
        let (network, mut work) = (&self.network, Workspace::default());
        let vector = network.user(user)?;
        self.known(item)?;
        work.begin(network, vector);
        work.first_of(network, 0, [item.index()].into_iter());
        let mut values = vec![work.values[0]];
        work.gather(network, vector, |_| item.index());
        for stage in 1..=self.n_modules() {
            work.advance(network, Level::best(), stage);
            values.push(work.values[0]);
        }
        Ok(values)
    }

    /// [`Retriever::top_k`] that tells what it cost.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn search(&self, user: UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<Cost, QueryError> {
        self.search_at(Level::best(), user, k, filter, out)
    }

    pub(crate) fn search_at(
        &self,
        level: Level,
        user: UserId,
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<Cost, QueryError> {
        out.clear();
        let vector = self.network.user(user)?;
        let mut cost = Cost::new(self.n_modules());
        if k == 0 || self.network.n_items == 0 {
            return Ok(cost);
        }
        let mut selector = Selector::new(k);
        let mut n_found = 0;
        match &self.rejection {
            Rejection::Share(ratios) => {
                let mut rejected = Vec::new();
                let allowed: Vec<usize> = (0..self.network.n_items).filter(|i| filter.allows(item(*i))).collect();
                let emit = |slot: u32, outcome| match outcome {
                    Outcome::Scored(score) => {
                        n_found += 1;
                        selector.push(Hit { item: item(allowed[slot as usize]), score });
                    }
                    Outcome::Rejected { module, value } => rejected.push((slot, module, value)),
                };
                let mut rule = Share::new(ratios.kept(allowed.len()));
                self.list(level, vector, &mut rule, &allowed, allowed.len(), &mut cost.entered, emit);
                cost.filled = rejected.len().min(k.saturating_sub(n_found));
                if cost.filled > 0 {
                    for (slot, module, value) in rejected {
                        let score = marker(self.n_modules(), module, value);
                        selector.push(Hit { item: item(allowed[slot as usize]), score });
                    }
                }
            }
            Rejection::Above(_) | Rejection::Never => {
                let mut entered = vec![0; self.n_modules() + 1];
                self.all(level, vector, &mut entered, |slot, outcome| {
                    if let Outcome::Scored(score) = outcome
                        && score >= selector.threshold()
                        && filter.allows(ItemId(slot))
                    {
                        n_found += 1;
                        selector.push(Hit { item: ItemId(slot), score });
                    }
                });
                cost.entered.copy_from_slice(&entered);
                let n_rejected = self.network.n_items as u64 - entered[self.n_modules()];
                if n_found < k && n_rejected > 0 {
                    self.all(level, vector, &mut entered, |slot, outcome| {
                        if let Outcome::Rejected { module, value } = outcome {
                            let score = marker(self.n_modules(), module, value);
                            if score >= selector.threshold() && filter.allows(ItemId(slot)) {
                                selector.push(Hit { item: ItemId(slot), score });
                            }
                        }
                    });
                    cost.passes = 2;
                }
                selector.finish_into(out);
                cost.filled = out.hits().iter().filter(|hit| hit.score <= REJECTED).count();
                self.count(&mut cost);
                return Ok(cost);
            }
        }
        selector.finish_into(out);
        self.count(&mut cost);
        Ok(cost)
    }

    fn count(&self, cost: &mut Cost) {
        let once: u64 = cost.entered.iter().enumerate().map(|(stage, n)| n * self.network.multiply_adds(stage)).sum();
        cost.multiply_adds = cost.passes * once;
    }

    /// All items through all stages, a tile at a time.
    fn all(&self, level: Level, vector: &[f32], entered: &mut [u64], mut emit: impl FnMut(u32, Outcome)) {
        let (network, mut rule) = (&self.network, Above(&self.thresholds));
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
        let network = &self.network;
        with_workspace(|work| {
            work.begin(network, vector);
            for (t, tile_items) in items.chunks(tile.max(1)).enumerate() {
                work.first_of(network, t * tile, tile_items.iter().copied());
                work.finish(network, level, vector, rule, |slot| items[slot as usize], entered, &mut emit);
            }
        });
    }

    /// What searches for some users cost together, on all items.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn cost(&self, users: &[UserId], k: usize) -> Result<Cost, QueryError> {
        let all = ItemFilter::all();
        let costs: Vec<Result<Cost, QueryError>> =
            users.par_iter().map_init(TopK::new, |top, user| self.search(*user, k, &all, top)).collect();
        let mut total = Cost::new(self.n_modules());
        for cost in costs {
            total.add(&cost?);
        }
        Ok(total)
    }

    fn known(&self, item: ItemId) -> Result<(), QueryError> {
        let n_items = self.network.n_items;
        if item.index() < n_items { Ok(()) } else { Err(QueryError::UnknownItem { item, n_items }) }
    }

    fn check_scores_exist(&self) -> Result<(), QueryError> {
        match self.rejection {
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
            Outcome::Rejected { module, value } => marker(self.n_modules(), module, value),
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

impl Retriever for CascadeIndex {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.network.n_items
    }

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.search(*user, k, filter, out).map(|_| ())
    }
}

/// Scores as lists have them: survivors' y, and rejected items below; [`QueryError::Unsupported`] under [`Rejection::Share`].
impl Scorer for CascadeIndex {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.network.n_items
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        self.check_scores_exist()?;
        let vector = self.network.user(*user)?;
        items.iter().try_for_each(|item| self.known(*item))?;
        let rows: Vec<usize> = items.iter().map(|item| item.index()).collect();
        let mut entered = vec![0; self.n_modules() + 1];
        let mut rule = Above(&self.thresholds);
        let emit = |slot: u32, outcome| out[slot as usize] = self.score_of(outcome);
        self.list(Level::best(), vector, &mut rule, &rows, TILE, &mut entered, emit);
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.network.n_items, out.len())?;
        self.check_scores_exist()?;
        let vector = self.network.user(*user)?;
        let mut entered = vec![0; self.n_modules() + 1];
        self.all(Level::best(), vector, &mut entered, |slot, outcome| out[slot as usize] = self.score_of(outcome));
        Ok(())
    }
}

/// A black box: its rows of survivors are no vectors to imitate.
impl Teacher for CascadeIndex {}

impl Index for CascadeIndex {
    fn size_bytes(&self) -> usize {
        self.network.size_bytes()
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let biases: Vec<f32> = (0..=self.n_modules()).map(|stage| self.network.bias(stage)).collect();
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&Config {
            n_users: self.n_users(),
            n_items: self.network.n_items,
            embedding_dim: self.embedding_dim(),
            n_modules: self.n_modules(),
            rejection: match &self.rejection {
                Rejection::Above(_) => RuleName::Above,
                Rejection::Share(ratios) => RuleName::Share(ratios.clone()),
                Rejection::Never => RuleName::Never,
            },
        });
        self.network.write_into(&mut writer, &biases);
        if let Rejection::Above(thresholds) = &self.rejection {
            writer.array("thresholds", &[thresholds.len()], thresholds);
        }
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let Config { n_users, n_items, embedding_dim, n_modules, rejection } = artifact.config()?;
        let network = Network::read_from(&artifact, [n_users, n_items, embedding_dim, n_modules])?;
        let rejection = match rejection {
            RuleName::Above => Rejection::Above(artifact.array_shaped("thresholds", &[n_modules])?.to_vec()),
            RuleName::Share(ratios) => Rejection::Share(ratios),
            RuleName::Never => Rejection::Never,
        };
        let index = Self::from_network(network, rejection)
            .map_err(|error| artifact.field_error("rejection", error.to_string()))?;
        artifact.reject(index.validate())?;
        Ok(index)
    }

    fn validate(&self) -> Vec<Violation> {
        self.network.violations()
    }
}

#[cfg(test)]
mod tests;
