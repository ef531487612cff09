//! What can go wrong on the way to a GPU and on it.

/// Why something could not be done on a GPU.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The driver's library cannot be loaded.
    #[error("no CUDA driver (libcuda.so.1) on this machine; use device cpu, or install NVIDIA's driver")]
    NoDriver,
    /// The driver knows fewer devices.
    #[error("there is no device cuda:{ordinal}; the driver knows {found}")]
    NoDevice {
        /// The one that was asked for.
        ordinal: usize,
        /// How many there are.
        found: usize,
    },
    /// Neither compiler nor compiled kernels.
    #[error(
        "no CUDA compiler (libnvrtc.so) on this machine; put it on the library path, or name a folder of compiled kernels \
         in RECTIFY_PTX"
    )]
    NoCompiler,
    /// A folder of compiled kernels without this one, or unreadable.
    #[error("cannot read {path}, named by RECTIFY_PTX: {source}")]
    Ptx {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The compiler refused a source.
    #[error("{name}.cu does not compile for {architecture}:\n{log}")]
    Compile {
        /// Name of the source.
        name: &'static str,
        /// What it was compiled for.
        architecture: String,
        /// What the compiler said.
        log: String,
    },
    /// The driver refused.
    #[error("{doing}: {message}")]
    Driver {
        /// What was tried.
        doing: &'static str,
        /// What the driver said.
        message: String,
    },
    /// A host slice and a buffer differ.
    #[error("{expected} values expected, got {got}")]
    Length {
        /// Values of the buffer.
        expected: usize,
        /// Values of the slice.
        got: usize,
    },
    /// A buffer or a kernel of another device.
    #[error("a buffer or kernel belongs to another device than it was used on")]
    Foreign,
    /// The emulator could not build or find a kernel.
    #[error("emulating {name}: {problem}")]
    Emulator {
        /// Name of the compiler, source or kernel.
        name: String,
        /// What went wrong.
        problem: EmulatorError,
    },
}

/// Why the emulator has no kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// The compiler does not start, or its files cannot be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The compiler refused the source.
    #[error("{log}")]
    Compiler {
        /// What it said.
        log: String,
    },
    /// What was compiled cannot be loaded, or has no such kernel.
    #[error("{message}")]
    Library {
        /// What the loader said.
        message: String,
    },
}

impl GpuError {
    pub(crate) fn driver(doing: &'static str) -> impl FnOnce(cudarc::driver::DriverError) -> Self {
        move |error| Self::Driver { doing, message: error.to_string() }
    }
}
