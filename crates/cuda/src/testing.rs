//! What tests of kernels share. Nothing here prints: what is left out is told to `skip`, in words.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::{Architecture, Gpu, GpuError, Source, compile};

/// The emulated device and the machine's GPU; `skip` hears why one of them cannot be had.
pub fn devices(mut skip: impl FnMut(&str)) -> Vec<Arc<Gpu>> {
    let emulated = Gpu::emulated().inspect_err(|error| skip(&format!("skipped on the emulator: {error}"))).ok();
    let real = Gpu::open(0).inspect_err(|error| skip(&format!("skipped on a GPU: {error}"))).ok();
    emulated.into_iter().chain(real).map(Arc::new).collect()
}

/// A seed of random inputs, another one each time; a test names it where it fails.
#[must_use]
pub fn fresh_seed() -> u64 {
    RandomState::new().hash_one("inputs")
}

/// Compiles files to PTX for compute capability 9.0 and looks for their kernels; `skip` hears of a machine without the compiler.
///
/// # Panics
/// If a file does not compile, or a kernel that it names is not in it.
pub fn check_ptx(sources: &[&Source], mut skip: impl FnMut(&str)) {
    for source in sources {
        match compile(source, Architecture { major: 9, minor: 0 }) {
            Ok(ptx) => {
                for kernel in source.kernels {
                    assert!(ptx.contains(&format!(".entry {kernel}(")), "{}.cu has no kernel {kernel}", source.name);
                }
            }
            Err(error @ GpuError::NoCompiler) => return skip(&format!("skipped: {error}")),
            Err(error) => panic!("{error}"),
        }
    }
}
