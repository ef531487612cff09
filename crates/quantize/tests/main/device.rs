//! Search on a device against search on the CPU: the same ids and bits, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, ItemId, Retriever, TopK};
use rectify_cuda::testing::{check_ptx, devices, fresh_seed};
use rectify_quantize::device::SOURCE;
use rectify_quantize::{CodeIndex, CodeShape, Composition};

fn skip(why: &str) {
    eprintln!("{why}");
}

#[test]
fn the_kernel_becomes_ptx_for_hopper() {
    check_ptx(&[&SOURCE], skip);
}

#[test]
fn codes_give_the_lists_of_the_processor() {
    for gpu in devices(skip) {
        for (n, b, w) in [(1, 1, 2), (63, 4, 256), (64, 5, 16), (65, 9, 8), (2048, 3, 64), (2500, 40, 256)] {
            for composition in [Composition::Sum, Composition::Product] {
                let seed = fresh_seed();
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

#[cfg(feature = "train")]
#[test]
fn light_rec_learns_as_on_the_processor() {
    use rectify_quantize::{
        Distillation, GpuOps, Interactions, LightRecConfig, Optimizer, Recurrence, TeacherVectors, TrainRun, light_rec,
    };

    let mut rng = Seed(1).rng();
    let (n_users, n_items, dim) = (20u32, 16u32, 6);
    let all = (0..n_users).flat_map(|user| (0..n_items).map(move |item| (user, item)));
    let pairs: Vec<(u32, u32)> = all.filter(|(u, i)| rng.unit_f32() < if u % 4 == i % 4 { 0.6 } else { 0.1 }).collect();
    let data = Interactions::from_pairs(n_users as usize, n_items as usize, &pairs).unwrap();
    let mut table = |n: u32| (0..n as usize * dim).map(|_| 0.5 * rng.normal() as f32).collect::<Vec<_>>();
    let teacher = TeacherVectors::new(table(n_users), table(n_items), dim).unwrap();
    let run = || TrainRun::new(Seed(3)).epochs(2);
    let config = |distillation| LightRecConfig {
        n_codebooks: 3,
        n_codewords: 8,
        n_negatives: 2,
        batch_size: 40,
        distillation,
        optimizer: Optimizer::adam(0.003),
        ..LightRecConfig::paper()
    };
    for gpu in devices(skip) {
        let ops = GpuOps::new(gpu);
        for distillation in [Distillation::InnerProduct { weight: 0.3 }, Distillation::None] {
            let config = config(distillation);
            let (got, report) = light_rec::fit_on(&ops, &data, &teacher, &config, run()).unwrap();
            let (want, expected) = light_rec::fit(&data, &teacher, &config, run()).unwrap();
            for (got, want) in report.history.iter().zip(&expected.history) {
                let apart = (got.loss - want.loss).abs();
                assert!(apart <= 1e-4 * want.loss, "{distillation:?}: loss {}, on the CPU {}", got.loss, want.loss);
            }
            for (got, want) in got.users().iter().zip(&want.users()[..]) {
                assert!((got - want).abs() <= 2e-3, "{distillation:?}: {got}, on the CPU {want}");
            }
        }
        let other = LightRecConfig { recurrence: Recurrence::None, ..config(Distillation::None) };
        let refused = light_rec::fit_on(&ops, &data, &teacher, &other, run());
        assert!(refused.unwrap_err().to_string().contains("recurrence is None, expected residual on a device"));
    }
}
