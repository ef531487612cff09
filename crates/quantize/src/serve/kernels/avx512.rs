//! Byte sums by AVX-512 VBMI: 64 look-ups in 256 bytes are two permutations and a blend.

use std::arch::x86_64::*;

use super::{BLOCK, Visitor, start};
use crate::serve::byte_table::{ByteTable, GROUP};

/// Blocks that share a table's registers.
const RUN: usize = 8;
/// Bytes between a run and the memory asked for meanwhile, one line after the other although the run is read plane by plane.
///
/// 1M codes of 16 bytes, one query: 450 µs with 4,096, 400 with 8,192, 435 with 16,384; 515 asking in the order of planes.
const AHEAD: usize = 8192;

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn load(bytes: &[u8]) -> __m512i {
    debug_assert!(bytes.len() >= BLOCK);
    #[expect(unsafe_code, reason = "an unaligned vector load")]
    // SAFETY: every caller passes a slice of at least 64 bytes, cut by `chunks_exact` or a checked range.
    unsafe {
        _mm512_loadu_si512(bytes.as_ptr().cast())
    }
}

/// The bytes of one plane's table, in registers.
struct Registers<const FOUR_BIT: bool>([__m512i; 4]);

impl<const FOUR_BIT: bool> Registers<FOUR_BIT> {
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn new(table: &[u8]) -> Self {
        if FOUR_BIT {
            #[expect(unsafe_code, reason = "two unaligned vector loads")]
            // SAFETY: a plane's table has 32 bytes here.
            let (low, high) = unsafe {
                let pointer = table[..32].as_ptr().cast::<__m128i>();
                (_mm_loadu_si128(pointer), _mm_loadu_si128(pointer.add(1)))
            };
            let (low, high) = (_mm512_broadcast_i32x4(low), _mm512_broadcast_i32x4(high));
            Self([low, high, low, high])
        } else {
            Self([load(&table[..64]), load(&table[64..128]), load(&table[128..192]), load(&table[192..256])])
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn look_up(&self, codes: __m512i) -> __m512i {
        let [a, b, c, d] = self.0;
        if FOUR_BIT {
            let nibble = _mm512_set1_epi8(15);
            let low = _mm512_shuffle_epi8(a, _mm512_and_si512(codes, nibble));
            let high = _mm512_shuffle_epi8(b, _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble));
            _mm512_add_epi8(low, high)
        } else {
            // Seven bits choose within two registers, the eighth between the pairs.
            let low = _mm512_permutex2var_epi8(a, codes, b);
            let high = _mm512_permutex2var_epi8(c, codes, d);
            _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), low, high)
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn scan<const FOUR_BIT: bool>(
    blocks: &[u8],
    first: usize,
    planes: usize,
    tables: &[ByteTable],
    visitor: &mut impl Visitor,
) {
    let block_bytes = BLOCK * planes;
    let runs = blocks.chunks_exact(RUN * block_bytes);
    let rest = runs.remainder();
    let first_of_rest = first + (blocks.len() - rest.len()) / planes;
    for (r, run) in runs.enumerate() {
        scan_run::<FOUR_BIT, RUN>(run, first + r * RUN * BLOCK, planes, tables, visitor);
    }
    for (b, block) in rest.chunks_exact(block_bytes).enumerate() {
        scan_run::<FOUR_BIT, 1>(block, first_of_rest + b * BLOCK, planes, tables, visitor);
    }
}

/// All queries over a run of `N` blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn scan_run<const FOUR_BIT: bool, const N: usize>(
    run: &[u8],
    first: usize,
    planes: usize,
    tables: &[ByteTable],
    visitor: &mut impl Visitor,
) {
    // A plane holds one codebook's bytes, or two codebooks' half bytes.
    let planes_per_group = if FOUR_BIT { GROUP / 2 } else { GROUP };
    let width = if FOUR_BIT { 32 } else { 256 };
    for (q, table) in tables.iter().enumerate() {
        let (limit, known) = (visitor.limit(q), visitor.known(q));
        if planes <= planes_per_group {
            if limit > 255 {
                continue;
            }
            let sums = group_sums::<FOUR_BIT, N>(run, planes, 0, &table.bytes, known);
            let limit = _mm512_set1_epi8(limit as i8);
            let passed = sums.map(|sum| _mm512_cmpge_epu8_mask(sum, limit));
            if passed != [0; N] {
                let mut of_run = [[0u8; BLOCK]; N];
                of_run.iter_mut().zip(sums).for_each(|(to, sum)| store_bytes(sum, to));
                show(visitor, q, first, &passed, &of_run);
            }
        } else {
            let mut wide = [[_mm512_setzero_si512(); 2]; N];
            for (g, group) in table.bytes.chunks(planes_per_group * width).enumerate() {
                let known = known.filter(|_| g == 0);
                let sums = group_sums::<FOUR_BIT, N>(run, planes, g * planes_per_group, group, known);
                for ([low, high], sum) in wide.iter_mut().zip(sums) {
                    *low = _mm512_add_epi16(*low, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(sum)));
                    *high = _mm512_add_epi16(*high, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(sum)));
                }
            }
            let limit = _mm512_set1_epi16(limit as i16);
            let passed = wide.map(|[low, high]| {
                let low = u64::from(_mm512_cmpge_epu16_mask(low, limit));
                low | u64::from(_mm512_cmpge_epu16_mask(high, limit)) << 32
            });
            if passed != [0; N] {
                let mut of_run = [[0u16; BLOCK]; N];
                for (to, halves) in of_run.iter_mut().zip(wide) {
                    let (to, _) = to.as_chunks_mut();
                    to.iter_mut().zip(halves).for_each(|(to, sum)| store_words(sum, to));
                }
                show(visitor, q, first, &passed, &of_run);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn store_bytes(sums: __m512i, to: &mut [u8; BLOCK]) {
    #[expect(unsafe_code, reason = "an unaligned vector store")]
    // SAFETY: `to` has the 64 bytes of a register.
    unsafe {
        _mm512_storeu_si512(to.as_mut_ptr().cast(), sums);
    }
}

#[target_feature(enable = "avx512f")]
fn store_words(sums: __m512i, to: &mut [u16; BLOCK / 2]) {
    #[expect(unsafe_code, reason = "an unaligned vector store")]
    // SAFETY: `to` has the 64 bytes of a register.
    unsafe {
        _mm512_storeu_si512(to.as_mut_ptr().cast(), sums);
    }
}

/// Shows the blocks of a run that have something to show.
#[inline(always)]
fn show<S: Copy + Into<u16>, const N: usize>(
    visitor: &mut impl Visitor,
    q: usize,
    first: usize,
    passed: &[u64; N],
    sums: &[[S; BLOCK]; N],
) {
    // One branch that cannot be foreseen for a run, not one for each block.
    let mut blocks = passed.iter().enumerate().fold(0u32, |bits, (b, &passed)| bits | u32::from(passed != 0) << b);
    while blocks != 0 {
        let b = blocks.trailing_zeros() as usize;
        blocks &= blocks - 1;
        visitor.visit(q, first + b * BLOCK, passed[b], &sums[b]);
    }
}

/// Sums of the table's bytes over the planes of a group, for a run of `N` blocks; `known` is the byte of its first plane.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn group_sums<const FOUR_BIT: bool, const N: usize>(
    run: &[u8],
    planes: usize,
    first_plane: usize,
    group: &[u8],
    known: Option<u8>,
) -> [__m512i; N] {
    let width = if FOUR_BIT { 32 } else { 256 };
    let block_bytes = BLOCK * planes;
    let (skip, start) = start(known);
    let mut sums = [_mm512_set1_epi8(start as i8); N];
    for (p, table) in group.chunks_exact(width).enumerate().skip(skip) {
        let registers = Registers::<FOUR_BIT>::new(table);
        let of_plane = &run[(first_plane + p) * BLOCK..][..(N - 1) * block_bytes + BLOCK];
        for (b, sum) in sums.iter_mut().enumerate() {
            let codes = &of_plane[b * block_bytes..][..BLOCK];
            let line = (first_plane + p) * N + b;
            _mm_prefetch::<_MM_HINT_T0>(run.as_ptr().wrapping_add(AHEAD + line * BLOCK).cast());
            *sum = _mm512_add_epi8(*sum, registers.look_up(load(codes)));
        }
    }
    sums
}
