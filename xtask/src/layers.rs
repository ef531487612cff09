//! `layers`: proves the arrows of docs/ARCHITECTURE.md.
//!
//! Arrows come from `cargo metadata` (normal dependencies only: a test may look wherever it likes); rules about source come
//! from reading it, without comments and tests.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::workspace::{self, Package, packages};

/// Every package of the workspace: its layer, and the packages of ours it may depend on.
///
/// Written out rather than derived from the layer, since the arrows are fewer than the layers allow.
const PACKAGES: &[(&str, u8, &[&str])] = &[
    ("rectify-args", 0, &[]),
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
    ("rectify-models", 4, MODELS),
    ("rectify", 5, FACADE),
    ("rectify-lab", 6, LAB),
    ("rectify-cli", 7, PROGRAM),
    ("rectify-benches", 7, ANYTHING),
    ("xtask", 7, &["rectify-args"]),
];

/// What a technique crate may see; another technique is not among it.
const TECHNIQUE: &[&str] =
    &["rectify-core", "rectify-cuda", "rectify-data", "rectify-gpu-search", "rectify-tensor", "rectify-distill"];

/// What trains and serves every model by its name.
const MODELS: &[&str] = &[
    "rectify-core",
    "rectify-data",
    "rectify-gpu-search",
    "rectify-tensor",
    "rectify-eval",
    "rectify-teachers",
    "rectify-distill",
    "rectify-quantize",
    "rectify-hashing",
    "rectify-forest",
    "rectify-cascade",
];

/// What opens one file and answers in own ids.
const FACADE: &[&str] =
    &["rectify-core", "rectify-data", "rectify-tensor", "rectify-eval", "rectify-teachers", "rectify-models"];

/// What runs experiments; it measures cascades stage by stage.
const LAB: &[&str] = &["rectify-core", "rectify-data", "rectify-eval", "rectify-cascade", "rectify-models"];

/// What speaks to people.
const PROGRAM: &[&str] = &[
    "rectify",
    "rectify-args",
    "rectify-core",
    "rectify-cuda",
    "rectify-data",
    "rectify-tensor",
    "rectify-models",
    "rectify-lab",
];

/// The marker of a package that may depend on all below its layer.
const ANYTHING: &[&str] = &["*"];

/// What serving must not build: a package, and how the names begin that its tree lacks with `--no-default-features`.
const LEAN: &[(&str, &[&str])] = &[
    ("rectify-tensor", &["candle"]),
    ("rectify-teachers", &["candle"]),
    ("rectify-quantize", PRODUCTS),
    ("rectify-hashing", PRODUCTS),
    ("rectify-forest", PRODUCTS),
    ("rectify-cascade", PRODUCTS),
    ("rectify-models", &["candle"]),
    ("rectify", &["candle"]),
    ("rectify-lab", PRODUCTS),
    // Folds people in by least squares, as the facade does.
    ("rectify-cli", &["candle"]),
    ("rectify-benches", PRODUCTS),
];

/// Tensors, and products and factorisations of matrices, which only learning needs.
const PRODUCTS: &[&str] = &["candle", "gemm", "faer"];

/// Dependencies that one package alone may name, by how their names begin.
const OWNED: &[(&str, &str)] =
    &[("candle", "rectify-tensor"), ("cudarc", "rectify-cuda"), ("cudaforge", "rectify-cuda")];

/// What a library must not contain, why, and from which layer on it may: programs print, the lab measures.
const FORBIDDEN: &[(&str, &str, u8)] = &[
    ("println!", "prints", 7),
    ("print!(", "prints", 7),
    ("dbg!", "prints", 7),
    ("io::stdout", "prints", 7),
    ("io::stderr", "prints", 7),
    ("Instant::now", "reads the clock", 6),
    ("SystemTime", "reads the clock", 6),
];

/// Checks every rule and prints what was proved or broken.
pub(crate) fn run() -> Result<ExitCode> {
    let packages = packages()?;
    let mut sound = true;
    for (rule, broken) in [
        (
            "arrows point down only; techniques never import each other; xtask imports command lines alone",
            arrows(&packages),
        ),
        ("only rectify-tensor names candle, only rectify-cuda CUDA's driver", owned(&packages)),
        ("without default features nobody builds candle, and techniques no matrix products", lean(&packages)?),
        ("no package that can be published reads a file outside its folder", outside(&packages)?),
        ("nothing but programs prints, nothing below the lab reads the clock", forbidden(&packages)?),
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

/// Asks cargo what each package of [`LEAN`] would build.
fn lean(packages: &[Package]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (name, without) in LEAN.iter().filter(|(name, _)| packages.iter().any(|p| p.name == *name)) {
        let mut tree = workspace::cargo();
        tree.args(["tree", "--package", name, "--no-default-features", "--edges", "normal", "--prefix", "none"]);
        let tree = workspace::output_of(&mut tree)?;
        let found = |line: &&str| without.iter().any(|begin| line.starts_with(begin));
        if let Some(line) = tree.lines().find(found) {
            broken.push(format!("{name} --no-default-features builds {line}"));
        }
    }
    Ok(broken)
}

/// A package of a registry holds its folder alone, so a source that names a file elsewhere builds here and nowhere else.
fn outside(packages: &[Package]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for package in packages.iter().filter(|package| package.publishable) {
        for file in rust_files(&package.folder.join("src"))? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            for named in text.lines().filter_map(included) {
                if !lexical(&file.parent().unwrap_or(&file).join(named)).starts_with(&package.folder) {
                    broken.push(format!("{} names {named}", file.display()));
                }
            }
        }
    }
    Ok(broken)
}

/// The file that a line of source includes.
fn included(line: &str) -> Option<&str> {
    let after = ["include_str!(\"", "include_bytes!(\"", "include!(\"", "#[path = \""]
        .iter()
        .find_map(|open| line.split_once(open).map(|(_, rest)| rest))?;
    after.split('"').next()
}

/// A path without `..`, by its names alone: a link inside a package counts as inside.
fn lexical(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut made, part| {
        if part == Component::ParentDir {
            made.pop();
        } else {
            made.push(part);
        }
        made
    })
}

fn forbidden(packages: &[Package]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for package in packages {
        let Some((layer, _)) = entry(&package.name) else { continue };
        broken.extend(search(std::iter::once(package), |line| {
            let found = FORBIDDEN.iter().find(|(text, _, first)| layer < *first && line.contains(text));
            found.map(|(text, why, _)| format!("{text} {why}"))
        })?);
    }
    Ok(broken)
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
        Package { name: name.into(), folder: PathBuf::new(), dependencies, publishable: true, has_defaults: false }
    }

    #[test]
    fn this_workspace_keeps_its_arrows() -> Result<()> {
        let packages = packages()?;
        assert!(packages.len() >= 7, "cargo metadata sees {} packages", packages.len());
        assert_eq!(arrows(&packages), Vec::<String>::new());
        assert_eq!(owned(&packages), Vec::<String>::new());
        assert_eq!(forbidden(&packages)?, Vec::<String>::new());
        assert_eq!(unseal(&packages)?, Vec::<String>::new());
        assert_eq!(outside(&packages)?, Vec::<String>::new());
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
    fn measurements_may_import_everything_and_nothing_imports_a_program() {
        let benches = package("rectify-benches", &["rectify-core", "rectify-quantize", "rectify-lab"]);
        let core = package("rectify-core", &["rectify-lab"]);
        let lab = package("rectify-lab", &["rectify-models", "rectify-cli"]);
        let others = ["rectify-quantize", "rectify-models", "rectify-cli"].map(|name| package(name, &[]));
        let found = arrows(&[&[benches, core, lab][..], &others].concat());
        assert_eq!(
            found,
            ["rectify-core (layer 0) depends on rectify-lab", "rectify-lab (layer 6) depends on rectify-cli"]
        );
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
    fn a_file_outside_the_folder_is_told_from_one_inside() {
        let named = included("    (\"ml-1m\", include_str!(\"../../datasets/ml-1m.toml\")),").unwrap_or_default();
        let at = |folder: &str| lexical(&Path::new(folder).join(named));
        assert_eq!(at("/work/crates/data/src/manifest"), Path::new("/work/crates/data/datasets/ml-1m.toml"));
        assert!(!at("/work/crates/data/src").starts_with("/work/crates/data"));
        assert_eq!(included("let path = \"../x\";"), None);
    }

    #[test]
    fn comments_and_tests_are_not_code() {
        let text = "let a = 1; // println!\n/// dbg!\nlet b = 2;\n#[cfg(test)]\nmod tests { println!() }\n";
        let lines: Vec<_> = code_lines(text).map(|(number, line)| (number, line.trim())).collect();
        assert_eq!(lines, [(1, "let a = 1;"), (3, "let b = 2;")]);
    }
}
