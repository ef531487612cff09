//! The crate as its users see it: optimisers against PyTorch, the training loop, every operation of a device against the
//! CPU's.

mod cuda;
mod torch_optimizers;
mod train;
mod trainers;
