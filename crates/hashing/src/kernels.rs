//! XOR + popcount over blocked codes, with run-time dispatch.
//!
//! Codes lie in groups of 8: word 0 of the 8 codes, then word 1 of them, and so on, so that one 512-bit register holds the
//! same word of 8 codes and no shuffle is needed. A chunk is 8 groups. The hot loop asks one question a chunk and query: is any
//! distance below the limit? Only then are the 64 distances written out.

pub(crate) use rectify_core::simd::Level;

/// Codes a group holds: 64-bit lanes of a 512-bit register.
pub(crate) const GROUP: usize = 8;
/// Codes a chunk holds.
pub(crate) const CHUNK: usize = 64;

/// Who wants the distances of a chunk.
pub(crate) trait Visitor {
    /// Only distances below this matter to query `q`.
    fn limit(&self, q: usize) -> u32;
    /// The distances of the codes `first .. first + 64` to query `q`.
    fn visit(&mut self, q: usize, first: usize, distances: &[u32; CHUNK]);
}

/// Shows `visitor` every chunk of `blocked` that holds a distance below its limit, chunks ascending.
///
/// `blocked` is `[n / 64, 8, words, 8]`, `queries` are of `words` words each.
pub(crate) fn scan(level: Level, blocked: &[u64], words: usize, queries: &[&[u64]], visitor: &mut impl Visitor) {
    debug_assert!(blocked.len().is_multiple_of(CHUNK * words) && queries.iter().all(|q| q.len() == words));
    #[cfg(target_arch = "x86_64")]
    {
        type Scan<V> = unsafe fn(&[u64], usize, &[&[u64]], &mut V);
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
            return unsafe { scan(blocked, words, queries, visitor) };
        }
    }
    let _ = level;
    scan_lanes(blocked, words, queries, visitor);
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

#[inline(always)]
fn scan_with(
    blocked: &[u64],
    words: usize,
    queries: &[&[u64]],
    visitor: &mut impl Visitor,
    any_below: impl Fn(&[u64], &[u64], u64) -> bool,
) {
    for (c, chunk) in blocked.chunks_exact(CHUNK * words).enumerate() {
        for (q, query) in queries.iter().enumerate() {
            if any_below(chunk, query, u64::from(visitor.limit(q))) {
                visitor.visit(q, c * CHUNK, &chunk_distances(chunk, query, words));
            }
        }
    }
}

/// The scan in plain loops over 8 lanes, which the compiler vectorises for the features of its caller.
#[inline(always)]
fn scan_lanes(blocked: &[u64], words: usize, queries: &[&[u64]], visitor: &mut impl Visitor) {
    with_constant_words!(words, |w| scan_with(blocked, w, queries, visitor, |chunk, query, limit| {
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

    use super::{GROUP, Visitor, scan_lanes, scan_with};

    #[target_feature(enable = "popcnt")]
    pub(super) fn scan_popcnt(blocked: &[u64], words: usize, queries: &[&[u64]], visitor: &mut impl Visitor) {
        scan_lanes(blocked, words, queries, visitor);
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn scan_avx2(blocked: &[u64], words: usize, queries: &[&[u64]], visitor: &mut impl Visitor) {
        scan_lanes(blocked, words, queries, visitor);
    }

    #[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
    pub(super) fn scan_avx512(blocked: &[u64], words: usize, queries: &[&[u64]], visitor: &mut impl Visitor) {
        match words {
            1 => scan_registers::<1>(blocked, queries, visitor),
            2 => scan_registers::<2>(blocked, queries, visitor),
            3 => scan_registers::<3>(blocked, queries, visitor),
            4 => scan_registers::<4>(blocked, queries, visitor),
            _ => scan_lanes(blocked, words, queries, visitor),
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
        scan_with(blocked, WORDS, queries, visitor, |chunk, query, limit| {
            let mut words = [_mm512_setzero_si512(); WORDS];
            for (register, &word) in words.iter_mut().zip(query) {
                *register = _mm512_set1_epi64(word as i64);
            }
            let limit = _mm512_set1_epi64(limit as i64);
            let mut below = _mm512_setzero_si512();
            for group in chunk.as_chunks::<GROUP>().0.as_chunks::<WORDS>().0 {
                for line in group {
                    _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_add(AHEAD).cast());
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
