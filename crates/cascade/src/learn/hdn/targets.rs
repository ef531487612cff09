//! Which pairs an epoch learns from, and what their targets are.

use std::ops::Range;

use rayon::prelude::*;
use rectify_core::rng::Seed;
use rectify_core::{Hit, ItemId, QueryError, Scorer, UserId};
use rectify_data::Interactions;
use rectify_data::samplers::UniformNegatives;

use super::pass::Batch;
use super::remembered::Remembered;
use crate::{ConfigError, FitError, HdnConfig, ScoreLoss, Targets, Thresholds};

/// Users whose pairs one thread takes to the teacher at a time.
const USERS: usize = 16;

/// Who answers for the teacher.
enum TeacherScores<'a> {
    Teacher(&'a dyn Scorer<Query = UserId>),
    Memory(Remembered),
}

impl TeacherScores<'_> {
    fn scorer(&self) -> &dyn Scorer<Query = UserId> {
        match self {
            Self::Teacher(teacher) => *teacher,
            Self::Memory(remembered) => remembered,
        }
    }
}

/// The pairs of an epoch: each interaction with its drawn items, by user, and the order of the visit.
pub(super) struct Samples<'a> {
    data: &'a Interactions,
    teacher: Option<TeacherScores<'a>>,
    config: &'a HdnConfig,
    thresholds: Option<Thresholds>,
    negatives: UniformNegatives<'a>,
    shuffle: Seed,
    /// User of each interaction, in the order of `data.all_items()`.
    user_of: Vec<u32>,
    /// Items: 1 + n_negatives for each interaction, the positive one first.
    items: Vec<ItemId>,
    /// The teacher's scores of these pairs; empty if nothing is asked of a teacher.
    scores: Vec<f32>,
    order: Vec<u32>,
}

impl<'a> Samples<'a> {
    /// Asks the teacher for all pairs if they are no more than `remembered`, and for those of each epoch otherwise: the same bits.
    pub(super) fn new(
        data: &'a Interactions,
        teacher: Option<&'a dyn Scorer<Query = UserId>>,
        config: &'a HdnConfig,
        seed: Seed,
        remembered: usize,
    ) -> Result<Self, FitError> {
        let (n_users, n_items) = (data.n_users(), data.n_items());
        if data.n_interactions() == 0 {
            return Err(FitError::Empty { n_users, n_items });
        }
        let samples = data.n_interactions().checked_mul(config.n_negatives + 1).filter(|n| u32::try_from(*n).is_ok());
        let expected = "fewer than 2^32 pairs an epoch";
        ConfigError::check(samples.is_some(), "n_negatives", expected, config.n_negatives)?;
        let teacher = match (config.asks_teacher(), teacher) {
            (Some(field), None) => return Err(FitError::NoTeacher { field }),
            (Some(_), teacher) => teacher,
            (None, _) => None,
        };
        if let Some(teacher) = teacher
            && teacher.n_items() != n_items
        {
            return Err(FitError::Items { expected: n_items, got: teacher.n_items() });
        }
        let negatives = UniformNegatives::new(data, seed.stream("negatives"))?;
        let fits = n_users.checked_mul(n_items).is_some_and(|pairs| pairs <= remembered);
        let teacher = match teacher {
            Some(teacher) if fits => Some(TeacherScores::Memory(Remembered::new(teacher, n_users)?)),
            teacher => teacher.map(TeacherScores::Teacher),
        };
        let thresholds = match &teacher {
            Some(teacher) if config.decisions == Some(Targets::Teacher) => {
                Some(Thresholds::of(teacher.scorer(), n_users, &config.ratios()?)?)
            }
            _ => None,
        };
        Ok(Self {
            data,
            teacher,
            config,
            thresholds,
            negatives,
            shuffle: seed.stream("order"),
            user_of: data.users().flat_map(|u| std::iter::repeat_n(u.0, data.items_of(u).len())).collect(),
            items: Vec::new(),
            scores: Vec::new(),
            order: Vec::new(),
        })
    }

    /// Pairs of an epoch.
    pub(super) fn len(&self) -> usize {
        self.user_of.len() * (self.config.n_negatives + 1)
    }

    /// Draws the negatives of an epoch and their order, and asks the teacher.
    pub(super) fn draw(&mut self, epoch: u32) -> Result<(), FitError> {
        let per_positive = self.config.n_negatives + 1;
        let n = self.len();
        self.items.clear();
        for (at, positive) in self.data.all_items().iter().enumerate() {
            let drawn = self.items.len() + 1;
            self.items.resize(drawn + per_positive - 1, *positive);
            self.negatives.fill(epoch, at as u64, &[UserId(self.user_of[at])], &mut self.items[drawn..]);
        }
        self.order.clear();
        self.order.extend(0..n as u32);
        self.shuffle.at(epoch, 0).shuffle(&mut self.order);
        let Some(teacher) = &self.teacher else { return Ok(()) };
        let teacher = teacher.scorer();
        self.scores.resize(n, 0.0);
        // Pairs lie by user: each block of users owns a stretch of them.
        let offsets = self.data.user_offsets();
        let mut rest = &mut self.scores[..];
        let mut blocks = Vec::new();
        for first in (0..self.data.n_users()).step_by(USERS) {
            let users = first..(first + USERS).min(self.data.n_users());
            let size = (offsets[users.end] - offsets[users.start]) as usize * per_positive;
            let (block, after) = rest.split_at_mut(size);
            blocks.push((users, block));
            rest = after;
        }
        let items = &self.items;
        let ask = |(users, mut block): (Range<usize>, &mut [f32])| -> Result<(), QueryError> {
            for user in users {
                let pairs = offsets[user] as usize * per_positive..offsets[user + 1] as usize * per_positive;
                let (scores, after) = block.split_at_mut(pairs.len());
                block = after;
                let items = &items[pairs];
                teacher.score_into(&UserId(user as u32), items, scores)?;
                if let Some(at) = scores.iter().position(|score| !score.is_finite()) {
                    return Err(QueryError::NotFinite { position: items[at].index(), value: scores[at] });
                }
            }
            Ok(())
        };
        let answers: Vec<Result<(), QueryError>> = blocks.into_par_iter().map(ask).collect();
        Ok(answers.into_iter().collect::<Result<(), _>>()?)
    }

    /// The pairs of a step with their targets.
    pub(super) fn fill(&self, range: Range<usize>, batch: &mut Batch) {
        let (config, per_positive) = (self.config, self.config.n_negatives + 1);
        batch.clear(config.n_modules());
        let temperature = config.temperature as f32;
        for sample in &self.order[range] {
            let sample = *sample as usize;
            let (user, item) = (self.user_of[sample / per_positive], self.items[sample]);
            let positive = sample.is_multiple_of(per_positive);
            let score = match config.scores {
                Targets::Teacher => self.scores[sample] / temperature,
                Targets::Feedback => f32::from(u8::from(positive)),
            };
            batch.users.push(user);
            batch.items.push(item.0);
            batch.scores.push(score);
            for (module, labels) in batch.labels.iter_mut().enumerate() {
                labels.push(match (config.decisions, &self.thresholds) {
                    (Some(Targets::Teacher), Some(thresholds)) => {
                        thresholds.label(UserId(user), module, Hit { item, score: self.scores[sample] })
                    }
                    (Some(Targets::Feedback), _) => {
                        if positive {
                            -1.0
                        } else {
                            1.0
                        }
                    }
                    // No decisions are learned.
                    _ => 0.0,
                });
            }
        }
        if config.scores == Targets::Teacher && config.score_loss == ScoreLoss::Bernoulli {
            let logits = std::mem::take(&mut batch.scores);
            batch.scores.resize(logits.len(), 0.0);
            rectify_distill::soft_targets(&logits, 1.0, 0.0, &mut batch.scores).expect("sizes made to fit");
        }
    }
}
