//! Is the second system really better? Two simple recommenders on built-in data, with intervals and paired tests.
//!
//!     cargo run --release -p rectify-eval --example compare

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use rectify_core::rng::Seed;
use rectify_core::{Catalogue, Exhaustive, ItemId, QueryError, Rerank, Scorer, UserId};
use rectify_data::{Interactions, Protocol, SyntheticConfig, split};
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, Metric, System, evaluate_test};

/// Recommends what most users have: the bar that everything has to clear.
struct Popularity(Vec<f32>);

/// Recommends what the users of my items have too.
struct Neighbours<'a>(&'a Interactions);

impl Catalogue for Popularity {
    fn n_items(&self) -> usize {
        self.0.len()
    }
}

impl Scorer for Popularity {
    type Query = UserId;

    fn score_into(&self, _: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        out.iter_mut().zip(items).for_each(|(score, item)| *score = self.0[item.index()]);
        Ok(())
    }

    fn score_all_into(&self, _: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

impl Catalogue for Neighbours<'_> {
    fn n_items(&self) -> usize {
        self.0.n_items()
    }
}

impl Scorer for Neighbours<'_> {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let mut all = vec![0.0; self.n_items()];
        self.score_all_into(user, &mut all)?;
        out.iter_mut().zip(items).for_each(|(score, item)| *score = all[item.index()]);
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        out.fill(0.0);
        for other in self.0.items_of(*user).iter().flat_map(|item| self.0.users_of(*item)) {
            let theirs = self.0.items_of(*other);
            theirs.iter().for_each(|item| out[item.index()] += 1.0 / theirs.len() as f32);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Data with clusters and popularity; a fifth of each user's items is sealed away.
    let config = SyntheticConfig { n_users: 500, n_items: 400, ..SyntheticConfig::small() };
    let split = split(&config.generate("built-in", Seed(1))?.interactions, None, &Protocol::lightrec(), Seed(1), 0)?;
    let popularity = Popularity(split.train.item_counts().iter().map(|&count| count as f32).collect());
    let neighbours = Neighbours(&split.train);
    // The popular hundred, put into the neighbours' order: two stages.
    let two_stages = Rerank::new(Exhaustive::new(&popularity), &neighbours, 100)?;

    let ndcg: Metric = "ndcg@20".parse()?;
    let metrics = [ndcg, "recall@20".parse()?, "coverage@20".parse()?];
    let evaluate = |system| evaluate_test(system, &split, &metrics, Candidates::Unseen);
    let first = evaluate(System::Scorer(&popularity))?;
    let second = evaluate(System::Scorer(&neighbours))?;
    let third = evaluate(System::Retriever(&two_stages))?;
    for (name, evaluation) in [("popularity", &first), ("neighbours", &second), ("two stages", &third)] {
        print!("{name:<11}");
        for line in evaluation.summaries(&Bootstrap::default())? {
            let interval = line.interval.map_or(String::new(), |i| format!(" [{:.4}, {:.4}]", i.low, i.high));
            print!("  {} {:.4}{interval}", line.metric, line.value);
        }
        println!();
    }
    let found = second.compare(&first, ndcg, &Bootstrap::default())?;
    println!(
        "neighbours − popularity: {:+.4} [{:.4}, {:.4}] over {} users; t-test p = {:.1e}, Wilcoxon p = {:.1e}",
        found.mean_difference,
        found.interval.low,
        found.interval.high,
        found.users,
        found.t_test.p_value,
        found.wilcoxon.p_value
    );
    Ok(())
}
