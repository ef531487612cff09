//! Programs that cargo builds for a check, and how they are run.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace;

/// A program that cargo has built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// The folder of its package, where cargo runs tests.
    pub(crate) folder: PathBuf,
    /// `main` of `tests/main/main.rs`, the library's name of its unit tests.
    pub(crate) target: String,
    /// Whether it runs tests: cargo also names the programs that integration tests start.
    pub(crate) is_test: bool,
    /// The features its package was built with.
    pub(crate) features: Vec<String>,
}

impl Program {
    /// Name of the folder of its package.
    pub(crate) fn crate_name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its command, in the folder of its package.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// What a cargo command builds that can be run; `None` when something does not compile.
pub(crate) fn build(cargo: &mut Command) -> Result<Option<Vec<Program>>> {
    println!("+ {}", workspace::line_of(cargo));
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut found = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            found.extend(program(&serde_json::from_str(&line?).context("cargo printed no JSON")?));
        }
    }
    Ok(child.wait()?.success().then_some(found))
}

/// The program that a message of cargo tells of.
fn program(message: &Value) -> Option<Program> {
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let features = message["features"].as_array().into_iter().flatten();
    Some(Program {
        path: message["executable"].as_str()?.into(),
        folder: manifest.parent()?.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        is_test: message["profile"]["test"].as_bool()?,
        features: features.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
    })
}

/// Waits for a program so long at most; `None` when it had to be stopped.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<Option<bool>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_an_executable_names_a_program() {
        let message = serde_json::json!({
            "reason": "compiler-artifact", "manifest_path": "/work/crates/core/Cargo.toml",
            "target": {"name": "main"}, "profile": {"test": true}, "features": ["testing"],
            "executable": "/work/target/debug/deps/main-1"
        });
        let found = program(&message);
        assert_eq!(found.as_ref().map(Program::crate_name).as_deref(), Some("core"));
        assert_eq!(
            found.map(|program| (program.target, program.is_test, program.features)),
            Some(("main".into(), true, vec!["testing".into()]))
        );
        assert_eq!(program(&serde_json::json!({"reason": "build-finished", "success": true})), None);
    }

    #[cfg(unix)]
    #[test]
    fn what_hangs_is_stopped() -> Result<()> {
        let spawn = |program: &str, arguments: &[&str]| Command::new(program).args(arguments).spawn();
        assert_eq!(wait(&mut spawn("sleep", &["60"])?, Duration::from_millis(50))?, None);
        assert_eq!(wait(&mut spawn("true", &[])?, Duration::from_secs(60))?, Some(true));
        Ok(())
    }
}
