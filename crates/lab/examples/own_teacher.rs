//! A kind of model that rectify does not know, trained, searched, validated and reported by its lab beside two that it does.
//!
//! The teacher is co-occurrence by random projection: each user is a random direction, an item the sum of its users' directions,
//! a person the sum of its items; inner products then estimate how many users two items share.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rectify_core::rng::Seed;
use rectify_core::{ConfigError, Factors, Provenance};
use rectify_data::Interactions;
use rectify_lab::experiment::ExperimentFile;
use rectify_lab::{Reproduction, report};
use rectify_models::settings::resolve;
use rectify_models::train::Fitted;
use rectify_models::{Kind, Kinds, ModelError, Query, Reader};
use serde::{Deserialize, Serialize};

/// Settings of the teacher.
#[derive(Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Projected {
    dim: usize,
    /// How much the popularity of an item is taken back: 0 not at all, 1 all of it.
    damping: f32,
}

impl Default for Projected {
    fn default() -> Self {
        Self { dim: 256, damping: 0.5 }
    }
}

impl Projected {
    fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.dim >= 1, "dim", "at least 1", self.dim)
    }

    fn fit(&self, train: &Interactions, seed: Seed) -> Result<Factors, ModelError> {
        let mut rng = seed.rng();
        let directions: Vec<f32> = (0..train.n_users() * self.dim).map(|_| rng.normal() as f32).collect();
        let mut items = vec![0.0; train.n_items() * self.dim];
        let counts = train.item_counts();
        for (user, item) in train.pairs() {
            let scale = (counts[item.index()] as f32).powf(-self.damping);
            let direction = &directions[user.index() * self.dim..][..self.dim];
            items[item.index() * self.dim..][..self.dim].iter_mut().zip(direction).for_each(|(x, d)| *x += scale * d);
        }
        let mut users = vec![0.0; train.n_users() * self.dim];
        for (user, item) in train.pairs() {
            let vector = &items[item.index() * self.dim..][..self.dim];
            users[user.index() * self.dim..][..self.dim].iter_mut().zip(vector).for_each(|(x, v)| *x += v);
        }
        Factors::from_vectors(users, items, self.dim, Provenance::new("projected", self)).map_err(ModelError::other)
    }
}

/// What the lab must know of it.
fn kind() -> Kind {
    Kind::new("projected", "an example", Reader::of::<Factors>()).asked_by(Query::Vector).learning(
        |settings| resolve(settings, Projected::validate),
        |request| Ok(Fitted::at_once(request.config::<Projected>()?.fit(request.train, request.seed)?)),
    )
}

const EXPERIMENT: &str = r#"
title = "a teacher of our own"
dataset = "synthetic-tiny"
seeds = 2
metrics = ["recall@20", "ndcg@20"]
select_by = "ndcg@20"
refit = true

[[models]]
kind = "pop-rank"

[[models]]
kind = "projected"
search = { damping = [0.0, 0.5, 1.0] }

[[models]]
kind = "item-cf"

[[claims]]
id = "personal"
text = "lists of one's own are better than the same for all"
better = "projected"
than = "pop-rank"
"#;

/// Shows what is going on in single lines.
struct Lines;

impl rectify_tensor::train::Observer for Lines {
    fn on_event(&mut self, _: &rectify_tensor::train::Event) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
}

impl rectify_models::train::Watch for Lines {
    fn begin(&mut self, _: &str) {}

    fn say(&mut self, text: &str) {
        println!("{text}");
    }

    fn end(&mut self, text: &str) {
        println!("{text}");
    }
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join("rectify-own-teacher");
    let reproduction = Reproduction {
        kinds: Kinds::builtin().with(kind()),
        experiments: vec![ExperimentFile::new("own", EXPERIMENT)],
        fresh: true,
        ..Reproduction::new(folder)
    };
    let results = reproduction.run(&mut Lines)?;
    print!("{}", report::text(&results));
    Ok(())
}
