//! Losses and samplers put together: second objectives for any model that can be guided.

mod experts;
mod lists;

use rectify_core::rng::Seed;
use rectify_core::{ItemId, Teacher, UserId};
use rectify_tensor::train::Guides;
use serde::{Deserialize, Serialize};

pub use experts::{ExpertsGuide, ExpertsTerm};
pub use lists::{Collaborative, ListGuide, ListLoss, ListTerm};

use crate::{ConfigError, LossError, SampleError};

/// What a student learns from its teacher, beside its own loss:
/// `L = L_base + λ_DE · L_DE + λ_lists · L_lists` (DE-RRD, Eq. 11). Both parts are optional.
///
/// | method | `experts` | `lists` |
/// |---|---|---|
/// | DE | set | |
/// | RRD | | `relaxed-ranking`, for NeuMF `relaxed-ranking-of-predictions` |
/// | DE-RRD | set | the same |
/// | RD | | `ranking-distillation` |
/// | CD | | `collaborative` |
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distillation {
    /// The teacher's hidden vectors, through experts.
    pub experts: Option<ExpertsTerm>,
    /// The teacher's ranking, by lists of items.
    pub lists: Option<ListTerm>,
}

impl Distillation {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.experts.as_ref().map_or(Ok(()), ExpertsTerm::validate)?;
        self.lists.as_ref().map_or(Ok(()), ListTerm::validate)
    }

    /// The guides, for a model that trains on `n_users` users and `n_items` items; `seen(u)` are a user's training items,
    /// ascending. Users are ranked by the teacher here, once.
    ///
    /// # Errors
    /// A bad setting; a teacher of another catalogue, or whose scores are no numbers; experts of a teacher that shows no
    /// hidden vectors; lists longer than a user's unseen items.
    pub fn guides<'t, 's>(
        &self,
        teacher: &'t dyn Teacher<Query = UserId>,
        n_users: usize,
        n_items: usize,
        seen: impl Fn(UserId) -> &'s [ItemId] + Sync,
        seed: Seed,
    ) -> Result<Guides<'t>, GuideError> {
        self.validate()?;
        let mut guides = Guides::new();
        if let Some(term) = &self.experts {
            let hidden = teacher.hidden().ok_or(GuideError::BlackBox)?;
            guides.push(Box::new(ExpertsGuide::new(term.clone(), hidden, seed.stream("experts"))?));
        }
        if let Some(term) = &self.lists {
            let guide = ListGuide::new(term.clone(), teacher, n_users, n_items, seen, seed.stream("lists"))?;
            guides.push(Box::new(guide));
        }
        Ok(guides)
    }
}

/// Why a student cannot be guided.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GuideError {
    /// A setting that makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Rankings or draws that cannot be made.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A loss whose arguments do not fit together.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// Experts of a teacher that shows nothing but scores.
    #[error("experts need a teacher with hidden vectors, but this one shows scores alone; leave `experts` out")]
    BlackBox,
    /// Hidden vectors of another kind than the student's.
    #[error(
        "the student has vectors of {student}, the teacher of {teacher}; experts need a teacher of the student's family"
    )]
    Family {
        /// Kinds of vectors.
        student: &'static str,
        /// Kinds of vectors.
        teacher: &'static str,
    },
    /// A teacher that does not know an entity, or has no numbers for it.
    #[error("the teacher has no usable vector of {entity}: {problem}")]
    Vector {
        /// For instance `user 3`.
        entity: String,
        /// What is wrong.
        problem: String,
    },
}
