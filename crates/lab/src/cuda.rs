//! What scripts ask about CUDA: the device, and the kernels as PTX.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_tensor::cuda::{Architecture, Gpu, Source, compile};

use crate::args::CudaVerb;
use crate::refusal;

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
    for source in sources() {
        let path = out.join(format!("{}.ptx", source.name));
        let text = compile(source, ARCHITECTURE)?;
        std::fs::write(&path, text).map_err(|error| refusal::output(format!("{}: {error}", path.display())))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Every kernel file, each once.
fn sources() -> Vec<&'static Source> {
    let mut all: Vec<&'static Source> = rectify_tensor::cuda::SOURCES.to_vec();
    all.extend(rectify_gpu_search::SOURCES);
    all.extend([
        &rectify_quantize::device::SOURCE,
        &rectify_hashing::device::SOURCE,
        &rectify_forest::device::SOURCE,
        &rectify_cascade::device::SOURCE,
    ]);
    all.sort_by_key(|source| source.name);
    all.dedup_by_key(|source| source.name);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_files_have_names_of_their_own() {
        let all = sources();
        assert!(all.len() >= 14, "{} kernel files", all.len());
        // One file that two crates list is one file.
        let texts: std::collections::BTreeSet<&str> = all.iter().map(|source| source.text).collect();
        assert_eq!(texts.len(), all.len());
    }
}
