//! Where models are trained: on the CPU, or on a GPU by those that can. Nothing falls back to another place.

#[cfg(feature = "cuda")]
use rectify_tensor::cuda::{Gpu, GpuOps, Source};

use super::{FitRequest, Fitted};
use crate::{Kind, ModelError};

/// A place to train.
#[derive(Default)]
pub enum Place {
    /// This machine's CPU.
    #[default]
    Cpu,
    /// A GPU.
    #[cfg(feature = "cuda")]
    Gpu {
        /// What runs there.
        ops: GpuOps,
        /// Its name.
        name: String,
    },
}

impl Place {
    /// The first GPU.
    ///
    /// # Errors
    /// [`ModelError::Device`]: what is missing.
    #[cfg(feature = "cuda")]
    pub fn gpu() -> Result<Self, ModelError> {
        let device = |error: rectify_tensor::cuda::GpuError| ModelError::Device(error.to_string());
        let gpu = Gpu::open(0).map_err(device)?;
        let name = gpu.describe().map_err(device)?.name;
        Ok(Self::Gpu { ops: GpuOps::new(gpu), name })
    }

    /// Its name in results.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            #[cfg(feature = "cuda")]
            Self::Gpu { name, .. } => name,
        }
    }

    /// Whether it trains a kind.
    #[must_use]
    pub const fn trains(&self, kind: &Kind) -> bool {
        match self {
            Self::Cpu => {
                let _ = kind;
                true
            }
            #[cfg(feature = "cuda")]
            Self::Gpu { .. } => kind.abilities.on_device,
        }
    }

    /// Trains.
    pub(super) fn fit(&self, kind: &Kind, request: FitRequest<'_>) -> Result<Fitted, ModelError> {
        match self {
            Self::Cpu => kind.fit(request),
            #[cfg(feature = "cuda")]
            Self::Gpu { ops, name } => kind.fit_on(request, ops, name),
        }
    }
}

/// Every kernel file that training and search on a GPU run, each once.
#[cfg(feature = "cuda")]
#[must_use]
pub fn kernel_sources() -> Vec<&'static Source> {
    let mut all: Vec<&'static Source> = rectify_tensor::cuda::SOURCES.to_vec();
    all.extend(rectify_gpu_search::SOURCES);
    all.extend([
        &rectify_quantize::device::SOURCE,
        &rectify_hashing::device::SOURCE,
        &rectify_forest::device::SOURCE,
        &rectify_cascade::device::SOURCE,
    ]);
    all.sort_by_key(|source| source.name);
    all.dedup_by_key(|source| source.name);
    all
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;

    #[test]
    fn kernel_files_have_names_of_their_own() {
        let all = kernel_sources();
        assert!(all.len() >= 14, "{} kernel files", all.len());
        // One file that two crates list is one file.
        let texts: std::collections::BTreeSet<&str> = all.iter().map(|source| source.text).collect();
        assert_eq!(texts.len(), all.len());
    }
}
