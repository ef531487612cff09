//! What the tests of the binary share.

#![cfg_attr(not(feature = "train"), allow(dead_code, reason = "most of it trains"))]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// An experiment that takes a second on the tiny data.
pub(crate) const EXPERIMENT: &str = r#"
title = "test"
dataset = "synthetic-tiny"
seeds = 1
metrics = ["recall@10", "ndcg@10"]
select_by = "ndcg@10"
refit = true
training = { max_epochs = 6, patience = 3, eval_every = 2 }

[[models]]
kind = "pop-rank"

[[models]]
kind = "ease"
search = { l2 = [10.0, 100.0] }

[[models]]
kind = "ials"
settings = { embedding_dim = 8 }

[[models]]
kind = "mf-bpr"
settings = { embedding_dim = 8, batch_size = 256 }
search = { "optimizer.learning_rate" = [0.001, 0.01] }

[profiles.paper]
search = false
training = { max_epochs = 60, patience = 0, eval_every = 10 }

[[claims]]
id = "ease"
text = "EASE is better than popularity"
better = "ease"
than = "pop-rank"
by = ["ndcg@10"]
"#;

/// A forest, served in several ways, and a rival; seconds on the tiny data.
pub(crate) const FOREST: &str = r#"
title = "forest"
dataset = "synthetic-tiny"
seeds = 1
metrics = ["recall@10"]
select_by = "recall@10"
training = { max_epochs = 2 }
protocol.user-disjoint = { validation_users = 20, test_users = 20 }

[[models]]
kind = "fm"
settings = { embedding_dim = 8 }

[[models]]
kind = "deforec"
serve_variants = [{ n_trees = 1 }, { beam_width = 12, n_trees = 1 }]
[models.settings]
search.beam_width = 30
forest.n_trees = 2
forest.later_epochs = 1
forest.model.samples_per_epoch = 200
forest.model.shape = { embedding_dim = 6, windows = [1, 2, 4], attention_dim = 6, layers = [16] }

[[claims]]
id = "more trees"
text = "two trees find no less than half of what one finds"
factor = 0.5
better = "deforec"
than = "deforec (n_trees = 1)"
"#;

/// Codes of a teacher's items, searched in inverted lists too.
pub(crate) const CODES: &str = r#"
title = "codes"
dataset = "synthetic-tiny"
seeds = 1
metrics = ["recall@10"]
select_by = "recall@10"
training = { max_epochs = 3, eval_every = 0 }

[[models]]
kind = "mf-bpr"
settings = { embedding_dim = 8 }

[[models]]
kind = "rvq"
teacher = "mf-bpr"
settings = { n_codebooks = 2, n_codewords = 32 }
serve_variants = [{ n_probes = 32 }, { n_probes = 1 }]
"#;

/// A cascade, the same one with thresholds set afterwards, and a model that is none.
pub(crate) const CASCADE: &str = r#"
title = "cascade"
dataset = "synthetic-tiny"
seeds = 1
metrics = ["recall@10"]
select_by = "recall@10"
training = { max_epochs = 3, eval_every = 0 }

[[models]]
kind = "mf-bce"
settings = { embedding_dim = 8 }

[[models]]
kind = "hdn"
teacher = "mf-bce"
settings = { embedding_dim = 8, rejection_ratios = [0.4, 0.6] }

[[models]]
kind = "hdn-calibrated"
teacher = "hdn"
settings = { rejection_ratios = [0.5, 0.8] }
"#;

/// A folder with the experiment `tiny`, and places for results and caches.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(experiment: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("experiments")).unwrap();
        std::fs::write(folder.path().join("experiments/tiny.toml"), experiment).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, cut off from the user's own data.
    pub(crate) fn rectify(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rectify"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("XDG_CACHE_HOME", self.path("xdg")).env_remove("RECTIFY_DATA");
        command
    }

    /// `reproduce` with this place's experiments.
    pub(crate) fn reproduce(&self, arguments: &[&str]) -> Command {
        let mut all = vec!["reproduce", "--experiments", "experiments"];
        all.extend(arguments);
        self.rectify(&all)
    }

    /// results.json of an output folder, with the runs.jsonl beside it.
    #[cfg(feature = "train")]
    pub(crate) fn results(&self, out: &str) -> serde_json::Value {
        let (results, _) = rectify_lab::report::read(&self.path(out).join("results.json")).unwrap();
        serde_json::to_value(results).unwrap()
    }
}

/// Name and bytes of every trained model in an output folder.
pub(crate) fn models(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(out.join("cache")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect()
}

/// Standard error and exit code of a command that must fail.
pub(crate) fn failure(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it succeeded: {text}");
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().unwrap_or(-1), text)
}
