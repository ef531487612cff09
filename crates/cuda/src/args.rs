//! Arguments of a kernel.

use std::ffi::c_void;
use std::marker::PhantomData;

use crate::{Buffer, Element};

/// Arguments of a kernel, in the order of its parameters.
///
/// Buffers that are only read are borrowed, those that are written are borrowed mutably, so that no two parameters name the
/// same memory unless both are read.
#[derive(Debug, Default)]
pub struct Args<'a> {
    /// A parameter each, its bytes at the low end.
    values: Vec<u64>,
    borrowed: PhantomData<&'a mut ()>,
}

impl<'a> Args<'a> {
    /// No arguments.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `const T *`.
    #[must_use]
    pub fn read<T: Element>(mut self, buffer: &'a Buffer<T>) -> Self {
        self.values.push(buffer.storage.address());
        self
    }

    /// `T *`.
    #[must_use]
    pub fn write<T: Element>(mut self, buffer: &'a mut Buffer<T>) -> Self {
        self.values.push(buffer.storage.address_mut());
        self
    }

    /// `unsigned`.
    ///
    /// # Panics
    /// If it does not fit in 32 bits: sizes are checked where a model is made.
    #[must_use]
    pub fn size(mut self, value: usize) -> Self {
        self.values.push(u64::from(u32::try_from(value).expect("a size of 32 bits")));
        self
    }

    /// `float`.
    #[must_use]
    pub fn float(mut self, value: f32) -> Self {
        self.values.push(u64::from(value.to_bits()));
        self
    }

    /// A pointer to each parameter, as drivers take them.
    pub(crate) fn pointers(&mut self) -> Vec<*mut c_void> {
        self.values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect()
    }
}
