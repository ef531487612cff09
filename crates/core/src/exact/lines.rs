//! Bytes in cache lines, on large pages where there are any.

use std::ops::Deref;

use bytemuck::{Pod, Zeroable};
use memmap2::MmapMut;

use crate::artifact::Array;
use crate::simd::LANES;

/// A cache line, aligned, so that reading one touches one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// Numbers of a line in a file: the widest type there is, so that the lines stand first, where the writer aligns.
pub(super) const WORDS: usize = size_of::<Line>() / size_of::<u64>();

impl Line {
    #[inline(always)]
    pub(super) fn floats(&self) -> &[f32; LANES] {
        bytemuck::cast_ref(self)
    }

    pub(super) fn floats_mut(&mut self) -> &mut [f32; LANES] {
        bytemuck::cast_mut(self)
    }
}

/// Lines in memory, or in a mapped file.
#[derive(Debug)]
pub(super) enum Lines {
    /// A few.
    Heap(Vec<Line>),
    /// Many: pages of their own, large ones if the system has them. A scan of 64 MB takes half the time on those.
    Pages(MmapMut),
    /// In a file, where the writer aligned them.
    File(Array<u64>),
}

/// From this size on, large pages are asked for.
const MANY_BYTES: usize = 4 << 20;

impl Lines {
    /// `n` lines, written by `fill` over zeros.
    pub(super) fn new(n: usize, fill: impl FnOnce(&mut [Line])) -> Self {
        let n_bytes = n.saturating_mul(size_of::<Line>());
        if n_bytes >= MANY_BYTES
            && let Ok(mut pages) = MmapMut::map_anon(n_bytes)
        {
            // Refused where there are no large pages; small ones serve as well, only slower.
            #[cfg(target_os = "linux")]
            let _ = pages.advise(memmap2::Advice::HugePage);
            fill(bytemuck::cast_slice_mut(&mut pages));
            return Self::Pages(pages);
        }
        let mut lines = vec![Line::zeroed(); n];
        fill(&mut lines);
        Self::Heap(lines)
    }

    /// Whole lines from a file; copied if another writer did not align them.
    pub(super) fn from_file(words: Array<u64>) -> Self {
        if bytemuck::try_cast_slice::<u64, Line>(&words).is_ok() {
            return Self::File(words);
        }
        Self::new(words.len() / WORDS, |lines| {
            for (line, words) in lines.iter_mut().zip(words.as_chunks::<WORDS>().0) {
                *line = bytemuck::cast(*words);
            }
        })
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        match self {
            Self::Heap(lines) => lines,
            // Pages are aligned, and their number of bytes is a multiple of a line's.
            Self::Pages(pages) => bytemuck::cast_slice(pages),
            // Length and alignment were checked in `from_file`; the map never moves.
            Self::File(words) => bytemuck::cast_slice(words),
        }
    }
}

impl Clone for Lines {
    fn clone(&self) -> Self {
        if let Self::File(words) = self {
            return Self::File(words.clone());
        }
        Self::new(self.len(), |lines| lines.copy_from_slice(self))
    }
}
