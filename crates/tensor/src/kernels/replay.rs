//! The replay of the Adam steps that a row missed, with the bits that taking them one by one gives.

use super::mul_add;
use super::rules::{AdamConstants, AdamScale, adam_one};

/// Numbers handled together while steps are replayed: one AVX-512 register, two of AVX2.
pub(super) const LANES: usize = 16;
type Lanes = [f32; LANES];

/// Zero-gradient steps after which a stretch of lanes is asked whether it still moves.
const STRIDE: usize = 16;

/// Replays zero-gradient Adam steps `missed` on one stretch of lanes, with the bits that taking them one by one gives.
///
/// Without weight decay the step `step_size · m / (√v̂ + ε)` is at most `step_size · |m| / ε`, and neither factor grows
/// while no gradient comes (the learning rate is constant in a history). Once that bound is under a quarter of the spacing
/// of w's numbers, w is done moving, and only m and v still fade.
#[inline(always)]
fn adam_replay_lanes<const FMA: bool, const DECAY: bool>(
    w: &mut Lanes,
    m: &mut Lanes,
    v: &mut Lanes,
    c: &AdamConstants,
    missed: &[AdamScale],
) {
    for (i, stride) in missed.chunks(STRIDE).enumerate() {
        if !DECAY && i > 0 {
            let bound = stride[0].step_size / c.epsilon;
            let mut still = true;
            for l in 0..LANES {
                // 2⁻²⁶ |w| is a quarter of the spacing at most.
                still &= (m[l] == 0.0) | (bound * m[l].abs() < w[l].abs() * 1.490_116_1e-8);
            }
            if still {
                for _ in i * STRIDE..missed.len() {
                    for l in 0..LANES {
                        m[l] = mul_add::<FMA>(c.one_minus_beta1, 0.0, c.beta1 * m[l]);
                        v[l] = mul_add::<FMA>(0.0, 0.0, c.beta2 * v[l]);
                    }
                }
                return;
            }
        }
        for s in stride {
            for l in 0..LANES {
                adam_one::<FMA, DECAY>(&mut w[l], &mut m[l], &mut v[l], 0.0, c, *s);
            }
        }
    }
}

/// Stretches of lanes that are replayed side by side with weight decay: each step of one waits for the step before, so that
/// only other stretches fill the time (three times as fast as one after the other).
const ABREAST: usize = 4;

/// Replays zero-gradient Adam steps with weight decay on N stretches of lanes.
#[inline(always)]
pub(super) fn adam_replay_abreast<const FMA: bool, const N: usize>(
    w: &mut [Lanes],
    m: &mut [Lanes],
    v: &mut [Lanes],
    c: &AdamConstants,
    missed: &[AdamScale],
) {
    // Copies stay in registers from step to step.
    let (mut lanes_w, mut lanes_m, mut lanes_v) = ([[0.0; LANES]; N], [[0.0; LANES]; N], [[0.0; LANES]; N]);
    lanes_w.copy_from_slice(&w[..N]);
    lanes_m.copy_from_slice(&m[..N]);
    lanes_v.copy_from_slice(&v[..N]);
    for s in missed {
        for k in 0..N {
            for l in 0..LANES {
                adam_one::<FMA, true>(&mut lanes_w[k][l], &mut lanes_m[k][l], &mut lanes_v[k][l], 0.0, c, *s);
            }
        }
    }
    w[..N].copy_from_slice(&lanes_w);
    m[..N].copy_from_slice(&lanes_m);
    v[..N].copy_from_slice(&lanes_v);
}

/// Replays the missed steps of whole stretches of lanes.
#[inline(always)]
fn adam_replay_chunks<const FMA: bool, const DECAY: bool>(
    w: &mut [Lanes],
    m: &mut [Lanes],
    v: &mut [Lanes],
    c: &AdamConstants,
    missed: &[AdamScale],
) {
    if !DECAY {
        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
            // Copies stay in registers from step to step.
            let (mut lanes_w, mut lanes_m, mut lanes_v) = (*w, *m, *v);
            adam_replay_lanes::<FMA, DECAY>(&mut lanes_w, &mut lanes_m, &mut lanes_v, c, missed);
            (*w, *m, *v) = (lanes_w, lanes_m, lanes_v);
        }
        return;
    }
    let (mut w, mut m, mut v) = (w.chunks_mut(ABREAST), m.chunks_mut(ABREAST), v.chunks_mut(ABREAST));
    while let (Some(w), Some(m), Some(v)) = (w.next(), m.next(), v.next()) {
        match w.len() {
            1 => adam_replay_abreast::<FMA, 1>(w, m, v, c, missed),
            2 => adam_replay_abreast::<FMA, 2>(w, m, v, c, missed),
            3 => adam_replay_abreast::<FMA, 3>(w, m, v, c, missed),
            _ => adam_replay_abreast::<FMA, ABREAST>(w, m, v, c, missed),
        }
    }
}

/// Replays the missed steps of one row.
#[inline(always)]
pub(super) fn adam_replay<const FMA: bool, const DECAY: bool>(
    w: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
    c: &AdamConstants,
    missed: &[AdamScale],
) {
    // The last, partly filled stretch goes with the whole ones before it: on the side, with zeros behind.
    let whole = w.len() / LANES / ABREAST * ABREAST;
    let ((w, w_tail), (m, m_tail), (v, v_tail)) =
        (w.split_at_mut(whole * LANES), m.split_at_mut(whole * LANES), v.split_at_mut(whole * LANES));
    let (w, m, v) = (w.as_chunks_mut().0, m.as_chunks_mut().0, v.as_chunks_mut().0);
    adam_replay_chunks::<FMA, DECAY>(w, m, v, c, missed);
    let width = w_tail.len();
    if width > 0 {
        let n = width.div_ceil(LANES);
        let mut side = [[[0.0; LANES]; ABREAST]; 3];
        for (side, tail) in side.iter_mut().zip([&*w_tail, m_tail, v_tail]) {
            side.as_flattened_mut()[..width].copy_from_slice(tail);
        }
        let [side_w, side_m, side_v] = &mut side;
        adam_replay_chunks::<FMA, DECAY>(&mut side_w[..n], &mut side_m[..n], &mut side_v[..n], c, missed);
        for (side, tail) in side.iter().zip([w_tail, m_tail, v_tail]) {
            tail.copy_from_slice(&side.as_flattened()[..width]);
        }
    }
}
