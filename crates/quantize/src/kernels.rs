//! Byte sums of codes over blocks of 64 items, with run-time dispatch.
//!
//! A table of 256 bytes fits four 512-bit registers, so 64 look-ups are two two-register permutations and a blend (AVX-512 VBMI);
//! a table of 16 bytes fits one, and 64 look-ups are one shuffle. AVX2 has that shuffle alone, for 32 look-ups: it takes sixteen of them for 256
//! bytes. All levels compute the same integers.

pub(crate) use rectify_core::simd::Level;

use crate::layout::BLOCK;
use crate::quick::{GROUP, QuickTable};

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
    tables: &[QuickTable],
    visitor: &mut impl Visitor,
) {
    debug_assert!(blocks.len().is_multiple_of(BLOCK * planes));
    let width = if four_bit { 32 } else { 256 };
    debug_assert!(tables.iter().all(|table| table.bytes.len() == planes * width));
    #[cfg(target_arch = "x86_64")]
    {
        type Scan<V> = unsafe fn(&[u8], usize, usize, &[QuickTable], &mut V);
        let level = level.usable();
        let scan: Option<Scan<_>> = match four_bit {
            true if level >= Level::Avx512Vbmi => Some(x86::scan_512::<true>),
            false if level >= Level::Avx512Vbmi => Some(x86::scan_512::<false>),
            true if level >= Level::Avx2 => Some(x86::scan_four_bit_256),
            false if level >= Level::Avx2 => Some(x86::scan_bytes_256),
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
    tables: &[QuickTable],
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

#[cfg(target_arch = "x86_64")]
#[expect(clippy::needless_range_loop, reason = "loops of constant length over several arrays become registers")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{BLOCK, GROUP, QuickTable, Visitor, block_sums, start};

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
    pub(super) fn scan_512<const FOUR_BIT: bool>(
        blocks: &[u8],
        first: usize,
        planes: usize,
        tables: &[QuickTable],
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
        tables: &[QuickTable],
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

    /// Vectors of 32 codes that share a row of a table: their sums, codes and results take twelve of sixteen registers.
    const VECTORS_256: usize = 4;
    /// Vectors a block.
    const PER_BLOCK: usize = BLOCK / 32;

    #[target_feature(enable = "avx2")]
    pub(super) fn scan_bytes_256(
        blocks: &[u8],
        first: usize,
        planes: usize,
        tables: &[QuickTable],
        visitor: &mut impl Visitor,
    ) {
        let n_blocks = VECTORS_256 / PER_BLOCK;
        let runs = blocks.chunks_exact(n_blocks * BLOCK * planes);
        let rest = runs.remainder();
        let first_of_rest = first + (blocks.len() - rest.len()) / planes;
        for (r, run) in runs.enumerate() {
            scan_run_256::<VECTORS_256>(run, first + r * n_blocks * BLOCK, planes, tables, visitor);
        }
        for (b, block) in rest.chunks_exact(BLOCK * planes).enumerate() {
            scan_run_256::<PER_BLOCK>(block, first_of_rest + b * BLOCK, planes, tables, visitor);
        }
    }

    /// All queries over a run of `V` vectors.
    #[target_feature(enable = "avx2")]
    fn scan_run_256<const V: usize>(
        run: &[u8],
        first: usize,
        planes: usize,
        tables: &[QuickTable],
        visitor: &mut impl Visitor,
    ) {
        for (q, table) in tables.iter().enumerate() {
            let (limit, known) = (visitor.limit(q), visitor.known(q));
            if planes <= GROUP {
                if limit > 255 {
                    continue;
                }
                let sums = group_sums_256::<V>(run, planes, 0, &table.bytes, known);
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
                    store_256(sums[v], &mut of_run[v]);
                }
                show_256(visitor, q, first, &passed, of_run.as_flattened());
            } else {
                let mut wide = [[_mm256_setzero_si256(); 2]; V];
                for (g, group) in table.bytes.chunks(GROUP * 256).enumerate() {
                    let known = known.filter(|_| g == 0);
                    let sums = group_sums_256::<V>(run, planes, g * GROUP, group, known);
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
                        store_256(wide[v][half], &mut halves[half]);
                    }
                }
                show_256(visitor, q, first, &passed, of_run.as_flattened());
            }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load_256(bytes: &[u8]) -> __m256i {
        debug_assert!(bytes.len() >= 32);
        #[expect(unsafe_code, reason = "an unaligned vector load")]
        // SAFETY: every caller passes a checked range of 32 bytes.
        unsafe {
            _mm256_loadu_si256(bytes.as_ptr().cast())
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store_256<S>(sums: __m256i, to: &mut [S]) {
        assert_eq!(size_of_val(to), 32, "room for a register");
        #[expect(unsafe_code, reason = "an unaligned vector store")]
        // SAFETY: `to` has the 32 bytes of a register, and every caller's numbers may have any bits.
        unsafe {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), sums);
        }
    }

    /// Shows the blocks of a run that have something to show.
    fn show_256<S: Copy + Into<u16>>(visitor: &mut impl Visitor, q: usize, first: usize, passed: &[u32], sums: &[S]) {
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
    fn group_sums_256<const V: usize>(
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
                    left[v] = _mm256_xor_si256(load_256(&run[at..at + 32]), flip);
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
    pub(super) fn scan_four_bit_256(
        blocks: &[u8],
        first: usize,
        planes: usize,
        tables: &[QuickTable],
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
}
