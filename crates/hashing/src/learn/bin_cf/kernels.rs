//! The arithmetic of relaxed codes: scores of lists, and what rounding costs.

use rectify_tensor::kernels::simd::{exp, kernel, mul_add};

#[inline(always)]
fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let (mut even, mut odd) = ([0.0f32; 16], [0.0f32; 16]);
    let mut pairs = a.iter().zip(b);
    while let Some((a, b)) = pairs.next() {
        for l in 0..16 {
            even[l] = mul_add::<FMA>(a[l], b[l], even[l]);
        }
        let Some((a, b)) = pairs.next() else { break };
        for l in 0..16 {
            odd[l] = mul_add::<FMA>(a[l], b[l], odd[l]);
        }
    }
    let mut sum = 0.0;
    for (even, odd) in even.iter().zip(odd) {
        sum += even + odd;
    }
    for (a, b) in a_tail.iter().zip(b_tail) {
        sum = mul_add::<FMA>(*a, *b, sum);
    }
    sum
}

#[inline(always)]
fn list_scores_body<const FMA: bool>(query: &[f32], rows: &[f32], slots: &[u32], out: &mut [f32]) {
    let dim = query.len();
    for (slot, out) in slots.iter().zip(out) {
        let start = *slot as usize * dim;
        *out = dot::<FMA>(query, &rows[start..start + dim]);
    }
}

/// Numbers whose terms stay on the stack until they are added in order.
const BLOCK: usize = 64;

#[inline(always)]
fn rounding_body<const FMA: bool>(
    x: &[f32],
    temperature: f32,
    noise_weight: f32,
    corner_weight: f32,
    d: &mut [f32],
) -> (f64, f64) {
    let inverse = 1.0 / temperature;
    let (mut noise, mut corner) = (0.0, 0.0);
    for (x, d) in x.chunks(BLOCK).zip(d.chunks_mut(BLOCK)) {
        let (mut noises, mut corners) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
        for (((x, d), noise), corner) in x.iter().zip(d).zip(&mut noises).zip(&mut corners) {
            let x = *x;
            // tanh(x / 2τ) = (1 - e) / (1 + e) with e = exp(-x / τ), by |x| so that e never exceeds 1.
            let e = exp::<FMA>(-x.abs() * inverse);
            let mean = ((1.0 - e) / (1.0 + e)).copysign(x);
            *noise = mul_add::<FMA>(x, x - 2.0 * mean, 1.0);
            let gap = x.abs() - 1.0;
            *corner = gap * gap;
            let d_noise = 2.0 * (x - mean) - x * inverse * (1.0 - mean * mean);
            let d_corner = if x == 0.0 { 0.0 } else { 2.0 * gap.copysign(gap * x) };
            *d += mul_add::<FMA>(noise_weight, d_noise, corner_weight * d_corner);
        }
        for k in 0..x.len() {
            noise += f64::from(noises[k]);
            corner += f64::from(corners[k]);
        }
    }
    (noise, corner)
}

kernel! {
    /// `out[j] = query · rows[slots[j]]`; query (dim), rows (n, dim).
    ///
    /// # Panics
    /// If a slot is out of range.
    pub(super) fn list_scores / list_scores_at(query: &[f32], rows: &[f32], slots: &[u32], out: &mut [f32])
        = list_scores_body
}
kernel! {
    /// What rounding relaxed codes x in [-1, 1] costs, entry by entry; returns both sums, and adds
    /// `noise_weight · ∂noise + corner_weight · ∂corner` to `d`.
    ///
    /// - noise: `E[(b - x)²] = 1 + x² - 2 x tanh(x / 2τ)` for a bit b with `P(+1) = σ(x / τ)`; its slope is
    ///   `2 x - 2 t - (x / τ)(1 - t²)`, `t = tanh(x / 2τ)`;
    /// - corner: `(|x| - 1)²`, slope `2 (|x| - 1) sign(x)`, and 0 at x = 0.
    pub(super) fn rounding / rounding_at(
        x: &[f32],
        temperature: f32,
        noise_weight: f32,
        corner_weight: f32,
        d: &mut [f32],
    ) -> (f64, f64) = rounding_body
}

#[cfg(test)]
mod tests {
    use rectify_tensor::kernels::Level;

    use super::*;

    const LEVELS: [Level; 3] = [Level::Scalar, Level::Avx2, Level::Avx512];

    /// (value, slope) of the noise and of the corner at x, τ = 0.2.
    fn at(level: Level, x: f32) -> [f64; 4] {
        let (mut d_noise, mut d_corner) = ([0.0], [0.0]);
        let (noise, _) = rounding_at(level, &[x], 0.2, 1.0, 0.0, &mut d_noise);
        let (_, corner) = rounding_at(level, &[x], 0.2, 0.0, 1.0, &mut d_corner);
        [noise, f64::from(d_noise[0]), corner, f64::from(d_corner[0])]
    }

    #[track_caller]
    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }

    #[test]
    fn noise_has_the_closed_forms_values_and_is_the_variance_of_the_drawn_bit() {
        for level in LEVELS {
            for (x, want) in [(0.0f32, 1.0), (0.5, 0.401_716_4), (0.9, 0.049_553_0), (1.0, 0.026_771_4)] {
                close(at(level, x)[0], want);
                close(at(level, -x)[0], want);
                let (x, s) = (f64::from(x), 1.0 / (1.0 + (-f64::from(x) / 0.2).exp()));
                close(s * (1.0 - x).powi(2) + (1.0 - s) * (1.0 + x).powi(2), want);
            }
        }
    }

    #[test]
    fn slopes_in_the_parameter_have_the_closed_forms_values() {
        let cases: [(f32, [f64; 5]); 4] = [
            (0.3, [0.291_312_6, 0.722_462_6, -1.422_506_6, 0.502_237_8, -1.297_092_0]),
            (1.0, [0.761_594_2, 0.122_978_2, -0.299_647_8, 0.056_837_3, -0.200_248_7]),
            (2.0, [0.964_027_6, 0.032_147_3, -0.013_633_7, 0.001_294_0, -0.005_083_0]),
            (0.0, [0.0, 1.0, 0.0, 1.0, 0.0]),
        ];
        for level in LEVELS {
            for (parameter, [x, noise, d_noise, corner, d_corner]) in cases {
                close(f64::from(parameter).tanh(), x);
                let chain = 1.0 - x * x;
                let got = at(level, x as f32);
                close(got[0], noise);
                close(got[1] * chain, d_noise);
                close(got[2], corner);
                close(got[3] * chain, d_corner);
                let mirrored = at(level, -x as f32);
                close(mirrored[1], -got[1]);
                close(mirrored[3], -got[3]);
            }
        }
    }

    #[test]
    fn every_level_gives_the_sums_and_slopes_of_the_definition() {
        let x: Vec<f32> = (0..200).map(|k| (k as f32 * 0.37).sin()).collect();
        for level in LEVELS {
            let mut d = vec![0.5; x.len()];
            let (noise, corner) = rounding_at(level, &x, 0.3, 0.2, 0.7, &mut d);
            let (mut want_noise, mut want_corner) = (0.0, 0.0);
            for (x, d) in x.iter().map(|x| f64::from(*x)).zip(d) {
                let t = (x / 0.6).tanh();
                want_noise += 1.0 + x * x - 2.0 * x * t;
                want_corner += (x.abs() - 1.0).powi(2);
                let d_noise = 2.0 * x - 2.0 * t - x / 0.3 * (1.0 - t * t);
                let d_corner = if x == 0.0 { 0.0 } else { 2.0 * (x.abs() - 1.0) * x.signum() };
                assert!((f64::from(d) - (0.5 + 0.2 * d_noise + 0.7 * d_corner)).abs() < 1e-5);
            }
            assert!((noise - want_noise).abs() < 1e-3 && (corner - want_corner).abs() < 1e-3);
        }
    }

    #[test]
    fn scores_of_a_list_are_inner_products_at_every_level_and_width() {
        for dim in [1, 16, 31, 192] {
            let rows: Vec<f32> = (0..4 * dim).map(|k| (k as f32 * 0.9).sin()).collect();
            let query = &rows[dim..2 * dim];
            for level in LEVELS {
                let mut out = [0.0; 3];
                list_scores_at(level, query, &rows, &[3, 0, 3], &mut out);
                for (slot, got) in [3, 0, 3].into_iter().zip(out) {
                    let want: f64 =
                        query.iter().zip(&rows[slot * dim..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    assert!((f64::from(got) - want).abs() < 1e-4, "{got} {want}");
                }
            }
        }
    }
}
