//! XOR + popcount over blocked codes, with run-time dispatch.
//!
//! A chunk is 64 codes. The hot loop asks one question a chunk and query: is any distance below the limit? Only then are the 64
//! distances written out.
//!
//! - Codes above 32 bits lie in groups of 8: word 0 of the 8 codes, then word 1 of them, and so on, so that one 512-bit register
//!   holds the same word of 8 codes and no shuffle is needed.
//! - Shorter codes lie in lanes of 8, 16 or 32 bits, lane after lane: 64, 32 or 16 codes a register. Lanes are counted by adding
//!   bits pairwise inside plain words, which every instruction set does eight or sixteen lanes at a time.

pub(super) use rectify_core::simd::Level;

/// Codes a group holds: 64-bit lanes of a 512-bit register.
pub(super) const GROUP: usize = 8;
/// Codes a chunk holds.
pub(super) const CHUNK: usize = 64;

/// Where the codes of an index lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[chunk, lane bits]` words: lane `i` of a chunk is bits `i · bits ..` of its words.
    Lanes {
        /// 8, 16 or 32.
        bits: usize,
    },
    /// `[chunk, 8, words, 8]`.
    Groups {
        /// Words of a code.
        words: usize,
    },
}

impl Layout {
    /// The layout of codes of a length.
    pub(super) const fn of(code_bits: usize) -> Self {
        match code_bits {
            0..=8 => Self::Lanes { bits: 8 },
            9..=16 => Self::Lanes { bits: 16 },
            17..=32 => Self::Lanes { bits: 32 },
            _ => Self::Groups { words: code_bits.div_ceil(64) },
        }
    }

    /// Words a chunk takes.
    pub(super) const fn chunk_words(self) -> usize {
        match self {
            Self::Lanes { bits } => bits,
            Self::Groups { words } => CHUNK * words,
        }
    }

    /// Shape of the whole array, for files.
    pub(super) fn shape(self, n_items: usize) -> Vec<usize> {
        let chunks = n_items.div_ceil(CHUNK);
        match self {
            Self::Lanes { bits } => vec![chunks, bits],
            Self::Groups { words } => vec![chunks, CHUNK / GROUP, words, GROUP],
        }
    }

    /// Word `w` of a code.
    #[inline]
    pub(super) fn word(self, blocked: &[u64], item: usize, w: usize) -> u64 {
        match self {
            Self::Lanes { bits } => {
                let (per_word, lane) = (64 / bits, item % CHUNK);
                let word = blocked[item / CHUNK * bits + lane / per_word];
                word >> (lane % per_word * bits) & ((1 << bits) - 1)
            }
            Self::Groups { words } => blocked[item / GROUP * GROUP * words + w * GROUP + item % GROUP],
        }
    }

    /// Lays a chunk of codes out; `codes` has the words of up to 64 codes, one code after the other.
    pub(super) fn fill_chunk(self, codes: &[u64], chunk: &mut [u64]) {
        match self {
            Self::Lanes { bits } => {
                let per_word = 64 / bits;
                for (lane, code) in codes.iter().enumerate() {
                    chunk[lane / per_word] |= code << (lane % per_word * bits);
                }
            }
            Self::Groups { words } => {
                for (item, code) in codes.chunks_exact(words).enumerate() {
                    for (w, &word) in code.iter().enumerate() {
                        chunk[item / GROUP * GROUP * words + w * GROUP + item % GROUP] = word;
                    }
                }
            }
        }
    }
}

/// Who wants the distances of a chunk.
pub(super) trait Visitor {
    /// Only distances below this matter to query `q`.
    fn limit(&self, q: usize) -> u32;
    /// The distances of the codes `first .. first + 64` to query `q`.
    fn visit(&mut self, q: usize, first: usize, distances: &[u32; CHUNK]);
}

/// Shows `visitor` every chunk of `blocked` that holds a distance below its limit; for each query, chunks ascend.
///
/// `blocked` is whole chunks of `layout`, `queries` have as many words as a code. A block of codes that fits the first-level
/// cache is compared with one query after the other.
pub(super) fn scan(level: Level, blocked: &[u64], layout: Layout, queries: &[&[u64]], visitor: &mut impl Visitor) {
    debug_assert!(blocked.len().is_multiple_of(layout.chunk_words()));
    #[cfg(target_arch = "x86_64")]
    {
        type Scan<V> = unsafe fn(&[u64], Layout, &[&[u64]], &mut V);
        let level = level.usable();
        let scan: Option<Scan<_>> = if level >= Level::Avx512Vbmi {
            Some(x86::scan_avx512)
        } else if level >= Level::Avx2 {
            Some(x86::scan_avx2)
        } else if level >= Level::Popcnt {
            Some(x86::scan_popcnt)
        } else {
            None
        };
        if let Some(scan) = scan {
            #[expect(unsafe_code, reason = "calling a function compiled for an instruction set")]
            // SAFETY: a usable level has the features that it stands for.
            return unsafe { scan(blocked, layout, queries, visitor) };
        }
    }
    let _ = level;
    scan_plain(blocked, layout, queries, visitor);
}

/// Gives the word loop a constant length for the common code lengths, where it unrolls.
macro_rules! with_constant_words {
    ($words:expr, |$w:ident| $body:expr) => {
        match $words {
            1 => {
                let $w = 1;
                $body
            }
            2 => {
                let $w = 2;
                $body
            }
            3 => {
                let $w = 3;
                $body
            }
            4 => {
                let $w = 4;
                $body
            }
            other => {
                let $w = other;
                $body
            }
        }
    };
}

/// Distances of one group; the definition that every level must match.
#[inline(always)]
fn group_distances(group: &[u64], query: &[u64], words: usize) -> [u64; GROUP] {
    let mut distances = [0; GROUP];
    for (codes, &word) in group.chunks_exact(GROUP).zip(&query[..words]) {
        for (distance, &code) in distances.iter_mut().zip(codes) {
            *distance += u64::from((code ^ word).count_ones());
        }
    }
    distances
}

#[inline(always)]
fn chunk_distances(chunk: &[u64], query: &[u64], words: usize) -> [u32; CHUNK] {
    let mut distances = [0; CHUNK];
    for (group, out) in chunk.chunks_exact(GROUP * words).zip(distances.chunks_exact_mut(GROUP)) {
        for (out, distance) in out.iter_mut().zip(group_distances(group, query, words)) {
            *out = distance as u32;
        }
    }
    distances
}

/// Words of codes that stay in the first-level cache while the queries pass by: half of the smallest there is.
const BLOCK_WORDS: usize = 2048;

/// Calls `pass(first, block, q)` for each block of whole chunks and each query: `first` is the block's first code.
#[inline(always)]
fn for_each_block(blocked: &[u64], chunk_words: usize, n_queries: usize, mut pass: impl FnMut(usize, &[u64], usize)) {
    let chunks = (BLOCK_WORDS / chunk_words).max(1);
    for (b, block) in blocked.chunks(chunks * chunk_words).enumerate() {
        for q in 0..n_queries {
            pass(b * chunks * CHUNK, block, q);
        }
    }
}

/// The scan of longer codes; `any_below(chunk, query, limit, q)` says whether a distance is below the limit.
#[inline(always)]
fn scan_with(
    blocked: &[u64],
    words: usize,
    queries: &[&[u64]],
    visitor: &mut impl Visitor,
    any_below: impl Fn(&[u64], &[u64], u64, bool) -> bool,
) {
    for_each_block(blocked, CHUNK * words, queries.len(), |first, block, q| {
        let query = queries[q];
        let mut pass = |from_memory| {
            let mut limit = visitor.limit(q);
            for (c, chunk) in block.chunks_exact(CHUNK * words).enumerate() {
                if any_below(chunk, query, u64::from(limit), from_memory) {
                    visitor.visit(q, first + c * CHUNK, &chunk_distances(chunk, query, words));
                    limit = visitor.limit(q);
                }
            }
        };
        // The first query brings the block in. Two calls, so that the others carry no trace of it.
        if q == 0 { pass(true) } else { pass(false) }
    });
}

/// The scan in plain loops, which the compiler vectorises for the features of its caller.
#[inline(always)]
fn scan_plain(blocked: &[u64], layout: Layout, queries: &[&[u64]], visitor: &mut impl Visitor) {
    match layout {
        Layout::Lanes { bits: 8 } => scan_lanes::<8>(blocked, queries, visitor),
        Layout::Lanes { bits: 16 } => scan_lanes::<16>(blocked, queries, visitor),
        Layout::Lanes { .. } => scan_lanes::<32>(blocked, queries, visitor),
        Layout::Groups { words } => scan_groups(blocked, words, queries, visitor),
    }
}

/// A word with `value` in each lane of `BITS`.
#[inline(always)]
const fn repeat<const BITS: usize>(value: u64) -> u64 {
    // Ones at the lanes' lowest bits.
    value * (u64::MAX / (u64::MAX >> (64 - BITS)))
}

/// Number of ones in each lane of `BITS` (8, 16 or 32).
#[inline(always)]
const fn lane_counts<const BITS: usize>(x: u64) -> u64 {
    let x = x - (x >> 1 & 0x5555_5555_5555_5555);
    let x = (x & 0x3333_3333_3333_3333) + (x >> 2 & 0x3333_3333_3333_3333);
    let mut x = (x + (x >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    if BITS >= 16 {
        x = (x + (x >> 8)) & 0x00ff_00ff_00ff_00ff;
    }
    if BITS >= 32 {
        x = (x + (x >> 16)) & 0x0000_ffff_0000_ffff;
    }
    x
}

/// The scan of short codes, `BITS` bits a lane.
#[inline(always)]
fn scan_lanes<const BITS: usize>(blocked: &[u64], queries: &[&[u64]], visitor: &mut impl Visitor) {
    let top = repeat::<BITS>(1 << (BITS - 1));
    for_each_block(blocked, BITS, queries.len(), |first, block, q| {
        let query = repeat::<BITS>(queries[q][0]);
        for (c, chunk) in block.as_chunks::<BITS>().0.iter().enumerate() {
            // Counts are at most 32, so that the top bit of a lane is free: it survives the subtraction unless the count is below.
            let limit = repeat::<BITS>(u64::from(visitor.limit(q).min(64)));
            let mut at_least = top;
            for word in chunk {
                at_least &= (lane_counts::<BITS>(word ^ query) | top) - limit;
            }
            if at_least != top {
                let mut distances = [0; CHUNK];
                for (word, out) in chunk.iter().zip(distances.chunks_exact_mut(64 / BITS)) {
                    let counts = lane_counts::<BITS>(word ^ query);
                    for (lane, out) in out.iter_mut().enumerate() {
                        *out = (counts >> (lane * BITS) & 0x7f) as u32;
                    }
                }
                visitor.visit(q, first + c * CHUNK, &distances);
            }
        }
    });
}

/// The scan of longer codes in plain loops over 8 codes.
#[inline(always)]
fn scan_groups(blocked: &[u64], words: usize, queries: &[&[u64]], visitor: &mut impl Visitor) {
    with_constant_words!(words, |w| scan_with(blocked, w, queries, visitor, |chunk, query, limit, _| {
        // The sign bit of `distance - limit` is set where the distance is below the limit.
        let mut below = [0u64; GROUP];
        for group in chunk.chunks_exact(GROUP * w) {
            for (below, distance) in below.iter_mut().zip(group_distances(group, query, w)) {
                *below |= distance.wrapping_sub(limit);
            }
        }
        below.iter().fold(0, |all, lane| all | lane) >> 63 != 0
    }));
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm512_add_epi64, _mm512_cmplt_epi64_mask, _mm512_loadu_si512, _mm512_or_si512,
        _mm512_popcnt_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_sub_epi64, _mm512_xor_si512,
    };

    use super::{GROUP, Layout, Visitor, scan_plain, scan_with};

    #[target_feature(enable = "popcnt")]
    pub(super) fn scan_popcnt(blocked: &[u64], layout: Layout, queries: &[&[u64]], visitor: &mut impl Visitor) {
        scan_plain(blocked, layout, queries, visitor);
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn scan_avx2(blocked: &[u64], layout: Layout, queries: &[&[u64]], visitor: &mut impl Visitor) {
        scan_plain(blocked, layout, queries, visitor);
    }

    #[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
    pub(super) fn scan_avx512(blocked: &[u64], layout: Layout, queries: &[&[u64]], visitor: &mut impl Visitor) {
        match layout {
            Layout::Groups { words: 1 } => scan_registers::<1>(blocked, queries, visitor),
            Layout::Groups { words: 2 } => scan_registers::<2>(blocked, queries, visitor),
            Layout::Groups { words: 3 } => scan_registers::<3>(blocked, queries, visitor),
            Layout::Groups { words: 4 } => scan_registers::<4>(blocked, queries, visitor),
            Layout::Lanes { .. } | Layout::Groups { .. } => scan_plain(blocked, layout, queries, visitor),
        }
    }

    /// Words between a load and the memory asked for beside it; addresses beyond the array are ignored.
    ///
    /// 1M codes of 256 bits, one query, on a virtual machine whose hardware prefetcher does little: 4.6 ms without, 1.9 / 1.5 /
    /// 1.4 / 2.2 ms with 256 / 512 / 1,024 / 2,048. A burst of prefetches once a chunk helps half as much.
    const AHEAD: usize = 512;

    /// Codes of `WORDS` words, with the query's words kept in registers over a chunk.
    #[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
    fn scan_registers<const WORDS: usize>(blocked: &[u64], queries: &[&[u64]], visitor: &mut impl Visitor) {
        scan_with(blocked, WORDS, queries, visitor, |chunk, query, limit, from_memory| {
            let mut words = [_mm512_setzero_si512(); WORDS];
            for (register, &word) in words.iter_mut().zip(query) {
                *register = _mm512_set1_epi64(word as i64);
            }
            let limit = _mm512_set1_epi64(limit as i64);
            let mut below = _mm512_setzero_si512();
            for group in chunk.as_chunks::<GROUP>().0.as_chunks::<WORDS>().0 {
                if from_memory {
                    for line in group {
                        _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(AHEAD).cast());
                    }
                }
                // Counting down from zero: `-limit + distance` is negative where the distance is below the limit.
                let mut distance = _mm512_sub_epi64(_mm512_setzero_si512(), limit);
                for (codes, &word) in group.iter().zip(&words) {
                    #[expect(unsafe_code, reason = "an unaligned vector load")]
                    // SAFETY: `codes` has 8 words of 64 bits.
                    let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().cast()) };
                    distance = _mm512_add_epi64(distance, _mm512_popcnt_epi64(_mm512_xor_si512(codes, word)));
                }
                below = _mm512_or_si512(below, distance);
            }
            _mm512_cmplt_epi64_mask(below, _mm512_setzero_si512()) != 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_counted_each_on_its_own() {
        let word = 0xff01_0003_8000_7f00u64;
        let naive = |bits: usize| -> Vec<u32> {
            (0..64 / bits).map(|lane| (word >> (lane * bits) & ((1 << bits) - 1)).count_ones()).collect()
        };
        let lanes = |counts: u64, bits: usize| -> Vec<u32> {
            (0..64 / bits).map(|lane| (counts >> (lane * bits) & 0x7f) as u32).collect()
        };
        assert_eq!(lanes(lane_counts::<8>(word), 8), naive(8));
        assert_eq!(lanes(lane_counts::<16>(word), 16), naive(16));
        assert_eq!(lanes(lane_counts::<32>(word), 32), naive(32));
        assert_eq!(repeat::<16>(0x12), 0x0012_0012_0012_0012);
        assert_eq!(repeat::<8>(1), 0x0101_0101_0101_0101);
        assert_eq!(repeat::<32>(7), 0x0000_0007_0000_0007);
    }
}
