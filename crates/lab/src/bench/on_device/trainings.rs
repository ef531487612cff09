//! Trainings on both.

use anyhow::{Result, ensure};
use rectify_cascade::{self as cascade, HdnConfig};
use rectify_core::rng::Seed;
use rectify_quantize::{self as quantize, Distillation, LightRecConfig};
use rectify_teachers::gcn_cf::{self, GcnCfConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};

use super::super::cases::{ML_1M_HALF_SHAPE, ML_1M_SHAPE, epoch_cost, epoch_wall};
use super::{Bench, Row};
use crate::measure::quantile;

const DIM: usize = 64;

/// An epoch on both: microseconds a sample, and how far the losses are apart.
fn training(
    bench: &Bench,
    case: &'static str,
    mut here: impl FnMut(&mut f64) -> Result<f64>,
    mut there: impl FnMut(&mut f64) -> Result<f64>,
) -> Result<Row> {
    let (mut cpu, mut gpu, mut losses) = (Vec::new(), Vec::new(), [0.0; 2]);
    there(&mut losses[1])?;
    for _ in 0..bench.rounds {
        cpu.push(here(&mut losses[0])?);
        gpu.push(there(&mut losses[1])?);
    }
    let apart = (losses[1] - losses[0]).abs() / losses[0];
    ensure!(apart < 1e-3, "the loss of the GPU is {}, the processor's {}", losses[1], losses[0]);
    Ok(Row {
        case,
        unit: "µs",
        cpu: quantile(&mut cpu, 0.5),
        gpu: quantile(&mut gpu, 0.5),
        bandwidth_share: None,
        agreement: format!("losses {apart:.0e} apart"),
    })
}

pub(super) fn bpr(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = MfConfig { embedding_dim: DIM, ..MfConfig::default() };
    training(
        bench,
        case,
        |loss| {
            epoch_cost(|fit, observer| {
                *loss = mf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let fitted = mf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}

pub(super) fn neu_mf(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = NeuMfConfig { batch_size: 512, ..NeuMfConfig::default() };
    training(
        bench,
        case,
        |loss| {
            epoch_cost(|fit, observer| {
                *loss = neumf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let fitted = neumf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}

pub(super) fn graph(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_HALF_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = GcnCfConfig::default();
    training(
        bench,
        case,
        |loss| {
            epoch_cost(|fit, observer| {
                *loss = gcn_cf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let fitted = gcn_cf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}

pub(super) fn light_rec(bench: &Bench, case: &'static str) -> Result<Row> {
    let (data, teacher) = super::super::light_rec::inputs()?;
    let config = LightRecConfig { distillation: Distillation::None, ..LightRecConfig::default() };
    let config = &config;
    training(
        bench,
        case,
        |loss| {
            epoch_cost(|fit, observer| {
                let fitted = quantize::fit(&data, &teacher, config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let seed = Seed(1);
                let mut none = |_: &_| Ok(0.0);
                let fitted = quantize::fit_on(&bench.ops, &data, &teacher, config, fit, seed, &mut none, observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}

/// Without a teacher, whose scores are the processor's on both.
pub(super) fn hdn(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = HdnConfig::default().nd();
    training(
        bench,
        case,
        |loss| {
            epoch_cost(|fit, observer| {
                let fitted = cascade::fit(&data, None, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let (ops, none) = (&bench.ops, &mut |_: &_| Ok(0.0));
                let fitted = cascade::fit_on(ops, &data, None, &config, fit, Seed(1), none, observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}
