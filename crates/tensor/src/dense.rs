//! A small matrix that every batch touches.

use crate::state::State;
#[cfg(feature = "cuda")]
use crate::state::StateMut;
use crate::{Init, Optimizer};
use rectify_core::rng::Seed;

/// A parameter matrix (rows, columns), row-major, with its optimiser state; a bias is a matrix of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseParam {
    pub(crate) shape: [usize; 2],
    pub(crate) values: Vec<f32>,
    pub(crate) state: State,
    pub(crate) steps: u64,
}

impl DenseParam {
    /// A matrix with seeded initial values.
    #[must_use]
    pub fn new(rows: usize, columns: usize, init: Init, seed: Seed) -> Self {
        Self::from_values([rows, columns], init.draw(rows, columns, seed))
    }

    /// A matrix with given values.
    ///
    /// # Panics
    /// If `values.len()` is not the product of `shape`.
    #[must_use]
    pub fn from_values(shape: [usize; 2], values: Vec<f32>) -> Self {
        assert_eq!(values.len(), shape[0] * shape[1], "a matrix of shape {shape:?} needs as many values");
        Self { shape, values, state: State::Empty, steps: 0 }
    }

    /// (rows, columns).
    #[must_use]
    pub const fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// All values, row-major.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be set from outside (a pre-trained model); optimiser state stays.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Steps taken.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Values, memory and steps, for a device that takes the steps of this rule.
    #[cfg(feature = "cuda")]
    pub(crate) fn whole(&mut self, optimizer: &Optimizer) -> (&mut [f32], StateMut<'_>, &mut u64) {
        if self.state.prepare(optimizer, self.values.len()) {
            self.steps = 0;
        }
        (&mut self.values, self.state.borrow(), &mut self.steps)
    }

    /// One optimiser step; `grads` has the matrix's shape. Another rule than before starts with an empty memory.
    ///
    /// # Panics
    /// If `grads` has another size.
    pub fn apply(&mut self, grads: &[f32], optimizer: &Optimizer) {
        assert_eq!(grads.len(), self.values.len(), "gradient of a matrix of shape {:?}", self.shape);
        if self.state.prepare(optimizer, self.values.len()) {
            self.steps = 0;
        }
        self.steps += 1;
        self.state.dense_step(&mut self.values, grads, optimizer, self.steps);
    }
}
