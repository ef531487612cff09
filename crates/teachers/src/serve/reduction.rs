//! A setting that saved models remember.

use serde::{Deserialize, Serialize};

/// How a batch's losses are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Their mean; the same learning rate suits any batch size.
    #[default]
    Mean,
    /// Their sum, as DE-RRD trains. With Adam it differs from the mean in how much weight decay counts.
    Sum,
}
