//! Trainings on both.

use anyhow::{Result, ensure};
use rectify_cascade::{self as cascade, HdnConfig};
use rectify_core::rng::Seed;
use rectify_quantize::{self as quantize, Distillation, LightRecConfig};
use rectify_teachers::gcn_cf::{self, GcnCfConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};
use rectify_tensor::train::{FitConfig, FitReport, Observer};

use super::super::cases::{ML_1M_HALF_SHAPE, ML_1M_SHAPE, epoch_cost, epoch_wall};
use super::{Bench, Row};
use crate::measure::quantile;

const DIM: usize = 64;

/// An epoch on both: microseconds a sample, and how far the losses are apart.
fn training(
    bench: &Bench,
    case: &'static str,
    mut here: impl FnMut(&FitConfig, &mut dyn Observer) -> Result<FitReport>,
    mut there: impl FnMut(&FitConfig, &mut dyn Observer) -> Result<FitReport>,
) -> Result<Row> {
    let (mut cpu, mut gpu, mut losses) = (Vec::new(), Vec::new(), [0.0; 2]);
    let mut on_gpu = |loss: &mut f64| {
        epoch_wall(|fit, observer| {
            *loss = there(fit, observer)?.history[0].loss;
            Ok(())
        })
    };
    on_gpu(&mut losses[1])?;
    for _ in 0..bench.rounds {
        cpu.push(epoch_cost(|fit, observer| {
            losses[0] = here(fit, observer)?.history[0].loss;
            Ok(())
        })?);
        gpu.push(on_gpu(&mut losses[1])?);
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
    let mut none = |_: &_| Ok(0.0);
    training(
        bench,
        case,
        |fit, observer| Ok(mf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1),
        |fit, observer| Ok(mf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut none, observer)?.1),
    )
}

pub(super) fn neu_mf(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = NeuMfConfig { batch_size: 512, ..NeuMfConfig::default() };
    let mut none = |_: &_| Ok(0.0);
    training(
        bench,
        case,
        |fit, observer| Ok(neumf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1),
        |fit, observer| Ok(neumf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut none, observer)?.1),
    )
}

pub(super) fn graph(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_HALF_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = GcnCfConfig::default();
    let mut none = |_: &_| Ok(0.0);
    training(
        bench,
        case,
        |fit, observer| Ok(gcn_cf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1),
        |fit, observer| Ok(gcn_cf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut none, observer)?.1),
    )
}

pub(super) fn light_rec(bench: &Bench, case: &'static str) -> Result<Row> {
    let (data, teacher) = super::super::light_rec::inputs()?;
    let config = LightRecConfig { distillation: Distillation::None, ..LightRecConfig::default() };
    let mut none = |_: &_| Ok(0.0);
    training(
        bench,
        case,
        |fit, observer| Ok(quantize::fit(&data, &teacher, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1),
        |fit, observer| Ok(quantize::fit_on(&bench.ops, &data, &teacher, &config, fit, Seed(1), &mut none, observer)?.1),
    )
}

/// Without a teacher, whose scores are the processor's on both.
pub(super) fn hdn(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = HdnConfig::default().nd();
    let mut none = |_: &_| Ok(0.0);
    training(
        bench,
        case,
        |fit, observer| Ok(cascade::fit(&data, None, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1),
        |fit, observer| Ok(cascade::fit_on(&bench.ops, &data, None, &config, fit, Seed(1), &mut none, observer)?.1),
    )
}
