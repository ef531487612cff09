//! Examples run as a visitor runs them, but in the profile of the tests, whose artifacts they share.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{programs, workspace};

/// More than a slow machine needs for an example of seconds; past it the example is one of minutes, or hangs.
const LIMIT: Duration = Duration::from_secs(180);

/// Builds every example and runs it without arguments, on built-in data; whether all were content.
pub(crate) fn run() -> Result<bool> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--workspace", "--examples"]);
    let Some(found) = programs::build(&mut cargo)? else { return Ok(false) };
    let examples =
        found.iter().filter(|program| program.path.parent().is_some_and(|folder| folder.ends_with("examples")));
    for example in examples {
        let name = format!("{} --example {}", example.crate_name(), example.target);
        println!("+ {name}");
        let start = Instant::now();
        // Public data would make it one of minutes.
        let mut child =
            example.command().env_remove("RECTIFY_DATA").spawn().with_context(|| format!("cannot start {name}"))?;
        match programs::wait(&mut child, LIMIT)? {
            Some(true) => println!("{name}: {:.1} s", start.elapsed().as_secs_f64()),
            Some(false) => {
                println!("{name} failed");
                return Ok(false);
            }
            None => {
                println!("{name} was stopped after {} s: make its default work smaller", LIMIT.as_secs());
                return Ok(false);
            }
        }
    }
    Ok(true)
}
