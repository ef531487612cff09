//! What this machine has of CUDA, without linking against it.

use std::path::PathBuf;
use std::process::Command;

/// The driver's library.
pub(crate) fn driver() -> Result<String, String> {
    library("libcuda.so.1")
        .map(|path| path.display().to_string())
        .ok_or_else(|| "no libcuda.so.1: install NVIDIA's driver to use a GPU.".into())
}

/// Where kernels become machine code: the run-time compiler, or a folder of compiled ones.
pub(crate) fn compiler() -> Result<String, String> {
    if let Some(folder) = std::env::var_os("RECTIFY_PTX") {
        return Ok(format!("not needed: RECTIFY_PTX names {}", PathBuf::from(folder).display()));
    }
    let names = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"];
    names.iter().find_map(|name| library(name)).map(|path| path.display().to_string()).ok_or_else(|| {
        "no libnvrtc.so: install a CUDA toolkit, or put the library of the package nvidia-cuda-nvrtc on LD_LIBRARY_PATH, or name \
         compiled kernels in RECTIFY_PTX (cargo xtask bundle-cuda makes them)."
            .into()
    })
}

/// The C++ compiler that runs kernels on the CPU, in tests.
pub(crate) fn emulator() -> Result<String, String> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let output = Command::new(&compiler).arg("--version").output().ok().filter(|output| output.status.success());
    let first = output.and_then(|o| String::from_utf8_lossy(&o.stdout).lines().next().map(str::to_owned));
    first.ok_or_else(|| format!("{compiler} does not run: without a C++ compiler kernels are tested on a GPU alone."))
}

/// A shared library, where the dynamic loader looks for it.
fn library(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("LD_LIBRARY_PATH");
    let named = named.iter().flat_map(std::env::split_paths);
    let usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/cuda/lib64"].map(PathBuf::from);
    let in_folder = named.chain(usual).map(|folder| folder.join(name)).find(|path| path.exists());
    in_folder.or_else(|| {
        let output = Command::new("ldconfig").arg("-p").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")))?;
        line.split("=> ").nth(1).map(|path| PathBuf::from(path.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_its_remedy() {
        assert!(library("librectify-nowhere.so.9").is_none());
        if let Err(missing) = driver() {
            assert!(missing.contains("libcuda.so.1") && missing.contains("install"), "{missing}");
        }
        if let Err(missing) = compiler() {
            assert!(missing.contains("libnvrtc.so") && missing.contains("RECTIFY_PTX"), "{missing}");
        }
    }
}
