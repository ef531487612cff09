//! The little arithmetic that all losses share, written once for `f32` and, in tests, for `f64`.
//!
//! Losses are generic over [`Real`], so the very code that trains in single precision is held against central
//! differences in double precision.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use rectify_tensor::kernels::{self, Op};

/// A floating-point number.
pub(crate) trait Real:
    Copy
    + PartialOrd
    + Default
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
{
    const ZERO: Self;
    const ONE: Self;
    /// The widest range of scores whose exponentials and their reciprocals are all normal numbers.
    const SAFE_RANGE: Self;

    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
    /// `eˣ`, 0 at minus infinity.
    fn exp<const FMA: bool>(self) -> Self;
    /// `ln x` of a positive number.
    fn ln<const FMA: bool>(self) -> Self;
    /// `c ← alpha · op(a) · op(b) + beta · c`, as [`kernels::gemm`].
    #[expect(clippy::too_many_arguments, reason = "the signature that everyone knows from BLAS")]
    fn gemm(
        mnk: (usize, usize, usize),
        alpha: Self,
        a: &[Self],
        op_a: Op,
        b: &[Self],
        op_b: Op,
        beta: Self,
        c: &mut [Self],
    );

    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = (if self < Self::ZERO { self } else { -self }).exp::<false>();
        (if self < Self::ZERO { e } else { Self::ONE }) / (Self::ONE + e)
    }

    /// `ln(1 + eˣ)`.
    fn softplus(self) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const SAFE_RANGE: Self = 60.0;

    #[inline(always)]
    fn of(x: f64) -> Self {
        x as Self
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn exp<const FMA: bool>(self) -> Self {
        kernels::simd::exp::<FMA>(self)
    }
    #[inline(always)]
    fn ln<const FMA: bool>(self) -> Self {
        kernels::simd::ln::<FMA>(self)
    }
    #[inline(always)]
    fn softplus(self) -> Self {
        kernels::softplus(self)
    }
    fn gemm(
        mnk: (usize, usize, usize),
        alpha: f32,
        a: &[f32],
        op_a: Op,
        b: &[f32],
        op_b: Op,
        beta: f32,
        c: &mut [f32],
    ) {
        kernels::gemm(mnk, alpha, a, op_a, b, op_b, beta, c);
    }
}

/// The twin of the tests.
#[cfg(test)]
impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const SAFE_RANGE: Self = 600.0;

    fn of(x: f64) -> Self {
        x
    }
    fn wide(self) -> f64 {
        self
    }
    fn exp<const FMA: bool>(self) -> Self {
        libm::exp(self)
    }
    fn ln<const FMA: bool>(self) -> Self {
        libm::log(self)
    }
    fn softplus(self) -> Self {
        self.max(0.0) + libm::log1p(libm::exp(-self.abs()))
    }
    fn gemm(
        (m, n, k): (usize, usize, usize),
        alpha: f64,
        a: &[f64],
        op_a: Op,
        b: &[f64],
        op_b: Op,
        beta: f64,
        c: &mut [f64],
    ) {
        for i in 0..m {
            for j in 0..n {
                let sum: f64 = (0..k)
                    .map(|p| {
                        let a = if op_a == Op::Plain { a[i * k + p] } else { a[p * m + i] };
                        a * if op_b == Op::Plain { b[p * n + j] } else { b[j * k + p] }
                    })
                    .sum();
                let old = if beta == 0.0 { 0.0 } else { beta * c[i * n + j] };
                c[i * n + j] = alpha * sum + old;
            }
        }
    }
}

/// `Σ f(x)` in 16 lanes, so that the sum is one order everywhere and vectorises.
#[inline(always)]
pub(crate) fn sum_by<R: Real, T: Copy>(xs: &[T], f: impl Fn(T) -> R) -> R {
    let (chunks, tail) = xs.as_chunks::<16>();
    let mut lanes = [R::ZERO; 16];
    for chunk in chunks {
        for l in 0..16 {
            lanes[l] += f(chunk[l]);
        }
    }
    let mut sum = R::ZERO;
    for lane in lanes {
        sum += lane;
    }
    for x in tail {
        sum += f(*x);
    }
    sum
}

/// The largest number, minus infinity of none; NaN is passed over.
#[inline(always)]
pub(crate) fn max_of<R: Real>(xs: &[R]) -> R {
    let (chunks, tail) = xs.as_chunks::<16>();
    let mut lanes = [R::of(f64::NEG_INFINITY); 16];
    for chunk in chunks {
        for l in 0..16 {
            lanes[l] = if chunk[l] > lanes[l] { chunk[l] } else { lanes[l] };
        }
    }
    let mut max = R::of(f64::NEG_INFINITY);
    for x in lanes.iter().chain(tail) {
        max = if *x > max { *x } else { max };
    }
    max
}

/// The smallest number, infinity of none; NaN is passed over.
#[inline(always)]
pub(crate) fn min_of<R: Real>(xs: &[R]) -> R {
    let (chunks, tail) = xs.as_chunks::<16>();
    let mut lanes = [R::of(f64::INFINITY); 16];
    for chunk in chunks {
        for l in 0..16 {
            lanes[l] = if chunk[l] < lanes[l] { chunk[l] } else { lanes[l] };
        }
    }
    let mut min = R::of(f64::INFINITY);
    for x in lanes.iter().chain(tail) {
        min = if *x < min { *x } else { min };
    }
    min
}

#[cfg(test)]
pub(crate) mod testing {
    //! Numbers for tests, closeness, and central differences.

    use rectify_core::rng::Seed;

    /// `n` standard normal numbers of a named stream.
    pub(crate) fn normals(name: &str, n: usize) -> Vec<f64> {
        let mut rng = Seed(3).stream(name).rng();
        (0..n).map(|_| rng.normal()).collect()
    }

    pub(crate) fn narrow(x: &[f64]) -> Vec<f32> {
        x.iter().map(|x| *x as f32).collect()
    }

    /// Asserts `|a - b| <= tolerance · max(1, |b|)` everywhere.
    #[track_caller]
    pub(crate) fn assert_close(a: &[f32], b: &[f64], tolerance: f64) {
        assert_eq!(a.len(), b.len());
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            let a = f64::from(*a);
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "at {i}: {a} against {b}");
        }
    }

    /// Asserts that `grad` is the gradient of `loss` at `x`: central differences of step 1e-4, to 1e-6 relative (of the
    /// component, or of the whole gradient's largest where the component is small).
    #[track_caller]
    pub(crate) fn assert_gradient(x: &[f64], grad: &[f64], loss: impl Fn(&[f64]) -> f64) {
        assert_eq!(x.len(), grad.len());
        let largest = grad.iter().fold(1e-3, |a: f64, g| a.max(g.abs()));
        let mut at = x.to_vec();
        for i in 0..x.len() {
            let mut side = |delta: f64| {
                at[i] = x[i] + delta;
                let value = loss(&at);
                at[i] = x[i];
                value
            };
            // Fourth order, so that the differences' own error stays far below the tolerance.
            let h = 1e-4;
            let slope = (8.0 * (side(h) - side(-h)) - (side(2.0 * h) - side(-2.0 * h))) / (12.0 * h);
            assert!(
                (slope - grad[i]).abs() <= 1e-6 * grad[i].abs().max(largest),
                "at {i}: {} against {slope}",
                grad[i]
            );
        }
    }
}
