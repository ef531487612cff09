//! `bench`: measurements that outsiders can repeat on the same input.

#[cfg(feature = "train")]
mod all;
#[cfg(feature = "train")]
mod cases;
#[cfg(feature = "train")]
mod distill;
#[cfg(feature = "train")]
mod evaluation;
#[cfg(feature = "train")]
mod forest;
#[cfg(feature = "train")]
mod light_rec;
mod npy;
mod retrieval;
#[cfg(feature = "train")]
mod scans;

use anyhow::Result;

use crate::args::BenchVerb;

/// Carries out one verb.
pub(crate) fn run(verb: BenchVerb) -> Result<()> {
    match verb {
        BenchVerb::Retrieval(args) => retrieval::run(&args),
        #[cfg(feature = "train")]
        BenchVerb::All(args) => all::run(&args),
        #[cfg(not(feature = "train"))]
        BenchVerb::All(_) => Err(crate::refusal::needs_train("bench all")),
    }
}
