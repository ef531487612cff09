//! The protocols of the five papers, as one value each.

use rayon::prelude::*;
use rectify_core::rng::Seed;
use rectify_core::{ItemId, UserId};
use serde::{Deserialize, Serialize};

use crate::samplers::sample_unseen;
use crate::{Holdout, Interactions, Ragged, SealedTest, Split};

/// Why interactions cannot be split as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// A setting out of its range.
    #[error("split setting {field} is {got}, expected {expected}")]
    Setting {
        /// Which one.
        field: &'static str,
        /// Its range.
        expected: &'static str,
        /// Its value.
        got: String,
    },
    /// An order by time was asked of data without times.
    #[error("the protocol orders by time, but the data has no times; choose a random protocol")]
    NoTimes,
    /// A fixed split was asked of data that comes without one.
    #[error("the protocol takes the split of the files, but the data comes without one; choose another protocol")]
    NoFixedSplit,
    /// A user with too many items for the candidates asked for.
    #[error(
        "user {user} has {unseen} items it never interacted with, too few for {expected} candidates; ask for fewer"
    )]
    TooFewUnseen {
        /// The user.
        user: UserId,
        /// Candidates asked for.
        expected: usize,
        /// Items left.
        unseen: usize,
    },
    /// More validation and test users than eligible ones.
    #[error("{expected} validation and test users were asked for, but only {got} users have two items or more")]
    TooFewUsers {
        /// Users asked for.
        expected: usize,
        /// Users there are.
        got: usize,
    },
    /// Nothing is left in the test part.
    #[error("the split leaves no test item: {n_users} users with {n_interactions} interactions are too few for it")]
    EmptyTest {
        /// Users.
        n_users: usize,
        /// Pairs.
        n_interactions: usize,
    },
}

/// How a fraction of a user's `n` items becomes a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To the nearest integer; a half stays in training.
    #[default]
    Nearest,
    /// Down.
    Floor,
}

/// How much of each user is held out. At least one item of a user always stays in training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// A share of its items, in `[0, 1)`.
    Share(f64, Rounding),
    /// So many items, or none where fewer than one would stay.
    Count(u32),
}

impl Amount {
    fn of(self, n: usize) -> usize {
        let amount = match self {
            // The tiny term repairs products like 0.29 · 100 = 28.999….
            Self::Share(share, Rounding::Floor) => (share * n as f64 + 1e-9).floor() as usize,
            Self::Share(share, Rounding::Nearest) => (share * n as f64 - 0.5 - 1e-9).ceil().max(0.0) as usize,
            Self::Count(count) if count as usize >= n => 0,
            Self::Count(count) => count as usize,
        };
        amount.min(n.saturating_sub(1))
    }

    fn check(self, field: &'static str) -> Result<(), SplitError> {
        match self {
            Self::Share(share, _) if !(0.0..1.0).contains(&share) => {
                Err(SplitError::Setting { field, expected: "a share in [0, 1)", got: share.to_string() })
            }
            Self::Share(..) | Self::Count(_) => Ok(()),
        }
    }
}

/// Which of a user's items are held out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// Uniformly at random.
    #[default]
    Random,
    /// The latest; among equal times those with the highest ids.
    Latest,
}

/// What becomes of held-out items that no user has in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColdItems {
    /// They stay held out.
    #[default]
    Keep,
    /// They move back to training, for every user.
    MoveToTrain,
}

/// How interactions are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Some of each user's items are held out.
    PerUser(PerUser),
    /// Some users are held out, with the later half of their items as truth.
    UserDisjoint(UserDisjoint),
    /// The files of the data set give the parts.
    Files(FilesSplit),
}

/// Settings of [`Protocol::PerUser`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerUser {
    /// Test items of a user.
    pub test: Amount,
    /// Validation items, out of what the test leaves.
    #[serde(default)]
    pub validation: Option<Amount>,
    /// Which items.
    #[serde(default)]
    pub pick: Pick,
    /// Held-out items unknown to training.
    #[serde(default)]
    pub cold_items: ColdItems,
    /// Sampled candidates a user, shared by validation and test; `None` for full ranking.
    #[serde(default)]
    pub candidates: Option<u32>,
}

/// Settings of [`Protocol::UserDisjoint`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserDisjoint {
    /// Users held out for validation.
    pub validation_users: u32,
    /// Users held out for test.
    pub test_users: u32,
}

/// Settings of [`Protocol::Files`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesSplit {
    /// Validation items out of the training file, where the files have no validation part.
    #[serde(default)]
    pub validation: Option<Amount>,
    /// Sampled candidates a user, shared by validation and test; `None` for full ranking.
    #[serde(default)]
    pub candidates: Option<u32>,
}

impl Protocol {
    /// DE-RRD: one test and one validation item at random, ranked among 499 sampled ones.
    #[must_use]
    pub const fn de_rrd() -> Self {
        Self::PerUser(PerUser {
            test: Amount::Count(1),
            validation: Some(Amount::Count(1)),
            pick: Pick::Random,
            cold_items: ColdItems::Keep,
            candidates: Some(499),
        })
    }

    /// LightRec: `round(0.8 n)` items for training, a tenth of them for validation.
    #[must_use]
    pub const fn lightrec() -> Self {
        Self::share(0.2, ColdItems::Keep)
    }

    /// DGCN-BinCF: half and half, a tenth of training for validation.
    #[must_use]
    pub const fn dgcn_bincf() -> Self {
        Self::share(0.5, ColdItems::Keep)
    }

    /// HDN: a fifth for test, cold items moved back to training, a tenth of training for validation.
    #[must_use]
    pub const fn hdn() -> Self {
        Self::share(0.2, ColdItems::MoveToTrain)
    }

    /// DeFoRec on MovieLens-10M: 6,000 validation and 6,000 test users; on MIND 3,000 each.
    #[must_use]
    pub const fn deforec(users_each: u32) -> Self {
        Self::UserDisjoint(UserDisjoint { validation_users: users_each, test_users: users_each })
    }

    const fn share(test: f64, cold_items: ColdItems) -> Self {
        Self::PerUser(PerUser {
            test: Amount::Share(test, Rounding::Nearest),
            validation: Some(Amount::Share(0.1, Rounding::Nearest)),
            pick: Pick::Random,
            cold_items,
            candidates: None,
        })
    }
}

/// Parts that the files of a data set give.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedSplit {
    /// Training file.
    pub train: Interactions,
    /// Validation file, if there is one.
    pub validation: Option<Interactions>,
    /// Test file.
    pub test: Interactions,
}

impl FixedSplit {
    /// Parts by name.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, &Interactions)> {
        [("train", Some(&self.train)), ("validation", self.validation.as_ref()), ("test", Some(&self.test))]
            .into_iter()
            .filter_map(|(name, part)| part.map(|part| (name, part)))
    }

    /// The split of parts by name; none of no parts.
    pub(crate) fn from_parts(parts: Vec<(&str, Interactions)>) -> Result<Option<Self>, String> {
        let (mut train, mut validation, mut test) = (None, None, None);
        for (name, part) in parts {
            let place = match name {
                "train" => &mut train,
                "validation" => &mut validation,
                "test" => &mut test,
                _ => return Err(format!("part {name} is none of train, validation, test")),
            };
            *place = Some(part);
        }
        match (train, validation, test) {
            (Some(train), validation, Some(test)) => Ok(Some(Self { train, validation, test })),
            (None, None, None) => Ok(None),
            _ => Err("a split needs a train and a test part".to_owned()),
        }
    }
}

/// Splits `all` by a protocol; `fixed` is the split of the files, needed by [`Protocol::Files`] alone.
///
/// `repeat` numbers the independent splits of one seed (the papers average five). Draws are keyed by (seed, repeat, user),
/// so the result depends on nothing else.
///
/// # Errors
/// A setting out of range, missing times or parts, or too few items or users for what is asked.
pub fn split(
    all: &Interactions,
    fixed: Option<&FixedSplit>,
    protocol: &Protocol,
    seed: Seed,
    repeat: u32,
) -> Result<Split, SplitError> {
    let split = match protocol {
        Protocol::PerUser(settings) => per_user(all, settings, seed, repeat),
        Protocol::UserDisjoint(settings) => user_disjoint(all, settings, seed, repeat),
        Protocol::Files(settings) => from_files(all, fixed, settings, seed, repeat),
    }?;
    if split.test.n_interactions() == 0 {
        return Err(SplitError::EmptyTest { n_users: all.n_users(), n_interactions: all.n_interactions() });
    }
    Ok(split)
}

fn per_user(all: &Interactions, settings: &PerUser, seed: Seed, repeat: u32) -> Result<Split, SplitError> {
    settings.test.check("test")?;
    let hold = |from: &Interactions, amount, stream: &str| {
        hold_out(from, amount, settings.pick, settings.cold_items, seed.stream(stream), repeat)
    };
    let (rest, test) = hold(all, settings.test, "split/test")?;
    let (train, validation) = match settings.validation {
        None => (rest, None),
        Some(amount) => {
            amount.check("validation")?;
            let (train, validation) = hold(&rest, amount, "split/validation")?;
            (train, Some(validation))
        }
    };
    assemble(all, train, validation.as_ref(), &test, settings.candidates, seed, repeat)
}

fn from_files(
    all: &Interactions,
    fixed: Option<&FixedSplit>,
    settings: &FilesSplit,
    seed: Seed,
    repeat: u32,
) -> Result<Split, SplitError> {
    let fixed = fixed.ok_or(SplitError::NoFixedSplit)?;
    let (train, validation) = match (&fixed.validation, settings.validation) {
        (Some(validation), _) => (fixed.train.clone(), Some(validation.clone())),
        (None, None) => (fixed.train.clone(), None),
        (None, Some(amount)) => {
            amount.check("validation")?;
            let seed = seed.stream("split/validation");
            let (train, validation) = hold_out(&fixed.train, amount, Pick::Random, ColdItems::Keep, seed, repeat)?;
            (train, Some(validation))
        }
    };
    assemble(all, train, validation.as_ref(), &fixed.test, settings.candidates, seed, repeat)
}

/// Puts the parts together: candidates for both held-out parts, each part excluding the other where that is right.
fn assemble(
    all: &Interactions,
    train: Interactions,
    validation: Option<&Interactions>,
    test: &Interactions,
    candidates: Option<u32>,
    seed: Seed,
    repeat: u32,
) -> Result<Split, SplitError> {
    let candidates = match candidates {
        None => None,
        Some(amount) => {
            let seed = seed.stream("split/candidates");
            Some(sample_candidates(all, test, validation, amount as usize, seed, repeat)?)
        }
    };
    let finish = |mut holdout: Holdout| {
        if let Some(candidates) = &candidates {
            holdout = holdout.with_candidates(candidates.clone());
        }
        holdout
    };
    let mut sealed = finish(Holdout::of(test));
    if let Some(validation) = validation {
        sealed = sealed.with_excluded(validation.by_user.clone());
    }
    Ok(Split {
        train,
        validation: validation.map(|held| finish(Holdout::of(held))),
        test: SealedTest::new(sealed),
        training_users: None,
    })
}

fn sample_candidates(
    all: &Interactions,
    test: &Interactions,
    validation: Option<&Interactions>,
    amount: usize,
    seed: Seed,
    repeat: u32,
) -> Result<Ragged<ItemId>, SplitError> {
    let rows: Result<Vec<Vec<ItemId>>, SplitError> = (0..all.n_users() as u32)
        .into_par_iter()
        .map(|user| {
            let user = UserId(user);
            if test.items_of(user).is_empty() && validation.is_none_or(|held| held.items_of(user).is_empty()) {
                return Ok(Vec::new());
            }
            let seen = all.items_of(user);
            sample_unseen(seen, all.n_items(), amount, &mut seed.at(repeat, u64::from(user.0)))
                .ok_or_else(|| SplitError::TooFewUnseen { user, expected: amount, unseen: all.n_items() - seen.len() })
        })
        .collect();
    Ok(Ragged::from_rows(rows?))
}

/// Takes some items of each user out: `(rest, held out)`.
fn hold_out(
    from: &Interactions,
    amount: Amount,
    pick: Pick,
    cold_items: ColdItems,
    seed: Seed,
    repeat: u32,
) -> Result<(Interactions, Interactions), SplitError> {
    let mut held = vec![false; from.n_interactions()];
    for user in from.users() {
        let range = from.by_user.range(user.index());
        let n_held = amount.of(range.len());
        for at in choose(from, user, pick, n_held, seed, repeat)? {
            held[range.start + at as usize] = true;
        }
    }
    if cold_items == ColdItems::MoveToTrain {
        let mut known = vec![false; from.n_items()];
        let items = from.all_items();
        items.iter().zip(&held).filter(|(_, held)| !**held).for_each(|(item, _)| known[item.index()] = true);
        held.iter_mut().zip(items).for_each(|(held, item)| *held &= known[item.index()]);
    }
    Ok((from.filter(|_, at| !held[at]), from.filter(|_, at| held[at])))
}

/// Positions inside the user's row that are held out.
fn choose(
    from: &Interactions,
    user: UserId,
    pick: Pick,
    amount: usize,
    seed: Seed,
    repeat: u32,
) -> Result<Vec<u32>, SplitError> {
    let n = from.items_of(user).len() as u32;
    match pick {
        _ if amount == 0 => Ok(Vec::new()),
        Pick::Random => Ok(seed.at(repeat, u64::from(user.0)).sample_distinct(n, amount as u32)),
        Pick::Latest => {
            let times = from.times_of(user).ok_or(SplitError::NoTimes)?;
            let mut order: Vec<u32> = (0..n).collect();
            order.sort_by_key(|&at| times[at as usize]);
            Ok(order.split_off(n as usize - amount))
        }
    }
}

/// DeFoRec, section "Experimental setup": eligible users (two items or more) are drawn at random; of each, the earlier
/// half (rounded up) is its history and the later half the truth.
fn user_disjoint(all: &Interactions, settings: &UserDisjoint, seed: Seed, repeat: u32) -> Result<Split, SplitError> {
    let n_held = settings.validation_users as usize + settings.test_users as usize;
    let mut eligible: Vec<UserId> = all.users().filter(|&user| all.items_of(user).len() >= 2).collect();
    if n_held > eligible.len() {
        return Err(SplitError::TooFewUsers { expected: n_held, got: eligible.len() });
    }
    seed.stream("split/users").at(repeat, 0).shuffle(&mut eligible);
    #[derive(Clone, Copy, PartialEq)]
    enum Part {
        Train,
        Validation,
        Test,
    }
    let mut part = vec![Part::Train; all.n_users()];
    for (at, user) in eligible[..n_held].iter().enumerate() {
        part[user.index()] = if at < settings.test_users as usize { Part::Test } else { Part::Validation };
    }
    let mut later = vec![false; all.n_interactions()];
    for user in eligible[..n_held].iter().copied() {
        let range = all.by_user.range(user.index());
        for at in choose(all, user, Pick::Latest, range.len() / 2, seed, repeat)? {
            later[range.start + at as usize] = true;
        }
    }
    let held = |wanted: Part| Holdout::of(&all.filter(|user, at| later[at] && part[user.index()] == wanted));
    Ok(Split {
        train: all.filter(|_, at| !later[at]),
        validation: (settings.validation_users > 0).then(|| held(Part::Validation)),
        test: SealedTest::new(held(Part::Test)),
        training_users: Some(all.users().filter(|user| part[user.index()] == Part::Train).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fifths_are_rounded_as_lightrec_says() {
        // n -> training items: round(0.8 n), of which the pair counts in Table 1 of LightRec are the sums.
        for (n, train) in [(3, 2), (4, 3), (5, 4), (8, 6), (10, 8)] {
            assert_eq!(n - Amount::Share(0.2, Rounding::Nearest).of(n), train, "{n}");
        }
    }

    #[test]
    fn amounts_leave_something_to_train_on() {
        assert_eq!(Amount::Share(0.9, Rounding::Nearest).of(1), 0);
        assert_eq!(Amount::Share(0.99, Rounding::Nearest).of(2), 1);
        assert_eq!((Amount::Count(1).of(1), Amount::Count(1).of(2), Amount::Count(1).of(0)), (0, 1, 0));
        assert_eq!(Amount::Share(0.29, Rounding::Floor).of(100), 29);
        assert_eq!(Amount::Share(0.5, Rounding::Nearest).of(5), 2, "a half stays in training");
        assert_eq!(Amount::Share(0.5, Rounding::Nearest).of(6), 3);
    }
}
