//! The crate from outside: its index, and search and learning on a device.

#![expect(clippy::unwrap_used, reason = "a failure here is the message")]

mod conformance;
#[cfg(feature = "cuda")]
mod device;

use rectify_cascade::{CascadeParts, ModuleParts};
use rectify_core::rng::Seed;

/// A network of random weights: users, items, width, modules.
fn random_parts(seed: u64, [n_users, n_items, d, n_modules]: [usize; 4]) -> CascadeParts {
    let mut rng = Seed(seed).stream("cascade").rng();
    let mut draw = |n: usize, std: f64| (0..n).map(|_| (std * rng.normal()) as f32).collect::<Vec<f32>>();
    let wide = |n: usize| if n == 0 { d } else { 2 * d };
    let std = 1.0 / (d as f64).sqrt();
    let module =
        |n: usize| ModuleParts { decision: draw(wide(n), std), bias: draw(1, 0.1)[0], weight: draw(wide(n) * d, std) };
    let modules = (0..n_modules).map(module).collect();
    CascadeParts {
        embedding_dim: d,
        users: draw(n_users * d, 1.0).into(),
        items: draw(n_items * d, 1.0).into(),
        modules,
        score: draw(wide(n_modules), std),
        score_bias: 0.25,
    }
}
