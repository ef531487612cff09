//! What a network is made of.

use rectify_core::artifact::Array;

/// Weight (inputs, outputs) and bias of a layer of the tower.
pub(crate) type Layer = (Array<f32>, Array<f32>);

/// Learned values, each by its name in a file.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// (users, gmf_dim + mlp_dim).
    pub(crate) users: Array<f32>,
    /// (items, gmf_dim + mlp_dim).
    pub(crate) items: Array<f32>,
    pub(crate) layers: Vec<Layer>,
    /// (joint_dim, 1).
    pub(crate) output: Array<f32>,
    pub(crate) bias: f32,
}
