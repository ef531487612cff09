use rectify_data::Ragged;
use rectify_tensor::Optimizer;
use rectify_tensor::testing::trainer;

use super::*;
use crate::learn::fixture::{self, run};

/// Each item has the words 10 g and 10 g + 1 of its group g (more of the first), and a word of nobody else's.
fn text(n_items: u32) -> WordCounts {
    let rows: Vec<Vec<u32>> = (0..n_items).map(|item| vec![10 * (item % 4), 10 * (item % 4) + 1, 40 + item]).collect();
    let counts: Vec<u32> = (0..n_items).flat_map(|_| [3, 1, 1]).collect();
    WordCounts::new(40 + n_items as usize, Ragged::from_rows(rows), counts)
}

fn small() -> DssmConfig {
    DssmConfig {
        embedding_dim: 8,
        hidden: vec![12, 10],
        n_negatives: 2,
        batch_size: 60,
        optimizer: Optimizer::adam(0.01),
        ..DssmConfig::default()
    }
}

fn fitted(train: &Interactions, config: &DssmConfig, epochs: u32) -> (Factors, FitReport) {
    fit(train, &text(train.n_items() as u32), config, run(epochs)).unwrap()
}

#[test]
fn it_finds_the_held_out_item_and_lowers_its_loss() {
    let (train, targets) = fixture::held_out(200, 90);
    for hidden in [vec![], vec![12, 10]] {
        let (model, report) = fitted(&train, &DssmConfig { hidden, ..small() }, 12);
        let auc = fixture::auc(&model, &train, &targets);
        // Usually 0.89; 0.93 is the most that the four groups allow.
        assert!((0.82..0.95).contains(&auc), "{auc}");
        let (first, last) = (report.history[0].loss, report.history[11].loss);
        assert!(first < 0.7 && last < 0.5, "{first} {last}");
    }
}

#[test]
fn words_make_up_for_missing_interactions() {
    let (train, targets) = fixture::held_out(200, 90);
    // A sixth of the pairs is left.
    let pairs: Vec<(u32, u32)> =
        train.pairs().map(|(u, i)| (u.0, i.0)).filter(|(u, i)| (u * 31 + i * 17) % 6 == 0).collect();
    let sparse = Interactions::from_pairs(200, 90, &pairs).unwrap();
    let auc = |text: &WordCounts| {
        let fitted = fit(&sparse, text, &small(), run(20)).unwrap();
        fixture::auc(&fitted.0, &sparse, &targets)
    };
    let nothing: Vec<Vec<u32>> = (0..90).map(|item| vec![40 + item]).collect();
    let (words, none) = (auc(&text(90)), auc(&WordCounts::new(130, Ragged::from_rows(nothing), vec![1; 90])));
    assert!(words > none + 0.03, "{words} {none}");
}

#[test]
fn the_first_vectors_are_what_the_definition_says_in_double_precision() {
    let train = fixture::clusters(40, 30);
    let (config, text) = (DssmConfig { init_std: 0.3, ..small() }, text(30));
    let model = Model::new(&train, &text, &config, Seed(3));
    let dense = |key: DenseKey| {
        let param = model.params.dense(key);
        (param.shape(), param.values().iter().map(|x| f64::from(*x)).collect::<Vec<f64>>())
    };
    let times = |x: &[f64], key: DenseKey| -> Vec<f64> {
        let ([n_in, n_out], w) = dense(key);
        assert_eq!(x.len(), n_in);
        (0..n_out).map(|o| (0..n_in).map(|i| x[i] * w[i * n_out + o]).sum()).collect()
    };
    let got = model.items().unwrap();
    for item in 0..30 {
        let mut x = vec![0.0; 70];
        let (words, counts) = text.of_item(ItemId(item));
        words.iter().zip(counts).for_each(|(word, count)| x[*word as usize] = f64::from(*count) / 11f64.sqrt());
        for (weight, bias) in &model.keys.layers {
            x = times(&x, *weight).iter().zip(dense(*bias).1).map(|(z, b)| (z + b).tanh()).collect();
        }
        let own: Vec<f64> = model.params.rows(model.keys.items).row(item).iter().map(|x| f64::from(*x)).collect();
        let (own, text) = (times(&own, model.keys.own), times(&x, model.keys.text));
        for k in 0..8 {
            let want = own[k] + text[k] + dense(model.keys.bias).1[k];
            let got = f64::from(got[item as usize * 8 + k]);
            assert!((got - want).abs() < 1e-5, "item {item}: {got} {want}");
        }
    }
}

#[test]
fn training_keeps_the_promises_of_a_trainer() {
    let (train, text) = (fixture::clusters(150, 130), text(130));
    trainer(|run| fit(&train, &text, &small(), run));
}

#[test]
fn bad_settings_and_foreign_words_are_named() {
    let train = fixture::clusters(60, 40);
    let refused = |text: &WordCounts, config: DssmConfig| fit(&train, text, &config, run(1)).unwrap_err().to_string();
    let own = text(40);
    assert_eq!(
        refused(&text(41), small()),
        "the text has 41 items and 81 words, expected words of the data's 40 items"
    );
    assert!(refused(&WordCounts::new(0, Ragged::empty(40), vec![]), small()).contains("0 words"));
    assert_eq!(
        refused(&own, DssmConfig { hidden: vec![3, 0], ..small() }),
        "dssm: hidden is 0, expected widths of at least 1"
    );
    assert!(refused(&own, DssmConfig { embedding_dim: 0, ..small() }).contains("embedding_dim is 0"));
    assert!(refused(&own, DssmConfig { n_negatives: 0, ..small() }).contains("n_negatives is 0"));
    assert!(refused(&own, DssmConfig { batch_size: 0, ..small() }).contains("batch_size is 0"));
    assert!(refused(&own, DssmConfig { l2: -1.0, ..small() }).contains("l2 is -1"));
    assert!(refused(&own, DssmConfig { init_std: 0.0, ..small() }).contains("init_std is 0"));
    assert!(refused(&own, DssmConfig { optimizer: Optimizer::adam(-1.0), ..small() }).contains("learning_rate is -1"));
}

#[test]
fn an_item_without_words_has_its_own_vector_alone() {
    let train = fixture::clusters(60, 40);
    let rows: Vec<Vec<u32>> = (0..40).map(|item| if item == 5 { vec![] } else { vec![item % 4] }).collect();
    let text = WordCounts::new(4, Ragged::from_rows(rows), vec![2; 39]);
    let (model, _) = fit(&train, &text, &small(), run(1)).unwrap();
    assert!(model.item(ItemId(5)).unwrap().iter().all(|x| x.is_finite()));
}
