//! How large the values of a pair can become: no search needs to look for NaN.

use rectify_core::{QueryError, check_len};

use super::network::Network;
use crate::{CascadeError, PartName};

/// No value of a sound cascade exceeds this.
const LIMIT: f64 = (1u64 << 60) as f64;

/// What bounds the values of any pair, from its vectors on.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Largest magnitude of each component of an item.
    items: Vec<f64>,
    stages: Vec<StageLimit>,
}

/// What a stage makes of an input of magnitude 1 at most.
#[derive(Clone, Debug)]
struct StageLimit {
    head: f64,
    bias: f64,
    /// None behind all modules.
    layer: Option<f64>,
}

/// Largest magnitude of each component of a table's rows.
fn largest(table: &[f32], dim: usize) -> Vec<f64> {
    let mut most = vec![0.0; dim];
    for row in table.chunks_exact(dim) {
        most.iter_mut().zip(row).for_each(|(most, x)| *most = f64::max(*most, f64::from(x.abs())));
    }
    most
}

impl Limits {
    pub(super) fn of(network: &Network) -> Self {
        let stage = |stage: usize| {
            let layer = (stage < network.n_modules()).then(|| {
                let mut sums = vec![0.0; network.dim];
                for row in network.weight(stage).chunks_exact(network.dim) {
                    sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += f64::from(w.abs()));
                }
                sums.into_iter().fold(0.0, f64::max)
            });
            let head = network.head(stage).iter().map(|w| f64::from(w.abs())).sum();
            StageLimit { head, bias: f64::from(network.bias(stage).abs()), layer }
        };
        Self { items: largest(network.items(), network.dim), stages: (0..=network.n_modules()).map(stage).collect() }
    }

    /// The largest magnitude of z for vectors whose components have these magnitudes.
    fn product(&self, vector: impl Iterator<Item = f64>) -> f64 {
        vector.zip(&self.items).map(|(p, q)| p * q).fold(0.0, f64::max)
    }

    /// The first stage whose values could leave the range for a z of this magnitude, and how far.
    fn beyond(&self, z: f64) -> Option<(usize, f64)> {
        let mut input = z;
        for (at, StageLimit { head, bias, layer }) in self.stages.iter().enumerate() {
            let mut bound = head * input + bias;
            if let Some(layer) = layer {
                input = z.max(layer * input);
                bound = bound.max(input);
            }
            if bound > LIMIT {
                return Some((at, bound));
            }
        }
        None
    }
}

impl Network {
    /// Fails if a value is not finite or some pair's could be beyond 2⁶⁰.
    pub(super) fn check_values(&self) -> Result<(), CascadeError> {
        let biases: Vec<f32> = (0..=self.n_modules()).map(|stage| self.bias(stage)).collect();
        let mut arrays = vec![
            (PartName::Users, self.users()),
            (PartName::Items, self.items()),
            (PartName::Score, self.head(self.n_modules())),
            (PartName::Biases, &biases),
        ];
        for n in 0..self.n_modules() {
            arrays.push((PartName::Decision { module: n + 1 }, self.head(n)));
            arrays.push((PartName::Weight { module: n + 1 }, self.weight(n)));
        }
        for (what, values) in arrays {
            if let Some(position) = values.iter().position(|x| x.is_nan() || f64::from(x.abs()) > LIMIT) {
                return Err(CascadeError::Value { what, position, got: values[position] });
            }
        }
        let limits = self.limits();
        let z = limits.product(largest(self.users(), self.dim).into_iter());
        limits.beyond(z).map_or(Ok(()), |(stage, bound)| Err(CascadeError::Overflow { stage, bound }))
    }

    /// Fails unless anybody with this vector can be searched for: its width, its values, and those of its pairs.
    pub(super) fn check_query(&self, vector: &[f32]) -> Result<(), QueryError> {
        check_len("query", self.dim, vector.len())?;
        if let Some(position) = vector.iter().position(|x| !x.is_finite()) {
            return Err(QueryError::NotFinite { position, value: vector[position] });
        }
        let magnitudes = || vector.iter().map(|x| f64::from(x.abs()));
        let (limits, longest) = (self.limits(), magnitudes().fold(0.0, f64::max));
        let beyond = limits.beyond(limits.product(magnitudes())).map(|(_, bound)| bound);
        match beyond.or((longest > LIMIT).then_some(longest)) {
            Some(bound) => Err(QueryError::Unsupported(format!(
                "this vector's values can reach {bound:e}, expected at most 2^60; scale it down"
            ))),
            None => Ok(()),
        }
    }
}
