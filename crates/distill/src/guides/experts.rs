//! Distillation experts as a guide.

use rectify_core::rng::Seed;
use rectify_core::{Hidden, HiddenWidths, ItemId, QueryError, UserId};
use rectify_tensor::train::{BoxError, Entities, Guide, Student};
use rectify_tensor::{DenseKey, Init, Optimizer, ParamStore};
use serde::{Deserialize, Serialize};

use super::GuideError;
use crate::{Annealing, ConfigError, Experts, ExpertsConfig, ExpertsWorkspace, Selection, gumbel_noise};

/// Settings of DE as a part of a distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpertsTerm {
    /// λ_DE, at least 0. Public setting for BPR on CiteULike: 0.01.
    ///
    /// The paper's rule of thumb: the term is about 20 % of the base loss for BPR, 2 to 5 % for NeuMF.
    pub weight: f64,
    /// Experts (`M`), at least 1; paper: 5 to 30, best near 10 to 20; the public run has 30.
    pub n_experts: usize,
    /// How their outputs are mixed.
    pub selection: Selection,
    /// Temperature of the Gumbel softmax by epoch.
    pub annealing: Annealing,
}

impl Default for ExpertsTerm {
    fn default() -> Self {
        let ExpertsConfig { n_experts, selection } = ExpertsConfig::default();
        Self { weight: 0.01, n_experts, selection, annealing: Annealing::default() }
    }
}

impl ExpertsTerm {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.weight >= 0.0 && self.weight.is_finite(), "weight", "at least 0", self.weight)?;
        self.config().validate()?;
        self.annealing.validate()
    }

    fn config(&self) -> ExpertsConfig {
        ExpertsConfig { n_experts: self.n_experts, selection: self.selection }
    }
}

/// DE on a student in training: for a model of users and items, one set of experts for each side; for a model of pairs, one.
///
/// `L_DE = Σ_users l + ½ (Σ_positives l + Σ_negatives l)`, over the distinct entities of a batch, or `Σ_pairs l`.
///
/// **Reading**: the halves are the authors' code's; the paper weighs both sides 1.
pub struct ExpertsGuide<'t> {
    term: ExpertsTerm,
    teacher: &'t dyn Hidden,
    seed: Seed,
    /// Users and items, or pairs alone.
    sides: Vec<Side>,
    temperature: f32,
    epoch: u32,
    step: u32,
    workspace: ExpertsWorkspace,
    targets: Vec<f32>,
    noise: Vec<f32>,
}

struct Side {
    experts: Experts,
    key: DenseKey,
    gradient: Vec<f32>,
}

impl<'t> ExpertsGuide<'t> {
    /// A guide towards the hidden vectors of `teacher`; `seed` should be a stream of its own.
    ///
    /// # Errors
    /// A bad setting.
    pub fn new(term: ExpertsTerm, teacher: &'t dyn Hidden, seed: Seed) -> Result<Self, GuideError> {
        term.validate()?;
        Ok(Self {
            term,
            teacher,
            seed,
            sides: Vec::new(),
            temperature: 1.0,
            epoch: 0,
            step: 0,
            workspace: ExpertsWorkspace::default(),
            targets: Vec::new(),
            noise: Vec::new(),
        })
    }

    fn add_side(&mut self, name: &str, widths: (usize, usize), params: &mut ParamStore) -> Result<(), GuideError> {
        let experts = Experts::new(self.term.config(), widths.0, widths.1)?;
        let key = params.add_dense(name, 1, experts.n_params(), Init::Zeros);
        let [param] = params.dense_mut([key]);
        experts.init(self.seed.stream(name), param.values_mut())?;
        self.sides.push(Side { gradient: vec![0.0; experts.n_params()], experts, key });
        Ok(())
    }

    /// The teacher's vectors of some entities.
    fn gather(&mut self, of: Entities<'_>, width: usize) -> Result<(), GuideError> {
        self.targets.clear();
        self.targets.resize(of.len() * width, 0.0);
        let refused =
            |entity: String| move |error: QueryError| GuideError::Vector { entity, problem: error.to_string() };
        match of {
            Entities::Users(users) => {
                for (user, out) in users.iter().zip(self.targets.chunks_exact_mut(width)) {
                    self.teacher.user_into(UserId(*user), out).map_err(refused(format!("user {user}")))?;
                }
            }
            Entities::Positives(items) | Entities::Negatives(items) => {
                for (item, out) in items.iter().zip(self.targets.chunks_exact_mut(width)) {
                    self.teacher.item_into(ItemId(*item), out).map_err(refused(format!("item {item}")))?;
                }
            }
            Entities::Pairs { users, items } => {
                let pairs: Vec<_> = users.iter().zip(items).map(|(u, i)| (UserId(*u), ItemId(*i))).collect();
                self.teacher.pairs_into(&pairs, &mut self.targets).map_err(refused("a pair".into()))?;
            }
        }
        Ok(())
    }
}

/// Kinds of vectors, for messages.
fn kind(widths: HiddenWidths) -> &'static str {
    match widths {
        HiddenWidths { pair: 1.., .. } => "pairs",
        HiddenWidths { user: 1.., item: 1.., .. } => "users and items",
        _ => "no kind",
    }
}

/// Name of an entity, for messages.
fn name(of: Entities<'_>, at: usize) -> String {
    match of {
        Entities::Users(ids) => format!("user {}", ids[at]),
        Entities::Positives(ids) | Entities::Negatives(ids) => format!("item {}", ids[at]),
        Entities::Pairs { users, items } => format!("the pair of user {} and item {}", users[at], items[at]),
    }
}

impl Guide for ExpertsGuide<'_> {
    fn prepare(&mut self, student: HiddenWidths, params: &mut ParamStore) -> Result<(), BoxError> {
        let teacher = self.teacher.widths();
        if kind(student) != kind(teacher) {
            return Err(GuideError::Family { student: kind(student), teacher: kind(teacher) }.into());
        }
        self.sides.clear();
        if student.pair > 0 {
            self.add_side("experts of pairs", (student.pair, teacher.pair), params)?;
        } else {
            self.add_side("experts of users", (student.user, teacher.user), params)?;
            self.add_side("experts of items", (student.item, teacher.item), params)?;
        }
        Ok(())
    }

    fn begin_epoch(&mut self, epoch: u32, _: Student<'_>) -> Result<(), BoxError> {
        (self.epoch, self.step) = (epoch, 0);
        // The schedule counts from 0.
        self.temperature = self.term.annealing.at(epoch.saturating_sub(1));
        Ok(())
    }

    fn wants_hidden(&self) -> bool {
        true
    }

    fn hidden_loss(
        &mut self,
        of: Entities<'_>,
        vectors: &[f32],
        scale: f32,
        params: &ParamStore,
        grads: &mut [f32],
    ) -> Result<f64, BoxError> {
        let (side, share, stream) = match of {
            Entities::Users(_) => (0, 1.0, "noise of users"),
            Entities::Positives(_) => (1, 0.5, "noise of positives"),
            Entities::Negatives(_) => (1, 0.5, "noise of negatives"),
            Entities::Pairs { .. } => (0, 1.0, "noise of pairs"),
        };
        self.gather(of, self.sides[side].experts.teacher_dim())?;
        let Side { experts, key, gradient } = &mut self.sides[side];
        self.noise.clear();
        self.noise.resize(experts.noise_len(of.len()), 0.0);
        gumbel_noise(self.seed.stream(stream), self.epoch, self.step, self.term.n_experts, &mut self.noise);
        let share = share * self.term.weight;
        let loss = experts.loss(
            params.dense(*key).values(),
            vectors,
            &self.targets,
            &self.noise,
            self.temperature,
            share as f32 * scale,
            &mut self.workspace,
            gradient,
            grads,
        )?;
        if !loss.is_finite()
            && let Some(at) = self.targets.iter().position(|x| !x.is_finite())
        {
            let (entity, value) = (name(of, at / experts.teacher_dim()), self.targets[at]);
            let problem = format!("value {} is {value}, expected a finite number", at % experts.teacher_dim());
            return Err(GuideError::Vector { entity, problem }.into());
        }
        Ok(share * loss)
    }

    fn step(&mut self, params: &mut ParamStore, optimizer: &Optimizer) {
        for Side { key, gradient, .. } in &mut self.sides {
            let [param] = params.dense_mut([*key]);
            param.apply(gradient, optimizer);
            gradient.fill(0.0);
        }
        self.step += 1;
    }
}
