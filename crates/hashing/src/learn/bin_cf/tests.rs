use rectify_core::{Catalogue, HiddenWidths, ItemId, QueryError, Scorer};
use rectify_tensor::Adam;
use rectify_tensor::Optimizer;

use super::step::{Losses, step, teacher_scores};
use super::*;
use crate::learn::Centre;

/// Vectors by formula, and scores that need not be theirs.
struct Waves {
    n_items: usize,
    dim: usize,
    scores: f32,
}

impl Waves {
    fn row(&self, shift: f32, id: u32, out: &mut [f32]) -> Result<(), QueryError> {
        out.iter_mut().enumerate().for_each(|(k, x)| *x = (0.9 * k as f32 + 1.7 * id as f32 + shift).sin());
        Ok(())
    }
}

impl Catalogue for Waves {
    fn n_items(&self) -> usize {
        self.n_items
    }
}

impl Scorer for Waves {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        for (item, out) in items.iter().zip(out) {
            *out = self.scores * (2.3 * user.0 as f32 + 0.7 * item.0 as f32).cos();
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        let items: Vec<ItemId> = (0..self.n_items as u32).map(ItemId).collect();
        self.score_into(user, &items, out)
    }
}

impl Teacher for Waves {
    fn hidden(&self) -> Option<&dyn rectify_core::Hidden> {
        Some(self)
    }
}

impl rectify_core::Hidden for Waves {
    fn widths(&self) -> HiddenWidths {
        HiddenWidths { user: self.dim, item: self.dim, pair: 0 }
    }

    fn user_into(&self, user: UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.row(0.3, user.0, out)
    }

    fn item_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        self.row(1.1, item.0, out)
    }

    fn pairs_into(&self, _: &[(UserId, ItemId)], _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("no pairs".into()))
    }
}

fn data() -> Interactions {
    let pairs: Vec<(u32, u32)> = (0..12).flat_map(|u| (0..u % 5 + 1).map(move |k| (u, (u * 3 + k * 7) % 20))).collect();
    Interactions::from_pairs(13, 20, &pairs).unwrap()
}

fn teacher(dim: usize) -> Waves {
    Waves { n_items: 20, dim, scores: 1.5 }
}

/// The losses by their definitions, in double precision, from parameters p of all users and items.
fn losses_by_definition(
    config: &BinCfConfig,
    batch: &Batch,
    teacher: &Waves,
    dim: usize,
    users: &[f64],
    items: &[f64],
) -> Losses {
    let x =
        |rows: &[f64], row: usize| -> Vec<f64> { rows[row * dim..(row + 1) * dim].iter().map(|p| p.tanh()).collect() };
    let score = |u: usize, slot: u32| -> f64 {
        config.score_scale * x(users, u).iter().zip(x(items, slot as usize)).map(|(a, b)| a * b).sum::<f64>()
    };
    let (mut losses, n) = (Losses::default(), batch.n_triples() as f64);
    for (u, user) in batch.users.iter().enumerate() {
        let list = &batch.slots[batch.offsets[u]..batch.offsets[u + 1]];
        let (positives, negatives) = list.split_at(list.len() / 2);
        for (i, j) in positives.iter().zip(negatives) {
            losses.bpr += (score(u, *j) - score(u, *i)).exp().ln_1p() / n;
        }
        let chosen = &batch.chosen[batch.list_offsets[u]..batch.list_offsets[u + 1]];
        for side in [positives, negatives] {
            let law = |scores: Vec<f64>| -> Vec<f64> {
                let sum: f64 = scores.iter().map(|s| (s / config.temperature).exp()).sum();
                scores.iter().map(|s| (s / config.temperature).exp() / sum).collect()
            };
            let slots: Vec<u32> = chosen.iter().map(|at| side[*at as usize]).collect();
            let ids: Vec<ItemId> = slots.iter().map(|slot| ItemId(batch.items()[*slot as usize])).collect();
            let mut wanted = vec![0.0; ids.len()];
            teacher.score_into(user, &ids, &mut wanted).unwrap();
            let wanted = law(wanted.into_iter().map(f64::from).collect());
            let got = law(slots.iter().map(|slot| score(u, *slot)).collect());
            let entropy: f64 = wanted.iter().zip(&got).map(|(t, s)| -t * s.ln()).sum();
            losses.ranking += entropy / batch.users.len() as f64;
        }
    }
    for p in users.iter().chain(items) {
        let x = p.tanh();
        losses.noise += (1.0 + x * x - 2.0 * x * (x / (2.0 * config.noise_temperature)).tanh()) / n;
        losses.corner += (x.abs() - 1.0).powi(2) / n;
    }
    losses
}

#[test]
fn losses_and_gradients_match_their_definitions_in_double_precision() {
    let (train, dim) = (data(), 7);
    let teacher = teacher(dim);
    for (temperature, list_limit, score_scale) in [(1.0, 256, 1.0), (2.0, 2, 0.3)] {
        // Large penalties: at the paper's weights a wrong slope would hide behind the others.
        let config = BinCfConfig {
            temperature,
            list_limit,
            score_scale,
            noise_weight: 0.7,
            corner_weight: 0.4,
            ranking_weight: 3.0,
            batch_users: 5,
            ..BinCfConfig::default()
        };
        let mut model = Training::new(&train, &teacher, &config, Seed(4)).unwrap();
        let order = model.lists.order(2);
        model.lists.fill(2, &order[..5], &mut model.batch);
        let batch = &model.batch;
        let [user_table, item_table] = model.params.rows_mut([model.users, model.items]);
        let mut rows =
            Rows { users: vec![0.0; 5 * dim], items: vec![0.0; batch.items().len() * dim], ..Rows::default() };
        user_table.gather(&order[..5], &mut rows.users);
        item_table.gather(batch.items(), &mut rows.items);
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let mut blocks = [wide(&rows.users), wide(&rows.items)];
        let scores = teacher_scores(&teacher, batch).unwrap();
        let got = step(&config, dim, batch, Some(&scores), (Seed(1), 1), &mut rows);
        let want = losses_by_definition(&config, batch, &teacher, dim, &blocks[0], &blocks[1]);
        for (got, want) in [
            (got.bpr, want.bpr),
            (got.ranking, want.ranking),
            (got.noise, want.noise),
            (got.corner, want.corner),
            (got.total(&config), want.total(&config)),
        ] {
            assert!((got - want).abs() < 2e-6 * want.max(1.0), "{got} {want}");
        }
        for (b, gradient) in [rows.d_users, rows.d_items].iter().enumerate() {
            let largest = gradient.iter().fold(1e-3f64, |a, g| a.max(f64::from(g.abs())));
            for k in 0..gradient.len() {
                let centre = blocks[b][k];
                let mut side = |delta: f64| {
                    blocks[b][k] = centre + delta;
                    let loss = losses_by_definition(&config, batch, &teacher, dim, &blocks[0], &blocks[1]);
                    blocks[b][k] = centre;
                    loss.total(&config)
                };
                let h = 1e-4;
                let slope = (8.0 * (side(h) - side(-h)) - (side(2.0 * h) - side(-2.0 * h))) / (12.0 * h);
                let got = f64::from(gradient[k]);
                assert!((got - slope).abs() <= 1e-5 * largest, "block {b}, {k}: {got} {slope}, largest {largest}");
            }
        }
    }
}

/// Runs an epoch and gives the parameters.
fn epoch(teacher: &Waves, config: &BinCfConfig) -> (Vec<f32>, Vec<f32>) {
    let train = data();
    let mut model = Training::new(&train, teacher, config, Seed(4)).unwrap();
    model.run_epoch(1).unwrap();
    model.params.settle();
    (model.params.rows(model.users).values().to_vec(), model.params.rows(model.items).values().to_vec())
}

#[test]
fn without_distillation_the_teachers_scores_change_no_bit() {
    let plain = BinCfConfig { ranking_weight: 0.0, batch_users: 4, ..BinCfConfig::default() };
    let other = |scores| epoch(&Waves { scores, ..teacher(6) }, &plain);
    assert_eq!(other(1.0), other(-7.0));
    assert_eq!(plain.model(), "bincf");
    let distilled = BinCfConfig { batch_users: 4, ..BinCfConfig::default() };
    assert_ne!(epoch(&teacher(6), &distilled), other(1.0));
    assert_ne!(epoch(&Waves { scores: -7.0, ..teacher(6) }, &distilled), epoch(&teacher(6), &distilled));
}

#[test]
fn without_penalties_and_distillation_a_step_is_that_of_bpr_on_tanh_rows() {
    let (train, dim) = (data(), 6);
    // A large ε: where gradients are tiny, Adam's direction is their sign, which rounding decides.
    let adam = Adam { learning_rate: 0.05, epsilon: 1e-3, ..Adam::default() };
    let config = BinCfConfig {
        ranking_weight: 0.0,
        score_scale: 1.0,
        noise_weight: 0.0,
        corner_weight: 0.0,
        batch_users: 100,
        optimizer: Optimizer::Adam(adam),
        ..BinCfConfig::default()
    };
    let waves = teacher(dim);
    let mut model = Training::new(&train, &waves, &config, Seed(4)).unwrap();
    let start: Vec<Vec<f64>> = [model.users, model.items]
        .map(|key| model.params.rows(key).values().iter().map(|p| f64::from(*p)).collect())
        .to_vec();
    // The first epoch is one batch; its draws are asked for again.
    model.lists.fill(1, &model.lists.order(1), &mut model.batch);
    let (batch, n) = (&model.batch, model.batch.n_triples() as f64);
    let mut gradient = [vec![0.0; start[0].len()], vec![0.0; start[1].len()]];
    for (u, user) in batch.users.iter().enumerate() {
        let list = &batch.slots[batch.offsets[u]..batch.offsets[u + 1]];
        let (positives, negatives) = list.split_at(list.len() / 2);
        for (i, j) in positives.iter().zip(negatives) {
            let [i, j] = [i, j].map(|slot| batch.items()[*slot as usize] as usize * dim);
            let u = user.index() * dim;
            let t = |side: usize, at: usize| start[side][at].tanh();
            let margin: f64 = (0..dim).map(|k| t(0, u + k) * (t(1, i + k) - t(1, j + k))).sum();
            let slope = -1.0 / (1.0 + margin.exp()) / n;
            for k in 0..dim {
                gradient[0][u + k] += slope * (t(1, i + k) - t(1, j + k)) * (1.0 - t(0, u + k).powi(2));
                gradient[1][i + k] += slope * t(0, u + k) * (1.0 - t(1, i + k).powi(2));
                gradient[1][j + k] -= slope * t(0, u + k) * (1.0 - t(1, j + k).powi(2));
            }
        }
    }
    let (users, items) = epoch(&teacher(dim), &config);
    for (side, got) in [users, items].iter().enumerate() {
        for ((got, start), g) in got.iter().zip(&start[side]).zip(&gradient[side]) {
            // Adam's first step: both moments are corrected to g and g².
            let want = start - 0.05 * g / (g.abs() + 1e-3);
            assert!((f64::from(*got) - want).abs() < 1e-5, "{got} {want}");
        }
    }
}

#[test]
fn binary_and_relaxed_bpr_have_the_values_worked_out_by_hand() {
    // P = (0.5, -1), items (1, 0.2) and (-0.3, 0.4): relaxed scores 0.2016258 and -0.4239875, binary ones 0 and -2.
    let score = |u: [f64; 2], i: [f64; 2], f: fn(f64) -> f64| f(u[0]) * f(i[0]) + f(u[1]) * f(i[1]);
    let (u, i, j) = ([0.5, -1.0], [1.0, 0.2], [-0.3, 0.4]);
    let loss = |f| (score(u, j, f) - score(u, i, f)).exp().ln_1p();
    assert!((score(u, i, f64::tanh) - 0.201_625_8).abs() < 1e-7 && (score(u, j, f64::tanh) + 0.423_987_5).abs() < 1e-7);
    assert!((loss(f64::tanh) - 0.428_486_9).abs() < 1e-7);
    assert!((loss(f64::signum) - 0.126_928_0).abs() < 1e-7);

    // The same through the code: one user with item 0, and item 1 as the only negative there is.
    let train = Interactions::from_pairs(1, 2, &[(0, 0)]).unwrap();
    let config = BinCfConfig { ranking_weight: 0.0, score_scale: 1.0, ..BinCfConfig::default() };
    let waves = Waves { n_items: 2, dim: 2, scores: 1.0 };
    let mut model = Training::new(&train, &waves, &config, Seed(1)).unwrap();
    model.lists.fill(1, &[0], &mut model.batch);
    let mut rows = Rows { users: vec![0.5, -1.0], items: vec![1.0, 0.2, -0.3, 0.4], ..Rows::default() };
    let losses = step(&config, 2, &model.batch, None, (Seed(1), 1), &mut rows);
    assert!((losses.bpr - 0.428_486_9).abs() < 1e-6, "{losses:?}");
    let codes = by_sign("test", &config, &[0.5, -1.0], &[1.0, 0.2, -0.3, 0.4], 2).unwrap();
    let mut scores = [0.0; 2];
    codes.score_all_into(&UserId(0), &mut scores).unwrap();
    assert_eq!(scores, [0.0, -2.0]);
}

#[test]
fn drawn_bits_follow_their_law_and_train() {
    let config = BinCfConfig { relaxation: Relaxation::Stochastic, ..BinCfConfig::default() };
    let x = [0.5f32, -0.5, 0.0, 0.9].repeat(4000);
    let bits = step::draw(Seed(3), 1, &config, &x, 4, &(0..4000).collect::<Vec<_>>());
    assert!(bits.iter().all(|b| b.abs() == 1.0));
    for (k, mean) in [(0, 0.848_283_6), (1, -0.848_283_6), (2, 0.0), (3, 0.978_0)] {
        let got: f64 = bits.iter().skip(k).step_by(4).map(|b| f64::from(*b)).sum::<f64>() / 4000.0;
        // Four standard errors of 4,000 draws of ±1 are 0.063 at most.
        assert!((got - mean).abs() < 0.065, "{k}: {got} {mean}");
    }
    let stochastic = epoch(&teacher(6), &BinCfConfig { batch_users: 4, ..config.clone() });
    assert_eq!(stochastic, epoch(&teacher(6), &BinCfConfig { batch_users: 4, ..config.clone() }));
    // The corner penalty belongs to the other relaxation.
    assert_eq!(stochastic, epoch(&teacher(6), &BinCfConfig { batch_users: 4, corner_weight: 9.0, ..config }));
    assert_ne!(stochastic, epoch(&teacher(6), &BinCfConfig { batch_users: 4, ..BinCfConfig::default() }));
}

#[test]
fn a_single_positive_has_no_list_to_distil() {
    let train = Interactions::from_pairs(1, 3, &[(0, 1)]).unwrap();
    let config = BinCfConfig::default();
    let teacher = Waves { n_items: 3, dim: 4, scores: 1.0 };
    let mut model = Training::new(&train, &teacher, &config, Seed(1)).unwrap();
    model.lists.fill(1, &[0], &mut model.batch);
    let scores = teacher_scores(&teacher, &model.batch).unwrap();
    let mut rows = Rows { users: vec![0.1; 4], items: vec![0.2; 8], ..Rows::default() };
    assert_eq!(step(&config, 4, &model.batch, Some(&scores), (Seed(1), 1), &mut rows).ranking, 0.0);
}

#[test]
fn long_lists_are_a_part_that_changes_from_epoch_to_epoch() {
    let pairs: Vec<(u32, u32)> = (0..30).map(|item| (0, item)).chain([(1, 3)]).collect();
    let train = Interactions::from_pairs(2, 60, &pairs).unwrap();
    let lists = Lists::new(&train, 8, Seed(2)).unwrap();
    let mut batch = Batch::new(60);
    lists.fill(1, &[1, 0], &mut batch);
    assert_eq!((batch.n_triples(), &batch.list_offsets[..]), (31, &[0, 1, 9][..]));
    let first = batch.chosen.clone();
    assert!(first[1..].windows(2).all(|w| w[0] < w[1]) && first[8] < 30);
    lists.fill(2, &[1, 0], &mut batch);
    assert_ne!(batch.chosen, first);
    lists.fill(1, &[0, 1], &mut batch);
    assert_eq!(batch.chosen[..8], first[1..], "a user's part depends on the epoch alone");
}

#[test]
fn the_start_is_the_teachers_vectors_as_they_are_or_centred_and_rotated() {
    let (train, waves) = (data(), teacher(6));
    let with = |centre| {
        let config = BinCfConfig { centre, rotation_rounds: 0, ..BinCfConfig::default() };
        start(&train, &waves, &config, Seed(1)).unwrap()
    };
    let literal = with(Centre::Neither);
    let mut row = [0.0; 6];
    for user in train.users() {
        waves.row(0.3, user.0, &mut row).unwrap();
        let bits: Vec<bool> = row.iter().map(|x| *x >= 0.0).collect();
        assert!(literal.users().bits_of(user.index()).iter().by_vals().eq(bits));
    }
    let centred = with(Centre::Both);
    assert_ne!(literal.users(), centred.users());
    assert_eq!(literal.users(), with(Centre::Items).users());

    // Rotations keep inner products, and that of ITQ brings vectors nearer to the corners.
    let config = BinCfConfig::default();
    let vectors = |config: &BinCfConfig| {
        let model = Training::new(&train, &waves, config, Seed(1)).unwrap();
        [model.users, model.items].map(|key| model.params.rows(key).values().to_vec())
    };
    let [turned, plain] = [config.clone(), BinCfConfig { rotation_rounds: 0, ..config }].map(|c| vectors(&c));
    let dot = |rows: &[Vec<f32>; 2], u: usize, i: usize| -> f32 {
        rows[0][u * 6..u * 6 + 6].iter().zip(&rows[1][i * 6..i * 6 + 6]).map(|(a, b)| a * b).sum()
    };
    for (u, i) in [(0, 0), (3, 7), (12, 19)] {
        assert!((dot(&turned, u, i) - dot(&plain, u, i)).abs() < 1e-4);
    }
    let to_corners = |rows: &[Vec<f32>; 2]| -> f32 { rows.iter().flatten().map(|x| (x - x.signum()).powi(2)).sum() };
    assert!(to_corners(&turned) < to_corners(&plain));
    let config = BinCfConfig { start: Start::Random { code_bits: 33, std: 0.1 }, ..BinCfConfig::default() };
    assert_eq!(start(&train, &waves, &config, Seed(1)).unwrap().index().code_bits(), 33);
}

/// A black box.
struct Opaque(Waves);

impl Catalogue for Opaque {
    fn n_items(&self) -> usize {
        self.0.n_items
    }
}

impl Scorer for Opaque {
    type Query = UserId;
    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.0.score_into(user, items, out)?;
        out.iter_mut().for_each(|x| *x = f32::NAN);
        Ok(())
    }
    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.0.score_all_into(user, out)
    }
}

impl Teacher for Opaque {}

#[test]
fn teachers_that_do_not_fit_are_refused_by_what_is_wrong() {
    let train = data();
    let fit = |teacher: &dyn Teacher<Query = UserId>, config: &BinCfConfig| {
        fit(&train, teacher, config, TrainRun::new(Seed(1)).epochs(1))
    };
    let refused =
        |teacher: &dyn Teacher<Query = UserId>, config: &BinCfConfig| fit(teacher, config).unwrap_err().to_string();
    let config = BinCfConfig::default();
    let other = Waves { n_items: 19, ..teacher(6) };
    assert!(refused(&other, &config).starts_with("the teacher has 19 items, expected 20"));
    assert!(refused(&Opaque(teacher(6)), &config).starts_with("the teacher shows no hidden vectors"));
    assert!(refused(&teacher(0), &config).starts_with("the teacher has hidden vectors of width 0 for users"));
    let random = BinCfConfig { start: Start::Random { code_bits: 16, std: 0.1 }, ..config.clone() };
    let error = refused(&Opaque(teacher(6)), &random);
    assert!(error.contains("epoch 1: query or score vector is not finite"), "{error}");
    // A black box that is not asked for scores is fine.
    let plain = BinCfConfig { ranking_weight: 0.0, ..random };
    assert!(fit(&Opaque(teacher(6)), &plain).is_ok());

    let bad = |config: BinCfConfig| refused(&teacher(6), &config);
    assert_eq!(
        bad(BinCfConfig { temperature: 0.0, ..config.clone() }),
        "dgcn-bincf: temperature is 0, expected a finite number above 0"
    );
    assert!(bad(BinCfConfig { ranking_weight: -1.0, ..config.clone() }).contains("ranking_weight is -1"));
    assert!(bad(BinCfConfig { score_scale: 0.0, ..config.clone() }).contains("score_scale is 0"));
    assert!(bad(BinCfConfig { list_limit: 1, ..config.clone() }).contains("list_limit is 1"));
    assert!(bad(BinCfConfig { corner_weight: f64::NAN, ..config.clone() }).contains("corner_weight is NaN"));
    assert!(bad(BinCfConfig { noise_weight: -0.1, ..config.clone() }).contains("noise_weight"));
    assert!(bad(BinCfConfig { noise_temperature: 0.0, ..config.clone() }).contains("noise_temperature"));
    assert!(bad(BinCfConfig { batch_users: 0, ..config.clone() }).contains("batch_users is 0"));
    let start = Start::Random { code_bits: 5000, std: 0.1 };
    assert!(bad(BinCfConfig { start, ..config.clone() }).contains("start.code_bits is 5000"));
    assert!(bad(BinCfConfig { optimizer: Optimizer::adam(-1.0), ..config }).contains("learning_rate"));
    assert!(serde_json::from_str::<BinCfConfig>(r#"{"alpha": 1}"#).unwrap_err().to_string().contains("unknown field"));
}
