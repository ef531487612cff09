use rectify_core::{UserId, testing};
use rectify_tensor::Optimizer;
use rectify_tensor::testing::trainer;

use super::*;
use crate::learn::fixture::{self, run};

fn small() -> GcnCfConfig {
    GcnCfConfig { embedding_dim: 8, batch_size: 300, optimizer: Optimizer::adam(0.01), ..GcnCfConfig::default() }
}

fn fitted(train: &Interactions, config: &GcnCfConfig, epochs: u32) -> (Factors, FitReport) {
    fit(train, config, run(epochs)).unwrap()
}

/// The weights in double precision, one block after the other in the order of [`step::Gradients::blocks`].
type Blocks = Vec<Vec<f64>>;

/// The vectors of all nodes by the definition, in double precision.
fn vectors_by_definition(matrix: &[Vec<f64>], blocks: &Blocks, dim: usize) -> Vec<Vec<f64>> {
    let rows = |block: &[f64]| -> Vec<Vec<f64>> { block.chunks(dim).map(<[f64]>::to_vec).collect() };
    let product = |a: &[Vec<f64>], b: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let dot = |row: &[f64], c: usize| row.iter().zip(b).map(|(x, b)| x * b[c]).sum();
        a.iter().map(|row| (0..dim).map(|c| dot(row, c)).collect()).collect()
    };
    let norm = |x: &[Vec<f64>], scale: &[f64], shift: &[f64]| -> Vec<Vec<f64>> {
        let n = x.len() as f64;
        let mean: Vec<f64> = (0..dim).map(|c| x.iter().map(|row| row[c]).sum::<f64>() / n).collect();
        let var: Vec<f64> = (0..dim).map(|c| x.iter().map(|row| (row[c] - mean[c]).powi(2)).sum::<f64>() / n).collect();
        let at = |row: &[f64], c: usize| scale[c] * (row[c] - mean[c]) / (var[c] + 1e-5).sqrt() + shift[c];
        x.iter().map(|row| (0..dim).map(|c| at(row, c)).collect()).collect()
    };
    let convolve = |x: &[Vec<f64>], filter: &[f64], scale: &[f64], shift: &[f64]| {
        let mut out = product(&product(matrix, &norm(x, scale, shift)), &rows(filter));
        out.iter_mut().flatten().for_each(|z| *z = 1.0 / (1.0 + (-*z).exp()));
        out
    };
    let cross = |x: &[Vec<f64>], w: &[f64]| -> Vec<Vec<f64>> {
        let gain = |row: &[f64], w: &[f64]| 1.0 + row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
        x.iter().zip(w.chunks(dim)).map(|(row, w)| row.iter().map(|x| x * gain(row, w)).collect()).collect()
    };
    let [x0, w1, w2, filter1, filter2, scale1, scale2, shift1, shift2] = blocks.as_slice() else {
        panic!("nine blocks")
    };
    let x0 = rows(x0);
    let x1 = convolve(&x0, filter1, scale1, shift1);
    let x3 = cross(&cross(&x1, w1), w2);
    let x4 = convolve(&x3, filter2, scale2, shift2);
    x0.iter().zip(&x1).zip(&x4).map(|((a, b), c)| [a.as_slice(), b, c].concat()).collect()
}

fn loss_by_definition(matrix: &[Vec<f64>], blocks: &Blocks, dim: usize, batch: &Batch, l2: f64) -> f64 {
    let f = vectors_by_definition(matrix, blocks, dim);
    let mut sum = 0.0;
    for s in 0..batch.len() {
        let [u, i, j] = [&batch.users, &batch.positives, &batch.negatives].map(|rows| &f[rows[s] as usize]);
        let margin: f64 = u.iter().zip(i).zip(j).map(|((u, i), j)| u * (i - j)).sum();
        let squares: f64 = [u, i, j].into_iter().flatten().map(|x| x * x).sum();
        sum += (-margin).exp().ln_1p() + l2 * squares;
    }
    sum / batch.len() as f64
}

#[test]
fn every_gradient_matches_differences_in_double_precision() {
    // Seven users and six items; user 7 and item 5 have no edge.
    let train =
        Interactions::from_pairs(8, 6, &[(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (3, 3), (4, 4), (5, 1), (6, 3)])
            .unwrap();
    for dim in [3, 17] {
        let config = GcnCfConfig { embedding_dim: dim, init_std: 0.5, cross_std: 0.4, ..GcnCfConfig::default() };
        let mut model = Training::new(&train, &config, Seed(5)).unwrap();
        // Neither scale 1 nor shift 0, which would hide a factor.
        for (k, key) in model.keys.scales.into_iter().chain(model.keys.shifts).enumerate() {
            let [param] = model.params.dense_mut([key]);
            param.values_mut().iter_mut().enumerate().for_each(|(c, x)| *x += 0.3 * ((k * dim + c) as f32).sin());
        }
        let (users, items) = (model.graph.users(), model.graph.items());
        let batch = Batch {
            users: [0, 1, 0, 7, 3].map(|u| users[u]).to_vec(),
            positives: [0, 1, 1, 5, 3].map(|i| items[i]).to_vec(),
            negatives: [2, 4, 5, 0, 1].map(|i| items[i]).to_vec(),
        };
        let n = model.graph.n_nodes();
        let mut matrix = vec![vec![0.0; n]; n];
        for (row, out) in matrix.iter_mut().enumerate() {
            let (columns, values) = model.graph.matrix.row(row);
            columns.iter().zip(values).for_each(|(c, v)| out[*c as usize] = f64::from(*v));
        }
        let weights = model.keys.weights(&model.params);
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let mut blocks: Blocks = vec![wide(weights.embeddings)];
        for pair in [weights.crosses, weights.filters, weights.scales, weights.shifts] {
            blocks.extend(pair.map(wide));
        }

        model.rows.index(&batch);
        for _ in 0..2 {
            // Twice: nothing of the first step may be left in the buffers.
            let (loss, gradients) = model.propagation.step(&model.graph.matrix, &weights, &model.rows, 0.01);
            let want = loss_by_definition(&matrix, &blocks, dim, &batch, f64::from(0.01f32));
            assert!((loss - want).abs() < 1e-6, "{loss} {want}");
            for (b, gradient) in gradients.blocks().into_iter().enumerate() {
                let largest = gradient.iter().fold(1e-3f64, |a, g| a.max(f64::from(g.abs())));
                for k in (0..gradient.len()).step_by(1 + gradient.len() / 50) {
                    let centre = blocks[b][k];
                    let mut side = |delta: f64| {
                        blocks[b][k] = centre + delta;
                        let loss = loss_by_definition(&matrix, &blocks, dim, &batch, f64::from(0.01f32));
                        blocks[b][k] = centre;
                        loss
                    };
                    let h = 1e-3;
                    let slope = (8.0 * (side(h) - side(-h)) - (side(2.0 * h) - side(-2.0 * h))) / (12.0 * h);
                    let got = f64::from(gradient[k]);
                    assert!((got - slope).abs() <= 1e-5 * largest, "block {b}, {k}: {got} {slope}, largest {largest}");
                }
            }
        }
        let nodes: Vec<u32> = (0..n as u32).collect();
        let got = model.propagation.vectors(&model.graph.matrix, &weights, &nodes).to_vec();
        let want = vectors_by_definition(&matrix, &blocks, dim).concat();
        assert!(got.iter().zip(&want).all(|(got, want)| (f64::from(*got) - want).abs() < 2e-6));
    }
}

#[test]
fn the_digests_graph_gives_its_products_and_activations() {
    let train = Interactions::from_pairs(2, 2, &[(0, 0), (0, 1), (1, 1)]).unwrap();
    let graph = Graph::new(&train, Operator::SelfPlusAdjacency);
    let nodes: Vec<usize> = graph.users().iter().chain(graph.items()).map(|at| *at as usize).collect();
    let mut x = [0.0; 8];
    for (at, row) in nodes.iter().zip([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0]]) {
        x[at * 2..at * 2 + 2].copy_from_slice(&row);
    }
    let (mut product, mut out) = ([0.0; 8], [0.0; 8]);
    graph.matrix.spmm(&x, 2, &mut product);
    crate::learn::convolution::layer(&product, &[1.0, 0.0, 0.0, 1.0], 2, &mut out);
    use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
    let want = [
        [2.707_106_8, FRAC_1_SQRT_2, 0.937_445, 0.669_762],
        [SQRT_2, 1.0, 0.804_430, 0.731_059],
        [1.707_106_8, 1.0, 0.846_461, 0.731_059],
        [2.5, FRAC_1_SQRT_2, 0.924_142, 0.669_762],
    ];
    for (at, want) in nodes.iter().zip(want) {
        let got = [product[at * 2], product[at * 2 + 1], out[at * 2], out[at * 2 + 1]];
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{got:?} {want:?}");
    }
}

#[test]
fn it_finds_the_held_out_item_and_beats_popularity() {
    let (train, targets) = fixture::held_out(200, 90);
    let popular = fixture::auc(&crate::pop_rank::fit(&train).unwrap(), &train, &targets);
    let (model, report) = fitted(&train, &small(), 30);
    let auc = fixture::auc(&model, &train, &targets);
    // 0.93 is the most that the four groups allow; popularity gives about 0.5.
    assert!((0.8..0.95).contains(&auc) && auc > popular + 0.2, "{auc}, popularity {popular}");
    assert!(report.history[29].loss < report.history[0].loss);
    assert_eq!(model.dim(), 24);
    assert!(model.users().chunks(24).all(|row| row[8..].iter().all(|x| (0.0..1.0).contains(x))));
}

#[test]
fn training_keeps_the_promises_of_a_trainer() {
    let train = fixture::clusters(700, 40);
    trainer(|run| fit(&train, &small(), run));
    let (model, _) = fitted(&train, &small(), 1);
    assert_eq!(model.provenance().model, "gcn-cf");
    testing::scorer(&model, &[&UserId(0), &fixture::EMPTY_USER]);
}

#[test]
fn bad_settings_and_bad_data_are_named() {
    let train = fixture::clusters(20, 15);
    let refused = |config: GcnCfConfig| fit(&train, &config, run(1)).unwrap_err().to_string();
    assert_eq!(
        refused(GcnCfConfig { embedding_dim: 0, ..small() }),
        "gcn-cf: embedding_dim is 0, expected in 1..=4096"
    );
    assert!(refused(GcnCfConfig { batch_size: 0, ..small() }).starts_with("gcn-cf: batch_size is 0"));
    assert!(refused(GcnCfConfig { l2: f64::NAN, ..small() }).starts_with("gcn-cf: l2 is NaN"));
    assert!(refused(GcnCfConfig { init_std: 0.0, ..small() }).starts_with("gcn-cf: init_std is 0"));
    assert!(refused(GcnCfConfig { cross_std: -1.0, ..small() }).starts_with("gcn-cf: cross_std is -1"));
    assert!(refused(GcnCfConfig { optimizer: Optimizer::adam(-1.0), ..small() }).contains("optimizer.learning_rate"));
    let error = serde_json::from_str::<GcnCfConfig>(r#"{"layers": 2}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `layers`"), "{error}");
    let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
    let error = fit(&empty, &small(), run(1)).unwrap_err();
    assert!(matches!(error, FitError::Empty { .. }), "{error}");
}
