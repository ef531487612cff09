//! Matrices from `.npy` files.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Result;
use npyz::{NpyFile, Order};
use rectify_lab::refusal;

/// A row-major matrix.
#[derive(Debug, PartialEq)]
pub(crate) struct Matrix {
    pub(crate) n_rows: usize,
    pub(crate) dim: usize,
    pub(crate) values: Vec<f32>,
}

impl Matrix {
    /// The rows, one after another.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }
}

/// Reads a finite f32 matrix in C order; anything else is refused with what was found.
pub(crate) fn read(path: &Path) -> Result<Matrix> {
    let refuse = |problem: String| refusal::input(format!("{}: {problem}", path.display()));
    let file = File::open(path).map_err(|error| refuse(format!("cannot be opened: {error}")))?;
    let npy = NpyFile::new(BufReader::new(file)).map_err(|error| refuse(format!("is no .npy file: {error}")))?;
    let &[n_rows, dim] = npy.shape() else {
        return Err(refuse(format!("has shape {:?}, expected two dimensions [n, dim]", npy.shape())));
    };
    if n_rows == 0 || dim == 0 {
        return Err(refuse(format!("has shape [{n_rows}, {dim}], expected at least one row and one column")));
    }
    if npy.order() != Order::C {
        return Err(refuse("is in Fortran order; save numpy.ascontiguousarray(x)".into()));
    }
    let found = npy.dtype().descr();
    let values: Vec<f32> = npy
        .data::<f32>()
        .map_err(|_| refuse(format!("holds {found}, expected f32: save x.astype('float32')")))?
        .collect::<Result<_, _>>()
        .map_err(|error| refuse(format!("ends before its [{n_rows}, {dim}] values: {error}")))?;
    let dim = usize::try_from(dim)?;
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(refuse(format!(
            "has {} at row {}, column {}, expected finite values",
            values[at],
            at / dim,
            at % dim
        )));
    }
    Ok(Matrix { n_rows: usize::try_from(n_rows)?, dim, values })
}

/// Writes numbers as numpy would, for a peer to read.
#[cfg(any(test, feature = "train"))]
pub(crate) fn write<T: npyz::AutoSerialize + Copy>(path: &Path, shape: &[u64], values: &[T]) -> Result<()> {
    use npyz::WriterBuilder;
    use rectify_core::artifact::{Overwrite, write_atomically};

    write_atomically(path, Overwrite::Replace, |file: &mut dyn std::io::Write| {
        let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd()?;
        writer.extend(values.iter().copied())?;
        writer.finish()
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal_of(path: &Path) -> String {
        read(path).map_or_else(|error| error.to_string(), |matrix| format!("accepted {matrix:?}"))
    }

    #[test]
    fn a_matrix_reads_back() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("m.npy");
        write(&path, &[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
        let matrix = read(&path)?;
        assert_eq!((matrix.n_rows, matrix.dim), (2, 3));
        assert_eq!(matrix.rows().nth(1), Some([4.0, 5.0, 6.0].as_slice()));
        Ok(())
    }

    #[test]
    fn what_is_no_finite_f32_matrix_is_refused_with_its_reason() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("m.npy");
        assert!(refusal_of(&path).contains("cannot be opened"));
        std::fs::write(&path, b"not an array")?;
        assert!(refusal_of(&path).contains("is no .npy file"));
        write(&path, &[4], &[1.0f32; 4])?;
        assert!(refusal_of(&path).contains("expected two dimensions"));
        write(&path, &[0, 4], &[0f32; 0])?;
        assert!(refusal_of(&path).contains("at least one row"));
        write(&path, &[1, 2], &[1.0f64; 2])?;
        assert!(refusal_of(&path).contains("expected f32"), "{}", refusal_of(&path));
        write(&path, &[2, 2], &[1.0, 2.0, f32::NAN, 4.0])?;
        assert!(refusal_of(&path).contains("NaN at row 1, column 0"));
        write(&path, &[2, 2], &[1.0f32; 4])?;
        let whole = std::fs::read(&path)?;
        std::fs::write(&path, &whole[..whole.len() - 3])?;
        assert!(refusal_of(&path).contains("ends before"), "{}", refusal_of(&path));
        Ok(())
    }
}
