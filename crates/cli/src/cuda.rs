//! What scripts ask about CUDA: the device, and the kernels as PTX.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_args::CudaVerb;
use rectify_cuda::{Architecture, Gpu, compile};
use rectify_lab::refusal;
use rectify_models::train::kernel_sources;

/// What kernels are compiled for: every GPU from this generation on (Hopper) runs them.
const ARCHITECTURE: Architecture = Architecture { major: 9, minor: 0 };

/// Carries out one verb.
pub(crate) fn run(verb: &CudaVerb) -> Result<()> {
    match verb {
        CudaVerb::Describe => {
            let found = Gpu::open(0)?.describe()?;
            let gib = found.memory_bytes as f64 / f64::from(1 << 30);
            println!("{}, {gib:.0} GiB, {}", found.name, found.architecture);
            Ok(())
        }
        CudaVerb::Ptx { out } => ptx(out),
    }
}

fn ptx(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for source in kernel_sources() {
        let path = out.join(format!("{}.ptx", source.name));
        let text = compile(source, ARCHITECTURE)?;
        std::fs::write(&path, text).map_err(|error| refusal::output(format!("{}: {error}", path.display())))?;
        println!("{}", path.display());
    }
    Ok(())
}
