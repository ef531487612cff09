//! What an optimiser remembers about a block of values, and its steps on it.

use rectify_core::artifact::{Artifact, ArtifactWriter};

use crate::kernels::{self, AdamScale};
use crate::{Optimizer, ParamError};

/// Optimiser state of `len` values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum State {
    /// None yet, or a rule without memory.
    #[default]
    Empty,
    /// Sum of squared gradients.
    Adagrad { sum: Vec<f32> },
    /// First and second moment.
    Adam { m: Vec<f32>, v: Vec<f32> },
}

/// A borrowed [`State`], or a piece of one.
pub(crate) enum StateMut<'a> {
    Empty,
    Adagrad { sum: &'a mut [f32] },
    Adam { m: &'a mut [f32], v: &'a mut [f32] },
}

/// What rows are to do: steps they missed, and the step of their gradient.
pub(crate) struct Steps<'a> {
    /// The rows as far as known in advance, to be prefetched.
    pub(crate) ahead: &'a [u32],
    /// How many of the last steps a row has missed.
    pub(crate) missed: &'a mut dyn FnMut(u32) -> usize,
    /// Adam's scales of all steps that any row may have missed.
    pub(crate) history: &'a [AdamScale],
    /// Gradients (rows, dim), and Adam's scale of their step.
    pub(crate) grads: Option<(&'a [f32], Option<AdamScale>)>,
}

impl StateMut<'_> {
    /// Takes the steps on `rows` of `values`.
    pub(crate) fn row_steps(
        self,
        values: &mut [f32],
        dim: usize,
        rows: &mut dyn Iterator<Item = u32>,
        steps: Steps<'_>,
        optimizer: &Optimizer,
    ) {
        let Steps { ahead, missed, history, grads } = steps;
        match (optimizer, self) {
            (Optimizer::Sgd(sgd), _) => {
                let (rate, decay) = (sgd.learning_rate as f32, sgd.weight_decay as f32);
                kernels::sgd_rows(values, dim, rows, missed, grads.map(|(g, _)| g), rate, decay);
            }
            (Optimizer::Adagrad(adagrad), Self::Adagrad { sum }) => {
                kernels::adagrad_rows(values, sum, dim, rows, missed, grads.map(|(g, _)| g), &adagrad.step());
            }
            (Optimizer::Adam(adam), Self::Adam { m, v }) => {
                let grads = grads.and_then(|(g, scale)| Some((g, scale?)));
                kernels::adam_rows(values, m, v, dim, rows, ahead, missed, history, grads, &adam.constants());
            }
            (Optimizer::Adagrad(_) | Optimizer::Adam(_), _) => unreachable!("state is prepared before each step"),
        }
    }
}

impl State {
    /// Makes room for what `optimizer` remembers; another rule's memory is forgotten. Says whether it started anew.
    pub(crate) fn prepare(&mut self, optimizer: &Optimizer, len: usize) -> bool {
        let fresh = match (optimizer, &*self) {
            (Optimizer::Sgd(_), Self::Empty)
            | (Optimizer::Adagrad(_), Self::Adagrad { .. })
            | (Optimizer::Adam(_), Self::Adam { .. }) => return false,
            (Optimizer::Sgd(_), _) => Self::Empty,
            (Optimizer::Adagrad(_), _) => Self::Adagrad { sum: vec![0.0; len] },
            (Optimizer::Adam(_), _) => Self::Adam { m: vec![0.0; len], v: vec![0.0; len] },
        };
        *self = fresh;
        true
    }

    /// One dense step, number `t` counted from 1; [`prepare`](Self::prepare) was called.
    pub(crate) fn dense_step(&mut self, values: &mut [f32], grads: &[f32], optimizer: &Optimizer, t: u64) {
        match (optimizer, self) {
            (Optimizer::Sgd(sgd), _) => {
                kernels::sgd_dense(values, grads, sgd.learning_rate as f32, sgd.weight_decay as f32);
            }
            (Optimizer::Adagrad(adagrad), Self::Adagrad { sum }) => {
                kernels::adagrad_dense(values, sum, grads, &adagrad.step());
            }
            (Optimizer::Adam(adam), Self::Adam { m, v }) => {
                kernels::adam_dense(values, m, v, grads, &adam.constants(), adam.scale(t));
            }
            (Optimizer::Adagrad(_) | Optimizer::Adam(_), _) => unreachable!("state is prepared before each step"),
        }
    }

    /// The arrays, to be changed.
    pub(crate) fn borrow(&mut self) -> StateMut<'_> {
        match self {
            Self::Empty => StateMut::Empty,
            Self::Adagrad { sum } => StateMut::Adagrad { sum },
            Self::Adam { m, v } => StateMut::Adam { m, v },
        }
    }

    /// The arrays, in `n` pieces of `width` values.
    pub(crate) fn pieces(&mut self, width: usize, n: usize) -> Vec<StateMut<'_>> {
        match self {
            Self::Empty => (0..n).map(|_| StateMut::Empty).collect(),
            Self::Adagrad { sum } => sum.chunks_mut(width).map(|sum| StateMut::Adagrad { sum }).collect(),
            Self::Adam { m, v } => {
                m.chunks_mut(width).zip(v.chunks_mut(width)).map(|(m, v)| StateMut::Adam { m, v }).collect()
            }
        }
    }

    /// Names of the arrays, in the order of [`arrays`](Self::arrays).
    pub(crate) const fn names(&self) -> &'static [&'static str] {
        match self {
            Self::Empty => &[],
            Self::Adagrad { .. } => &["adagrad.sum"],
            Self::Adam { .. } => &["adam.m", "adam.v"],
        }
    }

    fn arrays(&self) -> Vec<&Vec<f32>> {
        match self {
            Self::Empty => vec![],
            Self::Adagrad { sum } => vec![sum],
            Self::Adam { m, v } => vec![m, v],
        }
    }

    pub(crate) fn save_into<'a>(&'a self, writer: &mut ArtifactWriter<'a>, name: &str, shape: &[usize]) {
        for (part, array) in self.names().iter().zip(self.arrays()) {
            writer.array(&format!("{name}/{part}"), shape, array);
        }
    }

    pub(crate) fn load(artifact: &Artifact, name: &str, shape: &[usize]) -> Result<Self, ParamError> {
        let array = |part: &str| -> Result<Option<Vec<f32>>, ParamError> {
            let name = format!("{name}/{part}");
            Ok(if artifact.has(&name) { Some(artifact.array_shaped(&name, shape)?.to_vec()) } else { None })
        };
        Ok(match (array("adagrad.sum")?, array("adam.m")?, array("adam.v")?) {
            (Some(sum), None, None) => Self::Adagrad { sum },
            (None, Some(m), Some(v)) => Self::Adam { m, v },
            (None, None, None) => Self::Empty,
            _ => return Err(ParamError::State { name: name.to_owned() }),
        })
    }

    /// Bytes of the arrays.
    pub(crate) fn size_bytes(&self) -> usize {
        self.arrays().iter().map(|a| std::mem::size_of_val(a.as_slice())).sum()
    }
}
