//! What a caller can get wrong with a cascade.

use std::fmt;

use rectify_core::ItemId;

/// An array of a cascade; modules count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartName {
    /// Vectors of users.
    Users,
    /// Vectors of items.
    Items,
    /// `θ` of a module.
    Decision {
        /// Which module.
        module: usize,
    },
    /// `W` of a module.
    Weight {
        /// Which module.
        module: usize,
    },
    /// `w` of the score.
    Score,
    /// The biases of the modules, and last that of the score.
    Biases,
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users => f.write_str("users"),
            Self::Items => f.write_str("items"),
            Self::Decision { module } => write!(f, "decision of module {module}"),
            Self::Weight { module } => write!(f, "weight of module {module}"),
            Self::Score => f.write_str("score"),
            Self::Biases => f.write_str("biases"),
        }
    }
}

/// A cascade that cannot be served.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CascadeError {
    /// A size outside its range.
    #[error("{what} is {got}, expected 1 to {most}")]
    Size {
        /// Which size.
        what: &'static str,
        /// Its value.
        got: usize,
        /// The largest.
        most: usize,
    },
    /// An array of another length than its shape says.
    #[error("{what} has {got} values, expected {expected} ({shape})")]
    Length {
        /// Which array.
        what: PartName,
        /// Its shape in words.
        shape: &'static str,
        /// Values expected.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A value that no score can be made of.
    #[error(
        "{what} has {got} at position {position}, expected a number of magnitude up to 2^60; lower the learning rate"
    )]
    Value {
        /// Which array.
        what: PartName,
        /// Where in it.
        position: usize,
        /// What stands there.
        got: f32,
    },
    /// Weights whose product can leave the range of scores.
    #[error("values after {stage} modules can reach {bound:e}, expected at most 2^60; scale the weights down")]
    Overflow {
        /// Modules passed.
        stage: usize,
        /// What no value exceeds.
        bound: f64,
    },
    /// A ratio out of range or out of order.
    #[error(
        "rejection_ratios is {got} at position {position}, expected numbers that rise strictly, all above 0 and below 1"
    )]
    Ratio {
        /// Which ratio, from 0.
        position: usize,
        /// Its value.
        got: f64,
    },
    /// A rule for another number of modules.
    #[error("the cascade has {expected} modules, the rejection rule is for {got}")]
    Rule {
        /// Modules of the cascade.
        expected: usize,
        /// Thresholds or ratios given.
        got: usize,
    },
    /// A threshold that is NaN.
    #[error("the threshold of module {module} is NaN, expected a number")]
    Threshold {
        /// Which module, from 1.
        module: usize,
    },
    /// An order with an item that stood there before, or that is unknown.
    #[error("the order has item {item} at position {position}, expected each of {n_items} items once")]
    Order {
        /// Where.
        position: usize,
        /// What stands there.
        item: ItemId,
        /// Items there are.
        n_items: usize,
    },
    /// An order that lacks an item.
    #[error("the order has its end at position {position}, expected each of {n_items} items once")]
    ShortOrder {
        /// Where it ends.
        position: usize,
        /// Items there are.
        n_items: usize,
    },
}
