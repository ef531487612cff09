use rectify_core::{ItemFilter, Retriever, TopK};
use rectify_data::InteractionsBuilder;
use rectify_tensor::testing::trainer;
use rectify_tensor::{Optimizer, Sgd};

use super::*;
use crate::learn::factors::trained;
use crate::learn::fixture::{self, run};

/// The groups of the fixture, every user's items in a random order of time.
fn timed(n_users: u32, n_items: u32) -> Interactions {
    let mut builder = InteractionsBuilder::new(n_users as usize, n_items as usize).with_times();
    let mut rng = Seed(2).stream("times").rng();
    for (user, item) in fixture::clusters(n_users, n_items).pairs() {
        builder.push_event(user, item, i64::from(rng.below(1000)), 1.0);
    }
    builder.build().unwrap().0
}

fn small(hidden: Option<Vec<usize>>) -> TowersConfig {
    TowersConfig {
        embedding_dim: 8,
        hidden,
        history_len: 7,
        min_history: 3,
        n_negatives: 6,
        batch_size: 90,
        optimizer: Optimizer::adam(0.01),
        ..TowersConfig::default()
    }
}

fn both() -> [TowersConfig; 2] {
    [small(None), small(Some(vec![12, 10]))]
}

fn fitted(train: &Interactions, config: &TowersConfig, epochs: u32) -> (Factors, FitReport) {
    fit(train, None, config, run(epochs)).unwrap()
}

#[test]
fn what_is_learned_from_some_users_answers_all() {
    let train = timed(200, 90);
    let learners: Vec<UserId> = (0..100).map(UserId).collect();
    for similarity in [Similarity::default(), Similarity::Dot] {
        for config in both().map(|config| TowersConfig { similarity, ..config }) {
            let (model, report) = fit(&train, Some(&learners), &config, run(12)).unwrap();
            let mut right = 0;
            let mut top = TopK::new();
            for user in (100..200).map(UserId) {
                let seen = ItemFilter::seen(train.items_of(user)).unwrap();
                model.top_k(&user, 5, &seen, &mut top).unwrap();
                right += top.items().filter(|item| item.0 % 4 == user.0 % 4).count();
            }
            // Usually 246 or more; a guess has 125 of 500, give or take 10.
            assert!(right > 190, "{similarity:?} {}: {right}", config.model());
            let (first, last) = (report.history[0].loss, report.history[11].loss);
            assert!(last < first - 0.1, "{first} {last}");
        }
    }
}

/// The loss of a batch in double precision, from tables and layers laid out one after the other.
fn reference(config: &TowersConfig, n_items: usize, drawn: &Drawn, values: &[f64]) -> f64 {
    let dim = config.embedding_dim;
    let (history, rest) = values.split_at(n_items * dim);
    let (items, mut layers) = rest.split_at(n_items * dim);
    let unit = |x: &[f64]| -> Vec<f64> {
        let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        x.iter().map(|x| x / length).collect()
    };
    let mut widths = vec![];
    if let Some(hidden) = &config.hidden {
        widths = [dim].into_iter().chain(hidden.iter().copied()).chain([dim]).collect();
    }
    let mut sized = Vec::new();
    for pair in widths.windows(2) {
        let (weight, rest) = layers.split_at(pair[0] * pair[1]);
        let (bias, rest) = rest.split_at(pair[1]);
        sized.push((weight, bias));
        layers = rest;
    }
    let mut start = 0;
    let total: f64 = drawn
        .ends
        .iter()
        .enumerate()
        .map(|(row, end)| {
            let own = &drawn.history[start..*end as usize];
            start = *end as usize;
            let mut x: Vec<f64> = (0..dim)
                .map(|d| own.iter().map(|a| history[*a as usize * dim + d]).sum::<f64>() / own.len() as f64)
                .collect();
            for (weight, bias) in &sized {
                let width = bias.len();
                x = (0..width)
                    .map(|o| {
                        (bias[o] + x.iter().enumerate().map(|(i, x)| x * weight[i * width + o]).sum::<f64>()).max(0.0)
                    })
                    .collect();
            }
            let scores = drawn.items[row * drawn.width..][..drawn.width].iter().enumerate().map(|(at, item)| {
                let v = &items[*item as usize * dim..][..dim];
                let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                let score = match config.similarity {
                    Similarity::Dot => dot(&x, v),
                    Similarity::Cosine { temperature } => dot(&unit(&x), &unit(v)) / temperature,
                };
                score + if at == 0 { 0.0 } else { f64::from(drawn.correction) }
            });
            let scores: Vec<f64> = scores.collect();
            scores.iter().map(|x| x.exp()).sum::<f64>().ln() - scores[0]
        })
        .sum();
    total / drawn.ends.len() as f64
}

/// All parameters in the order that [`reference`] reads.
fn flat(model: &Model<'_>) -> Vec<f64> {
    let Keys { history, items, layers } = &model.keys;
    let mut all = model.params.rows(*history).values().to_vec();
    all.extend(model.params.rows(*items).values());
    for (weight, bias) in layers {
        all.extend(model.params.dense(*weight).values());
        all.extend(model.params.dense(*bias).values());
    }
    all.into_iter().map(f64::from).collect()
}

#[test]
fn loss_and_gradients_are_those_of_the_definition() {
    let train = timed(40, 40);
    let rate = 0.5;
    let optimizer = Optimizer::Sgd(Sgd { learning_rate: rate, ..Sgd::default() });
    for similarity in [Similarity::Cosine { temperature: 0.5 }, Similarity::Dot] {
        for config in both().map(|config| TowersConfig { similarity, optimizer, init_std: 0.6, ..config }) {
            let samples = Samples::new(&train, None, &config).unwrap();
            let mut model = Model::new(40, &config, Seed(5));
            for (_, bias) in &model.keys.layers {
                // Away from the kinks of ReLU.
                model.params.dense_mut([*bias])[0].values_mut().fill(0.4);
            }
            let drawn = model.draw((&samples, &samples.order(Seed(1), 1)[..11]), 1, 0, Seed(4));
            let before = flat(&model);
            let loss = model.step(&drawn).unwrap();
            let want = reference(&config, 40, &drawn, &before);
            assert!((loss - want).abs() < 1e-5 * want, "{loss} {want}");
            let gradient = fixture::numeric_gradient(&before, |x| reference(&config, 40, &drawn, x));
            let after = flat(&model);
            assert!(gradient.iter().filter(|g| g.abs() > 1e-3).count() > 50, "there is something to compare");
            for (at, ((before, after), want)) in before.iter().zip(&after).zip(&gradient).enumerate() {
                let got = (before - after) / rate;
                assert!((got - want).abs() < 1e-5 + 1e-4 * want.abs(), "value {at}: {got} {want}");
            }
        }
    }
}

#[test]
fn the_loss_is_the_one_worked_out_by_hand() {
    let config = TowersConfig { embedding_dim: 2, similarity: Similarity::Dot, ..TowersConfig::fm() };
    let mut model = Model::new(4, &config, Seed(1));
    let [history, items] = model.params.rows_mut([model.keys.history, model.keys.items]);
    history.values_mut()[..2].copy_from_slice(&[1.0, 1.0]);
    items.values_mut().copy_from_slice(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 0.0]);
    let (users, table) = model.vectors([&[ItemId(0)][..]].into_iter()).unwrap();
    let factors = trained("fm", &config, &users, &table, 2).unwrap();
    let mut top = TopK::new();
    factors.top_k(&UserId(0), 4, &ItemFilter::all(), &mut top).unwrap();
    assert_eq!(top.items().map(|item| item.0).collect::<Vec<_>>(), [2, 0, 1, 3]);
    // All others once, as they are.
    let drawn = Drawn { history: vec![0], ends: vec![1], items: vec![2, 0, 1, 3], width: 4, correction: 0.0 };
    let loss = model.step(&drawn).unwrap();
    assert!((loss - 0.579_724_2).abs() < 1e-6, "{loss}");
}

#[test]
fn drawn_items_are_others_and_their_scores_corrected() {
    let train = timed(20, 16);
    let config = small(None);
    let samples = Samples::new(&train, None, &config).unwrap();
    let chosen: Vec<u32> = (0..samples.len() as u32).collect();
    let draw = |n_negatives, first: usize| {
        let config = TowersConfig { n_negatives, ..config.clone() };
        Model::new(16, &config, Seed(1)).draw((&samples, &chosen[first..]), 2, first, Seed(4))
    };
    let some = draw(6, 0);
    assert_eq!(some.width, 7);
    assert!((f64::from(some.correction) + (6.0f64 / 15.0).ln()).abs() < 1e-6);
    for (row, sample) in some.items.chunks(7).zip(&chosen) {
        let (target, history) = samples.get(*sample);
        assert!(row[0] == target.0 && row[1..].iter().all(|item| *item != target.0 && *item < 16));
        assert!((3..=7).contains(&history.len()), "what counts of a history");
    }
    assert_eq!(draw(6, 5).items, some.items[35..], "draws belong to samples, whatever the batch");
    for m in [15, 40] {
        let all = draw(m, 0);
        assert_eq!((all.width, all.correction), (16, 0.0));
        let mut row = all.items[..16].to_vec();
        row.sort_unstable();
        assert_eq!(row, (0..16).collect::<Vec<u32>>());
    }
}

#[test]
fn a_users_vector_is_that_of_its_latest_items() {
    let train = timed(40, 90);
    let config = TowersConfig { similarity: Similarity::Dot, ..small(None) };
    let (model, _) = fitted(&train, &config, 1);
    let again = Samples::new(&train, None, &config).unwrap();
    let times = train.times_of(UserId(3)).unwrap();
    let newest = train.items_of(UserId(3))[(0..times.len()).max_by_key(|&at| (times[at], at)).unwrap()];
    assert_eq!(again.query(3)[0], newest);
    assert_eq!(again.query(3).len(), train.items_of(UserId(3)).len().min(7));
    // Nothing known: nothing liked, and nothing that is no number.
    let empty = fixture::EMPTY_USER;
    assert!(again.query(empty.index()).is_empty());
    assert!(model.user(empty).unwrap().iter().all(|x| *x == 0.0));
    for config in both() {
        let (model, _) = fitted(&train, &config, 1);
        assert!(model.user(empty).unwrap().iter().all(|x| x.is_finite()));
    }
}

#[test]
fn training_keeps_the_promises_of_a_trainer() {
    let train = timed(150, 130);
    for config in both() {
        trainer(|run| fit(&train, None, &config, run));
    }
}

#[test]
fn what_cannot_be_learned_from_is_named() {
    let train = timed(60, 40);
    let refused = |train: &Interactions, users: Option<&[UserId]>, config: TowersConfig| {
        fit(train, users, &config, run(1)).unwrap_err().to_string()
    };
    let timeless = refused(&fixture::clusters(60, 40), None, small(None));
    assert!(timeless.starts_with("what comes next is learned from times, but the data has no times"), "{timeless}");
    assert_eq!(
        refused(&train, Some(&[UserId(60)]), small(None)),
        "user 60 is to be learned from, but the data has 60 users"
    );
    let few = refused(&train, Some(&[fixture::EMPTY_USER]), small(None));
    assert!(few.starts_with("no user of 1 has more than 3 interactions"), "{few}");
    assert!(refused(&train, Some(&[]), small(None)).starts_with("no user of 0"));
    assert_eq!(
        refused(&train, None, small(Some(vec![3, 0]))),
        "youtube-dnn: hidden is 0, expected widths of at least 1"
    );
    let bad = |change: fn(&mut TowersConfig)| {
        let mut config = small(None);
        change(&mut config);
        refused(&train, None, config)
    };
    assert_eq!(bad(|c| c.embedding_dim = 0), "fm: embedding_dim is 0, expected at least 1");
    assert!(bad(|c| c.similarity = Similarity::Cosine { temperature: 0.0 }).contains("temperature is 0"));
    assert!(bad(|c| c.history_len = 0).contains("history_len is 0"));
    assert!(bad(|c| c.min_history = 0).contains("min_history is 0"));
    assert!(bad(|c| c.n_negatives = 0).contains("n_negatives is 0"));
    assert!(bad(|c| c.batch_size = 0).contains("batch_size is 0"));
    assert!(bad(|c| c.batch_size = usize::MAX).contains("fewer than 2^32 items"));
    assert!(bad(|c| c.init_std = 0.0).contains("init_std is 0"));
    assert!(bad(|c| c.optimizer = Optimizer::adam(-1.0)).contains("learning_rate is -1"));
}

#[test]
fn a_catalogue_of_one_item_has_nothing_to_choose() {
    let mut builder = InteractionsBuilder::new(2, 2).with_times();
    builder.push_event(UserId(0), ItemId(0), 1, 1.0);
    builder.push_event(UserId(0), ItemId(1), 2, 1.0);
    builder.push_event(UserId(1), ItemId(0), 1, 1.0);
    let train = builder.build().unwrap().0;
    let config = TowersConfig { min_history: 1, ..small(None) };
    let (model, report) = fitted(&train, &config, 1);
    assert!(report.history[0].loss.is_finite() && model.n_users() == 2);
    let one = Model::new(1, &config, Seed(1));
    let samples = Samples::new(&train, None, &config).unwrap();
    assert_eq!(one.draw((&samples, &[]), 1, 0, Seed(1)).width, 1);
}
