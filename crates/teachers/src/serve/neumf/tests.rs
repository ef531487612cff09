use rectify_core::artifact::{ArtifactWriter, Overwrite};
use rectify_core::rng::Seed;
use rectify_core::{Catalogue, Hidden, Index, ItemId, Scorer, UserId, testing};

use super::first_pass::Query;
use super::parts::Parts;
use super::{NeuMf, NeuMfConfig};

fn scores(model: &NeuMf, user: u32) -> Vec<f32> {
    let mut out = vec![0.0; model.n_items()];
    model.score_all_into(&UserId(user), &mut out).unwrap();
    out
}

fn tiny(config: NeuMfConfig, parts: [&[f32]; 6], bias: f32) -> NeuMf {
    let [users, items, weight, layer_bias, output, _] = parts.map(|x| x.to_vec());
    let layers = if weight.is_empty() { vec![] } else { vec![(weight.into(), layer_bias.into())] };
    NeuMf::from_parts(config, Parts { users: users.into(), items: items.into(), layers, output: output.into(), bias })
}

#[test]
fn the_forward_pass_is_the_one_of_the_papers_arithmetic() {
    // GMF (.5, 1) ⊙ (2, -1) = (1, -1); MLP input (1, 0, 0, 1) through [[1,1,0,0],[0,0,1,1]] is (1, 1); w = (1, 1, .5, .5).
    let config = NeuMfConfig { gmf_dim: 2, mlp_dim: 2, hidden: vec![2], ..NeuMfConfig::default() };
    let (user, item) = ([0.5, 1.0, 1.0, 0.0], [2.0, -1.0, 0.0, 1.0]);
    let weight = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let model = tiny(config, [&user, &item, &weight, &[0.0; 2], &[1.0, 1.0, 0.5, 0.5], &[]], 0.0);
    let score = scores(&model, 0)[0];
    assert_eq!(score, 1.0);
    assert!((1.0 / (1.0 + (-score).exp()) - 0.731_058_6).abs() < 1e-6);
    let mut joint = [0.0; 4];
    model.pairs_into(&[(UserId(0), ItemId(0))], &mut joint).unwrap();
    assert_eq!(joint, [1.0, -1.0, 1.0, 1.0]);
}

#[test]
fn merging_halves_the_output_weights_and_the_sum_of_the_biases() {
    let gmf = tiny(NeuMfConfig::gmf(1), [&[3.0], &[5.0], &[], &[], &[2.0], &[]], 1.0);
    let mlp = tiny(NeuMfConfig::mlp(1, &[1]), [&[1.0], &[2.0], &[1.0, 1.0], &[0.0], &[4.0], &[]], 3.0);
    let merged = NeuMf::merge(&gmf, &mlp).unwrap();
    let Parts { users, items, output, bias, .. } = &merged.parts;
    assert_eq!((&users[..], &items[..], &output[..], *bias), (&[3.0, 1.0][..], &[5.0, 2.0][..], &[1.0, 2.0][..], 2.0));
    // The mean of what the two say: (2·15 + 1 + 4·3 + 3) / 2.
    assert_eq!(scores(&merged, 0), [0.5 * (scores(&gmf, 0)[0] + scores(&mlp, 0)[0])]);
    assert!(NeuMf::merge(&mlp, &gmf).unwrap_err().to_string().contains("expected a gmf and an mlp, got mlp and gmf"));
    let other = tiny(NeuMfConfig::mlp(1, &[1]), [&[1.0, 1.0], &[2.0], &[1.0, 1.0], &[0.0], &[4.0], &[]], 3.0);
    assert!(NeuMf::merge(&gmf, &other).unwrap_err().to_string().contains("train both on one data set"));
}

#[test]
fn parameter_counts_are_those_that_de_rrd_prints() {
    let n_params = |users, items, d| {
        NeuMfConfig { gmf_dim: d, mlp_dim: d, hidden: vec![d], ..NeuMfConfig::default() }.n_params(users, items)
    };
    assert_eq!([250, 125, 25].map(|d| n_params(5220, 25182, d)), [15_326_751, 7_632_126, 1_521_426]);
    assert_eq!([250, 125, 25].map(|d| n_params(19466, 28594, d)), [24_155_751, 12_046_626, 2_404_326]);
}

#[test]
fn a_file_whose_arrays_do_not_fit_its_settings_is_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let write = |config: &NeuMfConfig, output: &[f32]| {
        let mut writer = ArtifactWriter::new("neumf", 1);
        writer.config(config).array("users", &[1, 2], &[1.0f32, 2.0]).array("items", &[1, 2], &[1.0f32, 2.0]);
        writer.array("output.weight", &[output.len(), 1], output).array("output.bias", &[1, 1], &[0.0f32]);
        writer.save(&path, Overwrite::Replace).unwrap();
        NeuMf::open(&path).unwrap_err().to_string()
    };
    let gmf = NeuMfConfig::gmf;
    assert!(write(&gmf(3), &[1.0; 3]).contains("users: array has shape [1, 2], expected [rows, 3]"));
    assert!(write(&gmf(2), &[1.0; 3]).contains("output.weight: array has shape [3, 1], expected [2, 1]"));
    assert!(write(&gmf(2), &[1.0, f32::NAN]).contains("output.weight: value 1 is NaN"));
    assert!(write(&NeuMfConfig { n_negatives: 0, ..gmf(2) }, &[1.0; 2]).contains("n_negatives is 0"));
}

/// Weights drawn with `std`, items of very different lengths.
fn drawn(seed: u64, std: f64) -> NeuMf {
    let config = NeuMfConfig { gmf_dim: 5, mlp_dim: 12, hidden: vec![32, 20, 9], ..NeuMfConfig::default() };
    let mut rng = Seed(seed).stream("weights").rng();
    let mut draw = |n: usize, std: f64| (0..n).map(|_| (std * rng.normal()) as f32).collect::<Vec<f32>>();
    let mut items = draw(500 * 17, std);
    items.chunks_exact_mut(17).enumerate().for_each(|(i, row)| {
        row.iter_mut().for_each(|x| *x *= (i % 10) as f32);
    });
    let sizes = config.layers();
    let layers = sizes.iter().map(|&(k, n)| (draw(k * n, std).into(), draw(n, std).into())).collect();
    let (users, output) = (draw(20 * 17, std).into(), draw(config.joint_dim(), 1.0).into());
    NeuMf::from_parts(config, Parts { users, items: items.into(), layers, output, bias: 0.5 })
}

#[test]
fn no_score_of_a_first_pass_is_further_from_f32_than_the_distance() {
    for (case, std) in [0.01, 0.3, 1.0, 30.0].into_iter().enumerate() {
        let model = drawn(case as u64, std);
        let (pass, mut exact) = (model.first_pass().unwrap(), vec![0.0; 500]);
        for user in (0..20).map(UserId) {
            model.score_all_into(&user, &mut exact).unwrap();
            let (first, weighted) = model.query(user).unwrap();
            let query = Query { first: &first, weighted: &weighted };
            let scales = pass.scales(&query).unwrap();
            let near = pass.scores(&query, &scales);
            let far = exact.iter().zip(&near).map(|(x, y)| f64::from((x - y).abs())).fold(0.0, f64::max);
            let (low, high) = exact.iter().fold((f32::MAX, f32::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
            assert!(far <= scales.distance, "{far} beyond {}, std {std}", scales.distance);
            assert!(scales.distance < 0.2 * f64::from(high - low), "{} of {low} to {high}", scales.distance);
        }
    }
}

#[test]
fn a_model_with_a_first_pass_keeps_every_promise() {
    let plain = drawn(1, 0.3);
    let users = [&UserId(0), &UserId(19)];
    testing::index(&plain, &users);
    let certified = plain.clone().certified().unwrap();
    testing::scorer(&certified, &users);
    testing::retriever(&certified, &users, &testing::Oracle::scorer(&plain));
    testing::retriever_refuses(&certified, &UserId(0), &UserId(20));
}
