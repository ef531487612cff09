use rectify_core::{Index, Scorer, UserId};
use rectify_tensor::{Optimizer, testing};

use super::*;
use crate::{FitConfig, TeacherError};

const RANKED: Distillation =
    Distillation::RankedInnerProduct { weight: 0.3, ranking_weight: 0.2, ranking_temperature: 0.5 };

/// Users and items in four groups, and vectors that know them with some noise.
fn world(n_users: u32, n_items: u32) -> (Interactions, TeacherVectors) {
    let mut rng = Seed(1).stream("world").rng();
    let mut pairs = Vec::new();
    for user in 0..n_users {
        for item in 0..n_items {
            let share = if user % 4 == item % 4 { 0.4 } else { 0.03 };
            if rng.unit_f32() < share {
                pairs.push((user, item));
            }
        }
    }
    let data = Interactions::from_pairs(n_users as usize, n_items as usize, &pairs).unwrap();
    let dim = 12;
    let mut table = |n: u32| -> Vec<f32> {
        (0..n)
            .flat_map(|row| {
                let noise: Vec<f64> = (0..dim).map(|_| 0.3 * rng.normal()).collect();
                noise
                    .into_iter()
                    .enumerate()
                    .map(move |(k, x)| (x + if k as u32 % 4 == row % 4 { 1.0 } else { 0.0 }) as f32)
            })
            .collect()
    };
    let (users, items) = (table(n_users), table(n_items));
    (data, TeacherVectors::new(users, items, dim).unwrap())
}

fn small() -> LightRecConfig {
    LightRecConfig {
        n_codebooks: 3,
        n_codewords: 8,
        n_negatives: 3,
        batch_size: 300,
        optimizer: Optimizer::adam(0.01),
        ..LightRecConfig::paper()
    }
}

/// A training of so many epochs.
fn run(max_epochs: u32) -> TrainRun<'static, CodedFactors> {
    TrainRun::new(Seed(3)).epochs(max_epochs)
}

/// Every similarity, recurrence and distillation once at least, with frozen and trained items.
fn variants() -> Vec<LightRecConfig> {
    let none = Distillation::None;
    let mut all = Vec::new();
    for (similarity, recurrence, distillation, train_items) in [
        (Similarity::Bilinear, Recurrence::Residual, Distillation::InnerProduct { weight: 0.4 }, false),
        (Similarity::Bilinear, Recurrence::General, RANKED, true),
        (Similarity::Dot, Recurrence::Projected, Distillation::Euclidean { weight: 0.2 }, true),
        (Similarity::ScaledDot, Recurrence::None, none, true),
        (Similarity::Euclidean, Recurrence::Residual, none, false),
        (Similarity::RepresentationOnly, Recurrence::None, Distillation::Euclidean { weight: 0.2 }, false),
    ] {
        let codeword_bias = recurrence == Recurrence::General;
        all.push(LightRecConfig { similarity, recurrence, distillation, train_items, codeword_bias, ..small() });
    }
    all.push(LightRecConfig {
        row_update: rectify_tensor::RowUpdate::Lazy,
        kmeans_start: true,
        distillation: none,
        ..small()
    });
    all
}

#[test]
fn the_hand_written_step_has_the_loss_and_gradients_of_the_graph() {
    // More distinct items than two pieces of tiles hold.
    let (data, teacher) = world(60, 1300);
    for config in variants() {
        let config = LightRecConfig { batch_size: 700, n_negatives: 2, temperature: 0.3, ..config };
        let mut model = Model::new(&data, &teacher, &config, Seed(3)).unwrap();
        let batches = PositiveBatches::new(&data, Seed(3)).unwrap();
        // One batch is enough.
        let _ = batches.for_each(1, config.batch_size, config.n_negatives, |drawn| {
            model.batch.fill(drawn);
            assert!(model.batch.items.rows().len() > 1024 || teacher.n_items() < 1024);
            let loss = model.gradients();
            let (graph_loss, want) = graph::gradients(&model).unwrap();
            let squared = |values: &[f32]| values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let dim = teacher.dim();
            let row = |values: &[f32], slot: u32| squared(&values[slot as usize * dim..][..dim]);
            let norms: f64 = model.batch.user_slots.iter().map(|slot| row(&model.work.user_rows, *slot)).sum::<f64>()
                + model.batch.item_slots.iter().map(|slot| row(&model.work.decoded, *slot)).sum::<f64>();
            let whole = loss + 0.5 * config.l2 * norms / model.batch.n as f64;
            assert!(
                (whole - f64::from(graph_loss)).abs() < 2e-5 * whole.abs().max(1.0),
                "{config:?}: {whole} {graph_loss}"
            );

            let work = &model.work;
            let mut users = vec![0.0; teacher.users().len()];
            if model.hint.is_some() {
                users.copy_from_slice(&work.d_all_users);
            } else {
                for (gradient, user) in work.d_users.chunks(dim).zip(model.batch.users.rows()) {
                    users[*user as usize * dim..][..dim].copy_from_slice(gradient);
                }
            }
            let entering: &[f32] = if config.train_items { &work.d_entering } else { &[] };
            let got = [&users[..], entering, &work.d_codebooks, &work.d_forms, &work.d_bias, &work.d_recurrence];
            for (list, (got, want)) in got.into_iter().zip(want).enumerate() {
                let Some(want) = want.filter(|_| !got.is_empty()) else {
                    assert!(got.is_empty() || list == 1, "list {list} has no gradient in the graph");
                    continue;
                };
                let largest = want.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                assert!(largest > 0.0, "{config:?}, list {list}: nothing to compare");
                for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert!(
                        (got - want).abs() <= 1e-4 * largest,
                        "{config:?}, list {list}, {i}: {got} {want} of {largest}"
                    );
                }
            }
            Err(())
        });
    }
}

#[test]
fn every_variant_lowers_its_loss_and_keeps_groups_apart() {
    let world = world(120, 90);
    for config in variants() {
        let (model, report) = fit(&world.0, &world.1, &config, run(40)).unwrap();
        let (first, last) = (report.history[0].loss, report.history[39].loss);
        assert!(last < 0.9 * first, "{config:?}: {first} to {last}");
        // Items of the own group score above the others.
        let mut scores = vec![0.0; 90];
        let (mut right, mut n) = (0.0, 0.0);
        for user in (0..120).map(UserId) {
            model.score_all_into(&user, &mut scores).unwrap();
            for (i, own) in scores.iter().enumerate().filter(|(i, _)| *i as u32 % 4 == user.0 % 4) {
                let other = scores[(i + 1) % 90];
                right += if *own > other { 1.0 } else { 0.0 };
                n += 1.0;
            }
        }
        // Usually 0.97 and more.
        assert!(right / n > 0.9, "{config:?}: {}", right / n);
    }
}

#[test]
fn every_variant_keeps_the_promises_of_a_trainer() {
    // More distinct items in a batch than a piece of tiles holds.
    let (data, teacher) = world(60, 700);
    for config in variants() {
        testing::trainer(|run| fit(&data, &teacher, &LightRecConfig { batch_size: 600, ..config.clone() }, run));
    }
}

#[test]
fn validation_sees_the_served_model_which_says_where_it_comes_from() {
    let (data, teacher) = world(60, 50);
    let mut seen = 0;
    let mut validate = |model: &CodedFactors| {
        seen += 1;
        assert_eq!((model.n_users(), model.len()), (60, 50));
        Ok(0.5)
    };
    let fit_config = FitConfig { max_epochs: 2, ..FitConfig::default() };
    let run = TrainRun::new(Seed(1)).fit(&fit_config).validate(&mut validate);
    let (model, _) = fit(&data, &teacher, &small(), run).unwrap();
    assert_eq!(seen, 2);
    assert_eq!(model.provenance(), &Provenance::new("light-rec", &small()));
}

#[test]
fn what_does_not_fit_is_named() {
    let (data, teacher) = world(60, 50);
    let refused = |data: &Interactions, teacher: &TeacherVectors, config: LightRecConfig| {
        fit(data, teacher, &config, run(1)).unwrap_err().to_string()
    };
    assert!(refused(&data, &teacher, LightRecConfig { n_codewords: 3, ..small() }).contains("n_codewords"));
    let empty = Interactions::from_pairs(60, 50, &[]).unwrap();
    assert!(refused(&empty, &teacher, small()).contains("no interactions to learn from"));
    let other = TeacherVectors::new(vec![0.5; 61 * 2], vec![0.5; 50 * 2], 2).unwrap();
    assert_eq!(refused(&data, &other, small()), "users of the teacher: found 61, expected 60");
    let other = TeacherVectors::new(vec![0.5; 60 * 2], vec![0.5; 49 * 2], 2).unwrap();
    assert_eq!(refused(&data, &other, small()), "items of the teacher: found 49, expected 50");
    let full = Interactions::from_pairs(1, 2, &[(0, 0), (0, 1)]).unwrap();
    let two = TeacherVectors::new(vec![0.5; 2], vec![0.5; 4], 2).unwrap();
    assert!(refused(&full, &two, small()).contains("user 0 has all 2 items"));

    let sgd = Optimizer::Sgd(rectify_tensor::Sgd { learning_rate: 1e30, weight_decay: 0.0 });
    let error = fit(&data, &teacher, &LightRecConfig { optimizer: sgd, ..small() }, run(5)).unwrap_err();
    assert!(matches!(error, FitError::Train(_) | FitError::NotFinite { .. }), "{error}");
}

#[test]
fn teachers_that_are_no_inner_product_are_refused() {
    let nan = TeacherVectors::new(vec![0.5, f32::NAN], vec![0.5; 4], 2).unwrap_err().to_string();
    assert!(nan.contains("the vector of user 0 is not finite"), "{nan}");
    assert!(TeacherVectors::new(vec![0.5; 3], vec![0.5; 4], 2).unwrap_err().to_string().contains("whole rows of 2"));
    assert!(TeacherVectors::new(vec![], vec![0.5; 4], 2).unwrap_err().to_string().contains("teacher's users"));
    assert!(TeacherVectors::new(vec![0.5; 3], vec![0.5; 4], 0).is_err());
}

#[test]
fn only_teachers_with_vectors_of_their_scores_are_taken() {
    let (data, vectors) = world(60, 50);
    let factors = |items: &[f32]| {
        let (users, dim) = (vectors.users().to_vec(), vectors.dim());
        rectify_core::Factors::from_vectors(users, items.to_vec(), dim, Provenance::default()).unwrap()
    };
    let taken = TeacherVectors::of(&factors(vectors.items()), 60).unwrap();
    assert_eq!((taken.users(), taken.items()), (vectors.users(), vectors.items()));
    assert!(matches!(TeacherVectors::of(&factors(vectors.items()), 61), Err(FitError::Query(_))));
    // Codes show no vectors.
    let (codes, _) = fit(&data, &vectors, &small(), run(1)).unwrap();
    assert!(matches!(TeacherVectors::of(&codes, 60), Err(FitError::Teacher(TeacherError::Hidden))));
}
