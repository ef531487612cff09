//! The replay of Adam's steps on rows that are no multiple of a register wide.

use super::prefetch;
use super::replay::{LANES, adam_replay_abreast};
use super::rules::{AdamConstants, AdamScale};

/// Stretches of lanes that several narrow rows are packed into.
pub(super) const NARROW: usize = 5;

/// Copies a row of up to 40 by a few wide moves that overlap; calls of `memcpy` for 80 bytes each took a tenth of an epoch.
#[inline(always)]
fn copy_narrow(from: &[f32], to: &mut [f32]) {
    #[inline(always)]
    fn ends<const N: usize>(from: &[f32], to: &mut [f32]) {
        let (first, last) =
            (from.first_chunk::<N>().expect("long enough"), from.last_chunk::<N>().expect("long enough"));
        *to.first_chunk_mut::<N>().expect("as long") = *first;
        *to.last_chunk_mut::<N>().expect("as long") = *last;
    }
    match from.len() {
        0..4 => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        4..8 => ends::<4>(from, to),
        8..16 => ends::<8>(from, to),
        16..=32 => ends::<16>(from, to),
        _ => {
            ends::<16>(from, to);
            ends::<16>(&from[8..from.len() - 8], &mut to[8..from.len() - 8]);
        }
    }
}

/// Replays the missed steps of narrow rows with weight decay. Rows that missed as many steps are packed side by side, so that
/// no lane is empty and stretches go abreast (rows of 20: twice as fast as one by one).
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
pub(super) fn adam_replay_narrow<const FMA: bool>(
    w: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    dim: usize,
    rows: &[u32],
    missed: &mut dyn FnMut(u32) -> usize,
    history: &[AdamScale],
    c: &AdamConstants,
) {
    // Counting sort by steps missed.
    let behind: Vec<u32> = rows.iter().map(|row| missed(*row) as u32).collect();
    let mut starts = vec![0u32; history.len() + 2];
    for b in &behind {
        starts[*b as usize + 1] += 1;
    }
    for b in 1..starts.len() {
        starts[b] += starts[b - 1];
    }
    let mut sorted = vec![0u32; rows.len()];
    let mut next = starts.clone();
    for (row, b) in rows.iter().zip(&behind) {
        let at = &mut next[*b as usize];
        sorted[*at as usize] = *row;
        *at += 1;
    }

    let packed = NARROW * LANES / dim;
    let mut side = [[[0.0; LANES]; NARROW]; 3];
    for b in 1..=history.len() {
        let missed = &history[history.len() - b..];
        let same = &sorted[starts[b] as usize..starts[b + 1] as usize];
        for (i, group) in same.chunks(packed).enumerate() {
            // What the next group reads comes while this one is computed.
            for row in same[((i + 1) * packed).min(same.len())..].iter().take(packed) {
                [&*w, m, v].into_iter().for_each(|matrix| prefetch(matrix, *row as usize * dim, dim));
            }
            for (side, matrix) in side.iter_mut().zip([&*w, m, v]) {
                for (row, side) in group.iter().zip(side.as_flattened_mut().chunks_exact_mut(dim)) {
                    copy_narrow(&matrix[*row as usize * dim..][..dim], side);
                }
            }
            let [side_w, side_m, side_v] = &mut side;
            match (group.len() * dim).div_ceil(LANES) {
                1 => adam_replay_abreast::<FMA, 1>(side_w, side_m, side_v, c, missed),
                2 => adam_replay_abreast::<FMA, 2>(side_w, side_m, side_v, c, missed),
                3 => adam_replay_abreast::<FMA, 3>(side_w, side_m, side_v, c, missed),
                4 => adam_replay_abreast::<FMA, 4>(side_w, side_m, side_v, c, missed),
                _ => adam_replay_abreast::<FMA, NARROW>(side_w, side_m, side_v, c, missed),
            }
            for (side, matrix) in side.iter().zip([&mut *w, m, v]) {
                for (row, side) in group.iter().zip(side.as_flattened().chunks_exact(dim)) {
                    copy_narrow(side, &mut matrix[*row as usize * dim..][..dim]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_narrow_width_are_copied_whole() {
        for dim in 0..=NARROW * LANES / 2 {
            let from: Vec<f32> = (1..=dim).map(|x| x as f32).collect();
            let mut to = vec![0.0; dim];
            copy_narrow(&from, &mut to);
            assert_eq!(to, from);
        }
    }
}
