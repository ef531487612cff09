//! Arrays that live in memory or in a mapped file, and look the same.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;
use safetensors::Dtype;

/// A number type that arrays of an artifact are made of.
pub trait Element: Pod + Send + Sync {
    /// Its name in the file.
    const DTYPE: Dtype;
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: Dtype = Dtype::$d; })* };
}
elements!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64, f32 => F32, f64 => F64);
impl Element for crate::ItemId {
    const DTYPE: Dtype = Dtype::U32;
}
impl Element for crate::UserId {
    const DTYPE: Dtype = Dtype::U32;
}

/// An array inside a mapped artifact; cloning shares the map.
#[derive(Clone)]
pub struct MappedArray<T> {
    map: Arc<Mmap>,
    start: usize,
    bytes: usize,
    element: PhantomData<T>,
}

impl<T: Element> MappedArray<T> {
    /// Wraps `bytes` bytes at `start`; `None` if they are out of range, misaligned, or no whole number of elements.
    pub(super) fn new(map: Arc<Mmap>, start: usize, bytes: usize) -> Option<Self> {
        let slice = map.get(start..start.checked_add(bytes)?)?;
        bytemuck::try_cast_slice::<u8, T>(slice).ok()?;
        Some(Self { map, start, bytes, element: PhantomData })
    }
}

impl<T: Element> Deref for MappedArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // Range, alignment and length were checked in `new`; the map never moves.
        bytemuck::cast_slice(&self.map[self.start..self.start + self.bytes])
    }
}

/// An array, owned or mapped.
#[derive(Clone)]
pub enum Array<T> {
    /// In memory.
    Owned(Vec<T>),
    /// In a mapped file.
    Mapped(MappedArray<T>),
}

impl<T: Element> Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(vec) => vec,
            Self::Mapped(mapped) => mapped,
        }
    }
}

impl<T> From<Vec<T>> for Array<T> {
    fn from(vec: Vec<T>) -> Self {
        Self::Owned(vec)
    }
}

impl<T: Element + std::fmt::Debug> std::fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if matches!(self, Self::Owned(_)) { "owned" } else { "mapped" };
        write!(f, "{place} array of {} {:?}", self.len(), T::DTYPE)
    }
}
