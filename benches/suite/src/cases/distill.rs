//! Cases of distillation: an epoch of DE-RRD, and of the plain student beside it.

use anyhow::Result;
use rectify_core::rng::Seed;
use rectify_core::{Factors, Provenance};
use rectify_data::SyntheticConfig;
use rectify_distill::sampling::ListSamplerConfig;
use rectify_distill::{Annealing, Distillation, ExpertsTerm, ListLoss, ListTerm};
use rectify_teachers::Reduction;
use rectify_teachers::mf::{self, MfConfig};
use rectify_tensor::Optimizer;

use crate::case::{Case, Costs, Once, epoch_cost};

/// CiteULike, as it is trained on: two of each user's 24 pairs are held out.
const SHAPE: SyntheticConfig =
    SyntheticConfig { n_users: 5220, n_items: 25_182, mean_interactions: 22.0, ..SyntheticConfig::small() };
/// Pairs a user under a teacher: the work of a step is the same, and an epoch of 20 of them takes seconds.
const GUIDED_INTERACTIONS: f64 = 4.0;
const STUDENT: usize = 20;
const TEACHER: usize = 200;

/// The cases.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "distill/plain student",
            unit: "µs",
            prepare: |_| prepare(None),
            script: "de_rrd.py",
            arguments: |_| arguments(None),
            read: costs,
            own: &[],
            promises: &[("torch", 5.0)],
        },
        // The first epoch, in which every expert runs for every entity.
        Case {
            name: "distill/DE-RRD, epoch 0",
            unit: "µs",
            prepare: |_| prepare(Some(1.0)),
            script: "de_rrd.py",
            arguments: |_| arguments(Some(1.0)),
            read: costs,
            own: &[],
            promises: &[("torch", 5.0)],
        },
        Case {
            name: "distill/DE-RRD, epoch 100",
            unit: "µs",
            prepare: |_| prepare(Some(0.1)),
            script: "de_rrd.py",
            arguments: |_| arguments(Some(0.1)),
            read: costs,
            own: &[],
            promises: &[("torch", 5.0)],
        },
    ]
}

/// An epoch of the student, guided at a temperature of the experts, or alone.
fn prepare(temperature: Option<f64>) -> Result<Once> {
    let mean_interactions = if temperature.is_some() { GUIDED_INTERACTIONS } else { SHAPE.mean_interactions };
    let data = SyntheticConfig { mean_interactions, ..SHAPE }.generate("bench", Seed(0))?.interactions;
    let config = MfConfig {
        embedding_dim: STUDENT,
        reduction: Reduction::Sum,
        optimizer: Optimizer::adam(1e-3).with_weight_decay(1e-3),
        ..MfConfig::default()
    };
    let table = |name: &str, rows: usize| -> Vec<f32> {
        let mut rng = Seed(1).stream(name).rng();
        (0..rows * TEACHER).map(|_| 0.1 * rng.normal() as f32).collect()
    };
    let (users, items) = (table("users", data.n_users()), table("items", data.n_items()));
    let teacher = Factors::from_vectors(users, items, TEACHER, Provenance::default())?;
    let distillation = temperature.map(|start| Distillation {
        experts: Some(ExpertsTerm { annealing: Annealing { start, ..Annealing::default() }, ..ExpertsTerm::default() }),
        lists: Some(ListTerm { weight: 0.001, loss: ListLoss::RelaxedRanking(ListSamplerConfig::default()) }),
    });
    Ok(Box::new(move || {
        let seen = |user| data.items_of(user);
        let guides = match &distillation {
            Some(settings) => settings.guides(&teacher, data.n_users(), data.n_items(), seen, Seed(2))?,
            None => Vec::new(),
        };
        epoch_cost(|epoch| {
            mf::fit_guided(&data, &config, guides, epoch.of())?;
            Ok(())
        })
    }))
}

fn arguments(temperature: Option<f64>) -> Vec<String> {
    let mut arguments = Vec::new();
    for (name, value) in [("--users", SHAPE.n_users), ("--items", SHAPE.n_items)] {
        arguments.extend([name.to_owned(), value.to_string()]);
    }
    if let Some(temperature) = temperature {
        arguments.extend(["--temperature".into(), temperature.to_string()]);
    }
    arguments
}

fn costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        cpu_us_per_sample: f64,
    }
    let row: Row = serde_json::from_str(printed)?;
    Ok(vec![("torch".into(), row.cpu_us_per_sample)])
}
