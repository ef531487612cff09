//! The conformance kit, run on the crate's own implementations, and on broken ones that it must catch.

use rectify_core::rng::Seed;
use rectify_core::testing::{self, Oracle};
use rectify_core::{
    Catalogue, ExactConfig, ExactIndex, Exhaustive, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK,
    select_top_k,
};

fn rows(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seed(seed).stream("rows").rng();
    (0..n * dim).map(|_| rng.normal() as f32).collect()
}

fn naive(rows: &[f32], dim: usize) -> impl Fn(&[f32]) -> Vec<f32> + Sync {
    move |query| rows.chunks(dim).map(|x| x.iter().zip(query).fold(0.0f32, |s, (x, q)| q.mul_add(*x, s))).collect()
}

#[test]
fn exact_index_conforms() {
    for (n, dim) in [(0, 3), (1, 1), (37, 5), (300, 16), (1111, 33)] {
        let data = rows(n, dim, 1);
        let index = ExactIndex::build(data.clone(), dim, &ExactConfig::default()).unwrap();
        let asked = rows(5, dim, 2);
        let queries: Vec<&[f32]> = asked.chunks(dim).collect();
        testing::scorer(&index, &queries);
        testing::retriever(&index, &queries, &Oracle::scores(naive(&data, dim)));
        testing::index(&index, &queries);
        let long = vec![0.0; dim + 1];
        let mut infinite = vec![0.0; dim];
        infinite[dim - 1] = f32::INFINITY;
        for bad in [&long, &infinite] {
            testing::scorer_refuses(&index, bad);
            testing::retriever_refuses(&index, queries[0], bad);
        }
    }
}

#[test]
fn exhaustive_conforms() {
    let data = rows(200, 4, 3);
    let index = ExactIndex::build(data, 4, &ExactConfig::default()).unwrap();
    let asked = rows(3, 4, 4);
    let queries: Vec<&[f32]> = asked.chunks(4).collect();
    testing::retriever(&Exhaustive::new(&index), &queries, &Oracle::scorer(&index));
}

/// Answers from one half of the catalogue: recall about one half.
struct Half(ExactIndex);

impl Catalogue for Half {
    fn n_items(&self) -> usize {
        self.0.n_items()
    }
}

impl Retriever for Half {
    type Query = [f32];

    fn top_k(&self, query: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        let mut scores = vec![0.0; self.n_items()];
        self.0.score_all_into(query, &mut scores)?;
        let half = self.n_items() / 2;
        select_top_k(&scores[..half], k, filter, out)
    }
}

#[test]
fn an_approximate_retriever_conforms_within_its_band_only() {
    let index = ExactIndex::build(rows(400, 4, 5), 4, &ExactConfig::default()).unwrap();
    let asked = rows(4, 4, 6);
    let queries: Vec<&[f32]> = asked.chunks(4).collect();
    let half = Half(index.clone());
    testing::retriever(&half, &queries, &Oracle::scorer(&index).recall(0.3..=0.7));
    let too_good = std::panic::catch_unwind(|| {
        testing::retriever(&half, &queries, &Oracle::scorer(&index).recall(0.9..=1.0));
    });
    assert!(too_good.is_err(), "recall of one half passed for 0.9");
    let exact = std::panic::catch_unwind(|| testing::retriever(&half, &queries, &Oracle::scorer(&index)));
    assert!(exact.is_err(), "half a catalogue passed for all of it");
}

/// Forgets the filter.
struct Unfiltered(ExactIndex);

impl Catalogue for Unfiltered {
    fn n_items(&self) -> usize {
        self.0.n_items()
    }
}

impl Retriever for Unfiltered {
    type Query = [f32];

    fn top_k(&self, query: &[f32], k: usize, _: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.0.top_k(query, k, &ItemFilter::all(), out)
    }
}

#[test]
fn the_kit_catches_a_retriever_that_forgets_the_filter() {
    let index = ExactIndex::build(rows(50, 4, 7), 4, &ExactConfig::default()).unwrap();
    let broken = Unfiltered(index.clone());
    let caught = std::panic::catch_unwind(|| {
        testing::retriever(&broken, &[&[1.0, 0.0, 0.0, 0.0][..]], &Oracle::scorer(&index));
    });
    assert!(caught.is_err());
}

/// Scores a list one bit lower than the whole catalogue.
struct Careless;

impl Catalogue for Careless {
    fn n_items(&self) -> usize {
        3
    }
}

impl Scorer for Careless {
    type Query = f32;

    fn score_into(&self, query: &f32, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        rectify_core::check_len("out", items.len(), out.len())?;
        out.fill(*query);
        Ok(())
    }

    fn score_all_into(&self, query: &f32, out: &mut [f32]) -> Result<(), QueryError> {
        rectify_core::check_len("out", 3, out.len())?;
        out.fill(query.next_up());
        Ok(())
    }
}

#[test]
fn the_kit_catches_a_scorer_whose_two_methods_disagree_in_the_last_bit() {
    assert!(std::panic::catch_unwind(|| testing::scorer(&Careless, &[&0.7])).is_err());
}
