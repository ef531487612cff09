//! Every crate without its default features: it compiles alone, and its tests pass.

use anyhow::Result;

use crate::check::step;
use crate::programs::{self, Program};
use crate::workspace::{self, Package};

/// Compiles every library and program without default features, as one build: nothing of ours asks for another's defaults.
pub(crate) fn compile() -> Result<bool> {
    step(workspace::cargo().args(["clippy", "--workspace", "--no-default-features", "--", "-D", "warnings"]))
}

/// Runs the tests of the packages that have default features, without them.
///
/// They are built as one workspace, where dependencies have the features that the tests' build gave them; a package whose defaults
/// another package's tests turn on again is compiled without them by [`compile`] alone, since a build of its own would compile every
/// dependency once more.
pub(crate) fn test(packages: &[Package]) -> Result<bool> {
    let mut together = workspace::cargo();
    together.args(["test", "--workspace", "--no-default-features", "--no-run"]);
    let Some(built) = programs::build(&mut together)? else { return Ok(false) };
    for package in packages.iter().filter(|package| package.has_defaults) {
        let own = |program: &&Program| program.is_test && program.folder == package.folder;
        for program in built.iter().filter(own).filter(without_default) {
            if !step(&mut program.command())? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn without_default(program: &&Program) -> bool {
    !program.features.iter().any(|feature| feature == "default")
}
