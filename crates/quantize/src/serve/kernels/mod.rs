//! Byte sums of codes over blocks of 64 items, with run-time dispatch.
//!
//! A table of 256 bytes fits four 512-bit registers, so 64 look-ups are two two-register permutations and a blend (AVX-512 VBMI);
//! a table of 16 bytes fits one, and 64 look-ups are one shuffle. AVX2 has that shuffle alone, for 32 look-ups: it takes sixteen of them for 256
//! bytes. All levels compute the same integers.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

pub(crate) use rectify_core::simd::Level;

use crate::serve::byte_table::ByteTable;
use crate::serve::layout::BLOCK;

/// Who wants the items of a block.
pub(crate) trait Visitor {
    /// Only byte sums of at least this matter to query `q`.
    fn limit(&self, q: usize) -> u16;
    /// The table's byte for the first plane, where all items that matter have the same code there: the plane is not read then. Not for
    /// four-bit codes, whose planes hold two codebooks.
    fn known(&self, _q: usize) -> Option<u8> {
        None
    }
    /// Bit `i` of `passed`: item `first + i`, whose byte sum is `sums[i]`, reached the limit of query `q`.
    fn visit<S: Copy + Into<u16>>(&mut self, q: usize, first: usize, passed: u64, sums: &[S; BLOCK]);
}

/// Shows `visitor` every block of `blocks` (`[n, planes, 64]`, the first item being `first`) with an item at its limit or above.
pub(crate) fn scan(
    level: Level,
    blocks: &[u8],
    first: usize,
    planes: usize,
    four_bit: bool,
    tables: &[ByteTable],
    visitor: &mut impl Visitor,
) {
    debug_assert!(blocks.len().is_multiple_of(BLOCK * planes));
    let width = if four_bit { 32 } else { 256 };
    debug_assert!(tables.iter().all(|table| table.bytes.len() == planes * width));
    #[cfg(target_arch = "x86_64")]
    {
        type Scan<V> = unsafe fn(&[u8], usize, usize, &[ByteTable], &mut V);
        let level = level.usable();
        let scan: Option<Scan<_>> = match four_bit {
            true if level >= Level::Avx512Vbmi => Some(avx512::scan::<true>),
            false if level >= Level::Avx512Vbmi => Some(avx512::scan::<false>),
            true if level >= Level::Avx2 => Some(avx2::scan_four_bit),
            false if level >= Level::Avx2 => Some(avx2::scan_bytes),
            _ => None,
        };
        if let Some(scan) = scan {
            #[expect(unsafe_code, reason = "calling a function compiled for an instruction set")]
            // SAFETY: a usable level has the features that it stands for.
            return unsafe { scan(blocks, first, planes, tables, visitor) };
        }
    }
    let _ = level;
    scan_plain(blocks, first, planes, four_bit, tables, visitor);
}

/// Planes that a known byte stands for, and the byte.
fn start(known: Option<u8>) -> (usize, u8) {
    known.map_or((0, 0), |byte| (1, byte))
}

/// The definition that every level must match.
#[inline(always)]
fn block_sums(block: &[u8], table: &[u8], four_bit: bool, known: Option<u8>) -> [u16; BLOCK] {
    let (skip, start) = start(known);
    let mut sums = [u16::from(start); BLOCK];
    let width = if four_bit { 32 } else { 256 };
    for (plane, table) in block.chunks_exact(BLOCK).zip(table.chunks_exact(width)).skip(skip) {
        for (sum, &code) in sums.iter_mut().zip(plane) {
            *sum += if four_bit {
                u16::from(table[usize::from(code & 15)]) + u16::from(table[16 + usize::from(code >> 4)])
            } else {
                u16::from(table[usize::from(code)])
            };
        }
    }
    sums
}

#[inline(always)]
fn scan_plain(
    blocks: &[u8],
    first: usize,
    planes: usize,
    four_bit: bool,
    tables: &[ByteTable],
    visitor: &mut impl Visitor,
) {
    for (b, block) in blocks.chunks_exact(BLOCK * planes).enumerate() {
        for (q, table) in tables.iter().enumerate() {
            let limit = visitor.limit(q);
            let sums = block_sums(block, &table.bytes, four_bit, visitor.known(q));
            let passed = sums.iter().enumerate().fold(0, |bits, (i, &sum)| bits | u64::from(sum >= limit) << i);
            if passed != 0 {
                visitor.visit(q, first + b * BLOCK, passed, &sums);
            }
        }
    }
}
