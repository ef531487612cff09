//! Draws of the lists that students learn from: what is in them, how often, and what is refused.

use proptest::prelude::*;
use rectify_core::rng::Seed;
use rectify_core::{Catalogue, ItemId, QueryError, Scorer, UserId, from_u32s};
use rectify_distill::sampling::{DrawnLists, ListSampler, ListSamplerConfig, Pool, RankLaw, Rankings};
use rectify_distill::{ConfigError, SampleError};

/// Scores by a formula: a permutation of the items for each user.
struct Permuted {
    n_users: usize,
    n_items: usize,
    /// One user's score of one item, if it should be something else.
    fault: Option<(u32, u32, f32)>,
}

impl Permuted {
    fn new(n_users: usize, n_items: usize) -> Self {
        Self { n_users, n_items, fault: None }
    }

    fn score(&self, user: UserId, item: usize) -> f32 {
        match self.fault {
            Some((u, i, score)) if u == user.0 && i as usize == item => score,
            _ => ((item * 7919 + user.index() * 31) % self.n_items) as f32,
        }
    }
}

impl Catalogue for Permuted {
    fn n_items(&self) -> usize {
        self.n_items
    }
}

impl Scorer for Permuted {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        if user.index() >= self.n_users {
            return Err(QueryError::UnknownUser { user: *user, n_users: self.n_users });
        }
        for (item, out) in items.iter().zip(out) {
            *out = self.score(*user, item.index());
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        let items: Vec<ItemId> = (0..self.n_items as u32).map(ItemId).collect();
        self.score_into(user, &items, out)
    }
}

/// User u has seen items u, u + 3, u + 6, …: `n` of them, below `n_items`.
fn seen(n_users: usize, n_items: usize, n: usize) -> Vec<Vec<u32>> {
    (0..n_users).map(|u| (0..n).map(|j| (u + 3 * j) as u32).filter(|i| (*i as usize) < n_items).collect()).collect()
}

fn rankings(teacher: &Permuted, seen: &[Vec<u32>], depth: usize) -> Result<Rankings, SampleError> {
    Rankings::new(teacher, seen.len(), teacher.n_items, |u| from_u32s(&seen[u.index()]), depth)
}

#[test]
fn rankings_hold_the_best_unseen_items_in_order() {
    let (teacher, seen) = (Permuted::new(4, 101), seen(4, 101, 10));
    let ranked = rankings(&teacher, &seen, 20).unwrap();
    for u in 0..4 {
        let user = UserId(u);
        let mut all: Vec<u32> = (0..101).filter(|i| !seen[u as usize].contains(i)).collect();
        all.sort_by(|a, b| teacher.score(user, *b as usize).total_cmp(&teacher.score(user, *a as usize)));
        assert_eq!(ranked.best(user), from_u32s::<ItemId>(&all[..20]));
        let scores: Vec<f32> = all[..20].iter().map(|i| teacher.score(user, *i as usize)).collect();
        assert_eq!(ranked.scores(user), scores);
        assert_eq!(ranked.seen(user), from_u32s::<ItemId>(&seen[u as usize]));
        assert_eq!(ranked.n_unseen(user), 91);
    }
    assert_eq!((ranked.n_users(), ranked.n_items(), ranked.depth()), (4, 101, 20));
}

#[test]
fn a_teacher_with_nan_is_refused_by_user_wherever_the_nan_stands() {
    let seen = seen(4, 101, 10);
    // Item 2 is seen by user 2; a NaN there tells of a broken teacher all the same.
    for item in [0, 100, 2] {
        let teacher = Permuted { fault: Some((2, item, f32::NAN)), ..Permuted::new(4, 101) };
        let error = rankings(&teacher, &seen, 5).unwrap_err();
        assert!(
            matches!(error, SampleError::Teacher { user: UserId(2), source: QueryError::NotFinite { .. } }),
            "{error}"
        );
        assert!(error.to_string().contains("user 2"), "{error}");
    }
}

#[test]
fn teachers_of_other_users_or_items_are_refused() {
    let seen = seen(4, 101, 10);
    let error = rankings(&Permuted::new(3, 101), &seen, 5).unwrap_err();
    assert!(
        matches!(error, SampleError::Teacher { user: UserId(3), source: QueryError::UnknownUser { .. } }),
        "{error}"
    );
    let error = Rankings::new(&Permuted::new(4, 100), 4, 101, |u| from_u32s(&seen[u.index()]), 5).unwrap_err();
    assert_eq!(error, SampleError::ItemCount { expected: 101, got: 100 });
    let error = rankings(&Permuted::new(4, 101), &[vec![3, 1]], 5).unwrap_err();
    assert!(matches!(error, SampleError::Teacher { source: QueryError::UnsortedSeen { .. }, .. }), "{error}");
    let error = rankings(&Permuted::new(4, 101), &[vec![1], vec![101]], 5).unwrap_err();
    assert_eq!(error, SampleError::SeenItem { user: UserId(1), expected: 101, got: 101 });
    let error = rankings(&Permuted::new(4, 101), &seen, 0).unwrap_err();
    assert!(matches!(error, SampleError::Config(ConfigError { field: "depth", .. })), "{error}");
}

/// Every promise of a draw, for every user.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn check(lists: &DrawnLists, rankings: &Rankings, config: &ListSamplerConfig) {
    for u in 0..rankings.n_users() as u32 {
        let user = UserId(u);
        let list = lists.of(user).unwrap();
        let (interesting, others) = (lists.interesting(user).unwrap(), lists.uninteresting(user).unwrap());
        let ranks = lists.ranks(user).unwrap();
        assert_eq!((interesting.len(), others.len()), (config.n_interesting, config.n_uninteresting));
        assert!(ranks.windows(2).all(|w| w[0] < w[1]), "ascending in rank: {ranks:?}");
        for (item, rank) in interesting.iter().zip(ranks) {
            assert_eq!(*item, rankings.best(user)[*rank as usize]);
            assert!((*rank as usize) < config.depth);
        }
        assert!(others.windows(2).all(|w| w[0] < w[1]), "distinct");
        assert!(list.iter().all(|item| rankings.seen(user).binary_search(item).is_err()), "unseen");
        let above = match config.pool {
            Pool::BelowDepth => config.depth.min(rankings.n_unseen(user) - config.n_uninteresting),
            Pool::BelowDrawn => *ranks.last().unwrap() as usize + 1,
            Pool::Unseen => 0,
        };
        assert!(rankings.best(user)[..above].iter().all(|item| !others.contains(item)), "below");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn drawn_items_are_distinct_ordered_unseen_and_apart(
        k in 1usize..12, l in 0usize..12, extra in 0usize..30, t in 0.1f64..50.0, n_seen in 0usize..20,
        deterministic_top: bool, pool in 0usize..3, seed: u64, epoch: u32,
    ) {
        let pool = [Pool::BelowDepth, Pool::BelowDrawn, Pool::Unseen][pool];
        let config = ListSamplerConfig {
            n_interesting: k, n_uninteresting: l, temperature: t, depth: k + extra, deterministic_top, pool,
            skip_short_users: false,
        };
        let rankings = rankings(&Permuted::new(6, 60), &seen(6, 60, n_seen), k + extra).unwrap();
        let lists = ListSampler::new(config.clone(), rankings.clone()).unwrap().draw(Seed(seed), epoch);
        check(&lists, &rankings, &config);
    }
}

#[test]
fn lists_depend_on_seed_epoch_and_user_and_not_on_threads() {
    let rankings = rankings(&Permuted::new(50, 211), &seen(50, 211, 9), 100).unwrap();
    let config = ListSamplerConfig { n_interesting: 10, n_uninteresting: 10, depth: 100, ..Default::default() };
    let sampler = ListSampler::new(config, rankings.clone()).unwrap();
    let draw = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| sampler.draw(Seed(7), 3))
    };
    let one = draw(1);
    assert_eq!(draw(2), one);
    assert_eq!(draw(7), one);
    let mut reused = sampler.draw(Seed(7), 4);
    assert_ne!(reused, one);
    assert_ne!(sampler.draw(Seed(8), 3), one);
    sampler.draw_into(Seed(7), 3, &mut reused);
    assert_eq!(reused, one);
}

#[test]
fn interesting_ranks_come_as_often_as_the_law_says() {
    // One item a draw, over many epochs: the frequency of rank k is p_k, here renormalised to 20 ranks.
    let rankings = rankings(&Permuted::new(100, 101), &seen(100, 101, 5), 20).unwrap();
    let config = ListSamplerConfig { depth: 20, temperature: 5.0, ..ListSamplerConfig::collaborative(1, 5.0) };
    let sampler = ListSampler::new(config, rankings.clone()).unwrap();
    let (mut counts, n_epochs) = ([0u32; 20], 1000);
    for epoch in 0..n_epochs {
        let lists = sampler.draw(Seed(3).stream("interesting"), epoch);
        for u in 0..100 {
            counts[lists.ranks(UserId(u)).unwrap()[0] as usize] += 1;
        }
    }
    let (law, n) = (RankLaw::new(5.0).unwrap(), f64::from(100 * n_epochs));
    for (k, count) in counts.into_iter().enumerate() {
        let p = law.probability(k + 1, 20);
        let sigma = (n * p * (1.0 - p)).sqrt();
        assert!((f64::from(count) - n * p).abs() < 4.5 * sigma, "rank {}: {count} against {}", k + 1, n * p);
    }
}

#[test]
fn uninteresting_items_are_uniform_over_their_pool() {
    let rankings = rankings(&Permuted::new(1, 50), &seen(1, 50, 4), 10).unwrap();
    let config = ListSamplerConfig { n_interesting: 5, n_uninteresting: 6, depth: 10, ..Default::default() };
    let sampler = ListSampler::new(config, rankings.clone()).unwrap();
    let (mut counts, n_epochs) = ([0u32; 50], 60_000);
    let mut lists = sampler.draw(Seed(1), 0);
    for epoch in 0..n_epochs {
        sampler.draw_into(Seed(1), epoch, &mut lists);
        for item in lists.uninteresting(UserId(0)).unwrap() {
            counts[item.index()] += 1;
        }
    }
    // 50 - 4 seen - 10 best = 36 items, each in a draw of 6 with probability 1/6.
    let (p, n) = (1.0 / 6.0, f64::from(n_epochs));
    let drawn: Vec<u32> = counts.into_iter().filter(|count| *count > 0).collect();
    assert_eq!(drawn.len(), 36);
    for count in drawn {
        assert!((f64::from(count) - n * p).abs() < 4.5 * (n * p * (1.0 - p)).sqrt(), "{count} against {}", n * p);
    }
}

#[test]
fn deterministic_top_takes_the_best_every_time() {
    let rankings = rankings(&Permuted::new(3, 101), &seen(3, 101, 5), 50).unwrap();
    let config = ListSamplerConfig {
        n_interesting: 8,
        n_uninteresting: 8,
        depth: 50,
        deterministic_top: true,
        ..Default::default()
    };
    let sampler = ListSampler::new(config, rankings.clone()).unwrap();
    for epoch in 0..3 {
        let lists = sampler.draw(Seed(1), epoch);
        for u in 0..3 {
            assert_eq!(lists.interesting(UserId(u)).unwrap(), &rankings.best(UserId(u))[..8]);
        }
    }
    assert_ne!(sampler.draw(Seed(1), 0), sampler.draw(Seed(1), 1), "uninteresting items still change");
}

#[test]
fn ranking_and_collaborative_distillation_draw_their_own_lists() {
    let rankings = rankings(&Permuted::new(3, 101), &seen(3, 101, 5), 500).unwrap();
    let config = ListSamplerConfig::ranking_distillation(10, 30);
    let lists = ListSampler::new(config.clone(), rankings.clone()).unwrap().draw(Seed(1), 0);
    check(&lists, &rankings, &config);
    assert_eq!(lists.interesting(UserId(1)).unwrap(), &rankings.best(UserId(1))[..10]);
    let config = ListSamplerConfig::collaborative(12, 10.0);
    let lists = ListSampler::new(config.clone(), rankings.clone()).unwrap().draw(Seed(1), 0);
    check(&lists, &rankings, &config);
    // The teacher's scores of drawn items come by rank.
    let (user, teacher) = (UserId(2), Permuted::new(3, 101));
    for (item, rank) in lists.interesting(user).unwrap().iter().zip(lists.ranks(user).unwrap()) {
        assert_eq!(rankings.scores(user)[*rank as usize], teacher.score(user, item.index()));
    }
}

#[test]
fn full_ranking_gets_its_uninteresting_items_in_the_teachers_order() {
    let teacher = Permuted::new(3, 101);
    let rankings = rankings(&teacher, &seen(3, 101, 5), 30).unwrap();
    let config = ListSamplerConfig { n_interesting: 5, n_uninteresting: 9, depth: 30, ..Default::default() };
    let mut lists = ListSampler::new(config, rankings.clone()).unwrap().draw(Seed(2), 0);
    let before = lists.clone();
    lists.sort_uninteresting(&teacher).unwrap();
    for u in 0..3 {
        let user = UserId(u);
        let scores: Vec<f32> = lists.of(user).unwrap().iter().map(|i| teacher.score(user, i.index())).collect();
        assert!(scores.windows(2).all(|w| w[0] >= w[1]), "{scores:?}");
        let mut items = lists.uninteresting(user).unwrap().to_vec();
        items.sort();
        assert_eq!(items, before.uninteresting(user).unwrap());
    }
    let fault = lists.uninteresting(UserId(1)).unwrap()[3];
    let broken = Permuted { fault: Some((1, fault.0, f32::NAN)), ..teacher };
    let error = lists.sort_uninteresting(&broken).unwrap_err();
    assert!(matches!(error, SampleError::Teacher { user: UserId(1), .. }), "{error}");
}

#[test]
fn a_small_catalogue_shortens_the_best_list_and_leaves_the_rest_uninteresting() {
    // 20 unseen items, K = 5, L = 15: the best 5 must all be interesting, the other 15 uninteresting.
    let rankings = rankings(&Permuted::new(2, 24), &seen(2, 24, 4), 500).unwrap();
    let config = ListSamplerConfig { n_interesting: 5, n_uninteresting: 15, ..Default::default() };
    let lists = ListSampler::new(config.clone(), rankings.clone()).unwrap().draw(Seed(1), 9);
    check(&lists, &rankings, &config);
    assert_eq!(lists.interesting(UserId(0)).unwrap(), &rankings.best(UserId(0))[..5]);
    // One more is refused, and says who and how many.
    let config = ListSamplerConfig { n_uninteresting: 16, ..config };
    let error = ListSampler::new(config, rankings.clone()).unwrap_err();
    assert_eq!(error, SampleError::TooFewUnseen { user: UserId(0), expected: 21, got: 20 });
}

#[test]
fn users_without_unseen_items_are_refused_or_skipped() {
    let everything: Vec<u32> = (0..30).collect();
    let seen = vec![vec![1, 2], everything, vec![]];
    let rankings = rankings(&Permuted::new(3, 30), &seen, 10).unwrap();
    assert!(rankings.best(UserId(1)).is_empty());
    let config = ListSamplerConfig { n_interesting: 4, n_uninteresting: 4, depth: 10, ..Default::default() };
    let error = ListSampler::new(config.clone(), rankings.clone()).unwrap_err();
    assert_eq!(error, SampleError::TooFewUnseen { user: UserId(1), expected: 8, got: 0 });
    assert!(error.to_string().contains("skip_short_users"), "{error}");
    let mut lists = ListSampler::new(ListSamplerConfig { skip_short_users: true, ..config }, rankings.clone())
        .unwrap()
        .draw(Seed(1), 0);
    assert!(lists.of(UserId(0)).is_some() && lists.of(UserId(2)).is_some());
    assert!(lists.of(UserId(1)).is_none() && lists.ranks(UserId(1)).is_none());
    lists.sort_uninteresting(&Permuted::new(3, 30)).unwrap();
}

#[test]
fn impossible_settings_are_refused_by_field() {
    let rankings = rankings(&Permuted::new(2, 101), &seen(2, 101, 4), 50).unwrap();
    let base = ListSamplerConfig { n_interesting: 5, n_uninteresting: 5, depth: 50, ..Default::default() };
    for (config, field) in [
        (ListSamplerConfig { n_interesting: 0, ..base.clone() }, "n_interesting"),
        (ListSamplerConfig { depth: 4, ..base.clone() }, "depth"),
        (ListSamplerConfig { temperature: 0.0, ..base.clone() }, "temperature"),
        (ListSamplerConfig { temperature: f64::NAN, ..base.clone() }, "temperature"),
    ] {
        let error = ListSampler::new(config, rankings.clone()).unwrap_err();
        assert!(matches!(&error, SampleError::Config(e) if e.to_string().starts_with(field)), "{error}");
    }
    let deep = ListSamplerConfig { depth: 60, ..base };
    assert_eq!(ListSampler::new(deep, rankings.clone()).unwrap_err(), SampleError::Depth { expected: 60, got: 50 });
}
