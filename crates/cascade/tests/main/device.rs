//! Search on a device against search on the CPU: the same ids and bits, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use rectify_cascade::device::SOURCE;
use rectify_cascade::{CascadeIndex, REJECTED, Rejection, RejectionRatios};
use rectify_core::{Catalogue, ItemFilter, ItemId, Retriever, TopK, UserId, testing};
use rectify_cuda::testing::{check_ptx, devices, fresh_seed};

use super::random_parts;

fn skip(why: &str) {
    eprintln!("{why}");
}

#[test]
fn the_kernel_becomes_ptx_for_hopper() {
    check_ptx(&[&SOURCE], skip);
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
    for gpu in devices(skip) {
        for shape in [[2, 1, 1, 1], [3, 255, 16, 2], [3, 256, 17, 3], [2, 300, 40, 1], [3, 70, 5, 0]] {
            for rule in rules {
                let seed = fresh_seed();
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
                testing::retriever_refuses(&on_device, &UserId(0), &UserId(9));
            }
        }
    }
}

#[test]
fn shares_stay_on_the_processor_and_say_so() {
    let Some(gpu) = devices(skip).pop() else { return };
    let rule = Rejection::Share(RejectionRatios::new(&[0.5]).unwrap());
    let index = CascadeIndex::new(random_parts(1, [1, 9, 4, 1]), rule).unwrap();
    let error = index.on_device(&gpu).unwrap_err().to_string();
    assert!(error.contains("rejects by share") && error.contains("calibrated"), "{error}");
}

#[cfg(feature = "train")]
mod learning {
    use rectify_cascade::hdn::{self, HdnConfig, ScoreLoss};
    use rectify_cascade::{
        Adagrad, GpuOps, Interactions, Optimizer, QueryError, RowUpdate, Scorer, Seed, Sgd, TrainRun,
    };
    use rectify_tensor::testing;

    use super::*;

    const N_USERS: u32 = 24;
    const N_ITEMS: u32 = 20;

    /// A teacher that knows the group that users and items are in, and has a taste of its own within it.
    struct Groups;

    impl Groups {
        fn score(user: u32, item: u32) -> f32 {
            let taste = ((user * 31 + item * 17) % 97) as f32 / 97.0;
            if user % 4 == item % 4 { 1.0 + taste } else { taste - 3.0 }
        }
    }

    impl Catalogue for Groups {
        fn n_items(&self) -> usize {
            N_ITEMS as usize
        }
    }

    impl Scorer for Groups {
        type Query = UserId;

        fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            out.iter_mut().zip(items).for_each(|(out, item)| *out = Self::score(user.0, item.0));
            Ok(())
        }

        fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
            out.iter_mut().zip(0..).for_each(|(out, item)| *out = Self::score(user.0, item));
            Ok(())
        }
    }

    fn clusters() -> Interactions {
        let mut rng = Seed(1).stream("clusters").rng();
        let all = (0..N_USERS).flat_map(|user| (0..N_ITEMS).map(move |item| (user, item)));
        let pairs: Vec<_> = all.filter(|(u, i)| rng.unit_f32() < if u % 4 == i % 4 { 0.5 } else { 0.05 }).collect();
        Interactions::from_pairs(N_USERS as usize, N_ITEMS as usize, &pairs).unwrap()
    }

    fn small() -> HdnConfig {
        HdnConfig {
            embedding_dim: 6,
            rejection_ratios: vec![0.5, 0.75],
            n_negatives: 2,
            batch_size: 70,
            optimizer: Optimizer::adam(0.01),
            init_std: 0.5,
            ..HdnConfig::default()
        }
    }

    fn run(max_epochs: u32) -> TrainRun<'static, CascadeIndex> {
        TrainRun::new(Seed(3)).epochs(max_epochs)
    }

    /// All learned values.
    fn values(index: &CascadeIndex) -> Vec<f32> {
        let parts = index.parts();
        let modules = parts.modules.iter().flat_map(|m| m.decision.iter().chain(&m.weight).chain([&m.bias]));
        parts.users.iter().chain(parts.items.iter()).chain(modules).chain(&parts.score).copied().collect()
    }

    #[test]
    fn every_variant_learns_as_on_the_processor() {
        let data = clusters();
        let variants = [
            small(),
            small().nd(),
            small().nr_minus(),
            small().nr_nd(),
            HdnConfig { rejection_ratios: vec![], ..small() },
            HdnConfig { rejection_ratios: vec![0.6], bias: true, decision_weights: vec![0.3], ..small() },
            HdnConfig { rejection_ratios: vec![0.3, 0.6, 0.9], score_loss: ScoreLoss::Gaussian, ..small() },
            HdnConfig { temperature: 2.5, row_update: RowUpdate::Lazy, bias: true, ..small() },
            HdnConfig { optimizer: Optimizer::Sgd(Sgd { learning_rate: 0.1, weight_decay: 0.01 }), ..small() },
        ];
        for gpu in devices(skip) {
            let ops = GpuOps::new(gpu);
            for (at, config) in variants.iter().enumerate() {
                let (got, report) = hdn::fit_on(&ops, &data, Some(&Groups), config, run(3)).unwrap();
                let (want, expected) = hdn::fit(&data, Some(&Groups), config, run(3)).unwrap();
                assert_eq!((report.history.len(), got.rejection()), (3, want.rejection()), "{config:?}");
                for (got, want) in report.history.iter().zip(&expected.history) {
                    let (got, want) = (got.loss, want.loss);
                    assert!((got - want).abs() <= 1e-4 * want, "{config:?}: loss {got}, on the CPU {want}");
                }
                assert!(expected.history[2].loss < expected.history[0].loss, "{config:?}: it learns");
                let (got, want) = (values(&got), values(&want));
                let largest = want.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                for (place, (x, y)) in got.iter().zip(&want).enumerate() {
                    assert!((x - y).abs() <= 1e-3 * largest, "{config:?}: {place} is {x}, on the CPU {y}");
                }
                // Emulation is slow: not of all.
                if at % 4 == 0 {
                    testing::trainer(|run| hdn::fit_on(&ops, &data, Some(&Groups), config, run));
                }
            }
            let config = HdnConfig { optimizer: Optimizer::Adagrad(Adagrad::default()), ..small() };
            let refused = hdn::fit_on(&ops, &data, Some(&Groups), &config, run(1));
            let message = refused.unwrap_err().to_string();
            assert!(message.contains("optimizer.rule is adagrad, expected adam or sgd on a device"), "{message}");
        }
    }
}
