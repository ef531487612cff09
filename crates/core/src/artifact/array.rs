//! Arrays that live in memory or in a mapped file, and look the same.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::{Mmap, MmapMut};
use safetensors::Dtype;

/// From this size on, [`Array::filled`] asks for large pages.
const MANY_BYTES: usize = 4 << 20;

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

/// Mapped pages: of a file, or of memory alone.
pub(super) enum Pages {
    File(Mmap),
    Memory(MmapMut),
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(map) => map,
            Self::Memory(map) => map,
        }
    }
}

/// An array inside a mapped artifact, or in pages of its own; cloning shares them.
#[derive(Clone)]
pub struct MappedArray<T> {
    pages: Arc<Pages>,
    start: usize,
    bytes: usize,
    element: PhantomData<T>,
}

impl<T: Pod> MappedArray<T> {
    /// Wraps `bytes` bytes at `start`; `None` if they are out of range, misaligned, or no whole number of elements.
    pub(super) fn new(pages: Arc<Pages>, start: usize, bytes: usize) -> Option<Self> {
        let slice = pages.get(start..start.checked_add(bytes)?)?;
        bytemuck::try_cast_slice::<u8, T>(slice).ok()?;
        Some(Self { pages, start, bytes, element: PhantomData })
    }
}

impl<T: Pod> Deref for MappedArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // Range, alignment and length were checked where it was made; pages never move.
        bytemuck::cast_slice(&self.pages[self.start..self.start + self.bytes])
    }
}

/// An array, owned or mapped.
#[derive(Clone)]
pub enum Array<T> {
    /// In memory.
    Owned(Vec<T>),
    /// In a mapped file, or in pages of its own.
    Mapped(MappedArray<T>),
}

impl<T: Pod> Array<T> {
    /// `n` zeros, and then what `fill` makes of them.
    ///
    /// From 4 MB on they lie on large pages, if the system has any: a scan of 64 MB takes half the time there.
    pub fn filled(n: usize, fill: impl FnOnce(&mut [T])) -> Self {
        let bytes = n.saturating_mul(size_of::<T>());
        if bytes >= MANY_BYTES
            && align_of::<T>() <= 4096
            && let Ok(mut pages) = MmapMut::map_anon(bytes)
        {
            // Refused where there are no large pages; small ones serve as well, only slower.
            #[cfg(target_os = "linux")]
            let _ = pages.advise(memmap2::Advice::HugePage);
            fill(bytemuck::cast_slice_mut(&mut pages));
            let pages = Arc::new(Pages::Memory(pages));
            return Self::Mapped(MappedArray { pages, start: 0, bytes, element: PhantomData });
        }
        let mut values = vec![T::zeroed(); n];
        fill(&mut values);
        Self::Owned(values)
    }
}

impl<T: Pod> Deref for Array<T> {
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

impl<T: Pod> std::fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if matches!(self, Self::Owned(_)) { "owned" } else { "mapped" };
        write!(f, "{place} array of {} {}", self.len(), std::any::type_name::<T>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_values_are_filled_alike() {
        for n in [0, 1, 1000, MANY_BYTES / 8, MANY_BYTES / 8 + 1] {
            let array = Array::filled(n, |values: &mut [u64]| {
                assert!(values.iter().all(|&value| value == 0));
                (0..).zip(values).for_each(|(at, value)| *value = at);
            });
            assert_eq!(matches!(array, Array::Mapped(_)), n * 8 >= MANY_BYTES);
            assert_eq!(array.len(), n);
            assert!((0..).zip(array.clone().iter()).all(|(at, &value)| at == value));
        }
    }
}
