//! Bytes in cache lines.

use std::ops::Deref;

use bytemuck::{Pod, Zeroable};

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
#[derive(Clone, Debug)]
pub(super) enum Lines {
    /// Made here.
    Memory(Array<Line>),
    /// In a file, where the writer aligned them.
    File(Array<u64>),
}

impl Lines {
    /// `n` lines, written by `fill` over zeros.
    pub(super) fn new(n: usize, fill: impl FnOnce(&mut [Line])) -> Self {
        Self::Memory(Array::filled(n, fill))
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
            Self::Memory(lines) => lines,
            // Length and alignment were checked in `from_file`; the map never moves.
            Self::File(words) => bytemuck::cast_slice(words),
        }
    }
}
