use std::path::Path;

use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, Retriever, Scorer, TopK, UserId, testing};
use rectify_data::Interactions;
use rectify_tensor::train::{Checkpoint, FitConfig, Silent};
use rectify_tensor::{Init, Optimizer};

use super::network::{Pass, arrays, attention};
use super::{Prm, PrmConfig, Training, fit};
use crate::mf::{self, MfConfig};
use crate::{Factors, fixture};

fn run(max_epochs: u32) -> FitConfig {
    FitConfig { max_epochs, patience: None, eval_every: 0, checkpoint: None }
}

fn first(train: &Interactions, epochs: u32) -> Factors {
    let config = MfConfig { embedding_dim: 8, optimizer: Optimizer::adam(0.01), ..MfConfig::default() };
    mf::fit(train, &config, &run(epochs), Seed(1), &mut |_| Ok(0.0), &mut Silent).unwrap().0
}

fn small() -> PrmConfig {
    PrmConfig { list_len: 20, width: 8, optimizer: Optimizer::adam(0.01), ..PrmConfig::default() }
}

fn fitted(train: &Interactions, config: &PrmConfig, run: &FitConfig) -> Prm {
    fit(train, &first(train, 3), config, run, Seed(1), &mut |_| Ok(0.0), &mut Silent).unwrap().0
}

#[test]
fn attention_is_that_of_the_worked_example() {
    let tokens = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let (mut weights, mut out) = (Vec::new(), vec![0.0; 6]);
    attention(2, [&tokens, &tokens, &tokens], &mut weights, &mut out);
    let want = [0.401112, 0.197776, 0.401112, 0.197776, 0.401112, 0.401112, 0.248255, 0.248255, 0.503490];
    assert!(weights.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{weights:?}");
    let scores: Vec<f32> = out.chunks_exact(2).map(|x| x[0] - x[1]).collect();
    assert!(scores.iter().zip([0.203336, -0.203336, 0.0]).all(|(got, want)| (got - want).abs() < 1e-6), "{scores:?}");
    let mut law = vec![0.0; 3];
    rectify_tensor::kernels::softmax_rows(&scores, 3, 1.0, &mut law);
    assert!(law.iter().zip([0.402923, 0.268291, 0.328786]).all(|(got, want)| (got - want).abs() < 1e-6), "{law:?}");
    assert!((-law[2].ln() - 1.112_347_1).abs() < 1e-6);
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
fn a_share_of_the_branches_is_left_out_in_training_alone() {
    let config = PrmConfig { dropout: 0.5, list_len: 4, width: 4, ..PrmConfig::default() };
    let mut store = rectify_tensor::ParamStore::new(Seed(1));
    let keys: Vec<_> = arrays(&config, 2)
        .into_iter()
        .map(|(name, r, c, _)| store.add_dense(&name, r, c, Init::Normal { std: 0.5 }))
        .collect();
    let weights: Vec<&[f32]> = keys.iter().map(|key| store.dense(*key).values()).collect();
    let tokens = vec![0.3, -0.2, 0.5, 0.1, -0.4, 0.7];
    let scores = |dropout: Option<u64>| {
        let mut pass = Pass::default();
        let mut rng = dropout.map(|index| Seed(2).at(0, index));
        pass.forward(&config, &weights, tokens.clone(), rng.as_mut());
        pass.scores
    };
    assert_eq!(scores(None), scores(None));
    assert_eq!(scores(Some(1)), scores(Some(1)));
    assert_ne!(scores(Some(1)), scores(Some(2)));
    assert_ne!(scores(Some(1)), scores(None));
}

#[test]
fn it_learns_to_put_the_users_own_items_first() {
    let train = fixture::clusters(120, 60);
    // A first stage that knows what belongs together and has it the wrong way round.
    let good = first(&train, 60);
    let items: Vec<f32> = good.items().iter().map(|x| -x).collect();
    let first = Factors::new(good.users().to_vec(), items, good.dim(), good.origin().clone()).unwrap();
    let config = PrmConfig { list_len: 60, ..small() };
    let (model, report) = fit(&train, &first, &config, &run(30), Seed(3), &mut |_| Ok(0.0), &mut Silent).unwrap();
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
fn it_keeps_the_promises_of_a_retriever_and_scores_nothing_alone() {
    let train = fixture::clusters(40, 50);
    let model = fitted(&train, &small(), &run(1));
    let users = [&UserId(0), &UserId(39), &fixture::EMPTY_USER];
    // Which items and how many are the first stage's business; their order is its own.
    testing::retriever(&model, &users, &testing::Oracle::scorer(model.first()).recall(0.0..=1.0));
    testing::retriever_refuses(&model, &UserId(0), &UserId(40));
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
fn files_do_not_depend_on_threads_and_a_resumed_run_ends_with_the_same_bits() {
    let train = fixture::clusters(60, 40);
    let folder = tempfile::tempdir().unwrap();
    let bytes = |model: &Prm, name: &str| {
        let path = folder.path().join(name);
        model.save(&path, Overwrite::Refuse).unwrap();
        std::fs::read(path).unwrap()
    };
    let one = fixture::with_threads(1, || fitted(&train, &small(), &run(2)));
    let three = fixture::with_threads(3, || fitted(&train, &small(), &run(2)));
    assert_eq!(bytes(&one, "one"), bytes(&three, "three"));
    let list = |model: &Prm| {
        let mut top = TopK::new();
        model.top_k(&UserId(3), 30, &ItemFilter::all(), &mut top).unwrap();
        top
    };
    assert_eq!(list(&Prm::open(&folder.path().join("one")).unwrap()), list(&one));

    let checkpoint = Checkpoint { path: folder.path().join("run"), run: "prm".into() };
    let part = |max_epochs| FitConfig { checkpoint: Some(checkpoint.clone()), ..run(max_epochs) };
    fitted(&train, &small(), &part(1));
    let (resumed, whole) = (fitted(&train, &small(), &part(3)), fitted(&train, &small(), &run(3)));
    assert_eq!(bytes(&resumed, "resumed"), bytes(&whole, "whole"));
    cut_short(&folder.path().join("one"));
}

fn cut_short(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() - 4]).unwrap();
    assert!(Prm::open(path).is_err());
}

#[test]
fn bad_settings_and_bad_first_stages_are_named() {
    let train = fixture::clusters(20, 15);
    let refused = |first: &Factors, config: PrmConfig| {
        fit(&train, first, &config, &run(1), Seed(1), &mut |_| Ok(0.0), &mut Silent).unwrap_err().to_string()
    };
    let good = first(&train, 1);
    assert!(refused(&good, PrmConfig { list_len: 0, ..small() }).contains("list_len is 0"));
    assert!(refused(&good, PrmConfig { n_heads: 3, ..small() }).contains("width is 8, expected in 1..=4096 and"));
    assert!(refused(&good, PrmConfig { dropout: 1.0, ..small() }).contains("dropout is 1"));
    assert!(refused(&good, PrmConfig { batch_size: 0, ..small() }).contains("batch_size is 0"));
    let other = first(&fixture::clusters(20, 16), 1);
    assert!(refused(&other, small()).contains("first is"));
    // A list longer than the catalogue is the catalogue.
    let model = fitted(&train, &PrmConfig { list_len: 100, ..small() }, &run(1));
    let mut top = TopK::new();
    model.top_k(&UserId(0), 100, &ItemFilter::all(), &mut top).unwrap();
    assert_eq!(top.hits().len(), 15);
}
