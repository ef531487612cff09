//! The tensor operations on a GPU: the same names, shapes and edges as in [`kernels`](crate::kernels), on buffers of a device.
//!
//! Each operation is a kernel of `crates/tensor/kernels/*.cu` behind a function that checks sizes; every list of places that a kernel
//! reads was checked when it was uploaded ([`Places`], [`Groups`], [`DeviceCsr`]), so that no thread leaves its buffers. Sums have a
//! fixed order: the same inputs give the same bits on the same device. Results agree with the processor's to rounding.
//!
//! Everything is queued; only functions that return numbers wait.

mod dense;
mod lists;
mod losses;
mod places;
mod rows;
mod sparse;

pub use losses::DevicePairs;
pub use places::{Groups, Places};
pub use rows::{DeviceAdam, Slots};
pub use sparse::DeviceCsr;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

pub use rectify_cuda::{Architecture, Buffer, Element, Gpu, GpuError, Shape, Source, compile};
use rectify_cuda::{Args, Kernel};

/// Every kernel file of this crate.
pub const SOURCES: [&Source; 6] =
    [&rows::SOURCE, &losses::SOURCE, &lists::SOURCE, &lists::CODES, &sparse::SOURCE, &dense::SOURCE];

/// A GPU with the operations of this crate.
#[derive(Debug)]
pub struct GpuOps {
    gpu: Gpu,
    kernels: Mutex<HashMap<&'static str, Kernel>>,
}

impl GpuOps {
    /// Operations on this device; kernels are compiled when they are first used.
    #[must_use]
    pub fn new(gpu: Gpu) -> Self {
        Self { gpu, kernels: Mutex::default() }
    }

    /// The device.
    #[must_use]
    pub const fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Queues a kernel; the callers of this crate have checked that no thread leaves its buffers.
    fn run(&self, source: &'static Source, name: &'static str, shape: Shape, args: Args<'_>) -> Result<(), GpuError> {
        let known = self.kernels.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let kernel = match known {
            Some(kernel) => kernel,
            None => {
                let kernel = self.gpu.kernel(source, name)?;
                self.kernels.lock().unwrap_or_else(PoisonError::into_inner).insert(name, kernel.clone());
                kernel
            }
        };
        // SAFETY: each caller passes the kernel's parameters as its file declares them, with the sizes it has checked.
        #[expect(unsafe_code, reason = "a launch is a promise about its arguments")]
        unsafe {
            self.gpu.launch(&kernel, shape, args)
        }
    }
}

/// Panics unless a buffer has the size of a matrix.
fn check_matrix<T: Element>(what: &str, buffer: &Buffer<T>, rows: usize, dim: usize) {
    assert_eq!(buffer.len(), rows * dim, "{what} must be {rows} rows of {dim}");
}
