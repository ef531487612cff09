use rectify_core::{UserId, testing};
use rectify_tensor::Optimizer;
use rectify_tensor::testing::trainer;

use super::*;
use crate::learn::fixture::{self, run};

fn small() -> SpectralCfConfig {
    SpectralCfConfig {
        embedding_dim: 6,
        batch_size: 300,
        optimizer: Optimizer::adam(0.01),
        ..SpectralCfConfig::default()
    }
}

fn fitted(train: &Interactions, config: &SpectralCfConfig, epochs: u32) -> (Factors, FitReport) {
    fit(train, config, run(epochs)).unwrap()
}

/// The dense matrix of a graph.
fn dense(graph: &Graph) -> Vec<Vec<f64>> {
    let n = graph.n_nodes();
    let mut matrix = vec![vec![0.0; n]; n];
    for (row, out) in matrix.iter_mut().enumerate() {
        let (columns, values) = graph.matrix.row(row);
        columns.iter().zip(values).for_each(|(c, v)| out[*c as usize] = f64::from(*v));
    }
    matrix
}

/// The loss by the definition, in double precision; blocks are the embeddings, then the filters.
fn loss_by_definition(matrix: &[Vec<f64>], blocks: &[Vec<f64>], dim: usize, batch: &Batch, l2: f64) -> f64 {
    let n = matrix.len();
    let mut layers = vec![blocks[0].clone()];
    for filter in &blocks[1..] {
        let x = &layers[layers.len() - 1];
        let product = |row: usize, c: usize| (0..n).map(|m| matrix[row][m] * x[m * dim + c]).sum::<f64>();
        let z = |at: usize| (0..dim).map(|c| product(at / dim, c) * filter[c * dim + at % dim]).sum::<f64>();
        let next = (0..n * dim).map(|at| 1.0 / (1.0 + (-z(at)).exp())).collect();
        layers.push(next);
    }
    let mut sum = 0.0;
    for s in 0..batch.len() {
        let rows = [&batch.users, &batch.positives, &batch.negatives].map(|rows| rows[s] as usize * dim);
        for x in &layers {
            let squares: f64 = rows.iter().flat_map(|row| &x[*row..row + dim]).map(|x| x * x).sum();
            sum += 0.5 * l2 * squares;
        }
        let margin: f64 = layers
            .iter()
            .map(|x| (0..dim).map(|c| x[rows[0] + c] * (x[rows[1] + c] - x[rows[2] + c])).sum::<f64>())
            .sum();
        sum += (-margin).exp().ln_1p();
    }
    sum / batch.len() as f64
}

#[test]
fn every_gradient_matches_differences_in_double_precision() {
    let train =
        Interactions::from_pairs(6, 5, &[(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (3, 3), (4, 1), (4, 3)]).unwrap();
    for (n_layers, dim) in [(1, 4), (2, 3), (3, 5)] {
        let config = SpectralCfConfig { embedding_dim: dim, n_layers, init_std: 0.5, ..SpectralCfConfig::default() };
        let mut model = Training::new(&train, &config, Seed(5)).unwrap();
        let (users, items) = (model.graph.users(), model.graph.items());
        let batch = Batch {
            users: [0, 1, 0, 5].map(|u| users[u]).to_vec(),
            positives: [0, 1, 1, 4].map(|i| items[i]).to_vec(),
            negatives: [2, 4, 3, 0].map(|i| items[i]).to_vec(),
        };
        let matrix = dense(&model.graph);
        let x0 = model.params.dense(model.embeddings).values();
        let filters = values(&model.params, &model.filters);
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let mut blocks = vec![wide(x0)];
        blocks.extend(filters.iter().map(|filter| wide(filter)));
        model.rows.index(&batch);
        for _ in 0..2 {
            let (loss, d_embeddings, d_filters) =
                model.propagation.step(&model.graph.matrix, x0, &filters, &model.rows, 0.01);
            let want = loss_by_definition(&matrix, &blocks, dim, &batch, f64::from(0.01f32));
            assert!((loss - want).abs() < 1e-6, "{loss} {want}");
            for (b, gradient) in std::iter::once(d_embeddings).chain(d_filters.iter().map(|d| &d[..])).enumerate() {
                let largest = gradient.iter().fold(1e-3f64, |a, g| a.max(f64::from(g.abs())));
                for k in 0..gradient.len() {
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
                    assert!((got - slope).abs() <= 1e-5 * largest, "{n_layers}, block {b}, {k}: {got} {slope}");
                }
            }
        }
    }
}

#[test]
fn the_operator_is_similar_to_the_authors_random_walk() {
    let train = Interactions::from_pairs(2, 2, &[(0, 0), (0, 1), (1, 1)]).unwrap();
    let graph = Graph::new(&train, Operator::SelfPlusLaplacian);
    let nodes: Vec<usize> = graph.users().iter().chain(graph.items()).map(|at| *at as usize).collect();
    let (matrix, degrees) = (dense(&graph), [3.0f64, 2.0, 2.0, 3.0]);
    // I + L of the random walk is D'^-½ (I + L) D'^½ of the symmetric one.
    let row = |a: usize| -> Vec<f64> {
        (0..4).map(|b| matrix[nodes[a]][nodes[b]] * (degrees[b] / degrees[a]).sqrt()).collect()
    };
    let close = |got: &[f64], want: [f64; 4]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close(&row(0), [5.0 / 3.0, 0.0, -1.0 / 3.0, -1.0 / 3.0]), "{:?}", row(0));
    assert!(close(&row(1), [0.0, 1.5, 0.0, -0.5]), "{:?}", row(1));
    assert!(std::ptr::eq(graph.matrix.transpose(), &graph.matrix));
}

#[test]
fn it_finds_the_held_out_item_and_lowers_its_loss() {
    let (train, targets) = fixture::held_out(200, 90);
    let (model, report) = fitted(&train, &small(), 40);
    let auc = fixture::auc(&model, &train, &targets);
    // The four groups allow 0.93; popularity gives about 0.5.
    assert!((0.7..0.95).contains(&auc), "{auc}");
    assert!(report.history[39].loss < report.history[0].loss);
    assert_eq!(model.dim(), 24);
}

#[test]
fn training_keeps_the_promises_of_a_trainer() {
    let train = fixture::clusters(700, 40);
    trainer(|run| fit(&train, &small(), run));
    let (model, _) = fitted(&train, &small(), 1);
    assert_eq!(model.provenance().model, "spectral-cf");
    testing::scorer(&model, &[&UserId(0), &fixture::EMPTY_USER]);
}

#[test]
fn bad_settings_are_named() {
    let train = fixture::clusters(20, 15);
    let refused = |config: SpectralCfConfig| fit(&train, &config, run(1)).unwrap_err().to_string();
    assert_eq!(refused(SpectralCfConfig { n_layers: 0, ..small() }), "spectral-cf: n_layers is 0, expected in 1..=16");
    assert!(refused(SpectralCfConfig { embedding_dim: 0, ..small() }).contains("embedding_dim is 0"));
    assert!(refused(SpectralCfConfig { batch_size: 0, ..small() }).contains("batch_size is 0"));
    assert!(refused(SpectralCfConfig { l2: -1.0, ..small() }).contains("l2 is -1"));
    assert!(refused(SpectralCfConfig { init_std: f64::NAN, ..small() }).contains("init_std is NaN"));
    assert!(refused(SpectralCfConfig { optimizer: Optimizer::adam(-1.0), ..small() }).contains("learning_rate"));
    assert!(serde_json::from_str::<SpectralCfConfig>(r#"{"width": 2}"#).is_err());
}
