//! The preference model: how much a user, by its history, likes a node.

mod kernel;
pub(crate) mod network;
pub(crate) mod profile;

use serde::{Deserialize, Serialize};

use super::NetworkError;

pub(crate) use kernel::Scratch;
pub use network::Network;
pub(crate) use profile::Profile;

/// Shape of the preference model of TDM, JTM and DeFoRec.
///
/// With `e_k` the embedding of the ancestor of the k-th newest item of the history at the node's level, and `e_n` the node's:
///
/// 1. `a_k = out · PReLU(e_k A + (e_k ∘ e_n) B + e_n C + b) + b'`, the attention unit, whose first layer over
///    `[e_k ; e_k ∘ e_n ; e_n]` has `attention_dim` outputs; no softmax over positions.
/// 2. `g_w = (1/s_w) Σ_{k in w} a_k e_k` for each window w of `s_w` positions; missing positions add nothing, the divisor stays.
/// 3. `[g_1 ; … ; g_W ; e_n]` through `layers`, each a product, batch norm and PReLU.
/// 4. One affine output: DeFoRec's preference o, or the logit of TDM's and JTM's `p_like`.
///
/// **Reading**: TDM's output is a softmax over two values (dislike, like); it depends on their difference alone, which is the one
/// value here, and `p_like` its sigmoid. A product before a batch norm has no offset of its own: the norm takes it away again. Each
/// PReLU has one slope an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreferenceShape {
    /// Width of a node's embedding (`E`), at least 1. Default 24.
    pub embedding_dim: usize,
    /// Positions of each time window, newest first (`s_w`), each at least 1. Default 1, 1, 1, 2, 2, 2, 10, 10, 20, 20: 69 in all.
    pub windows: Vec<usize>,
    /// Hidden width of the attention unit, at least 1. Default 36.
    pub attention_dim: usize,
    /// Widths of the hidden layers, one at least. Default 128, 64, 32.
    pub layers: Vec<usize>,
}

impl Default for PreferenceShape {
    fn default() -> Self {
        Self {
            embedding_dim: 24,
            windows: vec![1, 1, 1, 2, 2, 2, 10, 10, 20, 20],
            attention_dim: 36,
            layers: vec![128, 64, 32],
        }
    }
}

/// Widths beyond this are a mistake rather than a model, and their products could overflow.
pub(crate) const WIDEST: usize = 1 << 16;

impl PreferenceShape {
    /// Checks every size.
    ///
    /// # Errors
    /// The first one out of its range.
    pub fn validate(&self) -> Result<(), NetworkError> {
        match self.sizes().find(|(_, got)| !(1..=WIDEST).contains(got)) {
            Some((field, got)) => Err(NetworkError::Size { field, got, most: WIDEST }),
            None => Ok(()),
        }
    }

    /// Every size, each at least 1 and at most [`WIDEST`].
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let one = [
            ("embedding_dim", self.embedding_dim),
            ("attention_dim", self.attention_dim),
            ("number of windows", self.windows.len()),
            ("number of layers", self.layers.len()),
        ];
        let windows = self.windows.iter().map(|size| ("window", *size));
        one.into_iter().chain(windows).chain(self.layers.iter().map(|width| ("layer", *width)))
    }

    /// Items of a history that the model reads (`M`); older ones are left out.
    #[must_use]
    pub fn history_len(&self) -> usize {
        self.windows.iter().sum()
    }

    /// (inputs, outputs) of each hidden layer.
    pub(crate) fn layer_sizes(&self) -> Vec<(usize, usize)> {
        let first = (self.windows.len() + 1) * self.embedding_dim;
        std::iter::once(first).chain(self.layers.iter().copied()).zip(self.layers.iter().copied()).collect()
    }

    /// Width of the last hidden layer.
    pub(crate) fn last_width(&self) -> usize {
        *self.layers.last().expect("checked by validate")
    }
}

#[cfg(test)]
pub(crate) mod reference;
#[cfg(test)]
pub(crate) mod tests;
