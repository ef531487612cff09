//! Inner products with every row.

use std::sync::Arc;

use rectify_core::{Catalogue, ExactIndex, QueryError, check_len};
use rectify_cuda::{Buffer, Gpu, GpuError};

use crate::select::device_error;
use crate::{DeviceScores, DeviceSearch};

/// Core's [`ExactIndex`] on a device: the same ids and scores, bit for bit, since each product is the same chain of fused
/// multiply-adds.
pub type DeviceExactIndex = DeviceSearch<DeviceRows>;

/// Rows of vectors on a device.
#[derive(Clone, Debug)]
pub struct DeviceRows {
    gpu: Arc<Gpu>,
    rows: Arc<Buffer<f32>>,
    n_items: usize,
    dim: usize,
}

impl DeviceExactIndex {
    /// Uploads the rows of an index; its int8 first pass stays behind.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn upload(gpu: &Arc<Gpu>, index: &ExactIndex) -> Result<Self, GpuError> {
        let rows = Arc::new(gpu.upload(index.rows())?);
        Ok(Self::over(DeviceRows { gpu: Arc::clone(gpu), rows, n_items: index.n_items(), dim: index.dim() }))
    }
}

impl DeviceScores for DeviceRows {
    type Query = [f32];

    fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score_all(&self, queries: &[&[f32]], scores: &mut Buffer<f32>) -> Result<(), QueryError> {
        for query in queries {
            check_len("query", self.dim, query.len())?;
            if let Some(position) = query.iter().position(|x| !x.is_finite()) {
                return Err(QueryError::NotFinite { position, value: query[position] });
            }
        }
        let queries_on_device = self.gpu.upload(&queries.concat()).map_err(device_error)?;
        let sizes = (queries.len(), self.n_items, self.dim);
        self.gpu.gemm(sizes, 1.0, &queries_on_device, false, &self.rows, true, 0.0, scores).map_err(device_error)
    }
}
