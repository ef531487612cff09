//! `layers`: proves the arrows of docs/ARCHITECTURE.md.
//!
//! Arrows come from `cargo metadata` (normal dependencies only: a test may look wherever it likes); rules about source come
//! from reading it, without comments and tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace;

/// Every package of the workspace: its layer, and the packages of ours it may depend on.
///
/// Written out rather than derived from the layer, since the arrows are fewer than the layers allow.
const PACKAGES: &[(&str, u8, &[&str])] = &[
    ("rectify-core", 0, &[]),
    ("rectify-cuda", 0, &[]),
    ("rectify-data", 1, &["rectify-core"]),
    ("rectify-gpu-search", 1, &["rectify-core", "rectify-cuda"]),
    ("rectify-tensor", 1, &["rectify-core", "rectify-cuda"]),
    ("rectify-eval", 2, &["rectify-core", "rectify-data"]),
    ("rectify-teachers", 2, &["rectify-core", "rectify-data", "rectify-tensor"]),
    ("rectify-distill", 2, &["rectify-core", "rectify-data", "rectify-tensor"]),
    ("rectify-quantize", 3, TECHNIQUE),
    ("rectify-hashing", 3, TECHNIQUE),
    ("rectify-forest", 3, TECHNIQUE),
    ("rectify-cascade", 3, TECHNIQUE),
    ("rectify-lab", 4, ANYTHING),
    ("xtask", 4, &[]),
];

/// What a technique crate may see; another technique is not among it.
const TECHNIQUE: &[&str] =
    &["rectify-core", "rectify-cuda", "rectify-data", "rectify-gpu-search", "rectify-tensor", "rectify-distill"];

/// The marker of a package that may depend on all below its layer.
const ANYTHING: &[&str] = &["*"];

/// Packages whose serving half must build without tensors: `--no-default-features`.
const TENSOR_FREE: &[&str] =
    &["rectify-quantize", "rectify-hashing", "rectify-forest", "rectify-cascade", "rectify-lab"];

/// Dependencies that one package alone may name, by how their names begin.
const OWNED: &[(&str, &str)] =
    &[("candle", "rectify-tensor"), ("cudarc", "rectify-cuda"), ("cudaforge", "rectify-cuda")];

/// What a library must not contain, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("println!", "prints"),
    ("print!(", "prints"),
    ("dbg!", "prints"),
    ("io::stdout", "prints"),
    ("io::stderr", "prints"),
    ("Instant::now", "reads the clock"),
    ("SystemTime", "reads the clock"),
];

/// A package of the workspace as cargo describes it.
struct Package {
    name: String,
    folder: PathBuf,
    /// Names of normal dependencies.
    dependencies: Vec<String>,
}

/// Checks every rule and prints what was proved or broken.
pub(crate) fn run() -> Result<ExitCode> {
    let packages = packages()?;
    let mut sound = true;
    for (rule, broken) in [
        (
            "arrows point down only; techniques never import each other; xtask imports nothing of ours",
            arrows(&packages),
        ),
        ("only rectify-tensor names candle, only rectify-cuda CUDA's driver", owned(&packages)),
        ("without their default features, lab and techniques build no candle", tensor_free(&packages)?),
        ("below layer 4 nothing prints or reads the clock", forbidden(&packages)?),
        ("the test part of a split is unsealed in rectify-eval alone", unseal(&packages)?),
    ] {
        println!("{} {rule}", if broken.is_empty() { "ok    " } else { "BROKEN" });
        for line in &broken {
            println!("         {line}");
        }
        sound &= broken.is_empty();
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn packages() -> Result<Vec<Package>> {
    let mut command = workspace::cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&workspace::output_of(&mut command)?).context("cargo metadata")?;
    metadata["packages"].as_array().context("cargo metadata lists no packages")?.iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let name = value["name"].as_str().context("a package without a name")?.to_owned();
    let manifest = PathBuf::from(value["manifest_path"].as_str().context("a package without a manifest")?);
    let dependencies = value["dependencies"].as_array().into_iter().flatten();
    Ok(Package {
        name,
        folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
        // A normal dependency has kind null.
        dependencies: dependencies
            .filter(|d| d["kind"].is_null())
            .filter_map(|d| Some(d["name"].as_str()?.to_owned()))
            .collect(),
    })
}

/// The row of [`PACKAGES`] for a name.
fn entry(name: &str) -> Option<(u8, &'static [&'static str])> {
    PACKAGES.iter().find(|(known, ..)| *known == name).map(|&(_, layer, may)| (layer, may))
}

fn arrows(packages: &[Package]) -> Vec<String> {
    let ours: BTreeMap<&str, ()> = packages.iter().map(|p| (p.name.as_str(), ())).collect();
    let mut broken = Vec::new();
    for package in packages {
        let Some((layer, may)) = entry(&package.name) else {
            broken.push(format!("{} has no layer: give it one in xtask/src/layers.rs", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| ours.contains_key(d.as_str())) {
            let below = entry(dependency).is_some_and(|(other, _)| other < layer);
            let allowed = may == ANYTHING && below || may.contains(&dependency.as_str());
            if !allowed {
                broken.push(format!("{} (layer {layer}) depends on {dependency}", package.name));
            }
        }
    }
    broken
}

fn owned(packages: &[Package]) -> Vec<String> {
    let mut broken = Vec::new();
    for package in packages {
        for name in &package.dependencies {
            if OWNED.iter().any(|(begin, owner)| name.starts_with(begin) && package.name != *owner) {
                broken.push(format!("{} names {name}", package.name));
            }
        }
    }
    broken
}

/// Asks cargo what each tensor-free package would build.
fn tensor_free(packages: &[Package]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for package in packages.iter().filter(|p| TENSOR_FREE.contains(&p.name.as_str())) {
        let mut tree = workspace::cargo();
        tree.args([
            "tree",
            "--package",
            &package.name,
            "--no-default-features",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ]);
        if let Some(line) = workspace::output_of(&mut tree)?.lines().find(|line| line.starts_with("candle")) {
            broken.push(format!("{} --no-default-features builds {line}", package.name));
        }
    }
    Ok(broken)
}

fn forbidden(packages: &[Package]) -> Result<Vec<String>> {
    let libraries = packages.iter().filter(|p| entry(&p.name).is_some_and(|(layer, _)| layer < 4));
    search(libraries, |line| {
        FORBIDDEN.iter().find(|(text, _)| line.contains(text)).map(|(text, why)| format!("{text} {why}"))
    })
}

fn unseal(packages: &[Package]) -> Result<Vec<String>> {
    let others = packages.iter().filter(|p| !matches!(p.name.as_str(), "rectify-eval" | "xtask"));
    search(others, |line| {
        let called = line.contains("unseal") && !line.contains("fn unseal");
        called.then(|| "calls unseal: ask rectify_eval::evaluate_test instead".to_owned())
    })
}

/// Lines of the packages' sources that a rule objects to, as `file:line: objection`.
fn search<'a>(
    packages: impl Iterator<Item = &'a Package>,
    objection: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let root = workspace::root();
    let mut broken = Vec::new();
    for package in packages {
        for file in rust_files(&package.folder.join("src"))? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            for (number, line) in code_lines(&text) {
                if let Some(problem) = objection(line) {
                    let place = file.strip_prefix(&root).unwrap_or(&file);
                    broken.push(format!("{}:{number}: {problem}", place.display()));
                }
            }
        }
    }
    Ok(broken)
}

/// All sources under a folder but the tests.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Numbered lines of code: no comments, nothing after `#[cfg(test)] mod`.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
        .filter(|(_, line)| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|&d| d.to_owned()).collect();
        Package { name: name.into(), folder: PathBuf::new(), dependencies }
    }

    #[test]
    fn this_workspace_keeps_its_arrows() -> Result<()> {
        let packages = packages()?;
        assert!(packages.len() >= 7, "cargo metadata sees {} packages", packages.len());
        assert_eq!(arrows(&packages), Vec::<String>::new());
        assert_eq!(owned(&packages), Vec::<String>::new());
        assert_eq!(forbidden(&packages)?, Vec::<String>::new());
        assert_eq!(unseal(&packages)?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let found = arrows(&[package("rectify-core", &["rectify-data"]), package("rectify-data", &["rectify-core"])]);
        assert_eq!(found, ["rectify-core (layer 0) depends on rectify-data"]);
    }

    #[test]
    fn techniques_may_not_import_each_other_nor_teachers() {
        let found = arrows(&[
            package("rectify-quantize", &["rectify-hashing", "rectify-teachers"]),
            package("rectify-hashing", &[]),
            package("rectify-teachers", &[]),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn the_lab_may_import_everything_and_nothing_imports_the_lab() {
        let lab = package("rectify-lab", &["rectify-core", "rectify-quantize"]);
        let core = package("rectify-core", &["rectify-lab"]);
        let found = arrows(&[lab, core, package("rectify-quantize", &[])]);
        assert_eq!(found, ["rectify-core (layer 0) depends on rectify-lab"]);
    }

    #[test]
    fn a_package_without_a_layer_is_found() {
        assert!(arrows(&[package("rectify-novel", &[])])[0].contains("has no layer"));
    }

    #[test]
    fn candle_outside_tensor_is_found() {
        let found = owned(&[package("rectify-teachers", &["candle-nn"]), package("rectify-tensor", &["candle-core"])]);
        assert_eq!(found, ["rectify-teachers names candle-nn"]);
    }

    #[test]
    fn comments_and_tests_are_not_code() {
        let text = "let a = 1; // println!\n/// dbg!\nlet b = 2;\n#[cfg(test)]\nmod tests { println!() }\n";
        let lines: Vec<_> = code_lines(text).map(|(number, line)| (number, line.trim())).collect();
        assert_eq!(lines, [(1, "let a = 1;"), (3, "let b = 2;")]);
    }
}
