//! Where models are trained: on the processor, or on a GPU by those that can. Nothing falls back to another place.

#[cfg(feature = "cuda")]
use anyhow::Context as _;
use anyhow::Result;
#[cfg(feature = "cuda")]
use rectify_tensor::cuda::{Gpu, GpuOps};
use rectify_tensor::train::FitReport;

use super::plan::Plan;
#[cfg(feature = "cuda")]
use super::registry;
use super::registry::{Job, Kind};
use crate::args::Device;
use crate::refusal;

/// The place that was asked for.
pub(crate) enum Trainer {
    /// This machine's processor.
    Processor,
    /// A GPU, by its name.
    #[cfg(feature = "cuda")]
    Gpu { ops: GpuOps, name: String },
}

impl Trainer {
    /// Opens the device.
    pub(crate) fn open(device: Device) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::Processor),
            #[cfg(feature = "cuda")]
            Device::Cuda => {
                let gpu = Gpu::open(0).map_err(|error| refusal::usage(format!("--device cuda: {error}")))?;
                let name = gpu.describe()?.name;
                Ok(Self::Gpu { ops: GpuOps::new(gpu), name })
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda => Err(refusal::needs_cuda()),
        }
    }

    /// Its name in results.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Processor => "cpu",
            #[cfg(feature = "cuda")]
            Self::Gpu { name, .. } => name,
        }
    }

    /// Fails for the first model of a plan that this place cannot train.
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "the processor trains everything"))]
    pub(crate) fn check(&self, plan: &Plan) -> Result<()> {
        match self {
            Self::Processor => Ok(()),
            #[cfg(feature = "cuda")]
            Self::Gpu { .. } => plan.models.iter().try_for_each(|model| {
                let kind = registry::find(&model.kind)?;
                let known = registry::on_device::names();
                if registry::on_device::find(kind).is_some() {
                    return Ok(());
                }
                Err(refusal::usage(format!(
                    "--device cuda: model {} of experiment {} is of kind {}, which trains on the processor alone; choose others \
                     with --model NAME (kinds that train on a device: {}), or use --device cpu",
                    model.name,
                    plan.paper,
                    kind.name,
                    known.join(", ")
                )))
            }),
        }
    }

    /// Trains and saves.
    pub(crate) fn train(&self, kind: &Kind, job: Job<'_>) -> Result<Option<FitReport>> {
        match self {
            Self::Processor => kind.train(job),
            #[cfg(feature = "cuda")]
            Self::Gpu { ops, name } => {
                let train = registry::on_device::find(kind)
                    .with_context(|| format!("{} has no trainer on a device; use --device cpu", kind.name))?;
                train(job, ops).with_context(|| format!("training {} on {name}", kind.name))
            }
        }
    }
}
