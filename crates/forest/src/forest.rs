//! Trees and models in turn.

use rectify_core::rng::Seed;
use rectify_tensor::train::{Checkpoint, FitConfig, FitReport, Observer, StopReason};
use serde::{Deserialize, Serialize};

use crate::train::{Samples, Training};
use crate::{ConfigError, FitError, Learners, PreferenceConfig, Tree, TreeModel, TreeRule, Validate, learn};

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
/// goes on as it is; optimisers start anew. `validate` gets each tree with its model as served. A checkpoint of `run` becomes one file a
/// tree (`NAME.tree0`, …), so that a killed run goes on where it was. An observer that asks for an end gets it after the tree at hand.
///
/// # Errors
/// As [`fit`](crate::fit).
pub fn fit_forest(
    learners: Learners<'_>,
    first: &Tree,
    config: &ForestConfig,
    run: &FitConfig,
    seed: Seed,
    validate: Validate<'_>,
    observer: &mut dyn Observer,
) -> Result<Vec<(TreeModel, FitReport)>, FitError> {
    config.validate().map_err(FitError::Config)?;
    let model = &config.model;
    let samples = Samples::new(learners.histories, learners.users, first.n_items(), model.min_history)?;
    let mut forest: Vec<(TreeModel, FitReport)> = Vec::new();
    let mut params = None;
    for t in 0..config.n_trees {
        let tree = match forest.last() {
            None => first.clone(),
            Some((last, _)) => learn::learn(last, &samples, config.rule, of_tree(seed, "tree", t))?,
        };
        let mut training = Training::new(&samples, &tree, model, of_tree(seed, "model", t));
        if let (Some(params), Some((last, _))) = (params.take(), forest.last()) {
            training.inherit(params, last.tree());
        }
        let checkpoint = run.checkpoint.as_ref().map(|checkpoint| {
            let mut path = checkpoint.path.clone().into_os_string();
            path.push(format!(".tree{t}"));
            Checkpoint { path: path.into(), run: format!("{} tree {t}", checkpoint.run) }
        });
        let max_epochs = if t == 0 { run.max_epochs } else { config.later_epochs };
        let run = FitConfig { max_epochs, checkpoint, ..run.clone() };
        let report = training.run(&run, &mut *validate, observer)?;
        let reason = report.reason;
        forest.push((training.served()?, report));
        if reason == StopReason::Requested {
            break;
        }
        params = Some(training.into_params());
    }
    Ok(forest)
}

/// The seed of one tree's draws.
fn of_tree(seed: Seed, what: &str, tree: usize) -> Seed {
    seed.stream(&format!("forest/{what}/{tree}"))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use rectify_core::{ItemFilter, Retriever, Scorer, TopK, UserId};
    use rectify_tensor::train::{Event, Silent};

    use super::*;
    use crate::train::tests::{run, small, world};
    use crate::{ForUsers, ForestIndex, Histories, Objective, SearchConfig};

    fn config(rule: TreeRule, objective: Objective) -> ForestConfig {
        let model = PreferenceConfig { batch_size: 50, ..small(objective) };
        ForestConfig { model, rule, n_trees: 3, later_epochs: 2 }
    }

    fn learned(histories: &Histories, config: &ForestConfig, run: &FitConfig) -> Vec<(TreeModel, FitReport)> {
        let learners = Learners { histories, users: None };
        let tree = Tree::random(61, Seed(2)).unwrap();
        fit_forest(learners, &tree, config, run, Seed(3), &mut |_| Ok(0.0), &mut Silent).unwrap()
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
            let forest = learned(&histories, &config(rule, objective), &run(4));
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
            let index = ForUsers::new(ForestIndex::new(models, search).unwrap(), histories.clone());
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
        let whole = scores(&learned(&histories, &config, &run(2)), &histories);
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Some(Checkpoint { path: folder.path().join("forest"), run: "test".into() });
        let resumed = FitConfig { checkpoint, ..run(2) };
        // Stopped in the first epoch of the second tree.
        let (learners, tree) = (Learners { histories: &histories, users: None }, Tree::random(61, Seed(2)).unwrap());
        let mut epochs = 0;
        let mut stop = |event: &Event| {
            epochs += usize::from(matches!(event, Event::Trained { .. }));
            if epochs == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let part = fit_forest(learners, &tree, &config, &resumed, Seed(3), &mut |_| Ok(0.0), &mut stop).unwrap();
        assert_eq!(part.len(), 2);
        assert_eq!(scores(&learned(&histories, &config, &resumed), &histories), whole);
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
