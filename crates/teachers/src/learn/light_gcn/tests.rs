use rectify_core::{Scorer, UserId, testing};
use rectify_tensor::Optimizer;
use rectify_tensor::testing::trainer;

use super::*;
use crate::learn::fixture::{self, run};

fn small() -> LightGcnConfig {
    LightGcnConfig { embedding_dim: 12, batch_size: 100, optimizer: Optimizer::adam(0.01), ..LightGcnConfig::default() }
}

fn fitted(train: &Interactions, config: &LightGcnConfig, epochs: u32) -> (Factors, FitReport) {
    fit(train, config, run(epochs)).unwrap()
}

fn close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() < 1e-6, "at {at}: {got}, expected {want}");
    }
}

/// PyTorch 2.15 in double precision, with the dense adjacency A^ of the pairs (users 0-2, items 3-6 as nodes):
///
/// ```python
/// x = [[((r * 2 + c) * 7 % 11 - 5) / 10 for c in range(2)] for r in range(7)]
/// u, i, j = [0, 1, 0], [4, 5, 3], [5, 3, 6]
/// for layers in (0, 1, 3):
///     f = sum(matrix_power(A, k) @ x for k in range(layers + 1)) / (layers + 1)
///     loss = softplus(-(f[u] * (f[i] - f[j])).sum(1)).mean() + .005 * (x[u]**2 + x[i]**2 + x[j]**2).sum() / 3
/// ```
#[test]
fn loss_and_gradient_are_those_of_pytorch_for_zero_one_and_three_layers() {
    let pairs = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 3)];
    let graph = Graph::new(&Interactions::from_pairs(3, 4, &pairs).unwrap(), Operator::Adjacency);
    let nodes: Vec<usize> = graph.users().iter().chain(graph.items()).map(|at| *at as usize).collect();
    let mut x = vec![0.0; 14];
    for (node, at) in nodes.iter().enumerate() {
        for c in 0..2 {
            x[at * 2 + c] = (((node * 2 + c) * 7 % 11) as f32 - 5.0) / 10.0;
        }
    }
    let row = |node: usize| nodes[node] as u32;
    let batch = Batch {
        users: [0, 1, 0].map(row).to_vec(),
        positives: [4, 5, 3].map(row).to_vec(),
        negatives: [5, 3, 6].map(row).to_vec(),
    };
    let want: [(usize, f64, [f32; 14]); 3] = [
        (
            0,
            0.684_955_35,
            [
                0.004_645_1,
                -0.145_830_3,
                0.088_905_0,
                0.091_238_3,
                0.0,
                0.0,
                0.052_670_6,
                0.055_238_6,
                0.069_185_8,
                -0.027_207_6,
                -0.035_357_1,
                -0.064_697_3,
                -0.085_165_9,
                0.033_666_4,
            ],
        ),
        (
            1,
            0.661_007_88,
            [
                0.029_676_6,
                -0.052_340_0,
                0.026_844_2,
                -0.000_123_9,
                -0.013_814_2,
                0.008_996_8,
                0.015_238_0,
                -0.025_092_8,
                0.038_438_0,
                -0.033_529_0,
                0.011_774_0,
                0.000_982_4,
                -0.019_744_6,
                0.013_621_2,
            ],
        ),
        (
            3,
            0.674_276_01,
            [
                0.015_094_8,
                -0.024_096_9,
                0.026_062_2,
                -0.009_604_0,
                -0.008_469_4,
                0.002_956_8,
                0.007_256_6,
                -0.011_025_2,
                0.026_028_9,
                -0.020_444_1,
                0.016_897_3,
                -0.010_397_0,
                -0.010_200_4,
                0.004_594_0,
            ],
        ),
    ];
    for (n_layers, loss, gradient) in want {
        let mut propagation = Propagation::new(7, 2, n_layers);
        for _ in 0..2 {
            // Twice: nothing of the first step may be left in the buffers.
            let (got, d) = propagation.step(&graph.matrix, &x, &batch, 0.01);
            assert!((got - loss).abs() < 1e-6, "{n_layers} layers: {got}, expected {loss}");
            let by_node: Vec<f32> = nodes.iter().flat_map(|at| &d[at * 2..at * 2 + 2]).copied().collect();
            close(&by_node, &gradient);
        }
    }
}

#[test]
fn the_adjacency_is_the_digests_example_and_symmetric() {
    let graph = Graph::new(&Interactions::from_pairs(2, 2, &[(0, 0), (0, 1), (1, 1)]).unwrap(), Operator::Adjacency);
    let entry = |user: usize, item: usize| {
        let (columns, values) = graph.matrix.row(graph.users()[user] as usize);
        columns.iter().position(|c| *c == graph.items()[item]).map(|at| values[at])
    };
    let root_half = std::f32::consts::FRAC_1_SQRT_2;
    assert_eq!(
        [entry(0, 0), entry(0, 1), entry(1, 1), entry(1, 0)],
        [Some(root_half), Some(0.5), Some(root_half), None]
    );
    assert!(std::ptr::eq(graph.matrix.transpose(), &graph.matrix));
}

#[test]
fn every_node_has_a_place_of_its_own_even_without_edges() {
    let train = fixture::clusters(60, 40);
    let sparse = Interactions::from_pairs(5, 9, &[(1, 8), (3, 8)]).unwrap();
    for data in [train, sparse] {
        let graph = Graph::new(&data, Operator::Adjacency);
        let mut places: Vec<u32> = graph.users().iter().chain(graph.items()).copied().collect();
        assert_eq!(graph.matrix.n_edges(), 2 * data.n_interactions());
        places.sort_unstable();
        assert_eq!(places, (0..(data.n_users() + data.n_items()) as u32).collect::<Vec<_>>());
    }
}

#[test]
fn users_are_drawn_alike_and_triples_are_a_seen_and_an_unseen_item() {
    let pairs: Vec<(u32, u32)> = (0..30).map(|item| (0, item)).chain([(2, 1)]).collect();
    let train = Interactions::from_pairs(3, 40, &pairs).unwrap();
    let (triples, graph) = (Triples::new(&train, Seed(4)).unwrap(), Graph::new(&train, Operator::Adjacency));
    let (mut batch, mut of_user_2) = (Batch::default(), 0);
    for epoch in 1..=100 {
        triples.fill(epoch, 0..triples.len(), &graph, &mut batch);
        assert_eq!(batch.users.len(), 31);
        for s in 0..31 {
            let id = |rows: &[u32], row| UserId(rows.iter().position(|r| *r == row).unwrap() as u32);
            let user = id(graph.users(), batch.users[s]);
            let has = |row| train.contains(user, id(graph.items(), row).0.into());
            assert!(has(batch.positives[s]) && !has(batch.negatives[s]));
            of_user_2 += u32::from(user == UserId(2));
        }
    }
    // Half of 3,100; sigma 28. User 1 has nothing and never comes.
    assert!(of_user_2.abs_diff(1550) < 112, "{of_user_2}");
}

#[test]
fn every_depth_finds_the_held_out_item_and_beats_popularity() {
    let (train, targets) = fixture::held_out(200, 90);
    let popular = fixture::auc(&crate::pop_rank::fit(&train).unwrap(), &train, &targets);
    for n_layers in [0, 1, 3] {
        let (model, report) = fitted(&train, &LightGcnConfig { n_layers, ..small() }, 20);
        let auc = fixture::auc(&model, &train, &targets);
        // 0.93 is the most that the four groups allow; popularity gives about 0.5.
        assert!((0.75..0.95).contains(&auc) && auc > popular + 0.15, "{n_layers}: {auc}, popularity {popular}");
        assert!(report.history[19].loss < report.history[0].loss);
    }
}

#[test]
fn a_user_without_items_keeps_its_share_of_the_initial_vector() {
    let train = fixture::clusters(60, 40);
    let config = small();
    let start = Training::new(&train, &config, Seed(3)).unwrap();
    let at = start.graph.users()[fixture::EMPTY_USER.index()] as usize;
    let initial = &start.params.dense(start.embeddings).values()[at * 12..(at + 1) * 12];
    let (model, _) = fitted(&train, &config, 3);
    let want: Vec<f32> = initial.iter().map(|x| x / 4.0).collect();
    close(model.user(fixture::EMPTY_USER).unwrap(), &want);
    let mut out = vec![0.0; 40];
    model.score_all_into(&fixture::EMPTY_USER, &mut out).unwrap();
}

#[test]
fn training_keeps_the_promises_of_a_trainer() {
    let train = fixture::clusters(700, 40);
    trainer(|run| fit(&train, &small(), run));
    let (model, _) = fitted(&train, &small(), 1);
    assert_eq!(model.provenance().model, "light-gcn");
    testing::scorer(&model, &[&UserId(0), &fixture::EMPTY_USER]);
    testing::retriever(&model, &[&UserId(1)], &testing::Oracle::scorer(&model));
}

#[test]
fn bad_settings_and_bad_data_are_named() {
    let train = fixture::clusters(20, 15);
    let refused = |config: LightGcnConfig| fit(&train, &config, run(1)).unwrap_err().to_string();
    assert_eq!(
        refused(LightGcnConfig { embedding_dim: 0, ..small() }),
        "light-gcn: embedding_dim is 0, expected in 1..=16384"
    );
    assert!(refused(LightGcnConfig { n_layers: 17, ..small() }).starts_with("light-gcn: n_layers is 17"));
    assert!(refused(LightGcnConfig { batch_size: 0, ..small() }).starts_with("light-gcn: batch_size is 0"));
    assert!(refused(LightGcnConfig { l2: -1.0, ..small() }).starts_with("light-gcn: l2 is -1"));
    assert!(refused(LightGcnConfig { init_std: 0.0, ..small() }).starts_with("light-gcn: init_std is 0"));
    assert!(
        refused(LightGcnConfig { optimizer: Optimizer::adam(-1.0), ..small() }).contains("optimizer.learning_rate")
    );
    let error = serde_json::from_str::<LightGcnConfig>(r#"{"layers": 3}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `layers`"), "{error}");

    let all: Vec<(u32, u32)> = (0..3).map(|item| (0, item)).chain([(1, 0)]).collect();
    for data in [Interactions::from_pairs(2, 3, &[]).unwrap(), Interactions::from_pairs(2, 3, &all).unwrap()] {
        let error = fit(&data, &small(), run(1)).unwrap_err();
        assert!(matches!(error, FitError::Empty { .. } | FitError::Negatives(_)), "{error}");
    }
}
