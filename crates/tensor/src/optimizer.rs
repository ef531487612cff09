//! Rules that turn a gradient into a step; the arithmetic of PyTorch's optimisers of the same names.

use serde::{Deserialize, Serialize};

use crate::kernels::{AdagradStep, AdamConstants, AdamScale};
use rectify_core::ConfigError;

/// An optimiser with its settings.
///
/// Weight decay is *coupled*: `weight_decay · w` is added to the gradient before the rule (PyTorch's `Adam`, not `AdamW`).
/// It is the gradient of `weight_decay / 2 · |w|²`.
///
/// ```
/// use rectify_tensor::{Adam, Optimizer};
///
/// let optimizer = Optimizer::Adam(Adam { learning_rate: 1e-2, ..Adam::default() });
/// assert!(optimizer.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Optimizer {
    /// Gradient descent.
    Sgd(Sgd),
    /// Adagrad (Duchi et al., JMLR 2011).
    Adagrad(Adagrad),
    /// Adam (Kingma and Ba, ICLR 2015).
    Adam(Adam),
}

/// Settings of gradient descent: `w -= lr · g`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// Step size, > 0. Default 0.01.
    pub learning_rate: f64,
    /// Coupled L2 factor, >= 0. Default 0.
    pub weight_decay: f64,
}

/// Settings of Adagrad: `s += g²; w -= lr · g / (√s + ε)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adagrad {
    /// Step size, > 0. Default 0.01.
    pub learning_rate: f64,
    /// ε, > 0. Default 1e-10.
    pub epsilon: f64,
    /// Coupled L2 factor, >= 0. Default 0.
    pub weight_decay: f64,
}

/// Settings of Adam: `m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; w -= lr/(1-β₁ᵗ) · m / (√(v/(1-β₂ᵗ)) + ε)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Step size, > 0. Default 0.001.
    pub learning_rate: f64,
    /// β₁, in [0, 1). Default 0.9.
    pub beta1: f64,
    /// β₂, in [0, 1). Default 0.999.
    pub beta2: f64,
    /// ε, > 0. Default 1e-8.
    pub epsilon: f64,
    /// Coupled L2 factor, >= 0. Default 0.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 1e-2, weight_decay: 0.0 }
    }
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { learning_rate: 1e-2, epsilon: 1e-10, weight_decay: 0.0 }
    }
}

impl Default for Adam {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl Optimizer {
    /// Adam with this learning rate and the usual other settings.
    #[must_use]
    pub fn adam(learning_rate: f64) -> Self {
        Self::Adam(Adam { learning_rate, ..Adam::default() })
    }

    /// The same rule with this weight decay.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        match &mut self {
            Self::Sgd(sgd) => sgd.weight_decay = weight_decay,
            Self::Adagrad(adagrad) => adagrad.weight_decay = weight_decay,
            Self::Adam(adam) => adam.weight_decay = weight_decay,
        }
        self
    }

    /// The L2 factor.
    #[must_use]
    pub const fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.weight_decay,
            Self::Adagrad(adagrad) => adagrad.weight_decay,
            Self::Adam(adam) => adam.weight_decay,
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |field, got: f64, ok: bool, expected| ConfigError::check(ok, field, expected, got);
        let positive = |field, x: f64| check(field, x, x > 0.0 && x.is_finite(), "a finite number above 0");
        let decay =
            |x: f64| check("optimizer.weight_decay", x, x >= 0.0 && x.is_finite(), "a finite number of at least 0");
        let beta = |field, x: f64| check(field, x, (0.0..1.0).contains(&x), "in [0, 1)");
        match *self {
            Self::Sgd(Sgd { learning_rate, weight_decay }) => {
                positive("optimizer.learning_rate", learning_rate)?;
                decay(weight_decay)
            }
            Self::Adagrad(Adagrad { learning_rate, epsilon, weight_decay }) => {
                positive("optimizer.learning_rate", learning_rate)?;
                positive("optimizer.epsilon", epsilon)?;
                decay(weight_decay)
            }
            Self::Adam(Adam { learning_rate, beta1, beta2, epsilon, weight_decay }) => {
                positive("optimizer.learning_rate", learning_rate)?;
                beta("optimizer.beta1", beta1)?;
                beta("optimizer.beta2", beta2)?;
                positive("optimizer.epsilon", epsilon)?;
                decay(weight_decay)
            }
        }
    }
}

impl Adam {
    pub(crate) fn constants(&self) -> AdamConstants {
        AdamConstants {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            one_minus_beta1: (1.0 - self.beta1) as f32,
            one_minus_beta2: (1.0 - self.beta2) as f32,
            epsilon: self.epsilon as f32,
            weight_decay: self.weight_decay as f32,
        }
    }

    /// The scale of step `t`, counted from 1. Powers are portable (`libm` of the platform is not).
    pub(crate) fn scale(&self, t: u64) -> AdamScale {
        let power = |base: f64| {
            let (mut result, mut square, mut n) = (1.0, base, t);
            while n > 0 {
                if n & 1 == 1 {
                    result *= square;
                }
                square *= square;
                n >>= 1;
            }
            result
        };
        AdamScale {
            step_size: (self.learning_rate / (1.0 - power(self.beta1))) as f32,
            inverse_root: (1.0 / (1.0 - power(self.beta2)).sqrt()) as f32,
        }
    }
}

impl Adagrad {
    pub(crate) fn step(&self) -> AdagradStep {
        AdagradStep {
            learning_rate: self.learning_rate as f32,
            epsilon: self.epsilon as f32,
            weight_decay: self.weight_decay as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let error = Optimizer::adam(-1.0).validate().unwrap_err();
        assert_eq!(error.to_string(), "optimizer.learning_rate is -1, expected a finite number above 0");
        let beta = Optimizer::Adam(Adam { beta2: 1.0, ..Adam::default() });
        assert_eq!(beta.validate().unwrap_err().to_string(), "optimizer.beta2 is 1, expected in [0, 1)");
        assert!(Optimizer::adam(f64::NAN).validate().is_err());
        assert!(Optimizer::default().with_weight_decay(-0.1).validate().is_err());
    }

    #[test]
    fn unknown_settings_are_refused_and_missing_ones_have_defaults() {
        let parse = serde_json::from_str::<Optimizer>;
        assert_eq!(parse(r#"{"rule":"adam","learning_rate":0.01}"#).unwrap(), Optimizer::adam(0.01));
        assert!(parse(r#"{"rule":"sgd","beta1":0.9}"#).unwrap_err().to_string().contains("beta1"));
    }

    #[test]
    fn step_sizes_never_grow() {
        let adam = Adam::default();
        let mut before = f32::INFINITY;
        for t in 1..10_000 {
            let step = adam.scale(t).step_size;
            assert!(step <= before, "step {t}");
            before = step;
        }
    }
}
