//! The Hamming scan on a GPU.

use std::sync::Arc;

use rectify_core::{Catalogue, QueryError};
use rectify_cuda::{Args, Buffer, Gpu, GpuError, Shape, Source};
use rectify_gpu_search::{DeviceScores, DeviceSearch, device_error};

use super::HammingIndex;

/// The kernel file of this crate.
pub static SOURCE: Source =
    Source { name: "hamming_scan", text: include_str!("../../kernels/hamming_scan.cu"), kernels: &["scan_bits"] };

/// Queries that a thread takes.
const QUERIES: usize = 8;

/// A [`HammingIndex`] on a device: the same ids and scores.
pub type DeviceHammingIndex = DeviceSearch<DeviceBits>;

/// Binary codes on a device, `[words, n_items]`.
#[derive(Clone, Debug)]
pub struct DeviceBits {
    gpu: Arc<Gpu>,
    index: HammingIndex,
    codes: Arc<Buffer<u64>>,
}

impl HammingIndex {
    /// Uploads the codes.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn on_device(&self, gpu: &Arc<Gpu>) -> Result<DeviceHammingIndex, GpuError> {
        let words = self.code_bits().div_ceil(64);
        let codes: Vec<u64> = (0..words).flat_map(|w| (0..self.n_items()).map(move |i| self.word(i, w))).collect();
        let codes = Arc::new(gpu.upload(&codes)?);
        Ok(DeviceSearch::over(DeviceBits { gpu: Arc::clone(gpu), index: self.clone(), codes }))
    }
}

impl DeviceScores for DeviceBits {
    type Query = [u64];

    fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn n_items(&self) -> usize {
        self.index.n_items()
    }

    fn score_all(&self, queries: &[&[u64]], scores: &mut Buffer<f32>) -> Result<(), QueryError> {
        queries.iter().try_for_each(|query| self.index.check_query(query))?;
        if scores.is_empty() {
            return Ok(());
        }
        let on_device = self.gpu.upload(&queries.concat()).map_err(device_error)?;
        let (n, bits) = (self.index.n_items(), self.index.code_bits());
        let args = Args::new().read(&self.codes).read(&on_device).size(n).size(bits.div_ceil(64)).size(queries.len());
        let blocks = [n.div_ceil(256) as u32, queries.len().div_ceil(QUERIES) as u32];
        // SAFETY: the parameters of `scan_bits`; codes and queries have `words` words each, scores a row of n for each query.
        #[expect(unsafe_code, reason = "a launch is a promise about its arguments")]
        unsafe { self.gpu.run(&SOURCE, "scan_bits", Shape { blocks, threads: 256 }, args.size(bits).write(scores)) }
            .map_err(device_error)
    }
}
