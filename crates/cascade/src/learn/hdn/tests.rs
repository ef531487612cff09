use rectify_core::{Catalogue, ItemFilter, ItemId, QueryError, Retriever, TopK};
use rectify_tensor::train::FitConfig;
use rectify_tensor::{Optimizer, testing};

use super::*;
use crate::{ConfigError, REJECTED, Rejection};

/// Users and items in four groups; a user has 40 % of the own group and 3 % of the others.
fn world(n_users: u32, n_items: u32) -> Interactions {
    let mut rng = Seed(1).stream("world").rng();
    let mut pairs = Vec::new();
    for user in 0..n_users {
        for item in 0..n_items {
            if rng.unit_f32() < if user % 4 == item % 4 { 0.4 } else { 0.03 } {
                pairs.push((user, item));
            }
        }
    }
    Interactions::from_pairs(n_users as usize, n_items as usize, &pairs).unwrap()
}

/// A teacher that knows the groups, and has a taste of its own within them.
struct Groups(usize);

impl Groups {
    fn score(user: u32, item: u32) -> f32 {
        let taste = ((user * 31 + item * 17) % 97) as f32 / 97.0;
        if user % 4 == item % 4 { 1.0 + taste } else { -3.0 + taste }
    }
}

impl Catalogue for Groups {
    fn n_items(&self) -> usize {
        self.0
    }
}

impl Scorer for Groups {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        out.iter_mut().zip(items).for_each(|(out, item)| *out = Self::score(user.0, item.0));
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        out.iter_mut().enumerate().for_each(|(item, out)| *out = Self::score(user.0, item as u32));
        Ok(())
    }
}

fn small() -> HdnConfig {
    HdnConfig {
        embedding_dim: 6,
        rejection_ratios: vec![0.5, 0.75],
        n_negatives: 3,
        batch_size: 256,
        optimizer: Optimizer::adam(0.01),
        ..HdnConfig::default()
    }
}

/// The technique, its ablations, and every other setting once at least.
fn variants() -> Vec<HdnConfig> {
    vec![
        small(),
        small().nd(),
        small().nr(),
        small().nr_minus(),
        small().nr_nd(),
        HdnConfig { rejection_ratios: vec![], ..small() },
        HdnConfig { rejection_ratios: vec![0.6], bias: true, decision_weights: vec![0.3], ..small() },
        HdnConfig { rejection_ratios: vec![0.3, 0.6, 0.9], score_loss: ScoreLoss::Gaussian, ..small() },
        HdnConfig { temperature: 2.5, row_update: rectify_tensor::RowUpdate::Lazy, bias: true, ..small() },
    ]
}

fn run(max_epochs: u32) -> TrainRun<'static, CascadeIndex> {
    TrainRun::new(Seed(3)).epochs(max_epochs)
}

fn fitted(data: &Interactions, config: &HdnConfig, run: TrainRun<'_, CascadeIndex>) -> (CascadeIndex, FitReport) {
    let teacher = Groups(data.n_items());
    fit(data, Some(&teacher), config, run).unwrap()
}

#[test]
fn the_hand_written_step_has_the_loss_and_gradients_of_the_graph() {
    let data = world(40, 60);
    let teacher = Groups(60);
    for config in variants() {
        // Vectors large enough that hinges and rectifiers stand on both sides of their kinks.
        let config = HdnConfig { init_std: 0.8, batch_size: 300, ..config };
        let mut training = Training::new(&data, Some(&teacher), &config, Seed(3)).unwrap();
        training.samples.draw(1).unwrap();
        training.samples.fill(0..300, &mut training.pass.batch);
        let loss = training.pass.gradients(&mut training.params, &training.keys, &config) / 300.0;
        let (want_loss, want) = graph::gradients(&mut training).unwrap();
        assert!((loss - f64::from(want_loss)).abs() < 2e-5 * loss, "{config:?}: {loss} {want_loss}");
        let pass = &training.pass;
        let mut got = vec![pass.d_users.clone(), pass.d_items.clone()];
        for (stage, gradients) in pass.stages.iter().enumerate() {
            got.push(if stage < config.n_modules() { gradients.layer.clone() } else { Vec::new() });
            let learned = stage == config.n_modules() || config.decisions.is_some();
            got.push(if learned { gradients.head.clone() } else { Vec::new() });
            got.push(if learned && config.bias { vec![gradients.bias] } else { Vec::new() });
        }
        for (list, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(got.len(), want.len(), "{config:?}, list {list}");
            let largest = want.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                assert!((got - want).abs() <= 2e-5 * largest.max(0.01), "{config:?}, list {list}, {i}: {got} {want}");
            }
        }
    }
}

/// The batch's loss in double precision, as the equations stand, from flat parameters: users, items, then of each stage weight,
/// head, bias.
fn loss_of(training: &Training<'_>, x: &[f64]) -> f64 {
    let (config, batch) = (training.config, &training.pass.batch);
    let (d, n_modules) = (config.embedding_dim, config.n_modules());
    let n_users = training.params.rows(training.keys.users).n_rows();
    let n_items = training.params.rows(training.keys.items).n_rows();
    let mut total = 0.0;
    for s in 0..batch.users.len() {
        let (p, q) = (&x[batch.users[s] as usize * d..][..d], &x[(n_users + batch.items[s] as usize) * d..][..d]);
        let z: Vec<f64> = p.iter().zip(q).map(|(p, q)| p * q).collect();
        let (mut input, mut at) = (z.clone(), (n_users + n_items) * d);
        let mut take = |n: usize| {
            at += n;
            &x[at - n..at]
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for module in 0..n_modules {
            let (weight, head) = (take(input.len() * d), take(input.len()));
            let bias = if config.bias { take(1)[0] } else { 0.0 };
            if config.decisions.is_some() {
                let factor = config.decision_weights.get(module).copied().unwrap_or(1.0);
                let label = f64::from(batch.labels[module][s]);
                total += factor * (1.0 - label * (dot(head, &input) + bias)).max(0.0);
            }
            let h = (0..d).map(|o| (0..input.len()).map(|k| input[k] * weight[k * d + o]).sum::<f64>().max(0.0));
            input = z.iter().copied().chain(h).collect();
        }
        let mut y: f64 = if n_modules == 0 { z.iter().sum() } else { dot(take(2 * d), &input) };
        if config.bias && n_modules > 0 {
            y += take(1)[0];
        }
        let target = f64::from(batch.scores[s]);
        total += match config.score_loss {
            ScoreLoss::Bernoulli => y.exp().ln_1p() - target * y,
            ScoreLoss::Gaussian => 0.5 * (y - target).powi(2),
        };
    }
    total / batch.users.len() as f64
}

#[test]
fn gradients_are_central_differences_of_the_equations() {
    let data = world(9, 12);
    let teacher = Groups(12);
    for config in variants() {
        let config = HdnConfig { embedding_dim: 3, init_std: 0.9, batch_size: 40, ..config };
        let mut training = Training::new(&data, Some(&teacher), &config, Seed(5)).unwrap();
        training.samples.draw(1).unwrap();
        training.samples.fill(0..40, &mut training.pass.batch);
        training.pass.gradients(&mut training.params, &training.keys, &config);
        let (params, keys, pass) = (&training.params, &training.keys, &training.pass);
        let mut x = [params.rows(keys.users).values(), params.rows(keys.items).values()].concat();
        let mut got = vec![0.0; x.len()];
        let n_users = params.rows(keys.users).n_rows();
        for (rows, gradient, first) in
            [(pass.users.rows(), &pass.d_users, 0), (pass.items.rows(), &pass.d_items, n_users)]
        {
            for (row, gradient) in rows.iter().zip(gradient.chunks(3)) {
                got[(first + *row as usize) * 3..][..3].copy_from_slice(gradient);
            }
        }
        for (stage, gradients) in pass.stages.iter().enumerate() {
            let module = keys.modules.get(stage);
            let head = module.map_or(keys.score, |keys| Some(keys.decision));
            let bias = module.map_or(keys.score_bias, |keys| keys.bias);
            let parts = [
                (module.map(|keys| keys.weight), &gradients.layer[..]),
                (head, &gradients.head),
                (bias, std::slice::from_ref(&gradients.bias)),
            ];
            for (key, gradient) in parts {
                if let Some(key) = key {
                    x.extend_from_slice(params.dense(key).values());
                    got.extend_from_slice(gradient);
                }
            }
        }
        let mut x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        for (at, got) in got.iter().enumerate() {
            let (kept, step) = (x[at], 1e-6);
            x[at] = kept + step;
            let above = loss_of(&training, &x);
            x[at] = kept - step;
            let below = loss_of(&training, &x);
            x[at] = kept;
            let want = (above - below) / (2.0 * step);
            // The step is computed in single precision.
            assert!((f64::from(*got) - want).abs() < 2e-6 + 2e-6 * want.abs(), "{config:?}, {at}: {got} {want}");
        }
    }
}

#[test]
fn every_variant_lowers_its_loss_and_the_distilled_ones_keep_groups_apart() {
    let data = world(120, 80);
    for config in variants() {
        let (index, report) = fitted(&data, &config, run(25));
        let (first, last) = (report.history[0].loss, report.history[24].loss);
        assert!(last < 0.9 * first, "{config:?}: {first} to {last}");
        let mut top = TopK::new();
        let (mut own, mut n) = (0, 0);
        for user in (0..120).map(UserId) {
            index.top_k(&user, 10, &ItemFilter::all(), &mut top).unwrap();
            own += top.items().filter(|item| item.0 % 4 == user.0 % 4).count();
            n += top.hits().len();
        }
        // Usually 0.97 and more.
        assert!(own as f64 > 0.9 * n as f64, "{config:?}: {own} of {n}");
    }
}

#[test]
fn a_distilled_cascade_rejects_what_it_was_taught_to() {
    let data = world(200, 120);
    let config = HdnConfig { embedding_dim: 12, ..small() };
    let (index, _) = fitted(&data, &config, run(60));
    let users: Vec<UserId> = (0..200).map(UserId).collect();
    let rejected = index.cost(&users, 20).unwrap().rejected();
    // Usually .56 and .75: the own group is a quarter of all items, and half of all is harder to tell.
    assert!((rejected[0] - 0.5).abs() < 0.15 && (rejected[1] - 0.75).abs() < 0.05, "{rejected:?}");
    assert_eq!(index.rejection(), &Rejection::Above(vec![0.0; 2]));
}

#[test]
fn ablations_reject_as_they_say() {
    let data = world(60, 80);
    let users: Vec<UserId> = (0..60).map(UserId).collect();
    let rejected = |config: HdnConfig| fitted(&data, &config, run(2)).0.cost(&users, 10).unwrap().rejected();
    assert_eq!(rejected(small().nr()), [0.0, 0.0]);
    assert_eq!(rejected(small().nr_minus()), [0.0, 0.0]);
    assert_eq!(rejected(small().nr_nd()), [0.0, 0.0]);
    // 40 and 20 of 80 items are kept.
    assert_eq!(rejected(small().nd()), [0.5, 0.75]);
    // Same network, another rule.
    let (all, some) = (fitted(&data, &small().nr(), run(2)).0, fitted(&data, &small(), run(2)).0);
    assert_eq!(all.parts().score, some.parts().score);
}

#[test]
fn an_mf_student_is_an_inner_product() {
    let data = world(60, 80);
    let config = HdnConfig { embedding_dim: 6, ..HdnConfig::mf_student() };
    let (index, _) = fitted(&data, &config, run(3));
    let parts = index.parts();
    let mut scores = vec![0.0; 80];
    index.score_all_into(&UserId(7), &mut scores).unwrap();
    for (item, score) in parts.items.chunks(6).zip(&scores) {
        let dot: f32 = parts.users[42..48].iter().zip(item).map(|(p, q)| p * q).sum();
        assert!((dot - score).abs() < 1e-6 && *score > REJECTED);
    }
    assert_eq!(config.n_weights(), 0);
    assert_eq!(HdnConfig::default().n_weights(), 5344);
}

fn bits(index: &CascadeIndex) -> Vec<u32> {
    let parts = index.parts();
    let modules = parts.modules.iter().flat_map(|m| m.decision.iter().chain(&m.weight).chain([&m.bias]));
    let all = parts.users.iter().chain(parts.items.iter()).chain(modules).chain(&parts.score);
    all.map(|x| x.to_bits()).collect()
}

#[test]
fn every_variant_keeps_every_promise_of_a_trainer() {
    let data = world(60, 40);
    for config in variants() {
        testing::trainer(|run| fit(&data, Some(&Groups(40)), &config, run));
    }
}

#[test]
fn a_teacher_that_is_remembered_says_the_same() {
    let data = world(60, 40);
    for config in variants().iter().filter(|config| config.asks_teacher().is_some()) {
        let drawn = |most| {
            let mut samples = Samples::new(&data, Some(&Groups(40)), config, Seed(3), most).unwrap();
            samples.draw(2).unwrap();
            let mut batch = pass::Batch::default();
            samples.fill(0..samples.len(), &mut batch);
            let scores: Vec<u32> = batch.scores.iter().map(|score| score.to_bits()).collect();
            (batch.users, batch.items, scores, batch.labels)
        };
        // 60 × 40 pairs: remembered, and one too many.
        assert_eq!(drawn(2400), drawn(2399), "{config:?}");
    }
}

#[test]
fn validation_sees_the_served_cascade_and_keeps_the_best() {
    let data = world(40, 40);
    let teacher = Groups(40);
    let run = FitConfig { max_epochs: 4, ..FitConfig::default() };
    let mut metrics = vec![0.3, 0.9, 0.2, 0.1].into_iter();
    let mut seen = Vec::new();
    let mut validate = |index: &CascadeIndex| {
        seen.push(bits(index));
        Ok(metrics.next().unwrap())
    };
    let run = TrainRun::new(Seed(3)).fit(&run).validate(&mut validate);
    let (index, report) = fit(&data, Some(&teacher), &small(), run).unwrap();
    assert_eq!((report.best_epoch, bits(&index)), (2, seen[1].clone()));
}

#[test]
fn bad_settings_and_bad_teachers_are_named() {
    let data = world(20, 16);
    let refused = |config: HdnConfig, teacher: Option<&dyn Scorer<Query = UserId>>, data: &Interactions| {
        fit(data, teacher, &config, run(1)).unwrap_err()
    };
    let good = Groups(16);
    let setting = |config: HdnConfig| refused(config, Some(&good), &data).to_string();
    let ratios = |ratios: &[f64]| setting(HdnConfig { rejection_ratios: ratios.to_vec(), ..small() });
    assert!(ratios(&[0.75, 0.75]).starts_with("rejection_ratios is [0.75, 0.75], expected numbers that rise"));
    assert!(ratios(&[1.0]).contains("rejection_ratios is [1.0]"));
    assert!(ratios(&[f64::NAN]).contains("rejection_ratios is [NaN]"));
    assert_eq!(setting(HdnConfig { embedding_dim: 0, ..small() }), "embedding_dim is 0, expected in 1..=4096");
    assert!(setting(HdnConfig { temperature: 0.0, ..small() }).starts_with("temperature is 0"));
    assert!(setting(HdnConfig { decision_weights: vec![1.0], ..small() }).starts_with("decision_weights is [1.0]"));
    assert!(setting(HdnConfig { decision_weights: vec![1.0, -1.0], ..small() }).starts_with("decision_weights"));
    assert!(setting(HdnConfig { n_negatives: 0, ..small() }).starts_with("n_negatives is 0"));
    assert!(setting(HdnConfig { batch_size: 0, ..small() }).starts_with("batch_size is 0"));
    assert!(setting(HdnConfig { init_std: f64::NAN, ..small() }).starts_with("init_std is NaN"));
    assert!(setting(HdnConfig { optimizer: Optimizer::adam(0.0), ..small() }).contains("learning_rate is 0"));
    assert!(setting(HdnConfig { optimizer: Optimizer::adam(1e30), ..small() }).contains("diverged"));
    let error = serde_json::from_str::<HdnConfig>(r#"{"ratios": []}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `ratios`"), "{error}");

    assert!(matches!(refused(small(), None, &data), FitError::NoTeacher { field: "scores" }));
    let decisions = HdnConfig { scores: Targets::Feedback, ..small() };
    assert!(matches!(refused(decisions, None, &data), FitError::NoTeacher { field: "decisions" }));
    assert!(fit(&data, None, &small().nr_nd(), run(1)).is_ok());
    let other = Groups(15);
    assert!(matches!(refused(small(), Some(&other), &data), FitError::Items { expected: 16, got: 15 }));
    let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
    assert!(matches!(refused(small(), Some(&good), &empty), FitError::Empty { .. }));
    let all = Interactions::from_pairs(1, 2, &[(0, 0), (0, 1)]).unwrap();
    assert!(matches!(refused(small(), Some(&Groups(2)), &all), FitError::Negatives(_)));
    assert!(matches!(small().validate(), Ok(())) && matches!(ConfigError::check(true, "", "", 0), Ok(())));

    // A teacher that gives no numbers, to the thresholds or to a pair.
    struct Broken(f32);
    impl Catalogue for Broken {
        fn n_items(&self) -> usize {
            16
        }
    }

    impl Scorer for Broken {
        type Query = UserId;
        fn score_into(&self, _: &UserId, _: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            out.fill(self.0);
            Ok(())
        }
        fn score_all_into(&self, _: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
            out.fill(self.0);
            Ok(())
        }
    }
    let thresholds = refused(small(), Some(&Broken(f32::INFINITY)), &data).to_string();
    assert!(thresholds.contains("the teacher cannot teach") && thresholds.contains("position 0: inf"), "{thresholds}");
    let student = HdnConfig { embedding_dim: 6, ..HdnConfig::mf_student() };
    let pairs = refused(student, Some(&Broken(f32::NAN)), &data).to_string();
    assert!(pairs.contains("the teacher cannot teach") && pairs.contains("NaN"), "{pairs}");
}
