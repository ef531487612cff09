//! From `.cu` to PTX.

use std::fmt;
use std::path::Path;

use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};

use crate::GpuError;

/// One `.cu` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name without `.cu`, unique in the program.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The kernels in it.
    pub kernels: &'static [&'static str],
}

/// A virtual architecture to compile for: compute capability `major.minor`. PTX for one runs on every later one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Before the point.
    pub major: u32,
    /// Behind it.
    pub minor: u32,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "compute_{}{}", self.major, self.minor)
    }
}

/// Compiles a source to PTX by the run-time compiler; no GPU and no toolkit is needed.
///
/// # Errors
/// [`GpuError::NoCompiler`], [`GpuError::Compile`].
pub fn compile(source: &Source, architecture: Architecture) -> Result<String, GpuError> {
    // SAFETY: only looks whether the library can be loaded.
    #[expect(unsafe_code, reason = "the call asks the dynamic loader")]
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err(GpuError::NoCompiler);
    }
    let options = CompileOptions {
        // Multiply and add fuse where a kernel says `fmaf`, and nowhere else: scans must give the CPU's bits.
        options: vec![format!("--gpu-architecture={architecture}"), "--std=c++17".into(), "--fmad=false".into()],
        name: Some(format!("{}.cu", source.name)),
        ..CompileOptions::default()
    };
    let problem = |log: String| GpuError::Compile { name: source.name, architecture: architecture.to_string(), log };
    match compile_ptx_with_opts(source.text, options) {
        Ok(ptx) => Ok(ptx.to_src()),
        Err(CompileError::CompileError { log, .. }) => Err(problem(log.to_string_lossy().into_owned())),
        Err(other) => Err(problem(other.to_string())),
    }
}

/// PTX of a source: from the folder that `RECTIFY_PTX` names, or else compiled here.
pub(crate) fn ptx(source: &Source, architecture: Architecture) -> Result<String, GpuError> {
    let Some(folder) = std::env::var_os("RECTIFY_PTX") else { return compile(source, architecture) };
    let path = Path::new(&folder).join(format!("{}.ptx", source.name));
    std::fs::read_to_string(&path).map_err(|source| GpuError::Ptx { path: path.display().to_string(), source })
}
