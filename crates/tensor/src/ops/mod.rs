//! Fused differentiable operations with hand-written backward, on candle tensors.
//!
//! Each is a kernel of [`kernels`](crate::kernels) wrapped as a candle custom op; its tests hold it against a plain
//! composition of candle's own ops and against finite differences. Losses return **sums** over the batch, so that models say
//! themselves what they divide by. All take f32 tensors on the CPU.

mod codes;
mod gather;
mod linear;
mod list;
mod loss;
mod sparse;
mod support;

pub use codes::select_codes;
pub use gather::{gather, gather_dot};
pub use linear::{bias_act, linear_bias_act};
pub use list::{softmax_cross_entropy, suffix_log_sum_exp};
pub use loss::{bce_with_logits, bpr, hinge};
pub use sparse::{spmm, spmm_rows};
pub use support::to_vec;

#[cfg(test)]
mod testing;
