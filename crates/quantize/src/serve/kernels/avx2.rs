//! Byte sums by AVX2: 32 look-ups in 16 bytes are a shuffle, in 256 bytes sixteen of them.

#![expect(clippy::needless_range_loop, reason = "loops of constant length over several arrays become registers")]

use std::arch::x86_64::*;

use super::{BLOCK, Visitor, block_sums, start};
use crate::serve::byte_table::{ByteTable, GROUP};

/// Vectors of 32 codes that share a row of a table: their sums, codes and results take twelve of sixteen registers.
const VECTORS: usize = 4;
/// Vectors a block.
const PER_BLOCK: usize = BLOCK / 32;

#[target_feature(enable = "avx2")]
pub(super) fn scan_bytes(blocks: &[u8], first: usize, planes: usize, tables: &[ByteTable], visitor: &mut impl Visitor) {
    let n_blocks = VECTORS / PER_BLOCK;
    let runs = blocks.chunks_exact(n_blocks * BLOCK * planes);
    let rest = runs.remainder();
    let first_of_rest = first + (blocks.len() - rest.len()) / planes;
    for (r, run) in runs.enumerate() {
        scan_run::<VECTORS>(run, first + r * n_blocks * BLOCK, planes, tables, visitor);
    }
    for (b, block) in rest.chunks_exact(BLOCK * planes).enumerate() {
        scan_run::<PER_BLOCK>(block, first_of_rest + b * BLOCK, planes, tables, visitor);
    }
}

/// All queries over a run of `V` vectors.
#[target_feature(enable = "avx2")]
fn scan_run<const V: usize>(run: &[u8], first: usize, planes: usize, tables: &[ByteTable], visitor: &mut impl Visitor) {
    for (q, table) in tables.iter().enumerate() {
        let (limit, known) = (visitor.limit(q), visitor.known(q));
        if planes <= GROUP {
            if limit > 255 {
                continue;
            }
            let sums = group_sums::<V>(run, planes, 0, &table.bytes, known);
            let limit = _mm256_set1_epi8(limit as i8);
            let mut passed = [0u32; V];
            for v in 0..V {
                let reached = _mm256_cmpeq_epi8(_mm256_max_epu8(sums[v], limit), sums[v]);
                passed[v] = _mm256_movemask_epi8(reached) as u32;
            }
            if passed == [0; V] {
                continue;
            }
            let mut of_run = [[0u8; 32]; V];
            for v in 0..V {
                store(sums[v], &mut of_run[v]);
            }
            show(visitor, q, first, &passed, of_run.as_flattened());
        } else {
            let mut wide = [[_mm256_setzero_si256(); 2]; V];
            for (g, group) in table.bytes.chunks(GROUP * 256).enumerate() {
                let known = known.filter(|_| g == 0);
                let sums = group_sums::<V>(run, planes, g * GROUP, group, known);
                for v in 0..V {
                    let low = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(sums[v]));
                    let high = _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(sums[v]));
                    wide[v] = [_mm256_add_epi16(wide[v][0], low), _mm256_add_epi16(wide[v][1], high)];
                }
            }
            // All sums are far below 2¹⁵, so the signed comparison is right; `limit` 0 becomes "above -1".
            let below = _mm256_set1_epi16(limit as i16 - 1);
            let mut passed = [0u32; V];
            for v in 0..V {
                let [low, high] = [_mm256_cmpgt_epi16(wide[v][0], below), _mm256_cmpgt_epi16(wide[v][1], below)];
                // Packing works in halves: quarters 0, 2, 1, 3 of what is wanted.
                let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high));
                passed[v] = _mm256_movemask_epi8(packed) as u32;
            }
            if passed == [0; V] {
                continue;
            }
            let mut of_run = [[0u16; 32]; V];
            for v in 0..V {
                let (halves, _) = of_run[v].as_chunks_mut::<16>();
                for half in 0..2 {
                    store(wide[v][half], &mut halves[half]);
                }
            }
            show(visitor, q, first, &passed, of_run.as_flattened());
        }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8]) -> __m256i {
    debug_assert!(bytes.len() >= 32);
    #[expect(unsafe_code, reason = "an unaligned vector load")]
    // SAFETY: every caller passes a checked range of 32 bytes.
    unsafe {
        _mm256_loadu_si256(bytes.as_ptr().cast())
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store<S>(sums: __m256i, to: &mut [S]) {
    assert_eq!(size_of_val(to), 32, "room for a register");
    #[expect(unsafe_code, reason = "an unaligned vector store")]
    // SAFETY: `to` has the 32 bytes of a register, and every caller's numbers may have any bits.
    unsafe {
        _mm256_storeu_si256(to.as_mut_ptr().cast(), sums);
    }
}

/// Shows the blocks of a run that have something to show.
fn show<S: Copy + Into<u16>>(visitor: &mut impl Visitor, q: usize, first: usize, passed: &[u32], sums: &[S]) {
    let passed = passed.chunks_exact(PER_BLOCK).map(|p| u64::from(p[0]) | u64::from(p[1]) << 32);
    for (b, (passed, sums)) in passed.zip(sums.as_chunks::<BLOCK>().0).enumerate() {
        if passed != 0 {
            visitor.visit(q, first + b * BLOCK, passed, sums);
        }
    }
}

/// Sums of the table's bytes over the planes of a group, for a run of `V` vectors; `known` is the byte of its first plane.
///
/// A register holds a row of 16 of a table's 256 bytes, and a shuffle looks up four bits in it, or gives 0 where the eighth is set. So for
/// each half of the table codes count down by 16 a row, below 0 and no further, and each row's difference from the one before
/// is added by XOR to the codes that are not yet below 0: what is left is the row that a code began in.
#[target_feature(enable = "avx2")]
#[inline]
fn group_sums<const V: usize>(
    run: &[u8],
    planes: usize,
    first_plane: usize,
    group: &[u8],
    known: Option<u8>,
) -> [__m256i; V] {
    let a_row = _mm256_set1_epi8(16);
    let (skip, start) = start(known);
    let mut sums = [_mm256_set1_epi8(start as i8); V];
    for (p, table) in group.as_chunks::<256>().0.iter().enumerate().skip(skip) {
        let mut found = [_mm256_setzero_si256(); V];
        for (half, rows) in table.as_chunks::<128>().0.iter().enumerate() {
            // Codes of the other half are below 0 from the start.
            let flip = _mm256_set1_epi8(if half == 0 { 0 } else { i8::MIN });
            let mut left = [_mm256_setzero_si256(); V];
            for v in 0..V {
                let at = (v / PER_BLOCK * planes + first_plane + p) * BLOCK + v % PER_BLOCK * 32;
                left[v] = _mm256_xor_si256(load(&run[at..at + 32]), flip);
            }
            let mut before = _mm256_setzero_si256();
            for row in rows.as_chunks::<16>().0 {
                #[expect(unsafe_code, reason = "an unaligned vector load")]
                // SAFETY: a row has the 16 bytes of half a register.
                let row = unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(row.as_ptr().cast())) };
                let step = _mm256_xor_si256(row, before);
                before = row;
                for v in 0..V {
                    found[v] = _mm256_xor_si256(found[v], _mm256_shuffle_epi8(step, left[v]));
                    left[v] = _mm256_subs_epi8(left[v], a_row);
                }
            }
        }
        for v in 0..V {
            sums[v] = _mm256_add_epi8(sums[v], found[v]);
        }
    }
    sums
}

#[target_feature(enable = "avx2")]
pub(super) fn scan_four_bit(
    blocks: &[u8],
    first: usize,
    planes: usize,
    tables: &[ByteTable],
    visitor: &mut impl Visitor,
) {
    let nibble = _mm256_set1_epi8(15);
    for (b, block) in blocks.chunks_exact(BLOCK * planes).enumerate() {
        for (q, table) in tables.iter().enumerate() {
            let limit = visitor.limit(q);
            let mut passed = 0;
            for half in 0..2 {
                // Sums of even and odd items in 16 bits: bytes of several groups would overflow.
                let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
                for (codes, table) in block.chunks_exact(BLOCK).zip(table.bytes.chunks_exact(32)) {
                    #[expect(unsafe_code, reason = "unaligned vector loads")]
                    // SAFETY: a plane has 64 bytes of which half `half` are read, and its table has 32.
                    let (codes, low, high) = unsafe {
                        let pointer = table.as_ptr().cast::<__m128i>();
                        (
                            _mm256_loadu_si256(codes[half * 32..][..32].as_ptr().cast()),
                            _mm256_broadcastsi128_si256(_mm_loadu_si128(pointer)),
                            _mm256_broadcastsi128_si256(_mm_loadu_si128(pointer.add(1))),
                        )
                    };
                    let low = _mm256_shuffle_epi8(low, _mm256_and_si256(codes, nibble));
                    let high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble));
                    let sum = _mm256_add_epi8(low, high);
                    even = _mm256_add_epi16(even, _mm256_and_si256(sum, _mm256_set1_epi16(255)));
                    odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(sum));
                }
                // All sums are far below 2¹⁵, so the signed comparison is right; `limit` 0 becomes "above -1".
                let below = _mm256_set1_epi16(limit as i16 - 1);
                let even = _mm256_and_si256(_mm256_cmpgt_epi16(even, below), _mm256_set1_epi16(255));
                let odd = _mm256_slli_epi16::<8>(_mm256_cmpgt_epi16(odd, below));
                passed |= u64::from(_mm256_movemask_epi8(_mm256_or_si256(even, odd)) as u32) << (half * 32);
            }
            if passed != 0 {
                // Few come here, so that their sums may be asked for again.
                visitor.visit(q, first + b * BLOCK, passed, &block_sums(block, &table.bytes, true, None));
            }
        }
    }
}
