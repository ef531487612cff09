//! The tensor operations on a GPU: the same names, shapes and edges as in [`kernels`](crate::kernels), on buffers of a device.
//!
//! Each operation is a kernel of `crates/tensor/kernels/*.cu` behind a function that checks sizes; every list of places that a kernel
//! reads was checked when it was uploaded ([`Places`], [`Groups`], [`DeviceCsr`]), so that no thread leaves its buffers. Sums have a
//! fixed order: the same inputs give the same bits on the same device. Results agree with the CPU's to rounding.
//!
//! Everything is queued; only functions that return numbers wait.

mod dense;
mod graph;
mod lists;
mod losses;
mod pairs;
mod places;
mod rows;
mod rule;
mod sparse;
mod steps;
mod store;

pub use losses::{DeviceLabelled, DevicePairs};
pub use pairs::{PairWidths, Side};
pub use places::{Groups, Places};
pub use rows::Slots;
pub use rule::Rule;
pub use sparse::DeviceCsr;
pub use store::DeviceParam;

use std::sync::Arc;

use rectify_cuda::Args;
pub use rectify_cuda::{Architecture, Buffer, Element, Gpu, GpuError, Shape, Source, compile};

use crate::train::TrainError;

/// Every kernel file of this crate.
pub const SOURCES: [&Source; 10] = [
    &rows::SOURCE,
    &steps::SOURCE,
    &losses::SOURCE,
    &lists::SOURCE,
    &lists::CODES,
    &sparse::SOURCE,
    &dense::SOURCE,
    &pairs::SOURCE,
    &graph::SOURCE,
    &rectify_cuda::product::SOURCE,
];

/// A GPU with the operations of this crate.
#[derive(Clone, Debug)]
pub struct GpuOps {
    gpu: Arc<Gpu>,
}

impl GpuOps {
    /// Operations on this device; kernels are compiled when they are first used.
    #[must_use]
    pub fn new(gpu: impl Into<Arc<Gpu>>) -> Self {
        Self { gpu: gpu.into() }
    }

    /// The device.
    #[must_use]
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Queues a kernel; the callers of this crate have checked that no thread leaves its buffers.
    fn run(&self, source: &'static Source, name: &'static str, shape: Shape, args: Args<'_>) -> Result<(), GpuError> {
        // SAFETY: each caller passes the kernel's parameters as its file declares them, with the sizes it has checked.
        #[expect(unsafe_code, reason = "a launch is a promise about its arguments")]
        unsafe {
            self.gpu.run(source, name, shape, args)
        }
    }
}

/// What a device's failure in an epoch is to a trainer.
pub fn failed(epoch: u32) -> impl Fn(GpuError) -> TrainError {
    move |error| TrainError::Model { epoch, source: error.into() }
}

/// Panics unless a buffer has the size of a matrix.
fn check_matrix<T: Element>(what: &str, buffer: &Buffer<T>, rows: usize, dim: usize) {
    assert_eq!(buffer.len(), rows * dim, "{what} must be {rows} rows of {dim}");
}
