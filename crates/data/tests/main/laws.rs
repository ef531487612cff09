//! What must hold for any data: splits, cleaning, and the two ways round.

#![expect(clippy::unwrap_used, reason = "tests: a failure there is the message")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use rectify_core::IdMap;
use rectify_core::rng::Seed;
use rectify_core::{ItemId, UserId};
use rectify_data::{
    Amount, CleanError, Cleaning, ColdItems, Dataset, Duplicates, FilesSplit, FixedSplit, IdMaps, Interactions,
    InteractionsBuilder, KCore, PerUser, Pick, Protocol, Provenance, Rounding, Split, SplitError, SyntheticConfig,
    UserDisjoint, clean, split,
};

const USERS: u32 = 12;
const ITEMS: u32 = 15;

fn pairs() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((0..USERS, 0..ITEMS), 1..120)
}

fn with_times(pairs: &[(u32, u32)]) -> Interactions {
    let mut builder = InteractionsBuilder::new(USERS as usize, ITEMS as usize).with_times();
    for (at, &(user, item)) in pairs.iter().enumerate() {
        builder.push_event(UserId(user), ItemId(item), (at * 37 % 101) as i64, 1.0);
    }
    builder.build().unwrap().0
}

fn dataset(interactions: Interactions) -> Dataset {
    let ids = IdMaps { users: IdMap::numbered(USERS as usize), items: IdMap::numbered(ITEMS as usize) };
    let provenance = Provenance::default();
    Dataset { name: "any".into(), interactions, ids, categories: None, text: None, fixed: None, provenance }
}

type Pairs = BTreeSet<(UserId, ItemId)>;

fn set(interactions: &Interactions) -> Pairs {
    interactions.pairs().collect()
}

fn held(split: &Split) -> (Pairs, Pairs) {
    let all = |holdout: &rectify_data::Holdout| {
        holdout.users().flat_map(|user| holdout.truth_of(user).iter().map(move |&item| (user, item))).collect()
    };
    (split.validation.as_ref().map(all).unwrap_or_default(), all(split.test.unseal()))
}

fn protocols() -> Vec<Protocol> {
    let latest = PerUser {
        test: Amount::Share(0.3, Rounding::Floor),
        validation: Some(Amount::Count(1)),
        pick: Pick::Latest,
        cold_items: ColdItems::MoveToTrain,
        candidates: None,
    };
    let sampled = PerUser { test: Amount::Count(1), candidates: Some(0), ..latest.clone() };
    vec![
        Protocol::lightrec(),
        Protocol::hdn(),
        Protocol::dgcn_bincf(),
        Protocol::PerUser(latest),
        Protocol::PerUser(sampled),
        Protocol::UserDisjoint(UserDisjoint { validation_users: 1, test_users: 2 }),
    ]
}

proptest! {
    #[test]
    fn parts_are_disjoint_and_complete(pairs in pairs(), seed in 0u64..1000, repeat in 0u32..3) {
        let all = with_times(&pairs);
        for protocol in protocols() {
            let split = match split(&all, None, &protocol, Seed(seed), repeat) {
                Ok(split) => split,
                Err(SplitError::EmptyTest { .. } | SplitError::TooFewUsers { .. }) => continue,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            let (validation, test) = held(&split);
            let train = set(&split.train);
            prop_assert!(split.train.validate().is_empty());
            prop_assert_eq!(train.len() + validation.len() + test.len(), all.n_interactions(), "{:?}", protocol);
            let together: BTreeSet<_> = train.iter().chain(&validation).chain(&test).copied().collect();
            prop_assert_eq!(together, set(&all));
            prop_assert!(split.train.users().all(|user| split.train.items_of(user).is_empty() == all.items_of(user).is_empty()));
            for (user, item) in &test {
                let times = |part: &Interactions| part.times_of(*user).unwrap().to_vec();
                if matches!(protocol, Protocol::UserDisjoint(_)) {
                    let at = all.items_of(*user).binary_search(item).unwrap();
                    prop_assert!(times(&split.train).iter().all(|&earlier| earlier <= times(&all)[at]));
                }
                let cold = split.train.users_of(*item).is_empty() && !validation.iter().any(|(_, i)| i == item);
                let keeps = matches!(&protocol, Protocol::PerUser(settings) if settings.cold_items == ColdItems::MoveToTrain);
                prop_assert!(!(cold && keeps), "item {} is unknown to training", item);
            }
        }
    }

    #[test]
    fn both_ways_round_agree_and_order_of_rows_does_not_matter(pairs in pairs()) {
        let built = Interactions::from_pairs(USERS as usize, ITEMS as usize, &pairs).unwrap();
        prop_assert!(built.validate().is_empty());
        let expected: BTreeSet<(u32, u32)> = pairs.iter().copied().collect();
        let by_user: BTreeSet<_> = built.pairs().map(|(user, item)| (user.0, item.0)).collect();
        let by_item: BTreeSet<_> =
            (0..ITEMS).flat_map(|i| built.users_of(ItemId(i)).iter().map(move |u| (u.0, i))).collect();
        prop_assert_eq!(&by_user, &expected);
        prop_assert_eq!(&by_item, &expected);
        let mut reversed = pairs;
        reversed.reverse();
        prop_assert_eq!(Interactions::from_pairs(USERS as usize, ITEMS as usize, &reversed).unwrap(), built);
    }

    #[test]
    fn a_core_is_a_fixed_point_and_the_largest_one(pairs in pairs(), users in 1u32..5, items in 1u32..5) {
        let cleaning = Cleaning { k_core: Some(KCore { users, items }), ..Cleaning::default() };
        let data = dataset(with_times(&pairs));
        // The slow twin: one offender at a time, users first.
        let mut twin: BTreeSet<(u32, u32)> = pairs.iter().copied().collect();
        loop {
            let degree = |user: Option<u32>, item: Option<u32>| {
                twin.iter().filter(|(u, i)| user.is_none_or(|user| user == *u) && item.is_none_or(|item| item == *i)).count() as u32
            };
            let offender = twin.iter().find(|(u, i)| degree(Some(*u), None) < users || degree(None, Some(*i)) < items).copied();
            let Some((user, item)) = offender else { break };
            let user_offends = degree(Some(user), None) < users;
            twin.retain(|(u, i)| if user_offends { *u != user } else { *i != item });
        }
        match clean(data, &cleaning) {
            Err(CleanError::NothingLeft { .. }) => prop_assert!(twin.is_empty()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
            Ok(core) => {
                let all = &core.interactions;
                prop_assert!(all.validate().is_empty());
                prop_assert!(all.user_counts().iter().all(|&n| n >= users));
                prop_assert!(all.item_counts().iter().all(|&n| n >= items));
                let name = |map: &IdMap, id| map.name(id).unwrap().parse::<u32>().unwrap();
                let kept: BTreeSet<(u32, u32)> =
                    all.pairs().map(|(u, i)| (name(&core.ids.users, u.0), name(&core.ids.items, i.0))).collect();
                prop_assert_eq!(kept, twin);
                let again = clean(core.clone(), &cleaning).unwrap();
                prop_assert_eq!(again.interactions, core.interactions);
            }
        }
    }

    #[test]
    fn merged_weights_are_sums(rows in prop::collection::vec((0..3u32, 0..3u32, 1..9u8), 1..40)) {
        let mut builder = InteractionsBuilder::new(3, 3).with_weights().duplicates(Duplicates::Sum);
        for &(user, item, weight) in &rows {
            builder.push_event(UserId(user), ItemId(item), 0, f32::from(weight));
        }
        let (built, n_duplicates) = builder.build().unwrap();
        prop_assert_eq!(n_duplicates as usize, rows.len() - built.n_interactions());
        prop_assert_eq!(built.all_weights().unwrap().iter().sum::<f32>(), rows.iter().map(|row| f32::from(row.2)).sum::<f32>());
    }
}

fn small() -> Interactions {
    SyntheticConfig::small().generate("small", Seed(1)).unwrap().interactions
}

#[test]
fn one_seed_gives_one_split_for_one_and_two_threads_and_repeats_differ() {
    let all = small();
    let make = |threads, seed, repeat| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| split(&all, None, &Protocol::de_rrd(), Seed(seed), repeat).unwrap())
    };
    let (one, two) = (make(1, 7, 0), make(2, 7, 0));
    assert_eq!((one.train, one.validation), (two.train.clone(), two.validation));
    assert_eq!(one.test.unseal(), two.test.unseal());
    assert_ne!(make(2, 7, 1).train, two.train);
    assert_ne!(make(2, 8, 0).train, two.train);
}

#[test]
fn candidates_are_shared_unseen_and_as_many_as_asked() {
    let all = small();
    let split = split(&all, None, &Protocol::de_rrd(), Seed(3), 0).unwrap();
    let (validation, test) = (split.validation.unwrap(), split.test.unseal().clone());
    for user in all.users() {
        let candidates = test.candidates_of(user).unwrap();
        assert_eq!(validation.candidates_of(user).unwrap(), candidates);
        assert_eq!(candidates.len(), 499);
        assert!(candidates.windows(2).all(|w| w[0] < w[1]));
        assert!(candidates.iter().all(|&item| !all.contains(user, item)));
        assert_eq!(test.excluded_of(user), validation.truth_of(user));
    }
}

#[test]
fn the_latest_items_are_held_out() {
    let mut builder = InteractionsBuilder::new(1, 5).with_times();
    for (item, time) in [(0, 50), (1, 10), (2, 40), (3, 50), (4, 30)] {
        builder.push_event(UserId(0), ItemId(item), time, 1.0);
    }
    let all = builder.build().unwrap().0;
    let protocol = Protocol::PerUser(PerUser {
        test: Amount::Count(1),
        validation: Some(Amount::Count(1)),
        pick: Pick::Latest,
        cold_items: ColdItems::Keep,
        candidates: None,
    });
    let split = split(&all, None, &protocol, Seed(0), 0).unwrap();
    assert_eq!(split.test.unseal().truth_of(UserId(0)), [ItemId(3)], "of equal times the highest id");
    assert_eq!(split.validation.unwrap().truth_of(UserId(0)), [ItemId(0)]);
}

#[test]
fn user_disjoint_splits_keep_first_halves_and_name_training_users() {
    let all = with_times(&(0..USERS).flat_map(|u| (0..7).map(move |i| (u, i))).collect::<Vec<_>>());
    let protocol = Protocol::UserDisjoint(UserDisjoint { validation_users: 2, test_users: 3 });
    let split = split(&all, None, &protocol, Seed(0), 0).unwrap();
    let test = split.test.unseal();
    assert_eq!((test.users().count(), split.validation.as_ref().unwrap().users().count()), (3, 2));
    assert_eq!(split.training_users.as_ref().unwrap().len(), 7);
    for user in test.users() {
        assert_eq!((split.train.items_of(user).len(), test.truth_of(user).len()), (4, 3));
        assert!(!split.training_users.as_ref().unwrap().contains(&user));
    }
}

#[test]
fn what_cannot_be_split_is_refused_by_name() {
    let all = Interactions::from_pairs(2, 3, &[(0, 0), (0, 1), (1, 2)]).unwrap();
    let error = |protocol: &Protocol| split(&all, None, protocol, Seed(0), 0).unwrap_err();
    let per_user =
        |test| PerUser { test, validation: None, pick: Pick::Random, cold_items: ColdItems::Keep, candidates: None };
    let of = |settings| Protocol::PerUser(settings);
    assert!(matches!(
        error(&of(per_user(Amount::Share(1.0, Rounding::Nearest)))),
        SplitError::Setting { field: "test", .. }
    ));
    assert!(matches!(error(&of(per_user(Amount::Share(f64::NAN, Rounding::Floor)))), SplitError::Setting { .. }));
    assert!(matches!(error(&of(per_user(Amount::Share(0.0, Rounding::Floor)))), SplitError::EmptyTest { .. }));
    let latest = PerUser { pick: Pick::Latest, ..per_user(Amount::Count(1)) };
    assert_eq!(error(&of(latest)), SplitError::NoTimes);
    let candidates = PerUser { candidates: Some(2), ..per_user(Amount::Count(1)) };
    assert_eq!(error(&of(candidates)), SplitError::TooFewUnseen { user: UserId(0), expected: 2, unseen: 1 });
    assert_eq!(error(&Protocol::Files(FilesSplit::default())), SplitError::NoFixedSplit);
    assert_eq!(error(&Protocol::deforec(5)), SplitError::TooFewUsers { expected: 10, got: 1 });
}

#[test]
fn the_split_of_the_files_is_taken_as_it_is() {
    let all = small();
    let fixed =
        FixedSplit { train: all.filter(|_, at| at % 5 > 0), validation: None, test: all.filter(|_, at| at % 5 == 0) };
    let whole = split(&all, Some(&fixed), &Protocol::Files(FilesSplit::default()), Seed(0), 0).unwrap();
    assert_eq!(whole.train, fixed.train);
    assert!(whole.validation.is_none());
    let settings = FilesSplit { validation: Some(Amount::Share(0.1, Rounding::Nearest)), candidates: None };
    let tuned = split(&all, Some(&fixed), &Protocol::Files(settings), Seed(0), 0).unwrap();
    let validation = tuned.validation.unwrap();
    assert_eq!(tuned.train.n_interactions() + validation.n_interactions(), fixed.train.n_interactions());
    assert!(validation.n_interactions() * 9 < fixed.train.n_interactions());
}

#[test]
fn protocols_and_cleaning_have_a_form_in_toml_that_refuses_unknown_keys() {
    for protocol in protocols() {
        let text = toml::to_string(&protocol).unwrap();
        assert_eq!(toml::from_str::<Protocol>(&text).unwrap(), protocol, "{text}");
    }
    let error =
        toml::from_str::<Protocol>("[per-user]\ntest = { count = 1 }\nvalidaton = { count = 1 }\n").unwrap_err();
    assert!(error.to_string().contains("unknown field `validaton`"), "{error}");
    let error = toml::from_str::<Cleaning>("min_users = 3\n").unwrap_err();
    assert!(error.to_string().contains("unknown field `min_users`"), "{error}");
}

#[test]
fn ratings_are_cut_once_and_users_filtered_once() {
    let mut builder = InteractionsBuilder::new(USERS as usize, ITEMS as usize).with_weights();
    for (user, item, rating) in [(0, 0, 5.0), (0, 1, 3.0), (0, 2, 4.0), (1, 2, 3.5), (1, 3, 1.0), (2, 4, 2.0)] {
        builder.push_event(UserId(user), ItemId(item), 0, rating);
    }
    let data = dataset(builder.build().unwrap().0);
    let cleaning = Cleaning { rating_above: Some(3.0), min_user_items: Some(2), k_core: None };
    let cleaned = clean(data.clone(), &cleaning).unwrap();
    assert_eq!(set(&cleaned.interactions).len(), 2);
    assert_eq!((cleaned.interactions.n_users(), cleaned.ids.items.name(1)), (1, Some("2".into())));
    assert!(cleaned.interactions.all_weights().is_none());
    let nothing = Cleaning { rating_above: Some(5.0), ..Cleaning::default() };
    assert_eq!(clean(data, &nothing).unwrap_err(), CleanError::NothingLeft { step: "rating above 5".into() });
    let plain = dataset(with_times(&[(0, 0)]));
    assert_eq!(clean(plain.clone(), &nothing).unwrap_err(), CleanError::NoRatings { threshold: 5.0 });
    assert_eq!(clean(plain.clone(), &Cleaning::default()).unwrap(), plain);
}
