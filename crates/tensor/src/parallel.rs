//! The one level of parallelism: coarse pieces of fixed size, combined in order.
//!
//! Pieces are cut by size, never by the number of threads, and results are taken in the order of the pieces; so one thread
//! and many give the same bits. Nothing below these loops runs on more threads: [`gemm`](crate::kernels::gemm) is
//! single-threaded, and binaries set `CANDLE_NUM_THREADS=1` before any thread starts (candle 0.11 otherwise spins its own
//! pool on shared cores).

use rayon::prelude::*;

/// Maps fixed pieces of `0..n` and folds the results in order: `fold(… fold(fold(init, f(0..c)), f(c..2c)) …)`.
///
/// # Panics
/// If `piece` is 0.
pub fn map_reduce<T: Send, A>(
    n: usize,
    piece: usize,
    map: impl Fn(std::ops::Range<usize>) -> T + Sync + Send,
    init: A,
    fold: impl FnMut(A, T) -> A,
) -> A {
    let range = |p: usize| p * piece..((p + 1) * piece).min(n);
    let pieces = n.div_ceil(piece);
    if pieces <= 1 || rayon::current_num_threads() == 1 {
        return (0..pieces).map(|p| map(range(p))).fold(init, fold);
    }
    let parts: Vec<T> = (0..pieces).into_par_iter().map(|p| map(range(p))).collect();
    parts.into_iter().fold(init, fold)
}

/// Fills rows of `out` (n, width) in pieces of `piece` rows: `f(first_row, rows_of_out)`.
///
/// # Panics
/// If `piece` is 0, or `out` is no whole number of rows.
pub fn fill_rows(out: &mut [f32], width: usize, piece: usize, f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    if out.is_empty() {
        return;
    }
    assert!(out.len().is_multiple_of(width), "a matrix must be rows of {width}");
    if rayon::current_num_threads() == 1 || out.len() <= piece * width {
        return out.chunks_mut(piece * width).enumerate().for_each(|(p, rows)| f(p * piece, rows));
    }
    out.par_chunks_mut(piece * width).enumerate().for_each(|(p, rows)| f(p * piece, rows));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::normals;

    pub(crate) fn with_threads<R: Send>(n: usize, f: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
    }

    #[test]
    fn sums_have_the_same_bits_for_any_number_of_threads() {
        let x = normals("x", 10_007);
        let sum = || map_reduce(x.len(), 64, |r| x[r].iter().sum::<f32>(), 0.0f32, |a, b| a + b).to_bits();
        let one = with_threads(1, sum);
        for threads in [2, 3, 8] {
            assert_eq!(with_threads(threads, sum), one);
        }
    }

    #[test]
    fn every_row_is_filled_once_with_its_number() {
        for threads in [1, 2] {
            let mut out = vec![0.0; 21];
            with_threads(threads, || {
                fill_rows(&mut out, 3, 2, |first, rows| {
                    for (i, row) in rows.chunks_mut(3).enumerate() {
                        row.iter_mut().for_each(|x| *x += (first + i) as f32);
                    }
                });
            });
            assert!(out.iter().enumerate().all(|(i, x)| *x == (i / 3) as f32));
        }
    }
}
