//! Memory of a device.

use std::fmt;
use std::marker::PhantomData;

use cudarc::driver::{CudaSlice, DevicePtr};

/// A number that can lie in a [`Buffer`].
pub trait Element: bytemuck::Pod + Send + Sync {}
impl Element for f32 {}
impl Element for f64 {}
impl Element for u8 {}
impl Element for u32 {}
impl Element for u64 {}

/// Values on a device, freed when dropped.
pub struct Buffer<T> {
    pub(crate) storage: Storage,
    pub(crate) len: usize,
    pub(crate) of: PhantomData<T>,
}

pub(crate) enum Storage {
    /// Bytes of a GPU.
    Device(CudaSlice<u8>),
    /// Memory of the CPU, in words so that every element is aligned.
    #[cfg(feature = "emulator")]
    Host(Vec<u64>),
}

impl Storage {
    /// Where it lies, for a kernel that reads it.
    pub(crate) fn address(&self) -> u64 {
        match self {
            Self::Device(slice) => slice.device_ptr(slice.stream()).0,
            #[cfg(feature = "emulator")]
            Self::Host(words) => words.as_ptr() as u64,
        }
    }

    /// Where it lies, for a kernel that writes it.
    pub(crate) fn address_mut(&mut self) -> u64 {
        match self {
            Self::Device(slice) => slice.device_ptr(slice.stream()).0,
            #[cfg(feature = "emulator")]
            Self::Host(words) => words.as_mut_ptr() as u64,
        }
    }
}

impl<T: Element> Buffer<T> {
    /// Number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} values)", self.len)
    }
}
