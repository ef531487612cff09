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
mod hdn;
#[cfg(feature = "train")]
mod light_rec;
mod npy;
#[cfg(feature = "cuda")]
mod on_device;
mod retrieval;
#[cfg(feature = "train")]
mod scans;

use anyhow::Result;

use crate::args::{BenchVerb, Device};

/// Carries out one verb.
pub(crate) fn run(verb: BenchVerb) -> Result<()> {
    match verb {
        BenchVerb::Retrieval(args) => retrieval::run(&args),
        #[cfg(feature = "cuda")]
        BenchVerb::All(args) if args.device == Device::Cuda => on_device::run(&args),
        #[cfg(not(feature = "cuda"))]
        BenchVerb::All(args) if args.device == Device::Cuda => Err(crate::refusal::needs_cuda()),
        #[cfg(feature = "train")]
        BenchVerb::All(args) => all::run(&args),
        #[cfg(not(feature = "train"))]
        BenchVerb::All(_) => Err(crate::refusal::needs_train("bench all")),
    }
}
