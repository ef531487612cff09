//! Search on a device against search on the CPU: the same ids and bits, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, ItemId, Retriever, TopK};
use rectify_cuda::testing::{check_ptx, devices, fresh_seed};
use rectify_hashing::device::SOURCE;
use rectify_hashing::{BinaryCodes, HammingIndex};

fn skip(why: &str) {
    eprintln!("{why}");
}

#[test]
fn the_kernel_becomes_ptx_for_hopper() {
    check_ptx(&[&SOURCE], skip);
}

#[test]
fn bits_give_the_lists_of_the_processor() {
    for gpu in devices(skip) {
        for (n, bits) in [(1, 1), (255, 8), (256, 31), (257, 64), (600, 65), (900, 192), (70, 1000)] {
            let seed = fresh_seed();
            let mut rng = Seed(seed).rng();
            let mut codes = |n: usize| {
                let signs: Vec<f32> = (0..n * bits).map(|_| rng.unit_f32() - 0.5).collect();
                BinaryCodes::from_signs(&signs, bits).unwrap()
            };
            let (items, asked) = (codes(n), codes(9));
            let index = HammingIndex::new(&items).unwrap();
            let on_device = index.on_device(&gpu).unwrap();
            let seen: Vec<ItemId> = (0..n as u32).step_by(3).map(ItemId).collect();
            for n_queries in [1, 8, 9] {
                let queries: Vec<&[u64]> = (0..n_queries).map(|q| asked.words_of(q)).collect();
                for filter in [ItemFilter::all(), ItemFilter::seen(&seen).unwrap()] {
                    let (mut got, mut want) = (vec![TopK::new(); n_queries], vec![TopK::new(); n_queries]);
                    on_device.top_k_batch(&queries, 50, &[filter], &mut got).unwrap();
                    index.top_k_batch(&queries, 50, &[filter], &mut want).unwrap();
                    assert_eq!(got, want, "seed {seed}, {n} items of {bits} bits");
                }
            }
            let too_long = vec![0; bits.div_ceil(64) + 1];
            assert!(on_device.top_k(&too_long, 1, &ItemFilter::all(), &mut TopK::new()).is_err());
        }
    }
}
