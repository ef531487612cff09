//! Slices in, slices out: the arithmetic under everything else, without candle.
//!
//! Each kernel is one plain loop, compiled for three instruction sets and chosen at run time ([`Level`]). The loops fix the
//! order of every sum (16 lanes, then a tree), so a kernel gives the same bits on every call and every thread; AVX-512 and
//! AVX2 differ from the scalar build in last bits only, because they fuse multiply and add.
//!
//! Lengths are checked once at the door with `assert!`: a wrong length is a bug of the calling code.

mod activation;
mod bce;
mod bpr;
mod codes;
mod gemm;
mod int16;
mod linear;
mod lists;
mod loss;
mod narrow;
mod panels;
mod replay;
mod rules;
mod softmax;
mod spd;
mod spmm;
mod update;
mod vector;

pub use activation::{log_sigmoid, sigmoid, sigmoid_slice, softplus, softplus_slice};
pub use bce::{Labelled, bce};
pub use bpr::{Pairs, bpr};
pub use codes::{argmax, select_codes, select_codes_backward, straight_through};
pub use gemm::{Op, gemm};
pub use int16::int16_product;
pub use linear::{
    Activation, activation_backward, bias_act, column_sums_add, linear_bias_act, linear_bias_act_backward,
};
pub use lists::{list_dots, list_dots_backward};
pub use loss::{bce_with_logits, hinge, logistic};
pub use panels::{small_product, small_product_turned};
pub(crate) use rules::{AdagradStep, AdamConstants, AdamScale};
pub use softmax::{softmax_cross_entropy, softmax_rows, suffix_log_sum_exp, suffix_log_sum_exp_backward};
pub use spd::{cholesky_solve, gram_add, padded};
pub(crate) use spmm::{Edges, spmm_range, spmm_rows, spmm_scatter};
pub(crate) use update::{adagrad_dense, adagrad_rows, adam_dense, adam_rows, sgd_dense, sgd_rows};
pub use vector::{add_assign, axpy, dot, dots, gather_rows, scale, scatter_add_rows, squared_norm};

/// What another crate's kernels are made of; for its kernel modules only.
///
/// `FMA` says whether the code runs where multiply and add fuse; [`kernel!`](crate::kernel) fills it in.
pub mod simd {
    pub use super::activation::{exp, ln};
    pub use super::mul_add;
    pub use crate::kernel;
    pub use rectify_core::simd::prefetch;
}

/// The instruction sets that kernels are compiled for; of its rungs they use `Scalar`, `Avx2` and `Avx512`.
pub use rectify_core::simd::Level;
pub(crate) use rectify_core::simd::prefetch;

/// Compiles one generic body (`fn body<const FMA: bool>`, `#[inline(always)]`) for every level, and picks one at run time.
///
/// The second name takes the level as its first argument, for tests. `, avx512 = function, avx2 = function` names other bodies for those
/// levels, for where the compiler makes too little of the plain loop.
///
/// ```
/// use rectify_tensor::kernels::{Level, simd};
///
/// #[inline(always)]
/// fn body<const FMA: bool>(x: f32, y: &mut [f32]) {
///     for y in y {
///         *y = simd::mul_add::<FMA>(x, *y, 1.0);
///     }
/// }
/// simd::kernel! {
///     /// `y ← x · y + 1`.
///     pub fn times_plus_one / times_plus_one_at(x: f32, y: &mut [f32]) = body
/// }
/// let mut y = [1.0, 2.0];
/// times_plus_one(3.0, &mut y);
/// times_plus_one_at(Level::Scalar, 3.0, &mut y);
/// assert_eq!(y, [13.0, 22.0]);
/// ```
#[macro_export]
macro_rules! kernel {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident / $at:ident ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident
        $(, avx512 = $wide:path, avx2 = $narrow:path)?
    ) => {
        $(#[$meta])*
        #[inline]
        #[allow(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            $at($crate::kernels::Level::best(), $($arg),*)
        }

        #[inline]
        #[allow(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
        fn $at(level: $crate::kernels::Level, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $crate::kernel!(@fused $body [$($wide)?] ($($arg),*))
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $crate::kernel!(@fused $body [$($narrow)?] ($($arg),*))
                }
                let level = level.usable();
                if level >= $crate::kernels::Level::Avx512 {
                    #[expect(unsafe_code, reason = "run-time dispatch to a build with more target features")]
                    // SAFETY: a usable level has the features that it stands for.
                    return unsafe { avx512($($arg),*) };
                }
                if level >= $crate::kernels::Level::Avx2 {
                    #[expect(unsafe_code, reason = "run-time dispatch to a build with more target features")]
                    // SAFETY: as above.
                    return unsafe { avx2($($arg),*) };
                }
            }
            let _ = level;
            $body::<false>($($arg),*)
        }
    };
    (@fused $body:ident [] ($($arg:ident),*)) => { $body::<true>($($arg),*) };
    (@fused $body:ident [$own:path] ($($arg:ident),*)) => { $own($($arg),*) };
}
pub(crate) use crate::kernel;

/// `a · b + c`, fused where the level has it in hardware (the library call that scalar code would make is slow).
#[inline(always)]
#[must_use]
pub fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Checks that a matrix of `rows` rows of `dim` has that many values.
#[track_caller]
pub(crate) fn check_matrix(what: &str, values: &[f32], rows: usize, dim: usize) {
    assert_eq!(values.len(), rows * dim, "{what} must have {rows} rows of {dim}");
}

#[cfg(test)]
pub(crate) mod testing {
    //! Numbers for tests, and closeness.

    use rectify_core::rng::Seed;

    /// `n` standard normal numbers of a named stream.
    pub(crate) fn normals(name: &str, n: usize) -> Vec<f32> {
        let mut rng = Seed(7).stream(name).rng();
        (0..n).map(|_| rng.normal() as f32).collect()
    }

    /// Asserts `|a - b| <= tolerance · max(1, |b|)` everywhere.
    #[track_caller]
    pub(crate) fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
        assert_eq!(a.len(), b.len());
        for (i, (x, y)) in a.iter().zip(b).enumerate() {
            assert!((x - y).abs() <= tolerance * y.abs().max(1.0), "at {i}: {x} against {y}");
        }
    }

    /// Lengths around the edges of registers.
    pub(crate) const LENGTHS: [usize; 12] = [0, 1, 3, 15, 16, 17, 31, 32, 33, 64, 100, 257];
}
