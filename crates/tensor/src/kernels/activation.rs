//! Logistic functions that neither overflow nor lose small values.
//!
//! `exp` and `ln` are our own polynomials (Cephes, as in most SIMD libraries), within 2 units in the last place: they
//! vectorise, and they give the same bits everywhere but for fused multiply-add.

use super::{kernel, mul_add};

/// `eˣ`; 0 below -87.3, `e^88` above 88 (all our uses have x <= 0 or subtract a maximum).
#[inline(always)]
#[must_use]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    // 1.5 · 2²³: adding it rounds to an integer that then stands in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.0);
    let shifted = mul_add::<FMA>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<FMA>(n, -0.693_359_4, clamped);
    let r = mul_add::<FMA>(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = mul_add::<FMA>(p, r, c);
    }
    let p = mul_add::<FMA>(p * r, r, r) + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let value = p * power;
    let value = if x < -87.3 { 0.0 } else { value };
    // A NaN passes through.
    if x.is_nan() { x } else { value }
}

/// `ln x` for positive, normal `x`.
#[inline(always)]
#[must_use]
pub fn ln<const FMA: bool>(x: f32) -> f32 {
    // Mantissa in [√½, √2), so that the polynomial stays near 0.
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
    let e = ((bits as i32) >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let z = m * m;
    let mut p = 7.037_683_6e-2;
    for c in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        p = mul_add::<FMA>(p, m, c);
    }
    let mut y = p * m * z;
    y = mul_add::<FMA>(e, -2.121_944_4e-4, y);
    y = mul_add::<FMA>(z, -0.5, y);
    mul_add::<FMA>(e, 0.693_359_4, m + y)
}

/// `ln(1 + y)` for `y >= 0`, exact for tiny `y` too.
#[inline(always)]
fn ln_1p<const FMA: bool>(y: f32) -> f32 {
    let u = 1.0 + y;
    let d = u - 1.0;
    // What the sum rounded away is put back by the ratio y / d (Kahan).
    let safe = if d == 0.0 { 1.0 } else { d };
    let value = ln::<FMA>(u) * (y / safe);
    if d == 0.0 { y } else { value }
}

#[inline(always)]
pub(crate) fn sigmoid_body<const FMA: bool>(x: f32) -> f32 {
    let e = exp::<FMA>(-x.abs());
    let numerator = if x >= 0.0 { 1.0 } else { e };
    let value = numerator / (1.0 + e);
    if x.is_nan() { x } else { value }
}

#[inline(always)]
pub(crate) fn softplus_body<const FMA: bool>(x: f32) -> f32 {
    let value = x.max(0.0) + ln_1p::<FMA>(exp::<FMA>(-x.abs()));
    if x.is_nan() { x } else { value }
}

#[inline(always)]
fn sigmoid_slice_body<const FMA: bool>(x: &mut [f32]) {
    for x in x {
        *x = sigmoid_body::<FMA>(*x);
    }
}

#[inline(always)]
fn softplus_slice_body<const FMA: bool>(x: &mut [f32]) {
    for x in x {
        *x = softplus_body::<FMA>(*x);
    }
}

kernel! {
    /// `x ← 1 / (1 + e⁻ˣ)` in place, finite for every finite x.
    pub fn sigmoid_slice / sigmoid_slice_at(x: &mut [f32]) = sigmoid_slice_body
}
kernel! {
    /// `x ← ln(1 + eˣ)` in place, finite for every finite x; keeps its relative precision where x is very negative.
    pub fn softplus_slice / softplus_slice_at(x: &mut [f32]) = softplus_slice_body
}

/// `1 / (1 + e⁻ˣ)`.
#[must_use]
#[inline]
pub fn sigmoid(x: f32) -> f32 {
    sigmoid_body::<false>(x)
}

/// `ln(1 + eˣ) = -ln σ(-x)`.
#[must_use]
#[inline]
pub fn softplus(x: f32) -> f32 {
    softplus_body::<false>(x)
}

/// `ln σ(x) = -softplus(-x)`.
#[must_use]
#[inline]
pub fn log_sigmoid(x: f32) -> f32 {
    -softplus_body::<false>(-x)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn grid() -> Vec<f32> {
        (-4000..=4000).map(|i| i as f32 * 0.025).collect()
    }

    #[test]
    fn logistic_functions_keep_six_digits_from_minus_100_to_100() {
        for level in Level::available() {
            let (mut sigmoid, mut softplus) = (grid(), grid());
            sigmoid_slice_at(level, &mut sigmoid);
            softplus_slice_at(level, &mut softplus);
            for ((x, s), p) in grid().into_iter().zip(sigmoid).zip(softplus) {
                let x = f64::from(x);
                let want = 1.0 / (1.0 + (-x).exp());
                // Below -87.3 the result would be a denormal and is flushed to 0.
                assert!((f64::from(s) - want).abs() <= 5e-7 * want + 2e-38, "sigmoid({x}) = {s}, {want}");
                let want = x.max(0.0) + (-x.abs()).exp().ln_1p();
                assert!((f64::from(p) - want).abs() <= 5e-7 * want + 2e-38, "softplus({x}) = {p}, {want}");
            }
        }
    }

    #[test]
    fn infinities_and_nan_have_their_limits() {
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert_eq!(sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(softplus(f32::INFINITY), f32::INFINITY);
        assert_eq!(log_sigmoid(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(sigmoid(f32::NAN).is_nan() && softplus(f32::NAN).is_nan());
    }
}
