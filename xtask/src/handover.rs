//! `reproduce`, `data`, `bench`: build the program that carries the verb out, in release mode, and hand over.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use rectify_args::Device;

use crate::workspace;

/// A program of the workspace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    /// `rectify`: experiments and data.
    Rectify,
    /// `rectify-bench`: measurements.
    Bench,
}

impl Binary {
    const fn package(self) -> &'static str {
        match self {
            Self::Rectify => "rectify-cli",
            Self::Bench => "rectify-benches",
        }
    }

    /// The name of its file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rectify => "rectify",
            Self::Bench => "rectify-bench",
        }
    }
}

/// What a program is built with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Features {
    /// Everything that runs on the CPU, tensors included.
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

/// Builds a program and runs it with `arguments`; its exit code is ours.
pub(crate) fn run(binary: Binary, features: Features, arguments: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let Some(path) = build(binary, features)? else {
        // The compiler has said why.
        return Ok(ExitCode::FAILURE);
    };
    let status = Command::new(&path)
        .args(arguments)
        // For the record: a program that can be moved knows neither.
        .env("RECTIFY_COMMIT", commit())
        .env("RECTIFY_CALLED_AS", "cargo xtask")
        // candle's own pool fights with ours; it is read at first use, so it must stand before any thread starts.
        .env("CANDLE_NUM_THREADS", "1")
        .status()
        .with_context(|| format!("cannot start {}", path.display()))?;
    Ok(match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE, // killed by a signal
    })
}

/// The commit that this workspace is at, with `+` if it was changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(workspace::root()).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(commit) => {
            let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
            format!("{commit}{}", if changed { "+" } else { "" })
        }
        None => "unknown".into(),
    }
}

/// Builds a program and returns its path, or `None` when it does not compile.
pub(crate) fn build(binary: Binary, features: Features) -> Result<Option<PathBuf>> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--package", binary.package(), "--message-format", "json-render-diagnostics"]);
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
            if message["target"]["name"] == binary.name()
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
    executable.with_context(|| format!("cargo built {} and named no executable", binary.name())).map(Some)
}
