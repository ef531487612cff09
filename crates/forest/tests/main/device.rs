//! Search on a device against search on the CPU: the same ids and bits, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use rectify_core::rng::Seed;
use rectify_core::testing::retriever_refuses;
use rectify_core::{ItemFilter, ItemId, Retriever, TopK};
use rectify_cuda::testing::{check_ptx, devices, fresh_seed};

use rectify_forest::device::SOURCE;
use rectify_forest::{Candidates, PreferenceShape, SearchConfig};

use crate::random::{odd_shape, random_forest};

fn skip(why: &str) {
    eprintln!("{why}");
}

#[test]
fn the_kernel_becomes_ptx_for_hopper() {
    check_ptx(&[&SOURCE], skip);
}

#[test]
fn beams_give_the_lists_of_the_processor() {
    for gpu in devices(skip) {
        for (n_items, shape, search) in [
            (1, odd_shape(), SearchConfig::default()),
            (33, odd_shape(), SearchConfig { beam_width: 4, candidates: Candidates::TopK }),
            (300, odd_shape(), SearchConfig { beam_width: 20, candidates: Candidates::Beam }),
            (150, PreferenceShape::default(), SearchConfig { beam_width: 8, candidates: Candidates::TopK }),
        ] {
            let seed = fresh_seed();
            let mut rng = Seed(seed).rng();
            let forest = random_forest(seed, n_items, &shape, search);
            let on_device = forest.on_device(&gpu).unwrap();
            let histories: Vec<Vec<ItemId>> =
                [0, 1, 7, 80].iter().map(|n| (0..*n).map(|_| ItemId(rng.below(n_items as u32))).collect()).collect();
            let queries: Vec<&[ItemId]> = histories.iter().map(Vec::as_slice).collect();
            let seen: Vec<ItemId> = (0..n_items as u32).step_by(3).map(ItemId).collect();
            for filter in [ItemFilter::all(), ItemFilter::seen(&seen).unwrap()] {
                for k in [0, 3, 10] {
                    let (mut got, mut want) = (vec![TopK::new(); 4], vec![TopK::new(); 4]);
                    on_device.top_k_batch(&queries, k, &[filter], &mut got).unwrap();
                    forest.top_k_batch(&queries, k, &[filter], &mut want).unwrap();
                    assert_eq!(got, want, "seed {seed}, {n_items} items, k {k}");
                }
            }
            retriever_refuses(&on_device, &[ItemId(0)], &[ItemId(n_items as u32)]);
        }
    }
}
