use rectify_core::Index;
use rectify_core::rng::Seed;

use super::*;
use crate::Composition;

fn index(n: usize, b: usize, w: usize) -> CodeIndex {
    let shape = CodeShape { embedding_dim: 2 * b, n_codebooks: b, n_codewords: w, composition: Composition::Sum };
    let mut rng = Seed((n + b + w) as u64).rng();
    let codebooks: Vec<f32> = (0..b * w * 2 * b).map(|_| rng.normal() as f32).collect();
    let codes: Vec<u8> = (0..n * b).map(|_| rng.below(w as u32) as u8).collect();
    CodeIndex::from_codes(shape, &codebooks, &codes).unwrap()
}

#[test]
fn every_instruction_set_visits_the_same_items() {
    // Lists of a few items, and of several runs of blocks; the last three have cells.
    for (n, b, w) in [(1500, 4, 256), (1500, 3, 16), (1500, 9, 64), (20_000, 2, 64), (20_000, 4, 32), (20_000, 9, 32)] {
        let lists = InvertedIndex::new(&index(n, b, w), 5).unwrap();
        let query: Vec<f32> = (0..2 * b).map(|i| (i as f32).sin()).collect();
        let answer = |level| {
            let mut out = TopK::new();
            lists.search(level, lists.codes.table(&query).unwrap(), 20, &ItemFilter::all(), &mut out);
            out
        };
        let expected = answer(Level::Scalar);
        for level in Level::available() {
            assert_eq!(answer(level), expected, "{level:?} with {b} codebooks of {w}");
        }
    }
}

#[test]
fn cells_that_cannot_enter_are_left_out_and_nothing_else() {
    // Codebooks that shrink leave most cells out.
    let (n, w) = (20_000, 64);
    let shape = CodeShape { embedding_dim: 8, n_codebooks: 4, n_codewords: w, composition: Composition::Sum };
    let mut rng = Seed(3).rng();
    let codebooks: Vec<f32> = (0..4)
        .flat_map(|b| (0..w * 8).map(move |_| 0.5f64.powi(b)).collect::<Vec<_>>())
        .map(|x| (x * rng.normal()) as f32)
        .collect();
    let codes: Vec<u8> = (0..n * 4).map(|_| rng.below(w as u32) as u8).collect();
    let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
    let lists = InvertedIndex::new(&index, w).unwrap();
    assert!(lists.per_list() == w && lists.validate().is_empty());
    let denied: Vec<ItemId> = (0..n as u32).step_by(3).map(ItemId).collect();
    let (mut expected, mut got) = (TopK::new(), TopK::new());
    for _ in 0..20 {
        let query: Vec<f32> = (0..8).map(|_| rng.normal() as f32).collect();
        for filter in [ItemFilter::all(), ItemFilter::seen(&denied).unwrap()] {
            for k in [1, 30, 700] {
                index.top_k(&query, k, &filter, &mut expected).unwrap();
                for level in Level::available() {
                    lists.search(level, lists.codes.table(&query).unwrap(), k, &filter, &mut got);
                    assert_eq!(got, expected, "{level:?}, the best {k}");
                }
            }
        }
    }
}

#[test]
fn validate_finds_planted_violations() {
    let sound = InvertedIndex::new(&index(100, 3, 8), 2).unwrap();
    assert!(sound.validate().is_empty());
    let with_ids = |change: fn(&mut Vec<u32>)| {
        let mut ids = sound.ids.to_vec();
        change(&mut ids);
        InvertedIndex { ids: ids.into(), ..sound.clone() }.validate()[0].problem.clone()
    };
    assert!(with_ids(|ids| ids[3] = 1000).contains("position 3 holds item 1000"));
    assert!(with_ids(|ids| ids[3] = ids[4]).contains("comes twice"));
    assert!(with_ids(|ids| ids.swap(0, 1)).contains("list 0 does not ascend at position 1"));
    let mut starts = sound.starts.to_vec();
    starts[1] += 1;
    let planted = InvertedIndex { starts: starts.clone().into(), ..sound.clone() }.validate();
    assert!(planted[0].problem.contains("is in list 0") || planted[0].problem.contains("does not ascend"));
    starts[2] = 0;
    let planted = InvertedIndex { starts: starts.into(), ..sound.clone() }.validate();
    assert!(planted[0].problem.contains("must ascend from 0 to 100"));

    let cells = InvertedIndex::new(&index(2000, 3, 32), 2).unwrap();
    let mut starts = cells.starts.to_vec();
    let filled = (1..32).find(|c| starts[c - 1] < starts[*c]).unwrap();
    starts[filled] -= 1;
    let planted = InvertedIndex { starts: starts.into(), ..cells }.validate();
    assert!(planted[0].problem.contains("in codebook 1, but is in cell"), "{planted:?}");
}
