//! Search on a device against search on the processor: the same ids and bits, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone.
#![cfg(feature = "cuda")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use rectify_cascade::device::SOURCE;
use rectify_cascade::{CascadeIndex, CascadeParts, ModuleParts, REJECTED, Rejection, RejectionRatios};
use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, ItemId, Retriever, TopK, UserId};
use rectify_cuda::{Architecture, Gpu, GpuError, compile};

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

fn random_parts(seed: u64, [n_users, n_items, d, n_modules]: [usize; 4]) -> CascadeParts {
    let mut rng = Seed(seed).stream("cascade").rng();
    let mut draw = |n: usize, std: f64| (0..n).map(|_| (std * rng.normal()) as f32).collect::<Vec<f32>>();
    let wide = |n: usize| if n == 0 { d } else { 2 * d };
    let std = 1.0 / (d as f64).sqrt();
    let module =
        |n: usize| ModuleParts { decision: draw(wide(n), std), bias: draw(1, 0.1)[0], weight: draw(wide(n) * d, std) };
    let modules = (0..n_modules).map(module).collect();
    CascadeParts {
        embedding_dim: d,
        users: draw(n_users * d, 1.0).into(),
        items: draw(n_items * d, 1.0).into(),
        modules,
        score: draw(wide(n_modules), std),
        score_bias: 0.25,
    }
}

#[test]
fn stages_give_the_lists_of_the_processor() {
    let rules: [&dyn Fn(usize) -> Rejection; 4] = [
        &Rejection::learned,
        &|_| Rejection::Never,
        &|n| Rejection::Above(vec![-0.3; n]),
        // Everything is rejected in the first stage.
        &|n| Rejection::Above(vec![f32::NEG_INFINITY; n]),
    ];
    for gpu in devices() {
        for shape in [[2, 1, 1, 1], [3, 255, 16, 2], [3, 256, 17, 3], [2, 300, 40, 1], [3, 70, 5, 0]] {
            for rule in rules {
                let seed = fresh();
                let index = CascadeIndex::new(random_parts(seed, shape), rule(shape[3])).unwrap();
                let on_device = index.on_device(&gpu).unwrap();
                let users: Vec<UserId> = (0..shape[0] as u32).map(UserId).collect();
                let users: Vec<&UserId> = users.iter().collect();
                let seen: Vec<ItemId> = (0..shape[1] as u32).step_by(3).map(ItemId).collect();
                let mut filled = 0;
                for (filter, k) in [(ItemFilter::all(), 20), (ItemFilter::seen(&seen).unwrap(), shape[1])] {
                    let (mut got, mut want) = (vec![TopK::new(); shape[0]], vec![TopK::new(); shape[0]]);
                    on_device.top_k_batch(&users, k, &[filter], &mut got).unwrap();
                    index.top_k_batch(&users, k, &[filter], &mut want).unwrap();
                    assert_eq!(got, want, "seed {seed}, {shape:?}, {:?}", index.rejection());
                    filled += got.iter().flat_map(TopK::hits).filter(|hit| hit.score <= REJECTED).count();
                }
                if shape[3] > 0 && index.rejection() == &Rejection::Above(vec![f32::NEG_INFINITY; shape[3]]) {
                    assert!(filled > 0, "rejected items fill the lists");
                }
                assert!(on_device.top_k(&UserId(9), 1, &ItemFilter::all(), &mut TopK::new()).is_err());
            }
        }
    }
}

#[test]
fn shares_stay_on_the_processor_and_say_so() {
    let Some(gpu) = devices().pop() else { return };
    let rule = Rejection::Share(RejectionRatios::new(&[0.5]).unwrap());
    let index = CascadeIndex::new(random_parts(1, [1, 9, 4, 1]), rule).unwrap();
    let error = index.on_device(&gpu).unwrap_err().to_string();
    assert!(error.contains("rejects by share") && error.contains("calibrated"), "{error}");
}
