//! Optimisers that a device knows.

use rectify_core::ConfigError;

use crate::{Adagrad, Adam, Optimizer, Sgd};

/// The rules that a device knows: an [`Optimizer`] without [`Adagrad`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Gradient descent.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
}

impl TryFrom<Optimizer> for Rule {
    type Error = ConfigError;

    fn try_from(optimizer: Optimizer) -> Result<Self, ConfigError> {
        match optimizer {
            Optimizer::Sgd(sgd) => Ok(Self::Sgd(sgd)),
            Optimizer::Adam(adam) => Ok(Self::Adam(adam)),
            Optimizer::Adagrad(Adagrad { .. }) => Err(ConfigError {
                model: None,
                field: "optimizer.rule",
                expected: "adam or sgd on a device; adagrad trains on the CPU",
                got: "adagrad".into(),
            }),
        }
    }
}

impl From<Rule> for Optimizer {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Sgd(sgd) => Self::Sgd(sgd),
            Rule::Adam(adam) => Self::Adam(adam),
        }
    }
}
