//! `check`: what CI runs, cheapest first.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{cuda, layers, workspace};

/// Runs every step until one fails.
pub(crate) fn run() -> Result<ExitCode> {
    let mut fmt = workspace::cargo();
    fmt.args(["fmt", "--all", "--check"]);
    if !step(&mut fmt)? {
        return Ok(ExitCode::FAILURE);
    }
    println!("+ cargo xtask layers");
    if layers::run()? != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    let mut clippy = workspace::cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    let mut doc = workspace::cargo();
    doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    let mut test = workspace::cargo();
    test.args(test_arguments()?);
    for command in [&mut clippy, &mut doc, &mut test] {
        if !step(command)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("all checks passed");
    Ok(ExitCode::SUCCESS)
}

/// Test programs that run kernels.
pub(crate) const CUDA_TESTS: [&str; 5] = ["cuda", "device", "search", "emulator", "compile"];

/// Builds everything that has to do with CUDA and runs its tests, from what is already on this machine.
pub(crate) fn run_cuda() -> Result<ExitCode> {
    for (name, found) in [("driver", cuda::driver()), ("NVRTC", cuda::compiler()), ("emulator", cuda::emulator())] {
        println!(
            "{name}: {}",
            found.unwrap_or_else(|missing| format!("{missing} Tests that need it say so and pass."))
        );
    }
    let offline = ["--offline", "--locked", "--workspace"];
    let mut clippy = workspace::cargo();
    clippy.arg("clippy").args(offline).args([
        "--all-targets",
        "--features",
        "rectify-lab/cuda",
        "--",
        "-D",
        "warnings",
    ]);
    let mut test = workspace::cargo();
    test.arg("test").args(offline).args(CUDA_TESTS.iter().flat_map(|name| ["--test", name]));
    // Shown, since a skipped test passes.
    test.args(["--", "--nocapture"]);
    for command in [&mut clippy, &mut test] {
        if !step(command)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("all CUDA checks passed");
    Ok(ExitCode::SUCCESS)
}

/// Prints and runs a command; whether it succeeded.
fn step(command: &mut Command) -> Result<bool> {
    println!("+ {}", workspace::line_of(command));
    let status = command.status().with_context(|| format!("cannot start {}", workspace::line_of(command)))?;
    Ok(status.success())
}

/// The test command stands in the README, between two markers, so that there is one truth.
fn test_arguments() -> Result<Vec<String>> {
    let path = workspace::root().join("README.md");
    let readme = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_test_command(&readme).with_context(|| format!("{} names no test command between its markers", path.display()))
}

fn parse_test_command(readme: &str) -> Option<Vec<String>> {
    let (_, rest) = readme.split_once("<!-- test-command -->")?;
    let (inside, _) = rest.split_once("<!-- /test-command -->")?;
    let line = inside.lines().find_map(|line| line.trim().strip_prefix("cargo "))?;
    Some(line.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_names_a_test_command() -> Result<()> {
        let arguments = test_arguments()?;
        assert_eq!(arguments[0], "test");
        assert!(arguments.contains(&"--workspace".to_owned()), "{arguments:?}");
        Ok(())
    }

    #[test]
    fn a_readme_without_markers_names_no_command() {
        assert_eq!(parse_test_command("    cargo test --workspace\n"), None);
    }
}
