use rectify_core::{ItemId, Scorer, Teacher, UserId, testing};
use rectify_tensor::testing::trainer;

use super::*;
use crate::learn::fixture::{self, run};
use crate::mf::{self, MfConfig};

fn small() -> ConvNcfConfig {
    ConvNcfConfig {
        embedding_dim: 8,
        channels: 6,
        batch_size: 100,
        l2_embeddings: 1e-4,
        l2_filters: 1e-4,
        l2_output: 1e-4,
        optimizer: Optimizer::adam(0.005),
        warm_up_epochs: 0,
        init_std: 0.3,
    }
}

fn fitted(train: &Interactions, config: &ConvNcfConfig, epochs: u32) -> (ConvNcf, FitReport) {
    fit(train, None, config, run(epochs)).unwrap()
}

/// Scores as the convolution is written, over maps in rows and columns.
fn plain(d: usize, channels: usize, p: &[f64], q: &[f64], weights: &[f64]) -> f64 {
    let mut map: Vec<Vec<Vec<f64>>> = p.iter().map(|p| q.iter().map(|q| vec![p * q]).collect()).collect();
    let mut at = 0;
    let mut size = d;
    while size > 1 {
        let inputs = map[0][0].len();
        let (weight, bias) = weights[at..].split_at(4 * inputs * channels);
        at += (4 * inputs + 1) * channels;
        size /= 2;
        let value = |a: usize, b: usize, c: usize| {
            let mut sum = bias[c];
            for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                for (k, x) in map[2 * a + i][2 * b + j].iter().enumerate() {
                    sum += x * weight[((2 * i + j) * inputs + k) * channels + c];
                }
            }
            sum.max(0.0)
        };
        map = (0..size).map(|a| (0..size).map(|b| (0..channels).map(|c| value(a, b, c)).collect()).collect()).collect();
    }
    let (output, bias) = weights[at..].split_at(channels);
    map[0][0].iter().zip(output).map(|(x, w)| x * w).sum::<f64>() + bias[0]
}

#[test]
fn gradients_are_central_differences_of_the_written_convolution() {
    let data = Interactions::from_pairs(3, 5, &[(0, 0), (0, 1), (1, 3), (2, 3), (2, 4)]).unwrap();
    for (d, channels) in [(2, 3), (8, 4)] {
        let (l2_embeddings, l2_filters, l2_output) = (0.3, 0.2, 0.1);
        let config = ConvNcfConfig {
            embedding_dim: d,
            channels,
            init_std: 0.9,
            l2_embeddings,
            l2_filters,
            l2_output,
            ..small()
        };
        let mut training = Training::new(&data, None, &config, Seed(6)).unwrap();
        let Training { batches, params, keys, users, items, positions, .. } = &mut training;
        let _ = batches.for_each(1, 5, 1, |drawn| {
            let sums = gradients(params, keys, &config, positions, (users, items), drawn);
            let mut x = [params.rows(keys.users).values(), params.rows(keys.items).values()].concat();
            let mut got = vec![0.0; x.len()];
            for (rows, gradient, first) in [(users.rows(), &sums.users, 0), (items.rows(), &sums.items, 3)] {
                for (row, gradient) in rows.iter().zip(gradient.chunks(d)) {
                    got[(first + *row as usize) * d..][..d].copy_from_slice(gradient);
                }
            }
            let dense = |key| params.dense(key).values();
            for ((weight, bias), gradient) in keys.layers.iter().zip(&sums.weights.layers) {
                x.extend([dense(*weight), dense(*bias)].concat());
                got.extend([&gradient.0[..], &gradient.1].concat());
            }
            x.extend([dense(keys.output), dense(keys.bias)].concat());
            got.extend([&sums.weights.output[..], &[sums.weights.bias]].concat());
            let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let half = |values: &[f64]| values.iter().map(|x| 0.5 * x * x).sum::<f64>();
            let loss = |x: &[f64]| {
                let (vectors, weights) = x.split_at(8 * d);
                let mut total = 0.0;
                for ((u, i), j) in drawn.users.iter().zip(drawn.positives).zip(drawn.negatives) {
                    let vector = |row: usize| &vectors[row * d..][..d];
                    let (p, q, r) = (vector(*u as usize), vector(3 + *i as usize), vector(3 + *j as usize));
                    let margin = plain(d, channels, p, q, weights) - plain(d, channels, p, r, weights);
                    total += (-margin).exp().ln_1p();
                    total += l2_embeddings * [p, q, r].map(half).iter().sum::<f64>();
                }
                let mut at = 0;
                for (inputs, outputs) in config.layers() {
                    total += l2_filters * half(&weights[at..at + inputs * outputs]);
                    at += (inputs + 1) * outputs;
                }
                total + l2_output * half(&weights[at..at + channels])
            };
            for (at, (got, want)) in got.iter().zip(fixture::numeric_gradient(&x, loss)).enumerate() {
                assert!((f64::from(*got) - want).abs() < 2e-5 * want.abs().max(1.0), "{d} {at}: {got} {want}");
            }
            Err(())
        });
    }
}

#[test]
fn with_and_without_a_start_it_finds_the_held_out_item_better_than_popularity() {
    let (train, targets) = fixture::held_out(200, 90);
    let popular = fixture::auc(&crate::pop_rank::fit(&train).unwrap(), &train, &targets);
    let mf = MfConfig { embedding_dim: 8, optimizer: Optimizer::adam(0.01), ..MfConfig::default() };
    let (start, _) = mf::fit(&train, &mf, run(10)).unwrap();
    for start in [None, Some(&start)] {
        let (model, report) = fit(&train, start, &small(), run(12)).unwrap();
        let auc = fixture::auc(&model, &train, &targets);
        // 0.93 is the most that the four groups allow.
        assert!((0.75..0.95).contains(&auc) && auc > popular + 0.15, "{auc}, popularity {popular}");
        assert!(report.history[11].loss < report.history[0].loss);
    }
}

#[test]
fn it_keeps_every_promise_and_is_a_black_box() {
    let train = fixture::clusters(40, 100);
    let (model, _) = fitted(&train, &small(), 1);
    let users = [&UserId(0), &UserId(39), &fixture::EMPTY_USER];
    testing::scorer(&model, &users);
    testing::scorer_refuses(&model, &UserId(40));
    testing::retriever(&model, &users, &testing::Oracle::scorer(&model));
    testing::retriever_refuses(&model, &UserId(0), &UserId(40));
    testing::index(&model, &users);
    assert!(model.hidden().is_none());
}

#[test]
fn training_keeps_the_promises_of_a_trainer_through_the_warm_up() {
    let train = fixture::clusters(60, 40);
    let config = ConvNcfConfig { warm_up_epochs: 1, optimizer: ConvNcfConfig::default().optimizer, ..small() };
    trainer(|run| fit(&train, None, &config, run));
}

#[test]
fn bad_settings_and_bad_starts_are_named() {
    let train = fixture::clusters(20, 15);
    let refused = |config: ConvNcfConfig| fit(&train, None, &config, run(1)).unwrap_err().to_string();
    for embedding_dim in [0, 1, 12, 512] {
        let message = refused(ConvNcfConfig { embedding_dim, ..small() });
        assert_eq!(message, format!("conv-ncf: embedding_dim is {embedding_dim}, expected a power of two in 2..=256"));
    }
    assert!(refused(ConvNcfConfig { channels: 0, ..small() }).contains("channels is 0"));
    assert!(refused(ConvNcfConfig { batch_size: 0, ..small() }).contains("batch_size is 0"));
    assert!(refused(ConvNcfConfig { l2_filters: -1.0, ..small() }).contains("l2_filters is -1"));
    assert!(refused(ConvNcfConfig { init_std: 0.0, ..small() }).contains("init_std is 0"));
    let mf = MfConfig { embedding_dim: 4, ..MfConfig::default() };
    let (start, _) = mf::fit(&train, &mf, run(1)).unwrap();
    let error = fit(&train, Some(&start), &small(), run(1)).unwrap_err().to_string();
    assert!(error.contains("start is [80, 60, 4] (users, items, width)"), "{error}");

    let (model, _) = fitted(&train, &small(), 1);
    let error = model.score_into(&UserId(0), &[ItemId(15)], &mut [0.0]).unwrap_err();
    assert!(matches!(error, rectify_core::QueryError::UnknownItem { .. }));
}
