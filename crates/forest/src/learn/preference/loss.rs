//! The losses of one sample at one level.

use crate::Objective;

/// Loss of the preferences `o`, the first of which is the positive node's; **writes** the gradient times `scale`.
///
/// DeFoRec, Eqs. 4 and 7: `ln Σ exp o' − o'_pos`, whose gradient is `softmax(o') − [positive]`. TDM, JTM: the
/// sum of `−ln σ(o_pos)` and of `−ln σ(−o)` over the others.
pub(super) fn loss(objective: Objective, o: &[f32], correction: f32, scale: f32, d: &mut [f32]) -> f64 {
    let logit = |i: usize| f64::from(o[i]) + if i == 0 { 0.0 } else { f64::from(correction) };
    match objective {
        Objective::Softmax => {
            let max = (0..o.len()).map(logit).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = (0..o.len()).map(|i| (logit(i) - max).exp()).sum();
            for (i, d) in d.iter_mut().enumerate() {
                let hit = if i == 0 { 1.0 } else { 0.0 };
                *d = scale * ((logit(i) - max).exp() / sum - hit) as f32;
            }
            max + sum.ln() - logit(0)
        }
        Objective::Binary => {
            let mut total = 0.0;
            for (i, d) in d.iter_mut().enumerate() {
                // The margin of the right answer: its sigmoid is the probability given to it.
                let sign = if i == 0 { 1.0 } else { -1.0 };
                let margin = sign * f64::from(o[i]);
                let wrong = (-margin.abs()).exp();
                total += (-margin).max(0.0) + wrong.ln_1p();
                let share = if margin >= 0.0 { wrong / (1.0 + wrong) } else { 1.0 / (1.0 + wrong) };
                *d = scale * (-sign * share) as f32;
            }
            total
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const O: [f32; 5] = [2.0, 1.0, 0.5, -1.0, 0.0];

    fn softmax(o: &[f32], m: f64) -> (f64, Vec<f32>) {
        let mut d = vec![0.0; o.len()];
        let correction = -(m / 4.0).ln() as f32;
        (loss(Objective::Softmax, o, correction, 1.0, &mut d), d)
    }

    #[test]
    fn softmax_losses_are_those_worked_out_by_hand() {
        let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-6, "{got} {want}");
        close(softmax(&O, 4.0).0, 0.574_437_9);
        let (two, d) = softmax(&[2.0, 1.0, -1.0], 2.0);
        close(two, 0.607_225_9);
        for (d, law) in d.iter().zip([0.544_860 - 1.0, 0.400_886, 0.054_254]) {
            assert!((f64::from(*d) - law).abs() < 1e-6);
        }
        close(softmax(&[2.0, 1.0, 1.0, 0.0], 3.0).0, 0.770_783_4);
        close(softmax(&[2.0, 1.0, -1.0], 4.0).0, 0.349_012_2);
    }

    #[test]
    fn sampled_losses_rise_to_the_exact_one() {
        // The mean over all draws with replacement.
        let mean = |m: u32| {
            let draws = 4usize.pow(m);
            let total: f64 = (0..draws)
                .map(|draw| {
                    let mut o = vec![O[0]];
                    o.extend((0..m).map(|i| O[1 + draw / 4usize.pow(i) % 4]));
                    softmax(&o, f64::from(m)).0
                })
                .sum();
            total / draws as f64
        };
        assert!((mean(1) - 0.539_251_6).abs() < 1e-6, "{}", mean(1));
        assert!((mean(2) - 0.556_678_5).abs() < 1e-6, "{}", mean(2));
        assert!(mean(2) < mean(5) && mean(5) < 0.574_437_9);
    }

    #[test]
    fn the_binary_loss_is_that_worked_out_by_hand_and_stays_finite() {
        let mut d = [0.0; 2];
        let got = loss(Objective::Binary, &[1.0, -0.5], 0.0, 1.0, &mut d);
        assert!((got - 0.787_338_7).abs() < 1e-6, "{got}");
        assert!((d[0] + 0.268_941_4).abs() < 1e-6 && (d[1] - 0.377_540_7).abs() < 1e-6, "{d:?}");
        for objective in [Objective::Binary, Objective::Softmax] {
            for o in [[100.0, -100.0], [-100.0, 100.0]] {
                let got = loss(objective, &o, 0.0, 1.0, &mut d);
                assert!(got.is_finite() && d.iter().all(|x| x.is_finite()), "{objective:?} {got} {d:?}");
            }
        }
    }
}
