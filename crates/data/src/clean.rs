//! Which users, items and pairs stay.

use rectify_core::{ItemId, UserId};
use serde::{Deserialize, Serialize};

use crate::{Dataset, Interactions, Ragged, Step};

/// What to remove; done in the order of the fields. Pairs that come again were merged before.
///
/// If anything is asked for, users and items left without interactions go too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cleaning {
    /// Keeps pairs whose rating is above this, and forgets the ratings.
    pub rating_above: Option<f32>,
    /// Keeps users with at least so many items, once.
    pub min_user_items: Option<u32>,
    /// Keeps users and items with at least so many of each other, again and again until nothing changes.
    pub k_core: Option<KCore>,
}

/// Thresholds of the iterated filter. Its result does not depend on which side goes first; the counts on the way do: items
/// go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KCore {
    /// Items a user must have.
    pub users: u32,
    /// Users an item must have.
    pub items: u32,
}

/// Why data cannot be cleaned as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CleanError {
    /// A rating threshold for data without ratings.
    #[error("cleaning asks for ratings above {threshold}, but the data has no ratings; drop rating_above")]
    NoRatings {
        /// The threshold.
        threshold: f32,
    },
    /// A threshold that compares with nothing.
    #[error("cleaning setting rating_above is {got}, expected a finite number")]
    Threshold {
        /// What was given.
        got: f32,
    },
    /// Nothing stays.
    #[error("cleaning removed everything at step {step:?}; lower the thresholds")]
    NothingLeft {
        /// The step after which nothing was left.
        step: String,
    },
}

/// Cleans a data set; each step and its counts are appended to [`Dataset::provenance`].
///
/// # Errors
/// Ratings asked of data without, or nothing left.
pub fn clean(mut data: Dataset, cleaning: &Cleaning) -> Result<Dataset, CleanError> {
    if *cleaning == Cleaning::default() {
        return Ok(data);
    }
    if let Some(threshold) = cleaning.rating_above {
        if !threshold.is_finite() {
            return Err(CleanError::Threshold { got: threshold });
        }
        if data.interactions.all_weights().is_none() {
            return Err(CleanError::NoRatings { threshold });
        }
        data.for_each_part(|part| part.rated_above(threshold));
        let step = Step::of(format!("rating above {threshold}"), &data.interactions);
        data.provenance.steps.push(step.check()?);
    }
    let mut steps = Vec::new();
    let mut alive = Alive::new(&data.interactions);
    if let Some(least) = cleaning.min_user_items {
        alive.drop_users(least);
        steps.push(alive.step(format!("users with {least} items"))?);
    }
    if let Some(KCore { users, items }) = cleaning.k_core {
        loop {
            let dropped_items = alive.drop_items(items);
            if dropped_items > 0 {
                steps.push(alive.step(format!("items with {items} users"))?);
            }
            let dropped_users = alive.drop_users(users);
            if dropped_users > 0 {
                steps.push(alive.step(format!("users with {users} items"))?);
            }
            if dropped_items + dropped_users == 0 {
                break;
            }
        }
    }
    let (users, items) = alive.with_interactions();
    data = data.select(&users, &items);
    data.provenance.steps.extend(steps);
    data.provenance.steps.push(Step::of("cleaned", &data.interactions));
    Ok(data)
}

/// Who is still there, and how much of the other side each has.
struct Alive<'a> {
    interactions: &'a Interactions,
    /// Degree among the living; `None` for the dropped.
    users: Vec<Option<u32>>,
    items: Vec<Option<u32>>,
}

impl<'a> Alive<'a> {
    fn new(interactions: &'a Interactions) -> Self {
        Self {
            users: interactions.user_counts().into_iter().map(Some).collect(),
            items: interactions.item_counts().into_iter().map(Some).collect(),
            interactions,
        }
    }

    fn drop_users(&mut self, least: u32) -> usize {
        let mut dropped = 0;
        for user in self.interactions.users() {
            if self.users[user.index()].is_some_and(|degree| degree < least) {
                self.users[user.index()] = None;
                dropped += 1;
                for item in self.interactions.items_of(user) {
                    if let Some(degree) = &mut self.items[item.index()] {
                        *degree -= 1;
                    }
                }
            }
        }
        dropped
    }

    fn drop_items(&mut self, least: u32) -> usize {
        let mut dropped = 0;
        for item in (0..self.items.len() as u32).map(ItemId) {
            if self.items[item.index()].is_some_and(|degree| degree < least) {
                self.items[item.index()] = None;
                dropped += 1;
                for user in self.interactions.users_of(item) {
                    if let Some(degree) = &mut self.users[user.index()] {
                        *degree -= 1;
                    }
                }
            }
        }
        dropped
    }

    /// What is left after a step: living users and items, and the pairs among them.
    fn step(&self, what: String) -> Result<Step, CleanError> {
        let n = |side: &[Option<u32>]| side.iter().flatten().count();
        let n_interactions = self.users.iter().flatten().map(|&degree| degree as usize).sum();
        Step { what, n_users: n(&self.users), n_items: n(&self.items), n_interactions }.check()
    }

    /// Living users and items that have something, ascending.
    fn with_interactions(&self) -> (Vec<u32>, Vec<u32>) {
        let kept = |side: &[Option<u32>]| -> Vec<u32> {
            (0..side.len() as u32).filter(|&id| side[id as usize].is_some_and(|degree| degree > 0)).collect()
        };
        (kept(&self.users), kept(&self.items))
    }
}

impl Step {
    fn check(self) -> Result<Self, CleanError> {
        if self.n_interactions == 0 { Err(CleanError::NothingLeft { step: self.what }) } else { Ok(self) }
    }
}

impl Dataset {
    /// The users and items kept, renumbered in that order (ascending ids); whatever belongs to the others is dropped.
    ///
    /// # Panics
    /// If ids do not strictly ascend or are out of range.
    #[must_use]
    pub fn select(mut self, users: &[u32], items: &[u32]) -> Self {
        self.for_each_part(|part| part.select(users, items));
        self.ids.users = self.ids.users.select(users);
        self.ids.items = self.ids.items.select(items);
        self.categories = self.categories.map(|categories| categories.select(items));
        self.text = self.text.map(|text| text.select(items));
        self
    }

    fn for_each_part(&mut self, change: impl Fn(&Interactions) -> Interactions) {
        self.interactions = change(&self.interactions);
        if let Some(fixed) = &mut self.fixed {
            fixed.train = change(&fixed.train);
            fixed.validation = fixed.validation.as_ref().map(&change);
            fixed.test = change(&fixed.test);
        }
    }
}

impl Interactions {
    /// The pairs of `users` and `items`, both renumbered in that order.
    ///
    /// # Panics
    /// If ids do not strictly ascend or are out of range.
    #[must_use]
    pub fn select(&self, users: &[u32], items: &[u32]) -> Self {
        for (what, kept) in [("user", users), ("item", items)] {
            assert!(kept.windows(2).all(|w| w[0] < w[1]), "{what} ids to keep must strictly ascend");
        }
        let mut new_item = vec![None; self.n_items()];
        items.iter().enumerate().for_each(|(new, &old)| new_item[old as usize] = Some(ItemId(new as u32)));
        let (mut offsets, mut kept_at, mut kept_items) = (vec![0u64], Vec::new(), Vec::new());
        for &user in users {
            for at in self.by_user.range(UserId(user).index()) {
                if let Some(item) = new_item[self.all_items()[at].index()] {
                    kept_at.push(at);
                    kept_items.push(item);
                }
            }
            offsets.push(kept_items.len() as u64);
        }
        let times = self.all_times().map(|times| kept_at.iter().map(|&at| times[at]).collect());
        let weights = self.all_weights().map(|weights| kept_at.iter().map(|&at| weights[at]).collect());
        Self::from_rows(items.len(), Ragged::new(offsets, kept_items), times, weights)
    }

    /// The pairs with a weight above `threshold`, without weights; all pairs if there are no weights.
    fn rated_above(&self, threshold: f32) -> Self {
        let weights = self.all_weights().unwrap_or_default();
        let mut kept = self.filter(|_, at| weights.get(at).is_none_or(|&weight| weight > threshold));
        kept.weights = None;
        kept
    }
}
