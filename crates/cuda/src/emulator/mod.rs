//! Kernels on the CPU.
//!
//! A `.cu` file is compiled as C++ behind a shim that gives threads, shared memory, barriers and shuffles their meaning, so that
//! a test runs the very text that a GPU runs. It finds wrong indices and wrong arithmetic, and threads that wait for each other at
//! different places; it does not find races between threads that never wait for each other.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt::Write;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use libloading::Library;
use tempfile::TempDir;

use crate::{EmulatorError, GpuError, Shape, Source};

/// What `launch_NAME` is in C.
type Launch = unsafe extern "C" fn(u32, u32, u32, *mut *mut c_void);

pub(crate) struct Emulator {
    folder: TempDir,
    compiler: String,
    libraries: Mutex<HashMap<&'static str, Arc<Library>>>,
}

/// A kernel's entry, with the library it is in.
#[derive(Clone)]
pub(crate) struct Entry {
    launch: Launch,
    _library: Arc<Library>,
}

/// The shim keeps the running thread in a static, so one launch runs at a time.
static RUNNING: Mutex<()> = Mutex::new(());

impl Emulator {
    pub(crate) fn new() -> Result<Self, GpuError> {
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let problem = |error: std::io::Error| GpuError::Emulator { name: compiler.clone(), problem: error.into() };
        Command::new(&compiler).arg("--version").output().map_err(problem)?;
        let folder = tempfile::tempdir().map_err(problem)?;
        Ok(Self { folder, compiler, libraries: Mutex::default() })
    }

    pub(crate) fn entry(&self, source: &'static Source, name: &'static str) -> Result<Entry, GpuError> {
        let missing = |error: libloading::Error| GpuError::Emulator {
            name: format!("{}.cu, {name}", source.name),
            problem: EmulatorError::Library { message: error.to_string() },
        };
        let library = self.library(source)?;
        // SAFETY: the symbol is the function of this type that `library` wrote.
        #[expect(unsafe_code, reason = "a symbol's type is what we say it is")]
        let launch: Launch = unsafe { *library.get::<Launch>(format!("launch_{name}").as_bytes()).map_err(missing)? };
        Ok(Entry { launch, _library: library })
    }

    fn library(&self, source: &'static Source) -> Result<Arc<Library>, GpuError> {
        let mut libraries = self.libraries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = libraries.get(source.name) {
            return Ok(Arc::clone(library));
        }
        let problem = |problem| GpuError::Emulator { name: format!("{}.cu", source.name), problem };
        let mut text = format!("{}\n{}\n", include_str!("shim.hpp"), source.text);
        for kernel in source.kernels {
            let _ = write!(
                text,
                "extern \"C\" void launch_{kernel}(unsigned x, unsigned y, unsigned threads, void **arguments) {{\n  \
                 emulator::launch([](void **a) {{ emulator::call(&{kernel}, a); }}, x, y, threads, arguments);\n}}\n"
            );
        }
        let input = self.folder.path().join(format!("{}.cpp", source.name));
        let output = self.folder.path().join(format!("{}.so", source.name));
        std::fs::write(&input, text).map_err(|error| problem(error.into()))?;
        let made = Command::new(&self.compiler)
            // A kernel's name may be that of a function of the C library; within the library it is the kernel's.
            .args(["-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-Wl,-Bsymbolic", "-w", "-o"])
            .args([&output, &input])
            .output()
            .map_err(|error| problem(error.into()))?;
        if !made.status.success() {
            let log = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(problem(EmulatorError::Compiler { log }));
        }
        // SAFETY: the library was made here from our own text; it has no constructors.
        #[expect(unsafe_code, reason = "loading a library runs its constructors")]
        let library = unsafe { Library::new(&output) }
            .map_err(|error| problem(EmulatorError::Library { message: error.to_string() }))?;
        let library = Arc::new(library);
        libraries.insert(source.name, Arc::clone(&library));
        Ok(library)
    }
}

impl Entry {
    /// Runs the kernel to its end.
    ///
    /// # Safety
    /// As [`Gpu::launch`](crate::Gpu::launch).
    #[expect(unsafe_code, reason = "what a kernel does with its arguments is beyond the compiler")]
    pub(crate) unsafe fn run(&self, shape: Shape, pointers: &mut [*mut c_void]) {
        let _one = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let [x, y] = shape.blocks;
        // SAFETY: the caller's promise.
        unsafe { (self.launch)(x, y, shape.threads, pointers.as_mut_ptr()) };
    }
}
