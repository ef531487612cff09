//! Where the workspace is and how cargo is called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The folder of the workspace's Cargo.toml.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that started us, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// A package of the workspace as cargo describes it.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Names of normal dependencies.
    pub(crate) dependencies: Vec<String>,
    /// Whether a registry may have it.
    pub(crate) publishable: bool,
    /// Whether it has features that are on unless someone turns them off.
    pub(crate) has_defaults: bool,
}

/// Every package of the workspace.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&output_of(&mut command)?).context("cargo metadata")?;
    metadata["packages"].as_array().context("cargo metadata lists no packages")?.iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let name = value["name"].as_str().context("a package without a name")?.to_owned();
    let manifest = PathBuf::from(value["manifest_path"].as_str().context("a package without a manifest")?);
    let dependencies = value["dependencies"].as_array().into_iter().flatten();
    let filled = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    Ok(Package {
        name,
        folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
        // A normal dependency has kind null.
        dependencies: dependencies
            .filter(|d| d["kind"].is_null())
            .filter_map(|d| Some(d["name"].as_str()?.to_owned()))
            .collect(),
        // Null says any registry, a list which.
        publishable: value["publish"].is_null() || filled(&value["publish"]),
        has_defaults: filled(&value["features"]["default"]),
    })
}

/// Standard output of a command that must succeed.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", line_of(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no UTF-8", line_of(command)))
}

/// A command as one would type it.
pub(crate) fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
