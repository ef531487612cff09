//! From interactions to a recommender in one line, and from a recommender to a small one.

mod codebooks;
mod encoder;
mod fold_in;
mod search;

use std::path::Path;

use rectify_core::rng::Seed;
use rectify_core::{DataFacts, Fault, ItemId, Measured, Provenance, UserId};
use rectify_data::{
    Amount, ColdItems, DataSource, DataSourceError, Dataset, FileOptions, Holdout, IdMaps, Interactions, PerUser, Pick,
    Places, Protocol, Rounding, Split, SplitError, split,
};
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, CompareError, EvalError, Metric, evaluate_test};
use rectify_models::train::{Selection, digest, system};
use rectify_models::{Kinds, Model, ModelError, Settings};

pub use self::fold_in::{FoldedIn, choose_fold_in};
pub use self::search::{Candidate, quick};
use self::search::{Chosen, Task};
use crate::{Catalogue, IdMap, People, RecommendError, Recommender};

/// Users whose lists are compared with the teacher's, at most.
const USERS: usize = 2_000;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What is chosen by, on a tenth of each user's items. Default NDCG@20 among the items that the user does not have.
    pub metric: Metric,
    /// The models that compete, each with its settings. Default [`quick`].
    pub candidates: Vec<Candidate>,
    /// Epochs of models that learn by them, at most. Default 100, ending after ten validations without a new best.
    pub max_epochs: u32,
    /// Where all random numbers come from. Default 0.
    pub seed: u64,
    /// The date to be written into the file, if any.
    pub date: Option<String>,
}

impl Default for Goal {
    fn default() -> Self {
        let metric = "ndcg@20".parse().unwrap_or_else(|_| unreachable!("a metric of the list"));
        Self { metric, candidates: quick(), max_epochs: 100, seed: 0, date: None }
    }
}

impl Goal {
    /// One kind with these settings, and no other.
    #[must_use]
    pub fn of(kind: &str, settings: &Settings) -> Self {
        let candidate = Candidate { kind: kind.to_owned(), settings: vec![settings.clone()], most_items: None };
        Self { candidates: vec![candidate], ..Self::default() }
    }
}

/// A teacher, and its twin without the held-out parts.
struct Taught<'a> {
    whole: &'a Recommender,
    twin: Option<&'a dyn Model>,
}

/// Data that nothing can be trained on, or a training that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Data that cannot be read.
    #[error(transparent)]
    Data(#[from] DataSourceError),
    /// Too little to hold a part out.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A model that could not be measured.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// An interval that could not be drawn.
    #[error(transparent)]
    Interval(#[from] CompareError),
    /// Settings that are no JSON object.
    #[error("settings {got:?} are no JSON object: {error}")]
    Settings {
        /// The text.
        got: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Nothing competes.
    #[error("no model competes: the goal names no candidate that these data can train")]
    NoCandidate,
    /// A recommender whose items are not those of the data.
    #[error("the recommender has {expected} items, the data have {got}; distil it on the data that it was trained on")]
    OtherItems {
        /// Items of the recommender.
        expected: usize,
        /// Items of the data.
        got: usize,
    },
}

impl TrainError {
    /// Where it has its cause.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Data(error) => error.fault(),
            Self::Split(_) | Self::Settings { .. } | Self::NoCandidate | Self::OtherItems { .. } => Some(Fault::Input),
            Self::Eval(_) | Self::Interval(_) => None,
        }
    }
}

/// Trains the candidates of a goal on `data`, chooses on held-out items, and trains the best again on everything.
///
/// A fifth of each user's items is held out: a tenth to choose by, a tenth to be measured on once (one item each where half of the people have
/// fewer than seven). Values with their intervals lie in
/// the [provenance](Recommender::provenance); the fold-in of new people is chosen on the same validation part.
///
/// # Errors
/// Data without enough items a user to hold one out, or a training that fails.
pub fn train(data: &Dataset, goal: &Goal) -> Result<Recommender, RecommendError> {
    let parts = parts(&data.interactions, goal.seed)?;
    let task = Task { data, parts: &parts, goal };
    let kinds = Kinds::builtin();
    let mut best: Option<Chosen> = None;
    for candidate in &goal.candidates {
        if let Some(chosen) = task.search(&kinds, candidate, None)?
            && best.as_ref().is_none_or(|best| chosen.value > best.value)
        {
            best = Some(chosen);
        }
    }
    task.finish(&best.ok_or(TrainError::NoCandidate)?, None)
}

/// Distils a recommender into a smaller one of another kind: codes (`light-rec`, `rvq`, `pq`, `opq`), bits (`signs`, `dgcn-bincf`), a
/// cascade (`hdn`).
///
/// Codes whose settings do not say `n_codewords` have as many as the catalogue is worth: at most one for every four items, of all codebooks.
///
/// `data` are those that it was trained on. The student's epochs and its fold-in are chosen on held-out items. So that nobody has seen these,
/// the student that is measured learns from a twin of the teacher: the same kind and settings, trained without them. The one that comes
/// back learns from the teacher itself and everything. In the provenance lie the test value, its difference from the twin's with an interval,
/// and overlap@20 with the teacher. Of a teacher that cannot be trained here (imported vectors) there is no twin: what was held out is not known
/// to be unseen, and the overlap alone is recorded.
///
/// # Errors
/// A kind that does not learn from a teacher, settings that it does not take, other data, or a training that fails.
pub fn distil(
    teacher: &Recommender,
    data: &Dataset,
    kind: &str,
    settings: &Settings,
    goal: &Goal,
) -> Result<Recommender, RecommendError> {
    let (expected, got) = (teacher.n_items(), data.interactions.n_items());
    if expected != got {
        return Err(TrainError::OtherItems { expected, got }.into());
    }
    let parts = parts(&data.interactions, goal.seed)?;
    let task = Task { data, parts: &parts, goal };
    let twin = task.twin(teacher)?;
    let kinds = Kinds::builtin();
    let sized = codebooks::sized(kinds.get(kind)?, settings, got)?;
    let candidate = Candidate { kind: kind.to_owned(), settings: vec![sized], most_items: None };
    let taught = Taught { whole: teacher, twin: twin.as_deref() };
    let by = Some(taught.twin.unwrap_or(teacher.model()));
    let chosen = task.search(&kinds, &candidate, by)?.ok_or(TrainError::NoCandidate)?;
    task.finish(&chosen, Some(&taught))
}

/// Settings of a kind from JSON, as in `{"l2": 0.1}`; what is not said is the kind's default.
///
/// # Errors
/// Text that is no JSON object.
pub fn settings(json: &str) -> Result<Settings, RecommendError> {
    Ok(serde_json::from_str(json).map_err(|error| TrainError::Settings { got: json.to_owned(), error })?)
}

/// Reads interactions: a built-in or public data set by its name, or a file by its ending (`.csv`, `.tsv`, `.jsonl`, `.parquet`, `.inter`,
/// `.dat`, `.data`; also with `.gz` or `.zst` behind it).
///
/// # Errors
/// A name or an ending that is unknown, or a file that cannot be read.
pub fn read(name_or_path: &str) -> Result<Dataset, RecommendError> {
    let (path, places) = (Path::new(name_or_path), Places::usual(None));
    let source = if path.exists() {
        DataSource::file(path, &FileOptions::default(), &places)
    } else {
        DataSource::named(name_or_path, &places)
    };
    Ok(source.and_then(|source| source.load()).map_err(TrainError::from)?)
}

/// The interactions that a recommender holds: its people with what they have. Times and ratings are not among them.
///
/// # Errors
/// [`RecommendError::NoUsers`].
pub fn held_by(model: &Recommender) -> Result<Dataset, RecommendError> {
    if model.people().is_empty() {
        return Err(RecommendError::NoUsers);
    }
    let rows = (0..model.n_users() as u32).map(UserId);
    let pairs: Vec<(u32, u32)> =
        rows.flat_map(|user| model.people.seen(user).iter().map(move |item| (user.0, item.0))).collect();
    let interactions = Interactions::from_pairs(model.n_users(), model.n_items(), &pairs).map_err(ModelError::other)?;
    Ok(Dataset {
        name: model.provenance().data.as_ref().map_or_else(|| "the file's people".to_owned(), |data| data.name.clone()),
        interactions,
        ids: IdMaps { users: model.people().ids().clone(), items: model.items().ids().clone() },
        categories: None,
        text: None,
        fixed: None,
        provenance: rectify_data::Provenance::default(),
    })
}

/// What is held out of each user's items, twice, and how a file says it: a tenth; one item, where half of the people have so few that a tenth
/// of them is none.
fn held_out(all: &Interactions) -> (Amount, &'static str) {
    /// With seven items a tenth is one, and a tenth of the six that stay is one.
    const ENOUGH: usize = 7;
    let n_items = || all.users().map(|user| all.items_of(user).len()).filter(|n| *n > 0);
    if 2 * n_items().filter(|n| *n >= ENOUGH).count() >= n_items().count() {
        let said = "a tenth of each user's items for validation, a tenth for the test, at random; then trained on all";
        (Amount::Share(0.1, Rounding::Nearest), said)
    } else {
        (Amount::Count(1), "an item of each user for validation, one for the test, at random; then trained on all")
    }
}

/// A part of each user's items for validation, one for the test.
fn parts(all: &Interactions, seed: u64) -> Result<Split, TrainError> {
    let (amount, _) = held_out(all);
    let protocol = Protocol::PerUser(PerUser {
        test: amount,
        validation: Some(amount),
        pick: Pick::Random,
        cold_items: ColdItems::MoveToTrain,
        candidates: None,
    });
    Ok(split(all, None, &protocol, Seed(seed), 0)?)
}

impl Task<'_> {
    fn validation(&self) -> Result<&Holdout, TrainError> {
        self.parts.validation.as_ref().ok_or(TrainError::Eval(EvalError::NoUsers))
    }

    fn selection(&self) -> Selection {
        Selection { metric: self.goal.metric, candidates: Candidates::Unseen }
    }

    /// The teacher trained without the held-out parts; nothing for one that cannot be trained here.
    fn twin(&self, teacher: &Recommender) -> Result<Option<Box<dyn Model>>, RecommendError> {
        let (kind, settings) = (teacher.kind(), &teacher.provenance().settings);
        match settings.as_object() {
            Some(settings) if kind.trains() && kind.needs.teacher.is_none() => {
                let config = kind.resolve(settings)?;
                Ok(Some(self.fit(kind, &config, &self.parts.train, None, None)?.model))
            }
            _ => Ok(None),
        }
    }

    /// Measures what was chosen, trains it on everything, and puts it into a recommender.
    fn finish(&self, chosen: &Chosen, taught: Option<&Taught<'_>>) -> Result<Recommender, RecommendError> {
        let metric = self.goal.metric;
        let measured =
            |part: &str, metric: String, value, ci95| Measured { metric, part: part.to_owned(), value, ci95 };
        let mut values = Vec::new();
        if taught.is_none_or(|taught| taught.twin.is_some()) {
            values.push(measured("validation", metric.to_string(), chosen.value, None));
            let test = |model: &dyn Model| {
                let system = system(model.answers(), &[metric], Candidates::Unseen);
                evaluate_test(system, self.parts, &[metric], Candidates::Unseen)
            };
            let own = test(&*chosen.model).map_err(TrainError::from)?;
            for summary in own.summaries(&Bootstrap::default()).map_err(TrainError::from)? {
                let ci95 = summary.interval.map(|interval| [interval.low, interval.high]);
                values.push(measured("test", metric.to_string(), summary.value, ci95));
            }
            if let Some(twin) = taught.and_then(|taught| taught.twin) {
                let twin = test(twin).map_err(TrainError::from)?;
                let compared = own.compare(&twin, metric, &Bootstrap::default()).map_err(TrainError::from)?;
                let ci95 = Some([compared.interval.low, compared.interval.high]);
                values.push(measured("test", format!("{metric} less the teacher's"), compared.mean_difference, ci95));
            }
        }
        let fold_in = choose_fold_in(&*chosen.model, &self.parts.train, self.validation()?, metric)?;
        let teacher = taught.map(|taught| taught.whole);
        let all = &self.data.interactions;
        let whole =
            self.fit(&chosen.kind, &chosen.config, all, Some(chosen.epochs), teacher.map(Recommender::model))?;
        let mut new_items = None;
        if let Some(teacher) = teacher {
            new_items = encoder::fit(teacher.model(), &*whole.model)?;
            let overlap = self.overlap(teacher, &*whole.model)?;
            values.push(measured("all data", "overlap@20 with the teacher".to_owned(), overlap, None));
        }
        let provenance = Provenance {
            teacher: teacher.map(|teacher| Box::new(teacher.provenance().clone())),
            data: Some(self.facts()),
            seed: Some(self.goal.seed),
            made_by: Some(concat!("rectify ", env!("CARGO_PKG_VERSION")).to_owned()),
            date: self.goal.date.clone(),
            measured: values,
            ..Provenance::new(chosen.kind.name, &chosen.config)
        };
        // A teacher's catalogue knows names and categories that interactions alone do not.
        let items = teacher.map_or_else(|| self.catalogue(), |teacher| Ok(teacher.items().clone()))?;
        let made = Recommender::new(chosen.kind, whole.model, items, self.people()?, provenance)?;
        let made = match new_items {
            Some(encoder) => made.with_encoder(encoder),
            None => made,
        };
        match fold_in {
            Some(config) => made.with_fold_in(config),
            None => Ok(made),
        }
    }

    fn facts(&self) -> DataFacts {
        let all = &self.data.interactions;
        DataFacts {
            name: self.data.name.clone(),
            n_users: all.n_users() as u64,
            n_items: all.n_items() as u64,
            n_interactions: all.n_interactions() as u64,
            blake3: digest(all),
            split: Some(held_out(all).1.to_owned()),
        }
    }

    fn catalogue(&self) -> Result<Catalogue, RecommendError> {
        let mut items =
            Catalogue::of(self.data.ids.items.clone()).with_popularity(self.data.interactions.item_counts())?;
        if let Some(categories) = &self.data.categories {
            let names =
                |item| categories.of_item(ItemId(item)).iter().map(|at| categories.names()[*at as usize].as_str());
            let of_item: Vec<Vec<&str>> = (0..items.len() as u32).map(|item| names(item).collect()).collect();
            items = items.with_categories(&of_item)?;
        }
        Ok(items)
    }

    fn people(&self) -> Result<People, RecommendError> {
        let all = &self.data.interactions;
        let ids: IdMap = self.data.ids.users.clone();
        People::new(ids, all.users().map(|user| all.items_of(user)))
    }

    /// Overlap@20 with the teacher, over the users that both know.
    fn overlap(&self, teacher: &Recommender, student: &dyn Model) -> Result<f64, RecommendError> {
        let all = &self.data.interactions;
        let users: Vec<UserId> = all.users().filter(|user| !all.items_of(*user).is_empty()).take(USERS).collect();
        let overlap = rectify_eval::overlap(&teacher.model().answers(), &student.answers(), all, &users, 20);
        Ok(overlap.map_err(TrainError::from)?)
    }
}
