//! Between candle's storage and our slices.

use candle_core::{CpuStorage, Error, Layout, Result, Shape, Storage, Tensor};

use crate::GraphError;

/// The values of a contiguous f32 storage; ops make their inputs contiguous first.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::msg("a strided input reached a kernel"))?;
    Ok(&values[start..end])
}

/// Runs `f` on the values of a tensor, row-major.
pub(crate) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(storage, layout)?),
        Storage::Cuda(_) | Storage::Metal(_) => Err(Error::msg("this operation computes on the cpu only")),
    }
}

/// Result of a forward pass.
pub(super) fn output(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

/// A tensor beside `like`, of its shape.
pub(super) fn tensor_like(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

/// Copies all values of a tensor, row-major.
///
/// # Errors
/// A tensor that is not f32 on the CPU.
pub fn to_vec(tensor: &Tensor) -> std::result::Result<Vec<f32>, GraphError> {
    Ok(with_values(tensor, |values| Ok(values.to_vec()))?)
}

/// Rows and columns of a matrix.
pub(super) fn matrix(what: &'static str, tensor: &Tensor) -> std::result::Result<(usize, usize), GraphError> {
    match tensor.dims() {
        [rows, columns] => Ok((*rows, *columns)),
        dims => Err(GraphError::NoMatrix { what, got: dims.to_vec() }),
    }
}

/// Checks the shape of a tensor.
pub(super) fn expect_shape(
    what: &'static str,
    tensor: &Tensor,
    expected: &[usize],
) -> std::result::Result<(), GraphError> {
    if tensor.dims() == expected {
        return Ok(());
    }
    Err(GraphError::Shape { what, expected: expected.to_vec(), got: tensor.dims().to_vec() })
}

/// Checks that ids are below the number of rows.
pub(super) fn expect_rows(what: &'static str, ids: &[u32], n_rows: usize) -> std::result::Result<(), GraphError> {
    match ids.iter().position(|id| *id as usize >= n_rows) {
        None => Ok(()),
        Some(position) => Err(GraphError::Row { what: what.into(), position, got: ids[position], n_rows }),
    }
}
