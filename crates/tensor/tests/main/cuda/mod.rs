//! Every operation on a device against the CPU's, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone. Tolerance: 2·10⁻⁵ of
//! the largest value, since sums run in another order.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

mod dense;
mod lists;
mod losses;
mod pairs;
mod rows;
mod sparse;
mod steps;

use rectify_core::rng::{Rng, Seed};
use rectify_cuda::testing;
use rectify_tensor::cuda::{GpuOps, SOURCES};

/// Random inputs; the seed is in the message of every assertion.
struct Inputs {
    rng: Rng,
    seed: u64,
}

impl Inputs {
    fn fresh() -> Self {
        let seed = testing::fresh_seed();
        Self { rng: Seed(seed).at(0, 0), seed }
    }

    fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.rng.normal() as f32).collect()
    }

    fn places(&mut self, n: usize, below: usize) -> Vec<u32> {
        (0..n).map(|_| self.rng.below(below as u32)).collect()
    }

    #[track_caller]
    fn close(&self, what: &str, got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len(), "{what}, seed {}", self.seed);
        let scale = want.iter().fold(1e-3f32, |high, x| high.max(x.abs()));
        for (at, (got, want)) in got.iter().zip(want).enumerate() {
            let same = (got - want).abs() <= 2e-5 * scale || got == want;
            assert!(same, "{what} at {at}: {got}, expected {want} (largest {scale}), seed {}", self.seed);
        }
    }

    #[track_caller]
    fn close_sum(&self, what: &str, got: f64, want: f64) {
        assert!((got - want).abs() <= 2e-5 * want.abs().max(1.0), "{what}: {got}, expected {want}, seed {}", self.seed);
    }
}

fn skip(why: &str) {
    eprintln!("{why}");
}

/// The devices that are there.
fn devices() -> Vec<GpuOps> {
    testing::devices(skip).into_iter().map(GpuOps::new).collect()
}

/// Row counts and widths around the edges of warps and blocks.
const SHAPES: [(usize, usize); 6] = [(1, 1), (7, 31), (8, 32), (9, 33), (40, 64), (300, 5)];

#[test]
fn every_kernel_file_becomes_ptx_for_hopper() {
    testing::check_ptx(&SOURCES, skip);
}

#[test]
#[should_panic(expected = "place 5 at 1 is not below 5")]
fn a_place_out_of_range_is_refused_before_it_reaches_the_device() {
    let Some(ops) = devices().pop() else { panic!("place 5 at 1 is not below 5: nothing to test on") };
    let _ = ops.places(&[0, 5], 5);
}
