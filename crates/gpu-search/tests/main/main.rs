//! Search on a device against search on the CPU: the same ids and bits, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use bitvec::vec::BitVec;
use rectify_core::rng::Seed;
use rectify_core::{ExactConfig, ExactIndex, ItemFilter, ItemId, QueryError, Retriever, TopK, testing};
use rectify_cuda::testing::{check_ptx, devices, fresh_seed};
use rectify_gpu_search::{DeviceExactIndex, SOURCES, select_top_k};

fn skip(why: &str) {
    eprintln!("{why}");
}

#[test]
fn every_kernel_file_becomes_ptx_for_hopper() {
    check_ptx(&SOURCES, skip);
}

#[test]
fn the_best_of_scores_with_ties_infinities_and_zeros_of_both_signs() {
    for gpu in devices(skip) {
        for (n_queries, n) in [(1, 1), (3, 31), (2, 32), (2, 33), (1, 255), (2, 4096), (3, 4097), (1, 9000)] {
            let seed = fresh_seed();
            let mut rng = Seed(seed).rng();
            let values = [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 2.0, f32::MAX];
            let few = rng.below(2) == 0;
            let scores: Vec<f32> = (0..n_queries * n)
                .map(|_| if few { values[rng.below(values.len() as u32) as usize] } else { rng.normal() as f32 })
                .collect();
            let mut seen: Vec<ItemId> = (0..n as u32).filter(|_| rng.below(3) == 0).map(ItemId).collect();
            if n_queries == 3 {
                // Fewer are left than wanted.
                seen = (2..n as u32).map(ItemId).collect();
            }
            let deny: BitVec<u64> = (0..n).map(|_| rng.below(4) == 0).collect();
            let some = ItemFilter::seen(&seen).unwrap().and_deny(&deny);
            let each: Vec<ItemFilter<'_>> =
                (0..n_queries).map(|q| if q % 2 == 0 { some } else { ItemFilter::all() }).collect();
            let on_device = gpu.upload(&scores).unwrap();
            for filters in [&[ItemFilter::all()][..], &[some], &each] {
                for k in [0, 1, 7, n / 2, n, n + 5] {
                    let mut got = vec![TopK::new(); n_queries];
                    select_top_k(&gpu, &on_device, n, k, filters, &mut got).unwrap();
                    for (q, got) in got.iter().enumerate() {
                        let mut want = TopK::new();
                        let filter = &filters[q.min(filters.len() - 1)];
                        rectify_core::select_top_k(&scores[q * n..][..n], k, filter, &mut want).unwrap();
                        assert_eq!(got, &want, "seed {seed}, {n} items, k {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_score_that_is_no_number_is_refused_at_its_item() {
    for gpu in devices(skip) {
        let mut scores = vec![1.0; 2 * 300];
        scores[300 + 271] = f32::NAN;
        scores[300 + 123] = f32::NAN;
        let on_device = gpu.upload(&scores).unwrap();
        let refused = select_top_k(&gpu, &on_device, 300, 5, &[ItemFilter::all()], &mut [TopK::new(), TopK::new()]);
        assert!(matches!(refused, Err(QueryError::NotFinite { position: 123, .. })), "{refused:?}");
        let refused = select_top_k(&gpu, &on_device, 299, 5, &[ItemFilter::all()], &mut [TopK::new(), TopK::new()]);
        assert!(matches!(refused, Err(QueryError::Length { .. })), "{refused:?}");
    }
}

#[test]
fn exact_search_gives_the_ids_and_bits_of_the_processor() {
    for gpu in devices(skip) {
        for (n, dim) in [(1, 1), (63, 16), (64, 17), (65, 64), (700, 33)] {
            let seed = fresh_seed();
            let mut rng = Seed(seed).rng();
            let mut rows: Vec<f32> = (0..n * dim).map(|_| rng.normal() as f32).collect();
            // Equal rows tie.
            rows.copy_within(..dim, (n - 1) * dim);
            let index = ExactIndex::build(rows, dim, &ExactConfig::default()).unwrap();
            let on_device = DeviceExactIndex::upload(&gpu, &index).unwrap();
            let queries: Vec<Vec<f32>> = (0..67).map(|_| (0..dim).map(|_| rng.normal() as f32).collect()).collect();
            let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
            let (mut got, mut want) = (vec![TopK::new(); 67], vec![TopK::new(); 67]);
            for k in [1, 20, n] {
                on_device.top_k_batch(&queries, k, &[ItemFilter::all()], &mut got).unwrap();
                index.top_k_batch(&queries, k, &[ItemFilter::all()], &mut want).unwrap();
                assert_eq!(got, want, "seed {seed}, {n} items of {dim}, k {k}");
            }
        }
    }
}

#[test]
fn a_search_on_a_device_keeps_the_promises_of_a_retriever() {
    for gpu in devices(skip) {
        let mut rng = Seed(5).rng();
        let rows: Vec<f32> = (0..40 * 6).map(|_| rng.normal() as f32).collect();
        let index = ExactIndex::build(rows, 6, &ExactConfig::default()).unwrap();
        let on_device = DeviceExactIndex::upload(&gpu, &index).unwrap();
        let queries: Vec<Vec<f32>> = (0..2).map(|_| (0..6).map(|_| rng.normal() as f32).collect()).collect();
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        testing::retriever(&on_device, &queries, &testing::Oracle::scorer(&index));
        testing::retriever_refuses(&on_device, queries[0], &[1.0; 5][..]);
    }
}

#[test]
fn a_batch_that_is_refused_late_leaves_no_answers_of_its_first_queries() {
    for gpu in devices(skip) {
        let index = ExactIndex::build(vec![1.0, 2.0, 3.0], 1, &ExactConfig::default()).unwrap();
        let on_device = DeviceExactIndex::upload(&gpu, &index).unwrap();
        // More queries than go through the kernels together, and the last one is bad.
        let (good, bad) = ([1.0], [f32::NAN]);
        let mut queries = vec![&good[..]; 300];
        queries[299] = &bad;
        let mut out = vec![TopK::new(); 300];
        let refused = on_device.top_k_batch(&queries, 2, &[ItemFilter::all()], &mut out);
        assert!(matches!(refused, Err(QueryError::NotFinite { position: 0, .. })), "{refused:?}");
        assert!(out.iter().all(|top| top.hits().is_empty()));
        assert!(on_device.top_k_batch(&queries[..299], 2, &[ItemFilter::all()], &mut out[..299]).is_ok());
        assert!(on_device.top_k_batch(&queries[..299], 2, &[], &mut out[..299]).is_err());
        assert!(out.iter().all(|top| top.hits().is_empty()));

        // Scores that are no numbers leave no lists, either.
        let scores = gpu.upload(&[1.0, 2.0, f32::NAN, 1.0]).unwrap();
        let mut out = vec![TopK::new(); 2];
        select_top_k(&gpu, &gpu.upload(&[1.0; 4]).unwrap(), 2, 1, &[ItemFilter::all()], &mut out).unwrap();
        assert!(select_top_k(&gpu, &scores, 2, 1, &[ItemFilter::all()], &mut out).is_err());
        assert!(out.iter().all(|top| top.hits().is_empty()));
    }
}
