//! Published and independently measured numbers, where the data is at hand: set `RECTIFY_DATA` to its directory.

#![expect(clippy::print_stderr, reason = "a skipped test must be seen")]

use rectify_core::rng::Seed;
use rectify_core::{Catalogue, Exhaustive, ItemId, QueryError, Scorer, UserId};
use rectify_data::{Manifest, PerUser, Protocol, search_dirs, split};
use rectify_eval::{Candidates, Metric, System, evaluate_test};

/// The same list for everybody.
struct PopRank(Vec<f32>);

impl Catalogue for PopRank {
    fn n_items(&self) -> usize {
        self.0.len()
    }
}

impl Scorer for PopRank {
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

/// Popularity on MovieLens-1M under HDN's split, K = 20. Anchors (digest of HDN, section 8; measured elsewhere, ± .01 by the
/// draw and the rounding of 20 %): training items kept HR .752, NDCG over hits .356, standard .109; excluded .801, .467, .196.
#[test]
fn popularity_on_movielens_1m_gives_the_anchors_of_both_hdn_protocols() {
    let Some(dir) = std::env::var_os("RECTIFY_DATA") else {
        eprintln!("SKIPPED: RECTIFY_DATA is not set, so the popularity anchors of ml-1m are not checked");
        return;
    };
    let dirs = search_dirs(None, Some(dir), None);
    let data = Manifest::named("ml-1m").unwrap().recipe(&dirs).unwrap().build().unwrap();
    let Protocol::PerUser(hdn) = Protocol::hdn() else { unreachable!("it holds out items of each user") };
    let protocol = Protocol::PerUser(PerUser { validation: None, ..hdn });
    let split = split(&data.interactions, None, &protocol, Seed(1), 0).unwrap();
    let popularity = PopRank(split.train.item_counts().iter().map(|&count| count as f32).collect());
    let asked: Vec<Metric> = ["hr@20", "ndcg_hits@20", "ndcg@20"].iter().map(|name| name.parse().unwrap()).collect();
    for (candidates, anchors) in [(Candidates::All, [0.752, 0.356, 0.109]), (Candidates::Unseen, [0.801, 0.467, 0.196])]
    {
        let lists = Exhaustive::new(&popularity);
        let got = evaluate_test(System::Retriever(&lists), &split, &asked, candidates).unwrap();
        for (metric, anchor) in asked.iter().zip(anchors) {
            let value = got.value(*metric).unwrap();
            eprintln!("{metric} among {candidates}: {value:.4} (anchor {anchor})");
            assert!((value - anchor).abs() < 0.01, "{metric} among {candidates}: {value}, expected {anchor}");
        }
    }
}
