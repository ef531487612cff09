//! Kinds that train on a GPU, too.

use anyhow::Result;
use rectify_teachers::{gcn_cf, mf, neumf};
use rectify_tensor::cuda::GpuOps;
use rectify_tensor::train::FitReport;

use super::{Job, Kind, cascades, codes, teachers};

/// A training on a device.
pub(crate) type Train = fn(Job<'_>, &GpuOps) -> Result<Option<FitReport>>;

const TRAINERS: &[(&str, Train)] = &[
    ("mf-bpr", factors),
    ("mf-bce", factors),
    ("gmf", neu_mf),
    ("mlp", neu_mf),
    ("neu-mf", neu_mf),
    ("neu-mf-pretrained", |job, ops| {
        teachers::pretrained_by(job, |train, config, fine_tuning, runs, seed, validate, observer| {
            neumf::fit_pretrained_on(ops, train, config, fine_tuning, runs, seed, validate, observer)
        })
    }),
    ("gcn-cf", |job, ops| {
        teachers::factors(job, |train, config, run, seed, validate, observer| {
            gcn_cf::fit_on(ops, train, config, run, seed, validate, observer)
        })
    }),
    ("light-rec", codes::light_rec_on),
    ("hdn", cascades::train_on),
    ("hdn-nd", cascades::train_on),
    // Nothing is trained for these: they are another model's cascade.
    ("hdn-nr", |job, _| cascades::without_rejection(&job)),
    ("hdn-calibrated", |job, _| cascades::calibrated(&job)),
    ("hdn-nr-minus", cascades::train_on),
    ("hdn-nr-nd", cascades::train_on),
    ("mf-student", cascades::train_on),
];

/// Names of the kinds.
pub(crate) fn names() -> Vec<&'static str> {
    TRAINERS.iter().map(|(name, _)| *name).collect()
}

/// How a kind trains on a device, if it can.
pub(crate) fn find(kind: &Kind) -> Option<Train> {
    TRAINERS.iter().find(|(name, _)| *name == kind.name).map(|(_, train)| *train)
}

fn factors(job: Job<'_>, ops: &GpuOps) -> Result<Option<FitReport>> {
    teachers::factors(job, |train, config, run, seed, validate, observer| {
        mf::fit_on(ops, train, config, run, seed, validate, observer)
    })
}

fn neu_mf(job: Job<'_>, ops: &GpuOps) -> Result<Option<FitReport>> {
    teachers::neu_mf_by(job, |train, config, run, seed, validate, observer| {
        neumf::fit_on(ops, train, config, run, seed, validate, observer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_a_kind() {
        for name in names() {
            assert_eq!(super::super::find(name).unwrap().name, name);
        }
    }
}
