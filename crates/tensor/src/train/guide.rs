//! A second objective that trains along with a model's own.

use rectify_core::{HiddenWidths, Scorer, UserId};

use crate::{Optimizer, ParamStore};

/// What went wrong in a guide or a model, whoever wrote it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The model of the moment, on demand: a copy that answers queries.
pub type Student<'a> = &'a mut dyn FnMut() -> Result<Box<dyn Scorer<Query = UserId>>, BoxError>;

/// A second objective on a model in training: what distillation adds to a student.
///
/// A guide knows no model. It sees scores and vectors, and answers with gradients; a model that can be guided asks, in this
/// order: [`prepare`](Self::prepare) once; [`begin_epoch`](Self::begin_epoch); then in every step
/// [`lists`](Self::lists) and [`score_loss`](Self::score_loss), [`hidden_loss`](Self::hidden_loss) for each kind of vector it
/// has, and [`step`](Self::step), after which the optimiser follows the sum of all gradients. Methods that a guide has no use
/// for do nothing.
///
/// Losses are sums over the batch; `scale` is what the model's own loss is multiplied by, so that a model that trains on
/// means weighs its guides likewise. Every random draw must be a function of a seed, the epoch and a place within it.
pub trait Guide {
    /// Adds parameters of its own to the model's store. `widths` are those of the model's vectors.
    ///
    /// # Errors
    /// A model that it cannot guide.
    fn prepare(&mut self, widths: HiddenWidths, params: &mut ParamStore) -> Result<(), BoxError>;

    /// Epochs count from 1.
    ///
    /// # Errors
    /// Whatever makes the epoch impossible.
    fn begin_epoch(&mut self, epoch: u32, student: Student<'_>) -> Result<(), BoxError> {
        let _ = (epoch, student);
        Ok(())
    }

    /// Asks for scores: writes one list for some or all of a batch's distinct `users`.
    fn lists(&mut self, users: &[u32], lists: &mut Lists) {
        let _ = (users, lists);
    }

    /// Loss of the lists' scores before any sigmoid (lists, len); **writes** its gradient times `scale`.
    ///
    /// # Errors
    /// Whatever makes the loss impossible.
    fn score_loss(
        &mut self,
        users: &[u32],
        lists: &Lists,
        scores: &[f32],
        scale: f32,
        grads: &mut [f32],
    ) -> Result<f64, BoxError> {
        let _ = (users, lists, scores, scale);
        grads.fill(0.0);
        Ok(0.0)
    }

    /// Whether [`hidden_loss`](Self::hidden_loss) is worth calling.
    fn wants_hidden(&self) -> bool {
        false
    }

    /// Loss of some vectors of the batch (entities, width); **adds** its gradient times `scale` to `grads`.
    ///
    /// # Errors
    /// Whatever makes the loss impossible.
    fn hidden_loss(
        &mut self,
        of: Entities<'_>,
        vectors: &[f32],
        scale: f32,
        params: &ParamStore,
        grads: &mut [f32],
    ) -> Result<f64, BoxError> {
        let _ = (of, vectors, scale, params, grads);
        Ok(0.0)
    }

    /// Lets its own parameters take the step of the batch that it has seen.
    fn step(&mut self, params: &mut ParamStore, optimizer: &Optimizer) {
        let _ = (params, optimizer);
    }
}

/// The guides of one training, asked in order.
pub type Guides<'g> = Vec<Box<dyn Guide + 'g>>;

/// Lists of items of one length, each for one user of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Items of a list.
    pub len: usize,
    /// Place of each list's user among the batch's distinct users, ascending.
    pub places: Vec<u32>,
    /// Items (lists, len).
    pub items: Vec<u32>,
}

impl Lists {
    /// No lists, of `len` items.
    pub fn clear(&mut self, len: usize) {
        self.len = len;
        self.places.clear();
        self.items.clear();
    }
}

/// Whose vectors a guide sees; ids are distinct except among pairs.
#[derive(Clone, Copy, Debug)]
pub enum Entities<'a> {
    /// Users of the batch.
    Users(&'a [u32]),
    /// Items that users of the batch chose.
    Positives(&'a [u32]),
    /// Items drawn as not chosen.
    Negatives(&'a [u32]),
    /// Samples of the batch: a user and an item each, chosen or not.
    Pairs {
        /// User of each sample.
        users: &'a [u32],
        /// Item of each sample.
        items: &'a [u32],
    },
}

impl Entities<'_> {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Users(ids) | Self::Positives(ids) | Self::Negatives(ids) | Self::Pairs { users: ids, .. } => {
                ids.len()
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
