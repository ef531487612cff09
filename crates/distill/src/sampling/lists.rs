//! One list of items a user and epoch: some of the teacher's best, and some others.

use std::sync::Arc;

use rayon::prelude::*;
use rectify_core::rng::{Rng, Seed};
use rectify_core::{Hit, ItemId, QueryError, Scorer, UserId};
use serde::{Deserialize, Serialize};

use super::{RankLaw, Rankings};
use crate::{ConfigError, SampleError};

/// Where the uninteresting items of a list come from; always uniform, without replacement, unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// Items outside the teacher's best [`depth`](ListSamplerConfig::depth).
    ///
    /// **Reading**: the authors' code; cacheable, and disjoint from whatever is interesting.
    #[default]
    BelowDepth,
    /// Items that the teacher ranks below every interesting item of this very draw.
    ///
    /// **Reading**: the text of DE-RRD, section 4.2.1.
    BelowDrawn,
    /// Any unseen item, interesting ones included: what ranking distillation estimates the student's ranks with.
    Unseen,
}

/// What a list holds.
///
/// The defaults are RRD's on CiteULike. Other methods draw lists too:
/// [`ranking_distillation`](Self::ranking_distillation), [`collaborative`](Self::collaborative).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListSamplerConfig {
    /// Interesting items of a list (`K`); paper: 10 to 50, best near 30 to 40. At least 1.
    pub n_interesting: usize,
    /// Uninteresting items of a list (`L`); paper: as many as interesting ones. May be 0.
    pub n_uninteresting: usize,
    /// Sharpness of the rank law `exp(-k / T)` by which interesting items are drawn; paper: 1, 5, 10, 20.
    pub temperature: f64,
    /// Ranks that interesting items are drawn from: the best this many. At least `n_interesting`.
    ///
    /// **Reading**: the text names no bound, the authors' code takes 500; at T = 10 less than 5 · 10⁻⁵ of the mass lies
    /// beyond rank 100.
    pub depth: usize,
    /// Takes the best `n_interesting` instead of drawing; a later note of the paper's authors finds it better.
    pub deterministic_top: bool,
    /// Where uninteresting items come from.
    pub pool: Pool,
    /// Gives users with too few unseen items no list, instead of refusing to start.
    pub skip_short_users: bool,
}

impl Default for ListSamplerConfig {
    fn default() -> Self {
        Self {
            n_interesting: 40,
            n_uninteresting: 40,
            temperature: 10.0,
            depth: 500,
            deterministic_top: false,
            pool: Pool::BelowDepth,
            skip_short_users: false,
        }
    }
}

impl ListSamplerConfig {
    /// Ranking distillation's lists: the teacher's best `n_top` items, always, and `n_estimate` unseen items that the
    /// student's ranks are estimated with.
    #[must_use]
    pub fn ranking_distillation(n_top: usize, n_estimate: usize) -> Self {
        Self {
            n_interesting: n_top,
            n_uninteresting: n_estimate,
            depth: n_top,
            deterministic_top: true,
            pool: Pool::Unseen,
            ..Self::default()
        }
    }

    /// Collaborative distillation's lists: `n_items` drawn by the rank law, nothing else.
    #[must_use]
    pub fn collaborative(n_items: usize, temperature: f64) -> Self {
        Self { n_interesting: n_items, n_uninteresting: 0, temperature, ..Self::default() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.n_interesting > 0, "n_interesting", "at least 1", self.n_interesting)?;
        ConfigError::check(self.depth >= self.n_interesting, "depth", "at least n_interesting", self.depth)?;
        RankLaw::new(self.temperature).map(|_| ())
    }
}

/// Draws every user's list anew each epoch, keyed by seed, epoch and user alone.
///
/// A user with fewer than `depth + n_uninteresting` unseen items draws interesting items from a shorter best list, as
/// short as leaves `n_uninteresting` items below it, and refuses at fewer than `n_interesting + n_uninteresting`.
#[derive(Clone, Debug)]
pub struct ListSampler {
    config: ListSamplerConfig,
    law: RankLaw,
    rankings: Arc<Rankings>,
    /// Seen items and the best `depth` of each user, ascending: what [`Pool::BelowDepth`] leaves out.
    excluded: Vec<ItemId>,
    excluded_offsets: Vec<usize>,
}

impl ListSampler {
    /// A sampler of lists from `rankings`.
    ///
    /// # Errors
    /// A bad setting; rankings that are not as deep as `depth`; a user with too few unseen items (unless those are
    /// skipped).
    pub fn new(config: ListSamplerConfig, rankings: impl Into<Arc<Rankings>>) -> Result<Self, SampleError> {
        config.validate()?;
        let rankings = rankings.into();
        let needed = config.depth.min(rankings.n_items());
        if rankings.depth() < needed {
            return Err(SampleError::Depth { expected: needed, got: rankings.depth() });
        }
        let law = RankLaw::new(config.temperature)?;
        let mut sampler = Self { config, law, rankings, excluded: Vec::new(), excluded_offsets: vec![0] };
        for u in 0..sampler.rankings.n_users() {
            let user = UserId(u as u32);
            let rankings = &sampler.rankings;
            let (expected, got) = (sampler.n_needed(), rankings.n_unseen(user));
            if got < expected && !sampler.config.skip_short_users {
                return Err(SampleError::TooFewUnseen { user, expected, got });
            }
            if sampler.config.pool == Pool::BelowDepth && sampler.config.n_uninteresting > 0 && got >= expected {
                let start = sampler.excluded.len();
                sampler.excluded.extend_from_slice(rankings.seen(user));
                sampler.excluded.extend_from_slice(&rankings.best(user)[..sampler.depth_of(user)]);
                sampler.excluded[start..].sort_unstable();
            }
            sampler.excluded_offsets.push(sampler.excluded.len());
        }
        Ok(sampler)
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &ListSamplerConfig {
        &self.config
    }

    /// What it draws from.
    #[must_use]
    pub fn rankings(&self) -> &Rankings {
        &self.rankings
    }

    /// Unseen items that a user must have.
    fn n_needed(&self) -> usize {
        match self.config.pool {
            Pool::BelowDepth | Pool::BelowDrawn => self.config.n_interesting + self.config.n_uninteresting,
            Pool::Unseen => self.config.n_interesting.max(self.config.n_uninteresting),
        }
    }

    /// Ranks that interesting items of a user are drawn from.
    fn depth_of(&self, user: UserId) -> usize {
        let below = if self.config.pool == Pool::Unseen { 0 } else { self.config.n_uninteresting };
        self.config.depth.min(self.rankings.n_unseen(user) - below)
    }

    /// Draws the lists of `epoch`, in parallel; the draws do not depend on the number of threads.
    ///
    /// `seed` should be a stream of its own, such as `Seed(..).stream("interesting")`.
    #[must_use]
    pub fn draw(&self, seed: Seed, epoch: u32) -> DrawnLists {
        let mut lists = DrawnLists {
            n_interesting: self.config.n_interesting,
            n_uninteresting: self.config.n_uninteresting,
            items: Vec::new(),
            ranks: Vec::new(),
            skipped: Vec::new(),
        };
        self.draw_into(seed, epoch, &mut lists);
        lists
    }

    /// [`draw`](Self::draw) into the memory of earlier lists.
    pub fn draw_into(&self, seed: Seed, epoch: u32, lists: &mut DrawnLists) {
        let (k, l) = (self.config.n_interesting, self.config.n_uninteresting);
        let n_users = self.rankings.n_users();
        lists.n_interesting = k;
        lists.n_uninteresting = l;
        lists.items.clear();
        lists.items.resize(n_users * (k + l), ItemId(0));
        lists.ranks.clear();
        lists.ranks.resize(n_users * k, 0);
        let needed = self.n_needed();
        lists.skipped.clear();
        lists.skipped.extend((0..n_users as u32).map(|u| self.rankings.n_unseen(UserId(u)) < needed));
        lists
            .items
            .par_chunks_exact_mut(k + l)
            .zip(lists.ranks.par_chunks_exact_mut(k))
            .zip(&lists.skipped)
            .enumerate()
            .for_each_init(Scratch::default, |scratch, (u, ((items, ranks), skipped))| {
                if !skipped {
                    self.draw_list(UserId(u as u32), &mut seed.at(epoch, u as u64), scratch, items, ranks);
                }
            });
    }

    fn draw_list(&self, user: UserId, rng: &mut Rng, scratch: &mut Scratch, items: &mut [ItemId], ranks: &mut [u32]) {
        let k = self.config.n_interesting;
        if self.config.deterministic_top {
            scratch.ranks.clear();
            scratch.ranks.extend(0..k as u32);
        } else {
            self.law.draw(self.depth_of(user), k, rng, &mut scratch.ranks);
        }
        ranks.copy_from_slice(&scratch.ranks);
        let best = self.rankings.best(user);
        let (interesting, uninteresting) = items.split_at_mut(k);
        for (item, rank) in interesting.iter_mut().zip(&scratch.ranks) {
            *item = best[*rank as usize];
        }
        if uninteresting.is_empty() {
            return;
        }
        let excluded = match self.config.pool {
            Pool::BelowDepth => {
                &self.excluded[self.excluded_offsets[user.index()]..self.excluded_offsets[user.index() + 1]]
            }
            Pool::Unseen => self.rankings.seen(user),
            Pool::BelowDrawn => {
                let lowest = scratch.ranks.last().map_or(0, |rank| *rank as usize + 1);
                scratch.excluded.clear();
                scratch.excluded.extend_from_slice(self.rankings.seen(user));
                scratch.excluded.extend_from_slice(&best[..lowest]);
                scratch.excluded.sort_unstable();
                &scratch.excluded
            }
        };
        let n_allowed = self.rankings.n_items() - excluded.len();
        let positions = rng.sample_distinct(n_allowed as u32, uninteresting.len() as u32);
        for (item, position) in uninteresting.iter_mut().zip(positions) {
            *item = nth_allowed(excluded, position);
        }
    }
}

/// Memory of one worker.
#[derive(Default)]
struct Scratch {
    ranks: Vec<u32>,
    excluded: Vec<ItemId>,
}

/// The item at `position` among those that `excluded` (ascending, distinct) leaves: exact, without rejection.
fn nth_allowed(excluded: &[ItemId], position: u32) -> ItemId {
    // Below excluded[i] there are excluded[i] - i allowed items.
    let (mut low, mut high) = (0, excluded.len());
    while low < high {
        let middle = low.midpoint(high);
        if excluded[middle].0 - middle as u32 > position { high = middle } else { low = middle + 1 }
    }
    ItemId(position + low as u32)
}

/// The lists of one epoch, one a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrawnLists {
    n_interesting: usize,
    n_uninteresting: usize,
    items: Vec<ItemId>,
    ranks: Vec<u32>,
    skipped: Vec<bool>,
}

impl DrawnLists {
    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.skipped.len()
    }

    /// A user's list, `n_interesting + n_uninteresting` items: interesting ones first, in the order of their ranks,
    /// then the others, ascending by id. `None` for a skipped user.
    ///
    /// # Panics
    /// If the user is unknown, as in every method that takes one.
    #[must_use]
    pub fn of(&self, user: UserId) -> Option<&[ItemId]> {
        let len = self.n_interesting + self.n_uninteresting;
        (!self.skipped[user.index()]).then(|| &self.items[user.index() * len..(user.index() + 1) * len])
    }

    /// The interesting items of a user, best first; `None` for a skipped user.
    #[must_use]
    pub fn interesting(&self, user: UserId) -> Option<&[ItemId]> {
        self.of(user).map(|list| &list[..self.n_interesting])
    }

    /// The uninteresting items of a user; `None` for a skipped user.
    #[must_use]
    pub fn uninteresting(&self, user: UserId) -> Option<&[ItemId]> {
        self.of(user).map(|list| &list[self.n_interesting..])
    }

    /// Positions of the interesting items in the ranking they were drawn from (0 is the best item), ascending; so
    /// `rankings.scores(user)[ranks[j]]` is the teacher's score of interesting item `j`. `None` for a skipped user.
    #[must_use]
    pub fn ranks(&self, user: UserId) -> Option<&[u32]> {
        let k = self.n_interesting;
        (!self.skipped[user.index()]).then(|| &self.ranks[user.index() * k..(user.index() + 1) * k])
    }

    /// Puts the uninteresting items of every user into the teacher's order too, as the ablation *full ranking* needs.
    ///
    /// # Errors
    /// A teacher that does not know a user or an item, or scores with NaN.
    pub fn sort_uninteresting<S: Scorer<Query = UserId> + ?Sized>(&mut self, teacher: &S) -> Result<(), SampleError> {
        let (k, l) = (self.n_interesting, self.n_uninteresting);
        let sort = |(scores, hits): &mut (Vec<f32>, Vec<Hit>), (u, list): (usize, &mut [ItemId])| {
            let user = UserId(u as u32);
            let failed = |source: QueryError| SampleError::Teacher { user, source };
            teacher.score_into(&user, &list[k..], scores).map_err(failed)?;
            if let Some(position) = scores.iter().position(|score| score.is_nan()) {
                return Err(failed(QueryError::NotFinite { position, value: scores[position] }));
            }
            hits.clear();
            hits.extend(list[k..].iter().zip(&*scores).map(|(item, score)| Hit::new(*item, *score)));
            hits.sort_unstable();
            for (item, hit) in list[k..].iter_mut().zip(&*hits) {
                *item = hit.item;
            }
            Ok(())
        };
        let results: Vec<Result<(), SampleError>> = self
            .items
            .par_chunks_exact_mut(k + l)
            .enumerate()
            .zip(&self.skipped)
            .map_init(
                || (vec![0.0; l], Vec::with_capacity(l)),
                |scratch, (list, skipped)| if *skipped { Ok(()) } else { sort(scratch, list) },
            )
            .collect();
        results.into_iter().collect()
    }
}
