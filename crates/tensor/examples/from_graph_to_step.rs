//! From a graph to a hand-written step: one model twice, its gradients compared, both trained and timed.
//!
//!     CANDLE_NUM_THREADS=1 cargo run --release -p rectify-tensor --example from_graph_to_step
//!
//! The model is a matrix factorisation with a layer on the users' side, `score(u, i) = tanh(p_u W + b) · q_i`, trained by
//! BPR. First it is a graph with a layer of candle: short, and right as soon as it runs. Then the same step is written on
//! kernels, and the graph says whether it is right. What is served in the end is two tables of vectors.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::{Duration, Instant};

use rectify_core::rng::{Rng, Seed};
use rectify_core::{Factors, FactorsError, ItemId, Provenance, Scorer, UserId};
use rectify_tensor::kernels::{self, Activation, Pairs};
use rectify_tensor::nn::{self, Module};
use rectify_tensor::train::{BoxError, EpochStats, FitConfig, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{
    Batch, DenseKey, DistinctRows, Graph, GraphError, Init, Optimizer, ParamStore, RowUpdate, RowsKey, Tensor, ops,
};

const N_USERS: u32 = 4000;
const N_ITEMS: u32 = 2000;
/// Users like the items of their own taste, most of the time.
const N_TASTES: u32 = 20;
const DIM: usize = 32;
const BATCH: usize = 512;
const BATCHES: u64 = 100;
const EPOCHS: u32 = 8;
const SEED: Seed = Seed(42);

/// A batch of samples: what a user chose, and what it did not.
struct Triples {
    users: Vec<u32>,
    positives: Vec<u32>,
    negatives: Vec<u32>,
}

impl Triples {
    /// Made-up choices. Each sample has its own place in the stream: a resumed run draws what it would have drawn.
    fn draw(stream: Seed, epoch: u32, batch: u64, noise: f64) -> Self {
        let mut triples = Self { users: vec![], positives: vec![], negatives: vec![] };
        for sample in 0..BATCH as u64 {
            let mut rng = stream.at(epoch, batch * BATCH as u64 + sample);
            let user = rng.below(N_USERS);
            let of_taste = |rng: &mut Rng, taste: u32| taste % N_TASTES + N_TASTES * rng.below(N_ITEMS / N_TASTES);
            let other = user + 1 + rng.below(N_TASTES - 1);
            let noisy = rng.unit_f64() < noise;
            triples.users.push(user);
            triples.positives.push(of_taste(&mut rng, if noisy { other } else { user }));
            triples.negatives.push(of_taste(&mut rng, other));
        }
        triples
    }
}

/// The model: tables that a batch reads a few rows of, and a layer that every batch reads whole.
struct Model {
    store: ParamStore,
    keys: Keys,
    optimizer: Optimizer,
}

#[derive(Clone, Copy)]
struct Keys {
    users: RowsKey,
    items: RowsKey,
    weight: DenseKey,
    bias: DenseKey,
}

impl Model {
    fn new() -> Self {
        let mut store = ParamStore::new(SEED);
        let normal = Init::Normal { std: 0.1 };
        let keys = Keys {
            users: store.add_rows("users", N_USERS as usize, DIM, normal, RowUpdate::Exact),
            items: store.add_rows("items", N_ITEMS as usize, DIM, normal, RowUpdate::Exact),
            weight: store.add_dense("weight", DIM, DIM, Init::GlorotUniform),
            bias: store.add_dense("bias", 1, DIM, Init::Zeros),
        };
        Self { store, keys, optimizer: Optimizer::adam(1e-2) }
    }

    /// What is served: the layer's output for every user, and the items. It knows no graph, no optimiser, not this crate.
    fn served(&self) -> Result<Factors, FactorsError> {
        let Keys { users, items, weight, bias } = self.keys;
        let mut vectors = vec![0.0; N_USERS as usize * DIM];
        let (weight, bias) = (self.store.dense(weight).values(), self.store.dense(bias).values());
        kernels::linear_bias_act(self.store.rows(users).values(), weight, bias, Activation::Tanh, &mut vectors);
        let provenance = Provenance::new("tower", &serde_json::json!({ "embedding_dim": DIM }));
        Factors::from_vectors(vectors, self.store.rows(items).values().to_vec(), DIM, provenance)
    }
}

/// Gradients of a batch: of the distinct rows it touches, and of the layer.
struct Gradients {
    users: Vec<f32>,
    items: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

// 1. The graph.

/// A loss with the leaves that it depends on.
struct Traced {
    loss: Tensor,
    users: Tensor,
    items: Tensor,
    weight: Tensor,
    bias: Tensor,
}

/// The loss of a batch as a graph: leaves of the rows it touches, a layer of candle on them, our fused operations.
fn trace(batch: &mut Batch<'_>, keys: Keys, triples: &Triples) -> Result<Traced, GraphError> {
    let (users, u) = batch.rows(keys.users, &triples.users)?;
    let (items, i) = batch.rows(keys.items, &[&triples.positives[..], &triples.negatives].concat())?;
    let (weight, bias) = (batch.dense(keys.weight)?, batch.dense(keys.bias)?);
    // candle keeps a weight as (outputs, inputs) and a bias flat.
    let layer = nn::Linear::new(weight.t()?, Some(bias.squeeze(0)?));
    let vectors = layer.forward(&users)?.tanh()?;
    let liked = ops::gather_dot(&vectors, &u, &items, &i[..BATCH])?;
    let other = ops::gather_dot(&vectors, &u, &items, &i[BATCH..])?;
    let loss = (ops::bpr(&liked, &other)? / BATCH as f64)?;
    Ok(Traced { loss, users, items, weight, bias })
}

#[derive(Default)]
struct ByGraph {
    graph: Graph,
}

impl ByGraph {
    /// Any parameter that the loss depends on takes its step.
    fn step(&mut self, model: &mut Model, triples: &Triples) -> Result<f64, GraphError> {
        let mut batch = self.graph.batch(&mut model.store);
        let traced = trace(&mut batch, model.keys, triples)?;
        Ok(batch.step(&traced.loss, &model.optimizer)?.into())
    }

    /// The gradients alone, as an oracle.
    fn gradients(&mut self, model: &mut Model, triples: &Triples) -> Result<(f64, Gradients), GraphError> {
        let mut batch = self.graph.batch(&mut model.store);
        let traced = trace(&mut batch, model.keys, triples)?;
        let grads = traced.loss.backward()?;
        let of = |leaf: &Tensor| grads.get(leaf).map_or(Ok(vec![]), ops::to_vec);
        let gradients = Gradients {
            users: of(&traced.users)?,
            items: of(&traced.items)?,
            weight: of(&traced.weight)?,
            bias: of(&traced.bias)?,
        };
        Ok((f64::from(traced.loss.to_scalar::<f32>()?), gradients))
    }
}

// 2. The same step by hand.

struct ByHand {
    users: DistinctRows,
    items: DistinctRows,
}

impl ByHand {
    fn new() -> Self {
        Self { users: DistinctRows::new(N_USERS as usize), items: DistinctRows::new(N_ITEMS as usize) }
    }

    /// Forward and backward; `users` and `items` have the distinct rows then, in the order of the gradients.
    fn gradients(&mut self, model: &mut Model, triples: &Triples) -> (f64, Gradients) {
        let (mut user_slots, mut positive_slots, mut negative_slots) = (vec![], vec![], vec![]);
        self.users.index(&triples.users, &mut user_slots);
        self.items.index(&triples.positives, &mut positive_slots);
        self.items.add(&triples.negatives, &mut negative_slots);
        let zeros = |rows: &DistinctRows| vec![0.0; rows.rows().len() * DIM];

        // Rows take the steps they missed when they are gathered or refreshed.
        let [users] = model.store.rows_mut([model.keys.users]);
        let mut inputs = zeros(&self.users);
        users.gather(self.users.rows(), &mut inputs);

        let (weight, bias) = (model.store.dense(model.keys.weight), model.store.dense(model.keys.bias));
        let mut vectors = zeros(&self.users);
        kernels::linear_bias_act(&inputs, weight.values(), bias.values(), Activation::Tanh, &mut vectors);

        // Users are read from the layer's output, items from their table; gradients go to the distinct rows.
        let pairs = Pairs {
            users: &user_slots,
            positives: &triples.positives,
            negatives: &triples.negatives,
            user_slots: &user_slots,
            positive_slots: &positive_slots,
            negative_slots: &negative_slots,
        };
        let (mut slopes, mut d_items) = (zeros(&self.users), zeros(&self.items));
        let scale = 1.0 / BATCH as f32;
        let [items] = model.store.rows_mut([model.keys.items]);
        let items = items.refresh(self.items.rows());
        let loss = kernels::bpr(&vectors, items, DIM, &pairs, scale, 0.0, &mut slopes, &mut d_items);

        let (mut d_users, mut d_weight, mut d_bias) = (zeros(&self.users), vec![0.0; DIM * DIM], vec![0.0; DIM]);
        kernels::linear_bias_act_backward(
            &inputs,
            model.store.dense(model.keys.weight).values(),
            &vectors,
            Activation::Tanh,
            &mut slopes,
            Some(&mut d_users),
            &mut d_weight,
            &mut d_bias,
        );
        let gradients = Gradients { users: d_users, items: d_items, weight: d_weight, bias: d_bias };
        (loss / BATCH as f64, gradients)
    }

    fn step(&mut self, model: &mut Model, triples: &Triples) -> f64 {
        let (loss, gradients) = self.gradients(model, triples);
        let [users, items] = model.store.rows_mut([model.keys.users, model.keys.items]);
        users.apply(self.users.rows(), &gradients.users, &model.optimizer);
        items.apply(self.items.rows(), &gradients.items, &model.optimizer);
        let [weight, bias] = model.store.dense_mut([model.keys.weight, model.keys.bias]);
        weight.apply(&gradients.weight, &model.optimizer);
        bias.apply(&gradients.bias, &model.optimizer);
        loss
    }
}

// 3. One loop for both: it asks for epochs, validates, stops, saves, resumes.

/// A model in training by either kind of step.
struct Trainer<F> {
    model: Model,
    step: F,
    /// Time of the quickest epoch's steps; a busy machine makes the others longer.
    quickest: Duration,
}

impl<F: FnMut(&mut Model, &Triples) -> Result<f64, GraphError>> Step for Trainer<F> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let stream = SEED.stream("samples");
        let (mut loss, mut spent) = (0.0, Duration::ZERO);
        for batch in 0..BATCHES {
            let triples = Triples::draw(stream, epoch, batch, 0.1);
            let start = Instant::now();
            loss += (self.step)(&mut self.model, &triples)?;
            spent += start.elapsed();
        }
        self.quickest = self.quickest.min(spent);
        Ok(EpochStats { loss: loss / BATCHES as f64, samples: BATCHES * BATCH as u64 })
    }

    fn params(&self) -> &ParamStore {
        &self.model.store
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.model.store
    }
}

/// Share of held-out pairs in the right order.
fn auc(model: &Factors) -> Result<f64, BoxError> {
    let mut right = 0;
    for batch in 0..BATCHES / 10 {
        let held_out = Triples::draw(SEED.stream("held out"), 0, batch, 0.0);
        for ((user, liked), other) in held_out.users.iter().zip(held_out.positives).zip(held_out.negatives) {
            let mut scores = [0.0; 2];
            model.score_into(&UserId(*user), &[ItemId(liked), ItemId(other)], &mut scores)?;
            right += u32::from(scores[0] > scores[1]);
        }
    }
    Ok(f64::from(right) / (BATCHES / 10 * BATCH as u64) as f64)
}

/// The model that is served, what the run was, and its quickest epoch.
fn train(
    step: impl FnMut(&mut Model, &Triples) -> Result<f64, GraphError>,
) -> Result<(Factors, FitReport, Duration), Box<dyn Error>> {
    let mut trainer = Trainer { model: Model::new(), step, quickest: Duration::MAX };
    let fit = FitConfig { max_epochs: EPOCHS, ..FitConfig::default() };
    let mut validate = auc;
    let run = TrainRun::new(SEED).fit(&fit).validate(&mut validate);
    let report = run.drive(&mut trainer, |trainer| trainer.model.served())?;
    Ok((trainer.model.served()?, report, trainer.quickest))
}

/// The largest difference, as a share of the largest value.
fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len(), "as many values by hand as by graph");
    let largest = want.iter().fold(f32::MIN_POSITIVE, |high, x| high.max(x.abs()));
    got.iter().zip(want).fold(0f32, |high, (got, want)| high.max((got - want).abs())) / largest
}

fn main() -> Result<(), Box<dyn Error>> {
    // Is the step right? The graph says so, on a batch of its own.
    let (mut model, triples) = (Model::new(), Triples::draw(SEED.stream("one batch"), 0, 0, 0.1));
    let (want_loss, want) = ByGraph::default().gradients(&mut model, &triples)?;
    let (loss, got) = ByHand::new().gradients(&mut model, &triples);
    println!("one batch: loss {want_loss:.6} by graph, {loss:.6} by hand");
    for (name, got, want) in [
        ("users", &got.users, &want.users),
        ("items", &got.items, &want.items),
        ("weight", &got.weight, &want.weight),
        ("bias", &got.bias, &want.bias),
    ] {
        let difference = difference(got, want);
        println!("gradient of {name:<6}  largest difference {difference:.1e} of the largest value");
        assert!(difference < 1e-5, "the step by hand is wrong");
    }

    let (mut by_graph, mut by_hand) = (ByGraph::default(), ByHand::new());
    let (_, graph_report, graph_time) = train(|model, triples| by_graph.step(model, triples))?;
    let (_, hand_report, hand_time) = train(|model, triples| Ok(by_hand.step(model, triples)))?;
    println!("\nepoch   loss by graph   by hand   held-out pairs in order, by graph   by hand");
    for (graph, hand) in graph_report.history.iter().zip(&hand_report.history) {
        let (graph_auc, hand_auc) = (graph.metric.unwrap_or_default(), hand.metric.unwrap_or_default());
        println!("{:>5} {:>15.4} {:>9.4} {graph_auc:>35.4} {hand_auc:>9.4}", graph.epoch, graph.loss, hand.loss);
        assert!((graph.loss - hand.loss).abs() < 1e-2, "the two trainings part ways");
    }
    let (graph, hand) = (1e3 * graph_time.as_secs_f64(), 1e3 * hand_time.as_secs_f64());
    println!(
        "\n{BATCHES} steps of {BATCH} samples: {graph:.0} ms by graph, {hand:.0} ms by hand, {:.1} times as fast",
        graph / hand
    );
    Ok(())
}
