//! Trainings on both.

use anyhow::{Result, ensure};
use rectify_cascade::hdn::{self as cascade, HdnConfig};
use rectify_core::rng::Seed;
use rectify_lab::measure::quantile;
use rectify_quantize::light_rec::{self as light_rec_method, Distillation, LightRecConfig};
use rectify_teachers::gcn_cf::{self, GcnCfConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};
use rectify_tensor::train::FitReport;

use super::{Bench, Row};
use crate::case::{ML_1M_HALF_SHAPE, ML_1M_SHAPE, OneEpoch, epoch_cost, epoch_wall};
use crate::cases::light_rec;

const DIM: usize = 64;

/// An epoch on both: microseconds a sample, and how far the losses are apart.
fn training(
    bench: &Bench,
    case: &'static str,
    mut here: impl FnMut(OneEpoch<'_>) -> Result<FitReport>,
    mut there: impl FnMut(OneEpoch<'_>) -> Result<FitReport>,
) -> Result<Row> {
    let (mut cpu, mut gpu, mut losses) = (Vec::new(), Vec::new(), [0.0; 2]);
    let mut on_gpu = |loss: &mut f64| {
        epoch_wall(|epoch| {
            *loss = there(epoch)?.history[0].loss;
            Ok(())
        })
    };
    on_gpu(&mut losses[1])?;
    for _ in 0..bench.rounds {
        cpu.push(epoch_cost(|epoch| {
            losses[0] = here(epoch)?.history[0].loss;
            Ok(())
        })?);
        gpu.push(on_gpu(&mut losses[1])?);
    }
    let apart = (losses[1] - losses[0]).abs() / losses[0];
    ensure!(apart < 1e-3, "the loss of the GPU is {}, the CPU's {}", losses[1], losses[0]);
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
        |epoch| Ok(mf::fit(&data, &config, epoch.of())?.1),
        |epoch| Ok(mf::fit_on(&bench.ops, &data, &config, epoch.of())?.1),
    )
}

pub(super) fn neu_mf(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = NeuMfConfig { batch_size: 512, ..NeuMfConfig::default() };
    training(
        bench,
        case,
        |epoch| Ok(neumf::fit(&data, &config, epoch.of())?.1),
        |epoch| Ok(neumf::fit_on(&bench.ops, &data, &config, epoch.of())?.1),
    )
}

pub(super) fn graph(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_HALF_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = GcnCfConfig::default();
    training(
        bench,
        case,
        |epoch| Ok(gcn_cf::fit(&data, &config, epoch.of())?.1),
        |epoch| Ok(gcn_cf::fit_on(&bench.ops, &data, &config, epoch.of())?.1),
    )
}

pub(super) fn light_rec(bench: &Bench, case: &'static str) -> Result<Row> {
    let (data, teacher) = light_rec::inputs()?;
    let config = LightRecConfig { distillation: Distillation::None, ..LightRecConfig::default() };
    training(
        bench,
        case,
        |epoch| Ok(light_rec_method::fit(&data, &teacher, &config, epoch.of())?.1),
        |epoch| Ok(light_rec_method::fit_on(&bench.ops, &data, &teacher, &config, epoch.of())?.1),
    )
}

/// Without a teacher, whose scores are the CPU's on both.
pub(super) fn hdn(bench: &Bench, case: &'static str) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = HdnConfig::default().nd();
    training(
        bench,
        case,
        |epoch| Ok(cascade::fit(&data, None, &config, epoch.of())?.1),
        |epoch| Ok(cascade::fit_on(&bench.ops, &data, None, &config, epoch.of())?.1),
    )
}
