//! What a caller can get wrong with a cascade.

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
        what: String,
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
        what: String,
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
    /// An order that is no order of all items.
    #[error("the order has {got} at position {position}, expected each of {n_items} items once")]
    Order {
        /// Where.
        position: usize,
        /// What stands there: an item, or the end.
        got: String,
        /// Items there are.
        n_items: usize,
    },
}
