//! Search on a device against search on the processor: the same ids and bits, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone.
#![cfg(feature = "cuda")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, ItemId, Retriever, TopK};
use rectify_cuda::{Architecture, Gpu, GpuError, compile};
use rectify_quantize::device::SOURCE;
use rectify_quantize::{CodeIndex, CodeShape, Composition};

fn devices() -> Vec<Arc<Gpu>> {
    let emulated = Gpu::emulated().inspect_err(|error| eprintln!("skipped on the emulator: {error}"));
    let real = Gpu::open(0).inspect_err(|error| eprintln!("skipped on a GPU: {error}"));
    emulated.into_iter().chain(real).map(Arc::new).collect()
}

fn fresh() -> u64 {
    RandomState::new().hash_one("inputs")
}

#[test]
fn the_kernel_becomes_ptx_for_hopper() {
    match compile(&SOURCE, Architecture { major: 9, minor: 0 }) {
        Ok(ptx) => assert!(SOURCE.kernels.iter().all(|kernel| ptx.contains(&format!(".entry {kernel}(")))),
        Err(GpuError::NoCompiler) => eprintln!("skipped: {}", GpuError::NoCompiler),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn codes_give_the_lists_of_the_processor() {
    for gpu in devices() {
        for (n, b, w) in [(1, 1, 2), (63, 4, 256), (64, 5, 16), (65, 9, 8), (2048, 3, 64), (2500, 40, 256)] {
            for composition in [Composition::Sum, Composition::Product] {
                let seed = fresh();
                let mut rng = Seed(seed).rng();
                let shape = CodeShape { embedding_dim: 2 * b, n_codebooks: b, n_codewords: w, composition };
                let codebooks: Vec<f32> = (0..b * w * shape.codeword_dim()).map(|_| rng.normal() as f32).collect();
                // Few distinct codes, so that many items tie.
                let pool: Vec<Vec<u8>> = (0..90).map(|_| (0..b).map(|_| rng.below(w as u32) as u8).collect()).collect();
                let codes: Vec<u8> = (0..n).flat_map(|_| pool[rng.below(90) as usize].clone()).collect();
                let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
                let on_device = index.on_device(&gpu).unwrap();
                let queries: Vec<Vec<f32>> =
                    (0..3).map(|_| (0..2 * b).map(|_| rng.normal() as f32).collect()).collect();
                let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
                let seen: Vec<ItemId> = (0..n as u32).step_by(3).map(ItemId).collect();
                for filter in [ItemFilter::all(), ItemFilter::seen(&seen).unwrap()] {
                    let (mut got, mut want) = (vec![TopK::new(); 3], vec![TopK::new(); 3]);
                    on_device.top_k_batch(&queries, 20, &[filter], &mut got).unwrap();
                    index.top_k_batch(&queries, 20, &[filter], &mut want).unwrap();
                    assert_eq!(got, want, "seed {seed}, {n} items, {b} codebooks of {w}, {composition:?}");
                }
                assert!(on_device.top_k(&queries[0][1..], 1, &ItemFilter::all(), &mut TopK::new()).is_err());
            }
        }
    }
}
