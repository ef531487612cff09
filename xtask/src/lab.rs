//! `reproduce`, `data`, `bench`: build `rectify-lab` in release mode and hand over.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::args::Device;
use crate::workspace;

/// What the lab is built with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Features {
    /// Everything that runs on the processor, tensors included.
    Train,
    /// Training and search on a GPU, too.
    Cuda,
    /// No tensors: builds in a minute.
    None,
}

impl Features {
    /// What training there needs.
    pub(crate) fn training(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Train,
            Device::Cuda => Self::Cuda,
        }
    }
}

/// Builds the lab and runs it with `arguments`; its exit code is ours.
pub(crate) fn run(features: Features, arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let Some(lab) = build(features)? else {
        // The compiler has said why.
        return Ok(ExitCode::FAILURE);
    };
    let status = Command::new(&lab)
        .args(arguments)
        // candle's own pool fights with ours; it is read at first use, so it must stand before any thread starts.
        .env("CANDLE_NUM_THREADS", "1")
        .status()
        .with_context(|| format!("cannot start {}", lab.display()))?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE, // killed by a signal
    })
}

/// Builds the lab and returns its path, or `None` when it does not compile.
pub(crate) fn build(features: Features) -> Result<Option<PathBuf>> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--package", "rectify-lab", "--message-format", "json-render-diagnostics"]);
    match features {
        Features::Train => {}
        Features::Cuda => {
            cargo.args(["--features", "cuda"]);
        }
        Features::None => {
            cargo.arg("--no-default-features");
        }
    }
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut executable = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(&line?).context("cargo printed no JSON")?;
            if message["target"]["name"] == "rectify-lab"
                && let Some(path) = message["executable"].as_str()
            {
                executable = Some(PathBuf::from(path));
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        return Ok(None);
    }
    executable.context("cargo built rectify-lab and named no executable").map(Some)
}
