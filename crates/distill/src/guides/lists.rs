//! List losses as guides: RRD and its ablations, RD, CD.

use rectify_core::rng::Seed;
use rectify_core::{HiddenWidths, ItemId, Scorer, Teacher, UserId};
use rectify_tensor::ParamStore;
use rectify_tensor::train::{BoxError, Guide, Lists, Student};
use serde::{Deserialize, Serialize};

use super::GuideError;
use crate::sampling::{DrawnLists, ListSampler, ListSamplerConfig, Rankings};
use crate::{
    ConfigError, ListShape, RankWeights, SampleError, collaborative, full_ranking, full_ranking_of_predictions,
    interesting_ranking, interesting_ranking_of_predictions, ranking_distillation, relaxed_ranking,
    relaxed_ranking_of_predictions, soft_targets,
};

/// Settings of a list loss as a part of a distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListTerm {
    /// λ, at least 0. RRD's public setting for BPR on CiteULike: 0.001.
    ///
    /// The paper's rule of thumb: the RRD term is 7 to 10 % of the base loss for BPR, ten times it for NeuMF.
    pub weight: f64,
    /// Which loss, with its lists.
    pub loss: ListLoss,
}

/// A loss of the student's scores of a list of items, with what its lists hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListLoss {
    /// RRD: [`relaxed_ranking`].
    RelaxedRanking(ListSamplerConfig),
    /// RRD of predictions, for students that predict probabilities: [`relaxed_ranking_of_predictions`].
    RelaxedRankingOfPredictions(ListSamplerConfig),
    /// Ablation (d): [`full_ranking`], uninteresting items in the teacher's order too.
    FullRanking(ListSamplerConfig),
    /// Ablation (e): [`interesting_ranking`], uninteresting items left out.
    InterestingRanking(ListSamplerConfig),
    /// (d) of predictions: [`full_ranking_of_predictions`].
    FullRankingOfPredictions(ListSamplerConfig),
    /// (e) of predictions: [`interesting_ranking_of_predictions`].
    InterestingRankingOfPredictions(ListSamplerConfig),
    /// RD: [`ranking_distillation`].
    RankingDistillation(RankWeights),
    /// CD: [`collaborative`].
    Collaborative(Collaborative),
}

/// Settings of collaborative distillation (CD; Lee et al., ICDM 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collaborative {
    /// Items of a user (`K`), drawn anew each epoch; at least 1. Default 40.
    pub n_items: usize,
    /// Sharpness of the rank law by which they are drawn. Default 10.
    pub temperature: f64,
    /// Divides the teacher's logits. Default 1; 2 in public re-implementations.
    pub logit_temperature: f32,
    /// Added to the divided logits. Default 0.
    pub bias: f32,
    /// Draws by the student's ranking of the moment instead of the teacher's, made anew every epoch. Default false.
    ///
    /// **Reading**: the DE-RRD paper does not say which it compares with.
    pub student_guided: bool,
}

impl Default for Collaborative {
    fn default() -> Self {
        Self { n_items: 40, temperature: 10.0, logit_temperature: 1.0, bias: 0.0, student_guided: false }
    }
}

impl ListTerm {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.weight >= 0.0 && self.weight.is_finite(), "weight", "at least 0", self.weight)?;
        match &self.loss {
            ListLoss::RankingDistillation(weights) => weights.validate()?,
            ListLoss::Collaborative(config) => {
                let (temperature, bias) = (config.logit_temperature, config.bias);
                let positive = temperature > 0.0 && temperature.is_finite();
                ConfigError::check(positive, "logit_temperature", "positive and finite", temperature)?;
                ConfigError::check(bias.is_finite(), "bias", "finite", bias)?;
            }
            ListLoss::RelaxedRanking(_)
            | ListLoss::RelaxedRankingOfPredictions(_)
            | ListLoss::FullRanking(_)
            | ListLoss::InterestingRanking(_)
            | ListLoss::FullRankingOfPredictions(_)
            | ListLoss::InterestingRankingOfPredictions(_) => {}
        }
        self.loss.lists().validate()
    }
}

impl ListLoss {
    /// What the lists hold.
    fn lists(&self) -> ListSamplerConfig {
        match self {
            Self::RelaxedRanking(lists)
            | Self::RelaxedRankingOfPredictions(lists)
            | Self::FullRanking(lists)
            | Self::FullRankingOfPredictions(lists) => lists.clone(),
            Self::InterestingRanking(lists) | Self::InterestingRankingOfPredictions(lists) => {
                ListSamplerConfig { n_uninteresting: 0, ..lists.clone() }
            }
            Self::RankingDistillation(w) => ListSamplerConfig::ranking_distillation(w.n_top, w.n_estimate),
            Self::Collaborative(config) => ListSamplerConfig::collaborative(config.n_items, config.temperature),
        }
    }
}

/// A list loss on a student in training: lists for the distinct users of a batch, drawn anew each epoch.
pub struct ListGuide<'t> {
    term: ListTerm,
    teacher: &'t dyn Teacher<Query = UserId>,
    sampler: ListSampler,
    drawn: DrawnLists,
    seed: Seed,
    epoch: u32,
    /// CD: the teacher's probabilities of the drawn items (users, K).
    targets: Vec<f32>,
    /// The same for the lists of a step; RD: their weights.
    batch_targets: Vec<f32>,
    tops: Vec<f32>,
    estimates: Vec<f32>,
}

impl<'t> ListGuide<'t> {
    /// A guide towards the ranking of `teacher`; `seen(u)` are a user's training items, ascending. `seed` should be a stream
    /// of its own.
    ///
    /// # Errors
    /// As [`Distillation::guides`](super::Distillation::guides).
    pub fn new<'s>(
        term: ListTerm,
        teacher: &'t dyn Teacher<Query = UserId>,
        n_users: usize,
        n_items: usize,
        seen: impl Fn(UserId) -> &'s [ItemId] + Sync,
        seed: Seed,
    ) -> Result<Self, GuideError> {
        term.validate()?;
        let lists = term.loss.lists();
        let rankings = Rankings::new(teacher, n_users, n_items, seen, lists.depth)?;
        let sampler = ListSampler::new(lists, rankings)?;
        Ok(Self {
            term,
            teacher,
            sampler,
            drawn: DrawnLists::default(),
            seed,
            epoch: 0,
            targets: Vec::new(),
            batch_targets: Vec::new(),
            tops: Vec::new(),
            estimates: Vec::new(),
        })
    }

    fn shape(&self) -> ListShape {
        let lists = self.sampler.config();
        ListShape { n_interesting: lists.n_interesting, n_uninteresting: lists.n_uninteresting }
    }

    /// Epochs before this one; a trainer that counts them from 0 begins with two first ones.
    const fn epochs_done(&self) -> u32 {
        self.epoch.saturating_sub(1)
    }

    /// Items of each list that this epoch's loss looks at: RD estimates ranks only after its warm-up.
    fn asked(&self) -> usize {
        if let ListLoss::RankingDistillation(w) = &self.term.loss
            && self.epochs_done() < w.warm_up_epochs
        {
            return w.n_top;
        }
        self.shape().len()
    }

    /// CD: what the teacher thinks of the drawn items.
    fn soften(&mut self, config: &Collaborative) -> Result<(), GuideError> {
        let k = config.n_items;
        self.targets.clear();
        self.targets.resize(self.drawn.n_users() * k, 0.0);
        for (u, targets) in self.targets.chunks_exact_mut(k).enumerate() {
            let user = UserId(u as u32);
            let Some(items) = self.drawn.of(user) else { continue };
            let failed = |source| SampleError::Teacher { user, source };
            let mut logits = vec![0.0; k];
            self.teacher.score_into(&user, items, &mut logits).map_err(failed)?;
            soft_targets(&logits, config.logit_temperature, config.bias, targets)?;
        }
        Ok(())
    }
}

impl Guide for ListGuide<'_> {
    fn prepare(&mut self, _: HiddenWidths, _: &mut ParamStore) -> Result<(), BoxError> {
        Ok(())
    }

    fn begin_epoch(&mut self, epoch: u32, student: Student<'_>) -> Result<(), BoxError> {
        self.epoch = epoch;
        if let ListLoss::Collaborative(config) = self.term.loss.clone() {
            if config.student_guided {
                let old = self.sampler.rankings();
                let (n_users, n_items, depth) = (old.n_users(), old.n_items(), old.depth());
                let student: Box<dyn Scorer<Query = UserId>> = student()?;
                let rankings = Rankings::new(&*student, n_users, n_items, |user| old.seen(user), depth)?;
                self.sampler = ListSampler::new(self.sampler.config().clone(), rankings)?;
            }
            self.sampler.draw_into(self.seed, epoch, &mut self.drawn);
            self.soften(&config)?;
        } else {
            self.sampler.draw_into(self.seed, epoch, &mut self.drawn);
        }
        if matches!(self.term.loss, ListLoss::FullRanking(_) | ListLoss::FullRankingOfPredictions(_)) {
            self.drawn.sort_uninteresting(self.teacher)?;
        }
        Ok(())
    }

    fn lists(&mut self, users: &[u32], lists: &mut Lists) {
        let asked = self.asked();
        lists.clear(asked);
        for (place, user) in users.iter().enumerate() {
            if let Some(list) = self.drawn.of(UserId(*user)) {
                lists.places.push(place as u32);
                lists.items.extend(list[..asked].iter().map(|item| item.0));
            }
        }
    }

    fn score_loss(
        &mut self,
        users: &[u32],
        lists: &Lists,
        scores: &[f32],
        scale: f32,
        grads: &mut [f32],
    ) -> Result<f64, BoxError> {
        let weight = self.term.weight as f32 * scale;
        let (shape, done) = (self.shape(), self.epochs_done());
        let loss = match &self.term.loss {
            ListLoss::RelaxedRanking(_) => relaxed_ranking(scores, shape, weight, grads)?,
            ListLoss::RelaxedRankingOfPredictions(_) => relaxed_ranking_of_predictions(scores, shape, weight, grads)?,
            ListLoss::FullRanking(_) => full_ranking(scores, shape, weight, grads)?,
            ListLoss::InterestingRanking(_) => interesting_ranking(scores, shape, weight, grads)?,
            ListLoss::FullRankingOfPredictions(_) => full_ranking_of_predictions(scores, shape, weight, grads)?,
            ListLoss::InterestingRankingOfPredictions(_) => {
                interesting_ranking_of_predictions(scores, shape, weight, grads)?
            }
            ListLoss::RankingDistillation(config) => {
                self.tops.clear();
                self.estimates.clear();
                for list in scores.chunks_exact(lists.len) {
                    let (tops, estimates) = list.split_at(config.n_top);
                    self.tops.extend_from_slice(tops);
                    self.estimates.extend_from_slice(estimates);
                }
                let (n, n_items) = (self.tops.len(), self.sampler.rankings().n_items());
                self.batch_targets.resize(n, 0.0);
                let weights = &mut self.batch_targets[..n];
                config.weights_into(done, &self.tops, &self.estimates, n_items, weights)?;
                let mut d_tops = vec![0.0; n];
                let loss = ranking_distillation(&self.tops, weights, weight, &mut d_tops)?;
                grads.fill(0.0);
                for (grads, d_tops) in grads.chunks_exact_mut(lists.len).zip(d_tops.chunks_exact(config.n_top)) {
                    grads[..config.n_top].copy_from_slice(d_tops);
                }
                loss
            }
            ListLoss::Collaborative(config) => {
                self.batch_targets.clear();
                for place in &lists.places {
                    let start = users[*place as usize] as usize * config.n_items;
                    self.batch_targets.extend_from_slice(&self.targets[start..start + config.n_items]);
                }
                collaborative(scores, &self.batch_targets, weight, grads)?
            }
        };
        Ok(self.term.weight * loss)
    }
}
