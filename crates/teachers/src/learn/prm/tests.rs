use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, Retriever, Scorer, TopK, UserId, testing};
use rectify_data::Interactions;
use rectify_tensor::Optimizer;
use rectify_tensor::testing::trainer;
use rectify_tensor::train::TrainRun;

use super::{Prm, PrmConfig, Training, fit};
use crate::Factors;
use crate::learn::fixture;
use crate::mf::{self, MfConfig};

fn run<'a, M>(epochs: u32) -> TrainRun<'a, M> {
    TrainRun::new(Seed(1)).epochs(epochs)
}

fn first(train: &Interactions, epochs: u32) -> Factors {
    let config = MfConfig { embedding_dim: 8, optimizer: Optimizer::adam(0.01), ..MfConfig::default() };
    mf::fit(train, &config, run(epochs)).unwrap().0
}

fn small() -> PrmConfig {
    PrmConfig { list_len: 20, width: 8, optimizer: Optimizer::adam(0.01), ..PrmConfig::default() }
}

fn fitted(train: &Interactions, config: &PrmConfig, epochs: u32) -> Prm {
    fit(train, &first(train, 3), config, run(epochs)).unwrap().0
}

/// Scores of a list, written plainly in double precision.
fn plain(config: &PrmConfig, token: usize, tokens: &[f64], x: &[f64]) -> Vec<f64> {
    let (d, n) = (config.width, tokens.len() / token);
    let mut at = 0;
    let mut next = |size: usize| {
        at += size;
        &x[at - size..at]
    };
    let linear = |x: &[Vec<f64>], weight: &[f64], bias: &[f64]| -> Vec<Vec<f64>> {
        let row = |x: &Vec<f64>| {
            (0..bias.len())
                .map(|j| bias[j] + x.iter().enumerate().map(|(i, x)| x * weight[i * bias.len() + j]).sum::<f64>())
                .collect()
        };
        x.iter().map(row).collect()
    };
    let norm = |x: &[Vec<f64>], gain: &[f64], shift: &[f64]| -> Vec<Vec<f64>> {
        let row = |x: &Vec<f64>| {
            let mean = x.iter().sum::<f64>() / d as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
            (0..d).map(|j| (1.0 + gain[j]) * (x[j] - mean) / (variance + 1e-5).sqrt() + shift[j]).collect()
        };
        x.iter().map(row).collect()
    };
    let add = |x: &[Vec<f64>], y: &[Vec<f64>]| -> Vec<Vec<f64>> {
        x.iter().zip(y).map(|(x, y)| x.iter().zip(y).map(|(x, y)| x + y).collect()).collect()
    };
    let rows: Vec<Vec<f64>> = tokens.chunks_exact(token).map(<[f64]>::to_vec).collect();
    let (weight, bias, positions) = (next(token * d), next(d), next(config.list_len * d));
    let positions: Vec<Vec<f64>> = positions.chunks_exact(d).take(n).map(<[f64]>::to_vec).collect();
    let mut x = add(&linear(&rows, weight, bias), &positions);
    for _ in 0..config.n_blocks {
        let (weight, bias) = (next(3 * d * d), next(3 * d));
        let qkv = linear(&x, weight, bias);
        let width = d / config.n_heads;
        let mut heads = vec![vec![0.0; d]; n];
        for h in 0..config.n_heads {
            let part = |row: &Vec<f64>, which: usize| row[which * d + h * width..][..width].to_vec();
            for (i, out) in heads.iter_mut().enumerate() {
                let q = part(&qkv[i], 0);
                let logit = |row: &Vec<f64>| q.iter().zip(part(row, 1)).map(|(q, k)| q * k).sum::<f64>();
                let powers: Vec<f64> = qkv.iter().map(|row| (logit(row) / (width as f64).sqrt()).exp()).collect();
                let sum: f64 = powers.iter().sum();
                for (row, power) in qkv.iter().zip(&powers) {
                    let value = part(row, 2);
                    (0..width).for_each(|j| out[h * width + j] += power / sum * value[j]);
                }
            }
        }
        let (weight, bias) = (next(d * d), next(d));
        x = add(&x, &linear(&heads, weight, bias));
        let (gain, shift) = (next(d), next(d));
        x = norm(&x, gain, shift);
        let (weight, bias) = (next(d * d), next(d));
        let mut up = linear(&x, weight, bias);
        up.iter_mut().flatten().for_each(|x| *x = x.max(0.0));
        let (weight, bias) = (next(d * d), next(d));
        x = add(&x, &linear(&up, weight, bias));
        let (gain, shift) = (next(d), next(d));
        x = norm(&x, gain, shift);
    }
    let output = next(d);
    x.iter().map(|x| x.iter().zip(output).map(|(x, w)| x * w).sum()).collect()
}

#[test]
fn gradients_are_those_of_the_loss_written_plainly() {
    let train = fixture::clusters(12, 30);
    let first = first(&train, 3);
    let config = PrmConfig { list_len: 6, width: 4, n_blocks: 2, dropout: 0.0, ..PrmConfig::default() };
    let mut training = Training::new(&train, &first, &config, Seed(3)).unwrap();
    // Gains and shifts that are not 0, or nothing would be seen of them.
    for (at, key) in training.keys.clone().into_iter().enumerate() {
        let mut rng = Seed(5).at(0, at as u64);
        training.params.dense_mut([key])[0].values_mut().iter_mut().for_each(|x| *x += 0.2 * rng.normal() as f32);
    }
    let lists = [0u32, 3];
    let (loss, gradients) = training.gradients(1, &lists);
    let x: Vec<f64> =
        training.keys.iter().flat_map(|key| training.params.dense(*key).values()).map(|x| f64::from(*x)).collect();
    let total = |x: &[f64]| -> f64 {
        let of_list = |at: &u32| {
            let list = &training.lists[*at as usize];
            let tokens: Vec<f64> =
                super::tokens(&first, list.user, &list.items).unwrap().into_iter().map(f64::from).collect();
            let scores = plain(&config, 16, &tokens, x);
            let log_sum = scores.iter().map(|s| s.exp()).sum::<f64>().ln();
            scores.iter().zip(&list.clicked).filter(|(_, clicked)| **clicked).map(|(s, _)| log_sum - s).sum::<f64>()
        };
        lists.iter().map(of_list).sum()
    };
    assert!((loss - total(&x)).abs() < 1e-4 * loss, "{loss} {}", total(&x));
    let got: Vec<f32> = gradients.concat();
    for (at, (got, want)) in got.iter().zip(fixture::numeric_gradient(&x, |x| total(x) / 2.0)).enumerate() {
        assert!((f64::from(*got) - want).abs() < 2e-4 * want.abs().max(1.0), "{at}: {got} {want}");
    }
}

#[test]
fn it_learns_to_put_the_users_own_items_first() {
    let train = fixture::clusters(120, 60);
    // A first stage that knows what belongs together and has it the wrong way round.
    let good = first(&train, 60);
    let items: Vec<f32> = good.items().iter().map(|x| -x).collect();
    let first = Factors::from_vectors(good.users().to_vec(), items, good.dim(), good.provenance().clone()).unwrap();
    let config = PrmConfig { list_len: 60, ..small() };
    let (model, report) = fit(&train, &first, &config, TrainRun::new(Seed(3)).epochs(30)).unwrap();
    assert!(report.history[29].loss < 0.9 * report.history[0].loss, "{:?}", report.history);
    let hits = |lists: &dyn Retriever<Query = UserId>| {
        let mut top = TopK::new();
        let of_user = |user: UserId| {
            lists.top_k(&user, 5, &ItemFilter::all(), &mut top).unwrap();
            top.items().filter(|item| train.items_of(user).contains(item)).count()
        };
        train.users().map(of_user).sum::<usize>()
    };
    assert!(hits(&model) > hits(&first) + 200, "{} {}", hits(&model), hits(&first));
}

#[test]
fn it_keeps_the_promises_of_a_retriever_and_index_and_scores_nothing_alone() {
    let train = fixture::clusters(40, 50);
    let model = fitted(&train, &small(), 1);
    let users = [&UserId(0), &UserId(39), &fixture::EMPTY_USER];
    // Which items and how many are the first stage's business; their order is its own.
    testing::retriever(&model, &users, &testing::Oracle::scorer(model.first()).recall(0.0..=1.0));
    testing::retriever_refuses(&model, &UserId(0), &UserId(40));
    testing::index(&model, &users);
    let mut alone = TopK::new();
    model.first().top_k(&UserId(0), 20, &ItemFilter::all(), &mut alone).unwrap();
    let mut list = TopK::new();
    model.top_k(&UserId(0), 30, &ItemFilter::all(), &mut list).unwrap();
    let mut kept: Vec<_> = list.items().take(20).collect();
    let mut proposed: Vec<_> = alone.items().collect();
    kept.sort();
    proposed.sort();
    assert_eq!(kept, proposed, "the first twenty are the first stage's, the rest follow");
    assert!(model.score_into(&UserId(0), &[], &mut []).unwrap_err().to_string().contains("ask it for lists"));
}

#[test]
fn training_keeps_the_promises_of_a_trainer() {
    let train = fixture::clusters(60, 40);
    let first = first(&train, 3);
    trainer(|run| fit(&train, &first, &small(), run));
}

#[test]
fn bad_settings_and_bad_first_stages_are_named() {
    let train = fixture::clusters(20, 15);
    let refused = |first: &Factors, config: PrmConfig| fit(&train, first, &config, run(1)).unwrap_err().to_string();
    let good = first(&train, 1);
    assert!(refused(&good, PrmConfig { list_len: 0, ..small() }).contains("list_len is 0"));
    assert!(refused(&good, PrmConfig { n_heads: 3, ..small() }).contains("width is 8, expected in 1..=4096 and"));
    assert!(refused(&good, PrmConfig { dropout: 1.0, ..small() }).contains("dropout is 1"));
    assert!(refused(&good, PrmConfig { batch_size: 0, ..small() }).contains("batch_size is 0"));
    let other = first(&fixture::clusters(20, 16), 1);
    assert!(refused(&other, small()).contains("first is"));
    // A list longer than the catalogue is the catalogue.
    let model = fitted(&train, &PrmConfig { list_len: 100, ..small() }, 1);
    let mut top = TopK::new();
    model.top_k(&UserId(0), 100, &ItemFilter::all(), &mut top).unwrap();
    assert_eq!(top.hits().len(), 15);
}
