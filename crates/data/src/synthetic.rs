//! Made-up data with the traits that recommenders live on.

use rayon::prelude::*;
use rectify_core::ItemId;
use rectify_core::rng::{Rng, Seed};
use serde::{Deserialize, Serialize};

use crate::builder::{Event, UserMajor};
use crate::samplers::AliasTable;
use crate::{Categories, Dataset, Duplicates, IdMaps, Provenance, Ragged, Step};
use rectify_core::IdMap;

/// Users of a chunk: what is held in memory besides the result.
const CHUNK: usize = 8192;
/// Redraws until the best so far is taken.
const MAX_TRIES: usize = 12;
const DAY: i64 = 86_400;

/// Settings of the generator.
///
/// Items live in clusters (their categories) and have a taste vector around their cluster's; popularity inside a cluster
/// follows a power law, and each item has a season when it is liked most. A user prefers a first cluster early and a second one
/// late (drift), has a taste vector of its own, and sometimes takes something popular from anywhere. A draw proposes an
/// item by popularity and accepts it by taste and season, so popularity alone explains a part and a low-rank model more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticConfig {
    /// Number of users.
    pub n_users: usize,
    /// Number of items.
    pub n_items: usize,
    /// Number of clusters, which are the categories too.
    pub n_clusters: usize,
    /// Mean number of interactions a user; single users draw theirs from a heavy-tailed law between a fifth of it and five
    /// times it.
    pub mean_interactions: f64,
    /// Exponent of popularity: the item of rank `r` is proposed in proportion to `(r + 1)^-exponent`.
    pub popularity_exponent: f64,
    /// Share of draws from the user's own clusters; the rest come from anywhere.
    pub affinity: f64,
    /// Width of the taste vectors.
    pub taste_dim: usize,
    /// How strongly taste decides: 0 not at all.
    pub taste_strength: f64,
    /// How strongly seasons decide: 0 not at all.
    pub drift: f64,
    /// Days from the first to the last interaction.
    pub n_days: u32,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self::small()
    }
}

/// A generator setting out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("synthetic setting {field} is {got}, expected {expected}")]
pub struct SyntheticError {
    /// Which one.
    pub field: &'static str,
    /// Its range.
    pub expected: &'static str,
    /// Its value.
    pub got: String,
}

impl SyntheticConfig {
    /// 200 users, 150 items, about 4,000 interactions: for unit tests.
    #[must_use]
    pub const fn tiny() -> Self {
        Self { n_users: 200, n_items: 150, n_clusters: 6, mean_interactions: 20.0, ..Self::small() }
    }

    /// 2,000 users, 1,000 items, about 80,000 interactions: for a run of minutes.
    #[must_use]
    pub const fn small() -> Self {
        Self {
            n_users: 2_000,
            n_items: 1_000,
            n_clusters: 20,
            mean_interactions: 40.0,
            popularity_exponent: 0.8,
            affinity: 0.8,
            taste_dim: 8,
            taste_strength: 1.5,
            drift: 1.0,
            n_days: 1_000,
        }
    }

    /// 100,000 users, 50,000 items, about 5 million interactions: for speed.
    #[must_use]
    pub const fn large() -> Self {
        Self { n_users: 100_000, n_items: 50_000, n_clusters: 200, mean_interactions: 50.0, ..Self::small() }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first one out of its range.
    pub fn validate(&self) -> Result<(), SyntheticError> {
        let check = |ok: bool, field, expected, got: &dyn ToString| {
            if ok { Ok(()) } else { Err(SyntheticError { field, expected, got: got.to_string() }) }
        };
        let count = |n: usize| (1..=u32::MAX as usize).contains(&n);
        let finite = |x: f64| x.is_finite() && x >= 0.0;
        check(count(self.n_users), "n_users", "1 to 4294967295", &self.n_users)?;
        check(count(self.n_items), "n_items", "1 to 4294967295", &self.n_items)?;
        check((1..=self.n_items).contains(&self.n_clusters), "n_clusters", "1 to n_items", &self.n_clusters)?;
        let most = self.n_items as f64 / 5.0;
        let mean = self.mean_interactions;
        check(mean >= 1.0 && mean <= most, "mean_interactions", "1 to a fifth of n_items", &mean)?;
        check(
            finite(self.popularity_exponent),
            "popularity_exponent",
            "a finite number from 0 up",
            &self.popularity_exponent,
        )?;
        check((0.0..=1.0).contains(&self.affinity), "affinity", "0 to 1", &self.affinity)?;
        check((1..=256).contains(&self.taste_dim), "taste_dim", "1 to 256", &self.taste_dim)?;
        check(finite(self.taste_strength), "taste_strength", "a finite number from 0 up", &self.taste_strength)?;
        check(finite(self.drift), "drift", "a finite number from 0 up", &self.drift)?;
        check(self.n_days >= 1, "n_days", "1 or more", &self.n_days)
    }

    /// Makes the data set called `name`; users, items and categories are numbered.
    ///
    /// Users are made in chunks, so the memory needed is that of the result: about 16 bytes an interaction. The result does
    /// not depend on the number of threads.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn generate(&self, name: &str, seed: Seed) -> Result<Dataset, SyntheticError> {
        self.validate()?;
        let world = World::new(self, seed.stream("synthetic"));
        let mut rows = UserMajor::new(self.n_items, true, false, Duplicates::KeepEarliest);
        let n_chunks = self.n_users.div_ceil(CHUNK);
        for chunk in 0..n_chunks {
            let users = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.n_users);
            let mut events: Vec<Vec<Event>> =
                users.into_par_iter().map_init(Vec::new, |seen, user| world.user(user as u64, seen)).collect();
            events.iter_mut().for_each(|events| rows.push_user(events));
        }
        let names = (0..self.n_clusters).map(|cluster| format!("cluster {cluster}")).collect();
        let categories = Categories::new(names, Ragged::from_rows(world.cluster_of.iter().map(|cluster| [*cluster])));
        let (interactions, _) = rows.finish();
        let provenance = Provenance {
            n_rows: interactions.n_interactions() as u64,
            steps: vec![Step::of("generated", &interactions)],
            ..Provenance::default()
        };
        Ok(Dataset {
            name: name.to_owned(),
            interactions,
            ids: IdMaps { users: IdMap::numbered(self.n_users), items: IdMap::numbered(self.n_items) },
            categories: Some(categories),
            text: None,
            fixed: None,
            provenance,
        })
    }
}

struct World<'a> {
    config: &'a SyntheticConfig,
    seed: Seed,
    cluster_of: Vec<u32>,
    items_of: Vec<Vec<u32>>,
    popular_in: Vec<AliasTable>,
    popular: AliasTable,
    /// `[n_items, taste_dim]`.
    tastes: Vec<f32>,
    /// When an item is liked most, in 0..1.
    season: Vec<f32>,
}

impl<'a> World<'a> {
    fn new(config: &'a SyntheticConfig, seed: Seed) -> Self {
        let n_items = config.n_items;
        // The first items fill one cluster each, so that none is empty.
        let mut rng = seed.stream("clusters").rng();
        let n_clusters = config.n_clusters as u32;
        let cluster_of: Vec<u32> =
            (0..n_items as u32).map(|i| if i < n_clusters { i } else { rng.below(n_clusters) }).collect();
        let mut items_of = vec![Vec::new(); config.n_clusters];
        cluster_of.iter().enumerate().for_each(|(item, &cluster)| items_of[cluster as usize].push(item as u32));

        let mut rank: Vec<u32> = (0..n_items as u32).collect();
        seed.stream("popularity").rng().shuffle(&mut rank);
        let weight: Vec<f64> =
            rank.iter().map(|&rank| libm::pow(f64::from(rank) + 1.0, -config.popularity_exponent)).collect();
        let popular_in = items_of
            .iter()
            .map(|items| AliasTable::new(&items.iter().map(|&item| weight[item as usize]).collect::<Vec<_>>()))
            .collect();

        let dim = config.taste_dim;
        let mut rng = seed.stream("tastes").rng();
        let mut normal = || rng.normal() as f32;
        let centres: Vec<f32> = (0..config.n_clusters * dim).map(|_| normal()).collect();
        let tastes = (0..n_items * dim)
            .map(|at| 0.5 * centres[cluster_of[at / dim] as usize * dim + at % dim] + normal())
            .collect();
        let mut rng = seed.stream("seasons").rng();
        let season = (0..n_items).map(|_| rng.unit_f32()).collect();
        Self { config, seed, cluster_of, items_of, popular_in, popular: AliasTable::new(&weight), tastes, season }
    }

    /// All events of a user, distinct items. `seen` is scratch: a bit an item.
    fn user(&self, user: u64, seen: &mut Vec<u64>) -> Vec<Event> {
        let config = self.config;
        let rng = &mut self.seed.stream("users").at(0, user);
        let n_clusters = config.n_clusters as u32;
        let (early, late) = (rng.below(n_clusters) as usize, rng.below(n_clusters) as usize);
        let scale = (config.taste_strength / (config.taste_dim as f64).sqrt()) as f32;
        let taste: Vec<f32> = (0..config.taste_dim).map(|_| scale * rng.normal() as f32).collect();
        let amount = self.amount(rng);

        seen.clear();
        seen.resize(config.n_items.div_ceil(64), 0);
        let mut events = Vec::with_capacity(amount);
        // A user who has exhausted its clusters stops early rather than looping for ever.
        for _ in 0..4 * amount {
            if events.len() == amount {
                break;
            }
            let time = rng.unit_f32();
            let own = rng.unit_f64() < config.affinity;
            let cluster = if rng.unit_f32() < time { late } else { early };
            let mut item = 0;
            for _ in 0..MAX_TRIES {
                item = if own {
                    self.items_of[cluster][self.popular_in[cluster].draw(rng) as usize]
                } else {
                    self.popular.draw(rng)
                };
                if rng.unit_f32() < self.liking(&taste, item, time) {
                    break;
                }
            }
            let (word, bit) = (item as usize / 64, 1u64 << (item % 64));
            if seen[word] & bit == 0 {
                seen[word] |= bit;
                let seconds = (f64::from(time) * f64::from(config.n_days) * DAY as f64) as i64;
                events.push(Event { item: ItemId(item), time: 1_600_000_000 + seconds, weight: 1.0 });
            }
        }
        events
    }

    /// Chance that a proposed item is taken: logistic in taste, falling with the distance from its season.
    fn liking(&self, taste: &[f32], item: u32, time: f32) -> f32 {
        let dim = taste.len();
        let own = &self.tastes[item as usize * dim..(item as usize + 1) * dim];
        let mut dot = 0.0;
        for (a, b) in taste.iter().zip(own) {
            dot += a * b;
        }
        let distance = (time - self.season[item as usize]).abs();
        1.0 / (1.0 + libm::expf(1.0 - dot + 2.0 * self.config.drift as f32 * distance))
    }

    /// Pareto with exponent 2 has mean twice its minimum; cut at both ends and rescaled, it keeps the mean within a few per cent.
    fn amount(&self, rng: &mut Rng) -> usize {
        let mean = self.config.mean_interactions;
        let heavy = 0.55 * mean / rng.open_f64().sqrt();
        (heavy.clamp(0.2 * mean, 5.0 * mean).round() as usize).clamp(1, self.config.n_items - 1)
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::UserId;

    use super::*;
    use crate::Interactions;

    #[test]
    fn presets_have_about_the_interactions_they_promise() {
        let tiny = SyntheticConfig::tiny().generate("tiny", Seed(1)).unwrap().interactions;
        // Usual value 3,940 and 78,000.
        assert!((3_000..5_000).contains(&tiny.n_interactions()), "{}", tiny.n_interactions());
        let small = SyntheticConfig::small().generate("small", Seed(1)).unwrap().interactions;
        assert!((70_000..90_000).contains(&small.n_interactions()), "{}", small.n_interactions());
        assert!(small.validate().is_empty() && small.user_counts().iter().all(|&n| n > 0));
    }

    #[test]
    fn one_seed_gives_the_same_data_for_one_and_two_threads() {
        let make = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| SyntheticConfig::tiny().generate("t", Seed(9)).unwrap())
        };
        assert_eq!(make(1), make(2));
        assert_ne!(make(1), SyntheticConfig::tiny().generate("t", Seed(10)).unwrap());
    }

    #[test]
    fn users_prefer_their_clusters_and_popular_items() {
        let data = SyntheticConfig::small().generate("small", Seed(2)).unwrap();
        let categories = data.categories.unwrap();
        let top_two_share = |seen: &Interactions, user: UserId| {
            let mut counts = vec![0u32; categories.names().len()];
            seen.items_of(user).iter().for_each(|&item| counts[categories.of_item(item)[0] as usize] += 1);
            counts.sort_unstable_by(|a, b| b.cmp(a));
            f64::from(counts[0] + counts[1]) / seen.items_of(user).len() as f64
        };
        let seen = &data.interactions;
        let mean = seen.users().map(|user| top_two_share(seen, user)).sum::<f64>() / seen.n_users() as f64;
        // Two of 20 clusters: about .2 by chance; usual value .78.
        assert!(mean > 0.6, "{mean}");
        let mut counts = seen.item_counts();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let top_tenth: u32 = counts[..100].iter().sum();
        // Usual value .3.
        assert!(f64::from(top_tenth) / seen.n_interactions() as f64 > 0.2);
    }

    #[test]
    fn impossible_settings_are_named() {
        let bad = |change: fn(&mut SyntheticConfig)| {
            let mut config = SyntheticConfig::tiny();
            change(&mut config);
            config.validate().unwrap_err().field
        };
        assert_eq!(bad(|c| c.n_users = 0), "n_users");
        assert_eq!(bad(|c| c.n_clusters = 151), "n_clusters");
        assert_eq!(bad(|c| c.mean_interactions = 31.0), "mean_interactions");
        assert_eq!(bad(|c| c.affinity = f64::NAN), "affinity");
        assert_eq!(bad(|c| c.drift = f64::INFINITY), "drift");
    }
}
