//! `check`: what CI runs, cheapest first.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::programs::{self, Program};
use crate::workspace::{self, Package};
use crate::{cuda, examples, layers, without_defaults};

/// Runs every step until one fails.
///
/// The README's test command comes last, so that what it says is what one reads first, at the end of a log; the steps before it
/// build in its profile and with its features, so they share what they compile.
pub(crate) fn run() -> Result<ExitCode> {
    let packages = workspace::packages()?;
    let mut test = workspace::cargo();
    test.args(test_arguments()?);
    let sound = step(workspace::cargo().args(["fmt", "--all", "--check"]))?
        && layers()?
        && step(workspace::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?
        && step(workspace::cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?
        && step(&mut packaging(&packages))?
        && without_defaults::compile()?
        && examples::run()?
        && without_defaults::test(&packages)?
        && step(&mut test)?;
    if sound {
        println!("all checks passed");
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn layers() -> Result<bool> {
    println!("+ cargo xtask layers");
    Ok(layers::run()? == ExitCode::SUCCESS)
}

/// Packs what can be published as one workspace, since the packages depend on each other and no registry has them yet.
///
/// Offline, as everything has been fetched by then: a registry is asked for nothing.
fn packaging(packages: &[Package]) -> Command {
    let mut package = workspace::cargo();
    package.args(["package", "--workspace", "--no-verify", "--allow-dirty", "--offline", "--quiet"]);
    for own in packages.iter().filter(|package| !package.publishable) {
        package.args(["--exclude", &own.name]);
    }
    package
}

/// Test programs that run kernels, and modules of a crate's one test program that do.
const CUDA_TESTS: [&str; 5] = ["cuda", "device", "search", "emulator", "compile"];

/// A test program with the names of what to run of it; none for all.
pub(crate) type ToldProgram = (Program, Vec<String>);

/// Test programs to run for CUDA, each with what to tell it: of `main` the modules that run kernels. `None` when one does not compile.
pub(crate) fn cuda_tests(options: &[&str]) -> Result<Option<Vec<ToldProgram>>> {
    let mut cargo = workspace::cargo();
    cargo.arg("test").args(options).args(["--workspace", "--no-run", "--test", "*"]);
    let Some(built) = programs::build(&mut cargo)? else { return Ok(None) };
    let mut found = Vec::new();
    for program in built.into_iter().filter(|program| program.is_test) {
        let modules: Vec<String> = CUDA_TESTS.iter().map(|name| format!("{name}::")).collect();
        if CUDA_TESTS.contains(&program.target.as_str()) {
            found.push((program, Vec::new()));
        } else if program.target == "main" {
            let listed = workspace::output_of(program.command().arg("--list").args(&modules))?;
            if listed.lines().any(|line| line.ends_with(": test")) {
                found.push((program, modules));
            }
        }
    }
    Ok(Some(found))
}

/// Builds everything that has to do with CUDA and runs its tests, from what is already on this machine.
pub(crate) fn run_cuda() -> Result<ExitCode> {
    for (name, found) in [("driver", cuda::driver()), ("NVRTC", cuda::compiler()), ("emulator", cuda::emulator())] {
        println!(
            "{name}: {}",
            found.unwrap_or_else(|missing| format!("{missing} Tests that need it say so and pass."))
        );
    }
    let offline = ["--offline", "--locked"];
    let mut clippy = workspace::cargo();
    clippy.arg("clippy").args(offline);
    clippy.args([
        "--workspace",
        "--all-targets",
        "--features",
        "rectify-cli/cuda,rectify-benches/cuda",
        "--",
        "-D",
        "warnings",
    ]);
    if !step(&mut clippy)? {
        return Ok(ExitCode::FAILURE);
    }
    let Some(tests) = cuda_tests(&offline)? else { return Ok(ExitCode::FAILURE) };
    for (program, modules) in &tests {
        // Shown, since a skipped test passes.
        if !step(program.command().args(modules).arg("--nocapture"))? {
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("all CUDA checks passed: {} test programs", tests.len());
    Ok(ExitCode::SUCCESS)
}

/// Prints and runs a command; whether it succeeded.
pub(crate) fn step(command: &mut Command) -> Result<bool> {
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

    #[test]
    fn the_front_door_is_not_packaged_and_the_core_is() -> Result<()> {
        let line = workspace::line_of(&packaging(&workspace::packages()?));
        assert!(line.contains("--exclude xtask") && !line.contains("--exclude rectify-core"), "{line}");
        Ok(())
    }
}
