use rectify_core::rng::Seed;
use rectify_core::{Hit, Index};

use super::*;
use crate::Composition;
use crate::serve::byte_table::ByteTable;
use crate::serve::kth_sum::estimate_limits;

fn index(n: usize, b: usize, w: usize, composition: Composition) -> CodeIndex {
    let shape = CodeShape { embedding_dim: 2 * b, n_codebooks: b, n_codewords: w, composition };
    let mut rng = Seed((n + b + w) as u64).rng();
    let codebooks: Vec<f32> = (0..b * w * shape.codeword_dim()).map(|_| rng.normal() as f32).collect();
    let codes: Vec<u8> = (0..n * b).map(|_| rng.below(w as u32) as u8).collect();
    CodeIndex::from_codes(shape, &codebooks, &codes).unwrap()
}

#[test]
fn every_instruction_set_gives_the_portable_answer() {
    for (b, w) in
        [(1, 256), (3, 256), (4, 256), (8, 256), (9, 256), (16, 256), (4, 64), (1, 16), (8, 16), (9, 16), (32, 8)]
    {
        let index = index(1500, b, w, Composition::Sum);
        let mut rng = Seed(5).rng();
        let queries: Vec<Vec<f32>> = (0..3).map(|_| (0..2 * b).map(|_| rng.normal() as f32).collect()).collect();
        let tables: Vec<Vec<f32>> = queries.iter().map(|query| index.table(query).unwrap()).collect();
        let answer = |level| {
            let mut out = vec![TopK::new(); 3];
            index.search(level, &tables, 20, &[ItemFilter::all()], &mut out);
            out
        };
        let expected = answer(Level::Scalar);
        for level in Level::available() {
            assert_eq!(answer(level), expected, "{level:?} with {b} codebooks of {w}");
        }
    }
}

#[test]
fn a_guess_changes_no_list_even_when_it_is_wrong() {
    let (n, k) = (33 * 512, 600);
    let shape = CodeShape { embedding_dim: 4, n_codebooks: 4, n_codewords: 256, composition: Composition::Sum };
    let mut rng = Seed(8).rng();
    let codebooks: Vec<f32> =
        (0..4 * 256 * 4).map(|i| (i % 1024) as f32 / 1024.0 + 0.1 * rng.normal() as f32).collect();
    // Higher codes score higher. Of 33 runs of 512 items the first and the seventeenth are the sample.
    let spread: Vec<u8> = (0..n * 4).map(|_| rng.below(256) as u8).collect();
    let gathered: Vec<u8> = spread
        .iter()
        .enumerate()
        .map(|(at, code)| if at / 4 / 512 % 16 == 0 { code / 2 + 128 } else { code / 2 })
        .collect();
    let query = [1.0, 0.9, 1.1, 1.0];
    for (codes, wrong) in [(spread, false), (gathered, true)] {
        let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
        let tables = [index.table(&query).unwrap(), index.table(&query.map(|x| -x)).unwrap()];
        let filters = [ItemFilter::all()];
        let quick: Vec<ByteTable> = tables.iter().map(|table| ByteTable::new(&shape, table)).collect();
        let estimates = estimate_limits(Level::Scalar, &index.codes, &quick, &filters, k);
        assert!(estimates.iter().all(|&estimate| estimate > 0), "there is a sample");
        let byte = |item, b| u16::from(quick[0].bytes[b * 256 + usize::from(index.codes.code(item, b))]);
        let reached = (0..n).filter(|&item| (0..4).map(|b| byte(item, b)).sum::<u16>() >= estimates[0]).count();
        assert_eq!(reached < k, wrong, "{reached} items have the byte sum that was estimated");
        for level in Level::available() {
            let mut lists = vec![TopK::new(); 2];
            index.search(level, &tables, k, &filters, &mut lists);
            for (table, list) in tables.iter().zip(&lists) {
                let hits = (0..n).map(|item| Hit::new(ItemId(item as u32), index.score(table, item)));
                let mut expected: Vec<Hit> = hits.collect();
                expected.sort();
                assert_eq!(list.hits(), &expected[..k], "{level:?}");
            }
        }
    }
}

#[test]
fn a_guess_changes_no_list_whatever_the_codes_and_the_filter() {
    let (n, k) = (33 * 512 + 7, 50);
    let even: Vec<ItemId> = (0..n as u32).step_by(2).map(ItemId).collect();
    for (b, w) in [(9, 256), (16, 256), (8, 16), (9, 16)] {
        let index = index(n, b, w, Composition::Sum);
        let mut rng = Seed(6).rng();
        let queries: Vec<Vec<f32>> = (0..2).map(|_| (0..2 * b).map(|_| rng.normal() as f32).collect()).collect();
        let tables: Vec<Vec<f32>> = queries.iter().map(|query| index.table(query).unwrap()).collect();
        let quick: Vec<ByteTable> = tables.iter().map(|table| ByteTable::new(index.shape(), table)).collect();
        let filters = [ItemFilter::all(), ItemFilter::seen(&even).unwrap()];
        let estimates = estimate_limits(Level::Scalar, &index.codes, &quick, &filters, k);
        assert!(estimates.iter().all(|&estimate| estimate > 0), "there is a sample of {b} codebooks of {w}");
        for level in Level::available() {
            let mut lists = vec![TopK::new(); 2];
            index.search(level, &tables, k, &filters, &mut lists);
            for ((table, filter), list) in tables.iter().zip(&filters).zip(&lists) {
                let items = (0..n).map(|item| ItemId(item as u32)).filter(|item| filter.allows(*item));
                let mut expected: Vec<Hit> =
                    items.map(|item| Hit::new(item, index.score(table, item.index()))).collect();
                expected.sort();
                assert_eq!(list.hits(), &expected[..k], "{level:?} with {b} codebooks of {w}");
            }
        }
    }
}

#[test]
fn payload_is_what_the_paper_says() {
    // LightRec, section 3.4: N·B·log2(W)/8 + 4·D·B·W bytes.
    for (n, b, w, bits) in [(1000, 4, 256, 8), (77, 8, 16, 4)] {
        assert_eq!(index(n, b, w, Composition::Sum).size_bytes(), n * b * bits / 8 + 4 * (2 * b) * b * w);
    }
}

#[test]
fn validate_finds_planted_violations() {
    let sound = index(100, 3, 8, Composition::Sum);
    assert!(sound.validate().is_empty());
    let with_byte = |at: usize, byte: u8| {
        let mut bytes = sound.codes.bytes.to_vec();
        bytes[at] = byte;
        CodeIndex { codes: BlockedCodes { bytes: bytes.into(), ..sound.codes.clone() }, ..sound.clone() }.validate()
    };
    assert!(with_byte(5, 0x08)[0].problem.contains("item 5 has code 8 in codebook 0"));
    assert!(with_byte(64 + 5, 0x10)[0].problem.contains("item 5 has code 1 in codebook 3, expected less than 1"));
    let mut values = sound.codebooks.values.to_vec();
    values[9] = f32::NAN;
    let planted =
        CodeIndex { codebooks: Codebooks { values: values.into(), ..sound.codebooks.clone() }, ..sound.clone() };
    assert!(planted.validate()[0].problem.contains("codebook 0"));
}
