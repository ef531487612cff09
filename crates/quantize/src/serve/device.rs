//! The table look-up on a GPU.

use std::sync::Arc;

use rectify_core::QueryError;
use rectify_cuda::{Args, Buffer, Gpu, GpuError, Shape, Source};
use rectify_gpu_search::{DeviceScores, DeviceSearch, device_error};

use crate::{CodeIndex, CodeShape};

/// The kernel file of this crate.
pub static SOURCE: Source =
    Source { name: "code_scan", text: include_str!("../../kernels/code_scan.cu"), kernels: &["scan_codes"] };

/// Items that a block looks at.
const PER_BLOCK: usize = 2048;

/// A [`CodeIndex`] on a device: the same ids and scores, bit for bit.
pub type DeviceCodeIndex = DeviceSearch<DeviceCodes>;

/// Codes on a device. The tables of queries are made on the CPU, where the codebooks are.
#[derive(Clone, Debug)]
pub struct DeviceCodes {
    gpu: Arc<Gpu>,
    index: CodeIndex,
    codes: Arc<Buffer<u8>>,
}

impl CodeIndex {
    /// Uploads the codes.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn on_device(&self, gpu: &Arc<Gpu>) -> Result<DeviceCodeIndex, GpuError> {
        let codes = Arc::new(gpu.upload(&self.codes.bytes[..])?);
        Ok(DeviceSearch::over(DeviceCodes { gpu: Arc::clone(gpu), index: self.clone(), codes }))
    }
}

impl DeviceScores for DeviceCodes {
    type Query = [f32];

    fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn n_items(&self) -> usize {
        self.index.codes.n_items
    }

    fn score_all(&self, queries: &[&[f32]], scores: &mut Buffer<f32>) -> Result<(), QueryError> {
        let tables = queries.iter().map(|query| self.index.table(query)).collect::<Result<Vec<_>, _>>()?;
        if scores.is_empty() {
            return Ok(());
        }
        let tables = self.gpu.upload(&tables.concat()).map_err(device_error)?;
        let CodeShape { n_codebooks, n_codewords, .. } = *self.index.shape();
        let (n, codes) = (self.index.codes.n_items, &self.index.codes);
        let args = Args::new().read(&self.codes).read(&tables).size(n).size(n_codebooks).size(n_codewords);
        let args = args.size(codes.planes).size(usize::from(codes.four_bit)).write(scores);
        let shape = Shape { blocks: [n.div_ceil(PER_BLOCK) as u32, queries.len() as u32], threads: 256 };
        // SAFETY: the parameters of `scan_codes`; the index keeps every code below the number of codewords, and its bytes are
        // `n · planes`.
        #[expect(unsafe_code, reason = "a launch is a promise about its arguments")]
        unsafe { self.gpu.run(&SOURCE, "scan_codes", shape, args) }.map_err(device_error)
    }
}
