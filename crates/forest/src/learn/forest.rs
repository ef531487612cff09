//! A forest: trees and models in turn, by DeFoRec's, JTM's or TDM's rules.

use rectify_core::artifact::ArtifactError;
use rectify_core::rng::Seed;
use rectify_tensor::train::{Checkpoint, FitConfig, FitReport, Observer, StopReason, TrainRun, Validate};
use serde::{Deserialize, Serialize};

use super::preference::Training;
use super::samples::{Learners, Samples};
use super::tree::{self, TreeRule};
use crate::{ConfigError, FitError, PreferenceConfig, Tree, TreeModel};

/// Settings of a forest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForestConfig {
    /// The preference model and its training.
    pub model: PreferenceConfig,
    /// How each next tree is learned. Default DeFoRec's.
    pub rule: TreeRule,
    /// Trees, the first one included, at least 1. Default 10.
    pub n_trees: usize,
    /// Epochs at most on every tree but the first, at least 1. Default 2.
    pub later_epochs: u32,
}

impl Default for ForestConfig {
    fn default() -> Self {
        Self { model: PreferenceConfig::default(), rule: TreeRule::default(), n_trees: 10, later_epochs: 2 }
    }
}

impl ForestConfig {
    /// JTM: the binary loss with 8 negatives, trees by path scores.
    #[must_use]
    pub fn jtm() -> Self {
        Self { model: PreferenceConfig::default().binary(8), rule: TreeRule::jtm(), ..Self::default() }
    }

    /// TDM: the binary loss with 8 negatives, trees by clustering.
    #[must_use]
    pub fn tdm() -> Self {
        Self { rule: TreeRule::Clustering, ..Self::jtm() }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first one out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.model.validate()?;
        self.rule.validate()?;
        for (field, got) in [("n_trees", self.n_trees), ("later_epochs", self.later_epochs as usize)] {
            ConfigError::check(got >= 1, field, "at least 1", got)?;
        }
        Ok(())
    }
}

/// Learns a forest (DeFoRec, sections 3.3 and 5; with their losses and rules TDM and JTM): a model is trained on the first tree, a tree is learned
/// from the model, the model goes on on that tree, and so forth. Every tree is returned with the model trained on it, in that order.
///
/// The first model trains as `run` says, the others for `later_epochs` at most. Leaf embeddings move with their items, everything else
/// goes on as it is; optimisers start anew. The run's validation gets each tree with its model as served. Its checkpoint becomes one file a
/// tree (`NAME.tree0`, …), so that a killed run goes on where it was; [`remove_checkpoints`] takes them away once the forest is saved. An
/// observer that asks for an end gets it after the tree at hand.
///
/// # Errors
/// As [`preference::fit`](crate::preference::fit), and what makes a tree impossible.
pub fn fit(
    learners: Learners<'_>,
    first: &Tree,
    config: &ForestConfig,
    run: TrainRun<'_, TreeModel>,
) -> Result<Vec<(TreeModel, FitReport)>, FitError> {
    config.validate()?;
    let TrainRun { seed, fit, mut validate, mut observer } = run;
    let model = &config.model;
    let samples = Samples::new(learners, first.n_items(), model.min_history)?;
    let mut forest: Vec<(TreeModel, FitReport)> = Vec::new();
    let mut params = None;
    for t in 0..config.n_trees {
        let tree = match forest.last() {
            None => first.clone(),
            Some((last, _)) => tree::learn(last, &samples, config.rule, of_tree(seed, "tree", t))?,
        };
        let seed = of_tree(seed, "model", t);
        let mut training = Training::new(&samples, &tree, model, seed);
        if let (Some(params), Some((last, _))) = (params.take(), forest.last()) {
            training.inherit(params, last.tree());
        }
        let max_epochs = if t == 0 { fit.max_epochs } else { config.later_epochs };
        let checkpoint = fit.checkpoint.as_ref().map(|whole| checkpoint_of(whole, t));
        let report = training.run(TrainRun {
            seed,
            fit: FitConfig { max_epochs, checkpoint, ..fit.clone() },
            validate: validate.as_mut().map(|validate| &mut **validate as Validate<'_, TreeModel>),
            observer: observer.as_mut().map(|observer| &mut **observer as &mut dyn Observer),
        })?;
        let reason = report.reason;
        forest.push((training.served()?, report));
        if reason == StopReason::Requested {
            break;
        }
        params = Some(training.into_params());
    }
    Ok(forest)
}

/// Removes the checkpoints that [`fit`] made of `whole` for `n_trees`; those that are not there are no error. For callers that have
/// saved the forest: until then a killed run needs them.
///
/// # Errors
/// [`ArtifactError::Io`]: a file that cannot be removed.
pub fn remove_checkpoints(whole: &Checkpoint, n_trees: usize) -> Result<(), ArtifactError> {
    for tree in 0..n_trees {
        let Checkpoint { path, .. } = checkpoint_of(whole, tree);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(ArtifactError::Io { action: "remove", path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The checkpoint of one tree.
fn checkpoint_of(whole: &Checkpoint, tree: usize) -> Checkpoint {
    let mut path = whole.path.clone().into_os_string();
    path.push(format!(".tree{tree}"));
    Checkpoint { path: path.into(), run: format!("{} tree {tree}", whole.run) }
}

/// The seed of one tree's draws.
fn of_tree(seed: Seed, what: &str, tree: usize) -> Seed {
    seed.stream(&format!("forest/{what}/{tree}"))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use rectify_core::{ItemFilter, Retriever, Scorer, TopK, UserId};
    use rectify_tensor::train::Event;

    use super::*;
    use crate::learn::preference::tests::{run, small, world};
    use crate::{ForUsers, ForestIndex, Histories, Objective, Provenance, SearchConfig};

    fn config(rule: TreeRule, objective: Objective) -> ForestConfig {
        let model = PreferenceConfig { batch_size: 50, ..small(objective) };
        ForestConfig { model, rule, n_trees: 3, later_epochs: 2 }
    }

    fn learned(
        histories: &Histories,
        config: &ForestConfig,
        run: TrainRun<'_, TreeModel>,
    ) -> Vec<(TreeModel, FitReport)> {
        fit(Learners::all(histories), &Tree::random(61, Seed(2)).unwrap(), config, run).unwrap()
    }

    fn scores(forest: &[(TreeModel, FitReport)], histories: &Histories) -> Vec<u32> {
        let mut out = vec![0.0; 61];
        let all = forest.iter().flat_map(|(model, _)| {
            model.score_all_into(histories.of(UserId(1)), &mut out).unwrap();
            out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        });
        all.collect()
    }

    #[test]
    fn every_rule_gives_sound_trees_whose_forest_knows_what_users_like() {
        let histories = world(150, 61, 25);
        for (rule, objective) in [
            (TreeRule::default(), Objective::Softmax),
            (TreeRule::jtm(), Objective::Binary),
            (TreeRule::Clustering, Objective::Binary),
        ] {
            let forest = learned(&histories, &config(rule, objective), run(4));
            let epochs: Vec<usize> = forest.iter().map(|(_, report)| report.history.len()).collect();
            assert_eq!(epochs, [4, 2, 2]);
            let trees: Vec<&Tree> = forest.iter().map(|(model, _)| model.tree()).collect();
            assert!(trees.iter().all(|tree| tree.validate().is_empty()));
            assert!(trees[0] != trees[1] && trees[1] != trees[2], "{rule:?}: trees change");
            // A model that goes on is not one that starts anew.
            let (start, next) = (forest[0].1.history[0].loss, forest[1].1.history[0].loss);
            assert!(next < start, "{rule:?}: {start} {next}");
            let search = SearchConfig { beam_width: 15, ..SearchConfig::default() };
            let models = forest.into_iter().map(|(model, _)| model).collect();
            let index = ForestIndex::new(models, search).unwrap();
            let index = ForUsers::new(histories.clone(), index, Provenance::default()).unwrap();
            let (mut top, mut right) = (TopK::new(), 0);
            for user in (0..150).map(UserId) {
                index.top_k(&user, 5, &ItemFilter::all(), &mut top).unwrap();
                right += top.items().filter(|item| item.0 % 4 == user.0 % 4).count();
            }
            // Usually above 600 of 750; a guess has 188.
            assert!(right > 450, "{rule:?}: {right}");
        }
    }

    #[test]
    fn a_killed_run_goes_on_with_the_same_bits() {
        let histories = world(30, 61, 15);
        let config = config(TreeRule::default(), Objective::Softmax);
        let whole = scores(&learned(&histories, &config, run(2)), &histories);
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint { path: folder.path().join("forest"), run: "test".into() };
        let resumed = FitConfig { checkpoint: Some(checkpoint.clone()), ..run(2).fit };
        // Stopped in the first epoch of the second tree.
        let mut epochs = 0;
        let mut stop = |event: &Event| {
            epochs += usize::from(matches!(event, Event::Trained { .. }));
            if epochs == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let part = learned(&histories, &config, run(2).fit(&resumed).observer(&mut stop));
        assert_eq!(part.len(), 2);
        assert_eq!(scores(&learned(&histories, &config, run(2).fit(&resumed)), &histories), whole);

        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files(), 3, "a checkpoint a tree");
        // More trees than there are is no error.
        remove_checkpoints(&checkpoint, 5).unwrap();
        assert_eq!(files(), 0);
    }

    #[test]
    fn impossible_settings_are_named() {
        let message = |config: ForestConfig| config.validate().unwrap_err().to_string();
        assert_eq!(
            message(ForestConfig { n_trees: 0, ..ForestConfig::default() }),
            "n_trees is 0, expected at least 1"
        );
        assert_eq!(
            message(ForestConfig { later_epochs: 0, ..ForestConfig::tdm() }),
            "later_epochs is 0, expected at least 1"
        );
    }
}
