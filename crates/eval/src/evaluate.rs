//! From a system and held-out items to values per user.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;
use rectify_core::{Hit, ItemFilter, ItemId, Retriever, Scorer, TopK, UserId, select_top_k};
use rectify_data::{Holdout, Interactions, Split};
use serde::{Deserialize, Serialize};

use crate::ranks::{self, Counting};
use crate::{Counts, Cut, EvalError, Evaluation, ListFault, Measure, Metric, Outcome};

/// Users evaluated together: enough to fill a batched search, few enough to share out evenly and keep in cache.
const BLOCK: usize = 256;

/// What is evaluated.
#[derive(Clone, Copy)]
pub enum System<'a> {
    /// Gives lists: enough for every metric with a cut-off of its own under full ranking, and what a served index is.
    Retriever(&'a dyn Retriever<Query = UserId>),
    /// Gives scores: enough for everything.
    Scorer(&'a dyn Scorer<Query = UserId>),
}

impl System<'_> {
    fn n_items(&self) -> usize {
        match self {
            Self::Retriever(retriever) => retriever.n_items(),
            Self::Scorer(scorer) => scorer.n_items(),
        }
    }
}

/// What the true items of a user compete with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidates {
    /// All items but the user's training items and what the held-out part excludes. The usual full ranking: LightRec,
    /// DGCN-BinCF, LightGCN, RecBole `full`; HDN's clean protocol.
    #[default]
    Unseen,
    /// All items, the user's training items included. HDN's table protocol; DeFoRec with `keep_history`.
    All,
    /// The sampled candidates of the held-out part: each true item is ranked alone among them. DE-RRD (499
    /// candidates), NCF (99). With several true items a user's value is the mean over them. **Reading**: the papers leave ties
    /// open; letting only strictly greater scores win would make a constant scorer perfect, and lift any model that scores
    /// most items 0 (Item-CF), so ties go by item id as everywhere.
    Sampled,
}

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unseen => "unseen items",
            Self::All => "all items",
            Self::Sampled => "sampled candidates",
        })
    }
}

/// Evaluates a system on held-out items.
///
/// - **Users**: those with held-out items; the others are skipped and counted.
/// - **Order**: lists are in the order of [`Hit`] (score descending, then item ascending).
/// - **Edges**: cut-offs beyond the catalogue are fine, lists are then shorter. True items that a user cannot be offered
///   (they are in training too) count as missed and are reported in [`Counts`].
/// - **Threads**: blocks of users in parallel on the current rayon pool; the values have the same bits for any number of
///   threads.
///
/// ```
/// use rectify_core::{Catalogue, ItemId, QueryError, Scorer, UserId};
/// use rectify_data::{Holdout, Interactions};
/// use rectify_eval::{Candidates, Metric, System, evaluate};
///
/// /// Likes items with high ids.
/// struct Latest;
/// impl Catalogue for Latest {
///     fn n_items(&self) -> usize { 4 }
/// }
/// impl Scorer for Latest {
///     type Query = UserId;
///     fn score_into(&self, _: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
///         out.iter_mut().zip(items).for_each(|(score, item)| *score = item.0 as f32);
///         Ok(())
///     }
///     fn score_all_into(&self, _: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
///         out.iter_mut().enumerate().for_each(|(item, score)| *score = item as f32);
///         Ok(())
///     }
/// }
///
/// let train = Interactions::from_pairs(2, 4, &[(0, 3), (1, 0)])?;
/// let held = Holdout::of(&Interactions::from_pairs(2, 4, &[(0, 1)])?);
/// let mrr: Metric = "mrr@10".parse()?;
/// let evaluation = evaluate(System::Scorer(&Latest), &train, &held, &[mrr], Candidates::Unseen)?;
/// assert_eq!(evaluation.value(mrr), Some(0.5)); // item 2, then item 1; item 3 is in training
/// assert_eq!(evaluation.counts().skipped_users, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Parts of different shapes, a metric or protocol that the system cannot serve, no user to evaluate, or a system that
/// fails, gives NaN, or returns lists with unknown, repeated or excluded items.
pub fn evaluate(
    system: System<'_>,
    train: &Interactions,
    holdout: &Holdout,
    metrics: &[Metric],
    candidates: Candidates,
) -> Result<Evaluation, EvalError> {
    let run = Run { system, train, holdout, metrics, candidates, first_seen: first_seen(train, metrics) };
    run.check()?;
    let users: Vec<UserId> = holdout.users().collect();
    if users.is_empty() {
        return Err(EvalError::NoUsers);
    }
    let blocks: Vec<Result<Block, EvalError>> =
        users.par_chunks(BLOCK).map_init(Scratch::default, |scratch, users| run.block(users, scratch)).collect();
    let mut columns = vec![Vec::with_capacity(users.len()); metrics.len()];
    let mut counts = Counts { users: users.len(), skipped_users: holdout.n_users() - users.len(), ..Counts::default() };
    for block in blocks {
        let block = block?;
        for (m, column) in columns.iter_mut().enumerate() {
            column.extend(block.values.iter().skip(m).step_by(metrics.len()));
        }
        counts.true_items += block.counts.true_items;
        counts.unreachable_items += block.counts.unreachable_items;
        counts.short_lists += block.counts.short_lists;
    }
    for (metric, column) in metrics.iter().zip(&mut columns) {
        if metric.measure() == Measure::Coverage {
            *column = vec![run.coverage(*metric)];
        }
    }
    Ok(Evaluation::new(candidates, users, metrics.to_vec(), columns, counts))
}

/// [`evaluate`] on the test part of a split: the only door to it. Report what it gives; do not choose by it.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_test(
    system: System<'_>,
    split: &Split,
    metrics: &[Metric],
    candidates: Candidates,
) -> Result<Evaluation, EvalError> {
    evaluate(system, &split.train, split.test.unseal(), metrics, candidates)
}

/// One evaluation's input.
struct Run<'a> {
    system: System<'a>,
    train: &'a Interactions,
    holdout: &'a Holdout,
    metrics: &'a [Metric],
    candidates: Candidates,
    /// For each item the best rank in any list, `u32::MAX` for none; empty unless coverage is asked for.
    first_seen: Vec<AtomicU32>,
}

fn first_seen(train: &Interactions, metrics: &[Metric]) -> Vec<AtomicU32> {
    let asked = metrics.iter().any(|metric| metric.measure() == Measure::Coverage);
    (0..if asked { train.n_items() } else { 0 }).map(|_| AtomicU32::new(u32::MAX)).collect()
}

/// Values of some users, `[users, metrics]`, and what was counted on the way.
#[derive(Default)]
struct Block {
    values: Vec<f64>,
    counts: Counts,
}

/// Memory that a thread reuses.
#[derive(Default)]
struct Scratch {
    lists: Vec<TopK>,
    scores: Vec<f32>,
    items: Vec<ItemId>,
    hit_ranks: Vec<u32>,
    counting: Counting,
}

impl Run<'_> {
    fn check(&self) -> Result<(), EvalError> {
        let n_items = self.train.n_items();
        let shape = |what, expected, got| {
            if expected == got { Ok(()) } else { Err(EvalError::Shape { what, expected, got }) }
        };
        shape("users of the held-out part", self.train.n_users(), self.holdout.n_users())?;
        shape("items of the system", n_items, self.system.n_items())?;
        for user in self.holdout.users() {
            let truth = self.holdout.truth_of(user);
            let fits = |at: usize| truth[at].index() < n_items && (at == 0 || truth[at - 1] < truth[at]);
            if let Some(at) = (0..truth.len()).find(|&at| !fits(at)) {
                return Err(EvalError::Truth { user, item: truth[at], n_items });
            }
        }
        if matches!(self.system, System::Retriever(_)) {
            if self.candidates == Candidates::Sampled {
                return Err(EvalError::SampledNeedsScorer);
            }
            if let Some(&metric) = self.metrics.iter().find(|metric| metric.cut() == Cut::All) {
                return Err(EvalError::NeedsScorer { metric });
            }
        }
        match self.metrics.iter().find(|metric| metric.measure() == Measure::Coverage) {
            Some(&metric) if self.candidates == Candidates::Sampled => Err(EvalError::NeedsLists { metric }),
            _ => Ok(()),
        }
    }

    fn block(&self, users: &[UserId], scratch: &mut Scratch) -> Result<Block, EvalError> {
        let mut block = Block::default();
        match (self.candidates, self.system) {
            (Candidates::Sampled, System::Scorer(scorer)) => {
                for &user in users {
                    self.by_candidates(scorer, user, scratch, &mut block)?;
                }
            }
            (_, System::Retriever(retriever)) => self.by_lists(retriever, users, scratch, &mut block)?,
            (_, System::Scorer(scorer)) => {
                for &user in users {
                    self.by_scores(scorer, user, scratch, &mut block)?;
                }
            }
        }
        Ok(block)
    }

    fn by_lists(
        &self,
        retriever: &dyn Retriever<Query = UserId>,
        users: &[UserId],
        scratch: &mut Scratch,
        block: &mut Block,
    ) -> Result<(), EvalError> {
        let queries: Vec<&UserId> = users.iter().collect();
        let excluded: Vec<Cow<'_, [ItemId]>> = users.iter().map(|&user| self.excluded(user)).collect();
        let filters = excluded.iter().map(|items| ItemFilter::seen(items)).collect::<Result<Vec<_>, _>>()?;
        let longest_truth = users.iter().map(|&user| self.holdout.truth_of(user).len()).max().unwrap_or(0);
        let k = self.list_length(longest_truth);
        scratch.lists.resize_with(users.len(), TopK::new);
        retriever.top_k_batch(&queries, k, &filters, &mut scratch.lists[..users.len()])?;
        for ((&user, list), excluded) in users.iter().zip(&scratch.lists).zip(&excluded) {
            self.check_list(user, list.hits(), excluded, &mut scratch.items)?;
            let wanted = self.list_length(self.holdout.truth_of(user).len());
            block.counts.short_lists += usize::from(list.hits().len() < wanted);
            self.note_seen(list.hits());
            ranks::in_list(list.hits(), self.holdout.truth_of(user), &mut scratch.hit_ranks);
            self.record(user, &scratch.hit_ranks, list.hits().len(), excluded, block);
        }
        Ok(())
    }

    fn by_scores(
        &self,
        scorer: &dyn Scorer<Query = UserId>,
        user: UserId,
        scratch: &mut Scratch,
        block: &mut Block,
    ) -> Result<(), EvalError> {
        let Scratch { lists, scores, hit_ranks, counting, .. } = scratch;
        let truth = self.holdout.truth_of(user);
        let excluded = self.excluded(user);
        scores.resize(self.train.n_items(), 0.0);
        scorer.score_all_into(&user, scores)?;
        if let Some(at) = scores.iter().position(|score| score.is_nan()) {
            return Err(EvalError::NanScore { user, item: ItemId(at as u32) });
        }
        let n_offered = scores.len() - excluded.len();
        let k = self.list_length(truth.len());
        block.counts.short_lists += usize::from(n_offered < k);
        let whole = self.metrics.iter().any(|metric| metric.cut() == Cut::All);
        if !whole || !self.first_seen.is_empty() {
            lists.resize_with(lists.len().max(1), TopK::new);
            select_top_k(scores, k, &ItemFilter::seen(&excluded)?, &mut lists[0])?;
            self.note_seen(lists[0].hits());
        }
        if whole {
            ranks::in_all(scores, truth, &excluded, counting, hit_ranks);
        } else {
            ranks::in_list(lists[0].hits(), truth, hit_ranks);
        }
        self.record(user, hit_ranks, if whole { n_offered } else { lists[0].hits().len() }, &excluded, block);
        Ok(())
    }

    fn by_candidates(
        &self,
        scorer: &dyn Scorer<Query = UserId>,
        user: UserId,
        scratch: &mut Scratch,
        block: &mut Block,
    ) -> Result<(), EvalError> {
        let Scratch { scores, items, .. } = scratch;
        let truth = self.holdout.truth_of(user);
        let sampled = match self.holdout.candidates_of(user) {
            Some(sampled) if !sampled.is_empty() => sampled,
            _ => return Err(EvalError::NoCandidates { user }),
        };
        items.clear();
        items.extend_from_slice(sampled);
        items.extend_from_slice(truth);
        scores.resize(items.len(), 0.0);
        scorer.score_into(&user, items, scores)?;
        if let Some(at) = scores.iter().position(|score| score.is_nan()) {
            return Err(EvalError::NanScore { user, item: items[at] });
        }
        let (competitors, own) = scores.split_at(sampled.len());
        let first = block.values.len();
        block.values.resize(first + self.metrics.len(), 0.0);
        for (&item, &score) in truth.iter().zip(own) {
            let rank = [ranks::among(item, score, sampled, competitors)];
            let outcome = Outcome { hit_ranks: &rank, n_true: 1, n_listed: sampled.len() + 1 };
            for (sum, metric) in block.values[first..].iter_mut().zip(self.metrics) {
                *sum += metric.value(&outcome).unwrap_or(0.0);
            }
        }
        block.values[first..].iter_mut().for_each(|sum| *sum /= own.len() as f64);
        block.counts.true_items += own.len();
        Ok(())
    }

    /// Length of the lists that the metrics need, for users with at most `n_true` true items.
    fn list_length(&self, n_true: usize) -> usize {
        let needed = self.metrics.iter().map(|metric| match metric.cut() {
            Cut::At(k) => k,
            Cut::Truth => n_true,
            Cut::All => 0,
        });
        needed.max().unwrap_or(0).min(self.train.n_items())
    }

    /// Items that the user is not offered, ascending.
    fn excluded(&self, user: UserId) -> Cow<'_, [ItemId]> {
        if self.candidates == Candidates::All {
            return Cow::Borrowed(&[]);
        }
        let (train, also) = (self.train.items_of(user), self.holdout.excluded_of(user));
        if also.is_empty() {
            return Cow::Borrowed(train);
        }
        let mut both = [train, also].concat();
        both.sort_unstable();
        both.dedup();
        Cow::Owned(both)
    }

    fn record(&self, user: UserId, hit_ranks: &[u32], n_listed: usize, excluded: &[ItemId], block: &mut Block) {
        let truth = self.holdout.truth_of(user);
        let outcome = Outcome { hit_ranks, n_true: truth.len(), n_listed };
        // Coverage has no value per user; its place is filled at the end.
        block.values.extend(self.metrics.iter().map(|metric| metric.value(&outcome).unwrap_or(0.0)));
        block.counts.true_items += truth.len();
        block.counts.unreachable_items += truth.iter().filter(|item| excluded.binary_search(item).is_ok()).count();
    }

    /// A metric believes its list, so the list must be one.
    fn check_list(
        &self,
        user: UserId,
        list: &[Hit],
        excluded: &[ItemId],
        sorted: &mut Vec<ItemId>,
    ) -> Result<(), EvalError> {
        let fail = |item, fault| Err(EvalError::List { user, item, fault });
        sorted.clear();
        sorted.extend(list.iter().map(|hit| hit.item));
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return fail(twice[0], ListFault::Repeated);
        }
        if let Some(&last) = sorted.last()
            && last.index() >= self.train.n_items()
        {
            return fail(last, ListFault::Unknown);
        }
        match sorted.iter().find(|item| excluded.binary_search(item).is_ok()) {
            Some(&item) => fail(item, ListFault::Excluded),
            None => Ok(()),
        }
    }

    fn note_seen(&self, list: &[Hit]) {
        if !self.first_seen.is_empty() {
            for (rank, hit) in (1u32..).zip(list) {
                // A minimum: the same whatever the order of the threads.
                self.first_seen[hit.item.index()].fetch_min(rank, Ordering::Relaxed);
            }
        }
    }

    fn coverage(&self, metric: Metric) -> f64 {
        let Cut::At(k) = metric.cut() else { return 0.0 };
        let seen = self.first_seen.iter().filter(|rank| rank.load(Ordering::Relaxed) as usize <= k).count();
        seen as f64 / self.first_seen.len() as f64
    }
}
