use rectify_core::rng::Seed;
use rectify_core::simd::Level;

use super::super::items::Query;
use super::super::rejection::marker;
use super::*;
use crate::{ModuleParts, REJECTED, RejectionRatios};

fn random_parts(seed: u64, [n_users, n_items, d, n_modules]: [usize; 4]) -> CascadeParts {
    let mut rng = Seed(seed).stream("cascade").rng();
    let mut draw = |n: usize, std: f64| (0..n).map(|_| (std * rng.normal()) as f32).collect::<Vec<f32>>();
    let wide = |n: usize| if n == 0 { d } else { 2 * d };
    let std = 1.0 / (d as f64).sqrt();
    CascadeParts {
        embedding_dim: d,
        users: draw(n_users * d, 1.0).into(),
        items: draw(n_items * d, 1.0).into(),
        modules: (0..n_modules)
            .map(|n| ModuleParts {
                decision: draw(wide(n), std),
                bias: draw(1, 0.1)[0],
                weight: draw(wide(n) * d, std),
            })
            .collect(),
        score: draw(wide(n_modules), std),
        score_bias: 0.25,
    }
}

/// `D_1 … D_N, y` as the equations stand, in double precision.
fn equations(parts: &CascadeParts, user: usize, item: usize) -> Vec<f64> {
    let d = parts.embedding_dim;
    let dot = |a: &[f32], b: &[f64]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum::<f64>();
    let pairs = parts.users[user * d..][..d].iter().zip(&parts.items[item * d..][..d]);
    let z: Vec<f64> = pairs.map(|(p, q)| f64::from(*p) * f64::from(*q)).collect();
    let mut x = z.clone();
    let mut values = Vec::new();
    for module in &parts.modules {
        assert_eq!(module.decision.len(), x.len());
        values.push(dot(&module.decision, &x) + f64::from(module.bias));
        let h = (0..d)
            .map(|o| x.iter().enumerate().map(|(k, x)| x * f64::from(module.weight[k * d + o])).sum::<f64>().max(0.0));
        x = z.iter().copied().chain(h).collect();
    }
    values.push(dot(&parts.score, &x) + f64::from(parts.score_bias));
    values
}

#[test]
fn values_equal_the_equations() {
    for (seed, shape) in
        [[3, 5, 1, 2], [2, 40, 7, 0], [2, 33, 16, 1], [4, 50, 32, 3], [2, 9, 50, 4]].into_iter().enumerate()
    {
        let parts = random_parts(seed as u64, shape);
        let index = CascadeIndex::new(parts.clone(), Rejection::Never).unwrap();
        for (user, item) in (0..shape[0]).flat_map(|u| (0..shape[1]).map(move |i| (u, i))) {
            let got = index.values(UserId(user as u32), ItemId(item as u32)).unwrap();
            let want = equations(&parts, user, item);
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(want) {
                assert!((f64::from(*got) - want).abs() < 2e-5 * want.abs().max(1.0), "{shape:?}: {got} {want}");
            }
        }
    }
}

#[test]
fn the_worked_example_comes_out() {
    // The paper's W are (output, input); ours are stored (input, output).
    let transposed =
        |rows: &[&[f32]]| -> Vec<f32> { (0..rows[0].len()).flat_map(|k| rows.iter().map(move |row| row[k])).collect() };
    let parts = CascadeParts {
        embedding_dim: 2,
        users: vec![1.0, 2.0].into(),
        items: vec![0.5, -1.0].into(),
        modules: vec![
            ModuleParts { decision: vec![1.0, 1.0], bias: 0.0, weight: transposed(&[&[1.0, 0.0], &[0.5, 0.5]]) },
            ModuleParts {
                decision: vec![1.0, 0.0, 1.0, 1.0],
                bias: 0.0,
                weight: transposed(&[&[1.0, 0.0, 1.0, 0.0], &[0.0, -1.0, 0.0, 1.0]]),
            },
        ],
        score: vec![1.0, -1.0, 0.5, 0.25],
        score_bias: 0.0,
    };
    let index = CascadeIndex::new(parts, Rejection::learned(2)).unwrap();
    assert_eq!(index.values(UserId(0), ItemId(0)).unwrap(), [-1.5, 1.0, 3.5]);
    let mut top = TopK::new();
    let cost = index.search(UserId(0), 1, &ItemFilter::all(), &mut top).unwrap();
    // The second module rejects it, so it fills the list.
    assert_eq!((cost.entered, cost.filled), (vec![1, 1, 0], 1));
    assert!(top.hits()[0].score <= REJECTED);
}

/// Every module for every item by [`CascadeIndex::values`], then the rule.
fn brute_force(index: &CascadeIndex, user: UserId) -> Vec<f32> {
    let Rejection::Above(thresholds) = index.rejection() else { panic!("a rule of thresholds") };
    let n_items = index.n_items() as u32;
    let score = |item| {
        let values = index.values(user, ItemId(item)).unwrap();
        let rejected = thresholds.iter().zip(&values).position(|(threshold, value)| value > threshold);
        rejected.map_or(values[thresholds.len()], |n| marker(thresholds.len(), n, values[n]))
    };
    (0..n_items).map(score).collect()
}

#[test]
fn every_level_and_both_ways_to_search_equal_brute_force() {
    for (seed, shape, thresholds) in [
        (1, [2, 1, 4, 2], vec![0.0, 0.0]),
        (2, [2, 100, 8, 1], vec![0.3]),
        (3, [2, 2500, 32, 3], vec![0.0, 0.2, -0.1]),
        (4, [2, 1100, 20, 2], vec![-0.5, f32::INFINITY]),
        (5, [2, 300, 33, 2], vec![f32::NEG_INFINITY, 0.0]),
        (6, [2, 77, 5, 0], vec![]),
    ] {
        let index = CascadeIndex::new(random_parts(seed, shape), Rejection::Above(thresholds)).unwrap();
        let mut order: Vec<ItemId> = (0..shape[1] as u32).map(ItemId).collect();
        Seed(seed).rng().shuffle(&mut order);
        for user in [UserId(0), UserId(1)] {
            let scores = brute_force(&index, user);
            let seen: Vec<ItemId> = (0..shape[1] as u32).step_by(3).map(ItemId).collect();
            for filter in [ItemFilter::all(), ItemFilter::seen(&seen).unwrap()] {
                for k in [0, 1, 20, shape[1], shape[1] + 1] {
                    let (mut want, mut got) = (TopK::new(), TopK::new());
                    rectify_core::select_top_k(&scores, k, &filter, &mut want).unwrap();
                    for level in Level::available() {
                        let query = Query { vector: index.user(user).unwrap(), k, filter: &filter };
                        got.clear();
                        let cost = index.items().best_at(level, &query, &mut got);
                        assert_eq!(got, want, "{level:?} {shape:?} {k}");
                        let filled = want.hits().iter().filter(|hit| hit.score <= REJECTED).count();
                        assert_eq!(cost.filled, filled);
                        if k > 0 {
                            let survivors = scores.iter().filter(|score| **score > REJECTED).count() as u64;
                            assert_eq!((cost.entered[0], *cost.entered.last().unwrap()), (shape[1] as u64, survivors));
                        }
                    }
                    for batch_size in [1, 7, 16, 100, usize::MAX / 2] {
                        index.batch_wise(&order, batch_size).unwrap().top_k(&user, k, &filter, &mut got).unwrap();
                        assert_eq!(got, want, "batches of {batch_size}, {shape:?} {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_cascade_that_rejects_all_or_none_still_fills_the_list() {
    let parts = random_parts(1, [1, 50, 4, 2]);
    let mut zero = parts.clone();
    for module in &mut zero.modules {
        module.decision.fill(0.0);
        module.bias = 0.0;
    }
    let mut top = TopK::new();
    let index = CascadeIndex::new(zero.clone(), Rejection::learned(2)).unwrap();
    let cost = index.search(UserId(0), 10, &ItemFilter::all(), &mut top).unwrap();
    // D = 0 is no rejection.
    assert_eq!((cost.entered.clone(), cost.filled, cost.passes), (vec![50; 3], 0, 1));
    assert_eq!(cost.rejected(), [0.0, 0.0]);

    zero.modules[0].bias = 1.0;
    let index = CascadeIndex::new(zero, Rejection::learned(2)).unwrap();
    let cost = index.search(UserId(0), 10, &ItemFilter::all(), &mut top).unwrap();
    assert_eq!((cost.entered.clone(), cost.filled, cost.passes), (vec![50, 0, 0], 10, 2));
    // All values are equal, so the ids decide.
    assert_eq!(top.items().map(|item| item.0).collect::<Vec<_>>(), (0..10).collect::<Vec<u32>>());

    // Fill: what reached the later module first, then by ascending D.
    let index = CascadeIndex::new(parts, Rejection::Above(vec![0.2, f32::NEG_INFINITY])).unwrap();
    index.search(UserId(0), 50, &ItemFilter::all(), &mut top).unwrap();
    let stage = |item: ItemId| {
        let values = index.values(UserId(0), item).unwrap();
        if values[0] > 0.2 { (1, values[0]) } else { (0, values[1]) }
    };
    let order: Vec<(u8, f32)> = top.items().map(stage).collect();
    assert_eq!(order.len(), 50);
    assert!(order.windows(2).all(|w| w[0] <= w[1]), "{order:?}");
    assert!(order.iter().any(|o| o.0 == 0) && order.iter().any(|o| o.0 == 1));
}

#[test]
fn the_cost_is_that_of_the_paper() {
    let parts = random_parts(1, [3, 3706, 32, 3]);
    let ratios = RejectionRatios::new(&[0.75, 0.875, 0.9375]).unwrap();
    let index = CascadeIndex::new(parts, Rejection::Share(ratios)).unwrap();
    let mut top = TopK::new();
    let cost = index.search(UserId(2), 20, &ItemFilter::all(), &mut top).unwrap();
    assert_eq!(cost.entered, [3706, 926, 463, 231]);
    // 32 for all; 1024 + 64 for a quarter, 2048 + 64 for an eighth and a sixteenth: 700 an item.
    assert_eq!(cost.multiply_adds, 3706 * 32 + 926 * 1088 + (463 + 231) * 2112);
    assert!((cost.multiply_adds as f64 / 3706.0 - 700.0).abs() < 1.5);
    let both = index.cost(&[UserId(0), UserId(1)], 20).unwrap();
    assert_eq!(both.entered, [7412, 1852, 926, 462]);
    let paper = |n: u64| (1.0 - n as f64 / 3706.0, 0.0);
    assert!(cost.rejected().iter().zip([926, 463, 231]).all(|(got, n)| (got - paper(n).0).abs() < 1e-12));
}

#[test]
fn a_share_is_rejected_of_what_the_filter_lets_through() {
    let index =
        CascadeIndex::new(random_parts(9, [1, 41, 6, 2]), Rejection::Share(RejectionRatios::new(&[0.5, 0.8]).unwrap()))
            .unwrap();
    let seen: Vec<ItemId> = (0..41).step_by(4).map(ItemId).collect();
    let filter = ItemFilter::seen(&seen).unwrap();
    let mut candidates: Vec<(u32, Vec<f32>)> =
        (0..41).filter(|i| i % 4 != 0).map(|i| (i, index.values(UserId(0), ItemId(i)).unwrap())).collect();
    for (stage, kept) in [(0, 15), (1, 6)] {
        candidates.sort_by(|a, b| a.1[stage].total_cmp(&b.1[stage]));
        candidates.truncate(kept);
    }
    candidates.sort_by(|a, b| b.1[2].total_cmp(&a.1[2]));
    let mut top = TopK::new();
    let cost = index.search(UserId(0), 10, &filter, &mut top).unwrap();
    assert_eq!((cost.entered, cost.filled, top.hits().len()), (vec![30, 15, 6], 4, 10));
    let survivors: Vec<u32> = top.items().take(6).map(|item| item.0).collect();
    assert_eq!(survivors, candidates.iter().map(|c| c.0).collect::<Vec<_>>());
    let error = index.score_all_into(&UserId(0), &mut [0.0; 41]).unwrap_err().to_string();
    assert!(error.contains("ask it for lists"), "{error}");
}

#[test]
fn calibrated_thresholds_reject_the_shares_asked_for() {
    let index = CascadeIndex::new(random_parts(5, [30, 400, 8, 3]), Rejection::learned(3)).unwrap();
    let users: Vec<UserId> = (0..30).map(UserId).collect();
    let ratios = RejectionRatios::new(&[0.4, 0.7, 0.95]).unwrap();
    let calibrated = index.calibrated(&ratios, &users).unwrap();
    let cost = calibrated.cost(&users, 1).unwrap();
    assert_eq!(cost.entered, [12_000, 7_200, 3_600, 600]);
    assert!(index.calibrated(&ratios, &[]).unwrap_err().to_string().contains("no users"));
    assert!(index.calibrated(&ratios, &[UserId(30)]).is_err());
    assert!(index.calibrated(&RejectionRatios::default(), &users).is_err());

    // Quality is a made-up number that grows with what is scored.
    let candidates = [[0.5, 0.75, 0.875], [0.75, 0.875, 0.9375], [0.6, 0.8, 0.9]];
    let candidates = candidates.map(|ratios| RejectionRatios::new(&ratios).unwrap());
    let plan = |limit: f64| {
        let mut cost = |index: &CascadeIndex| Ok(index.cost(&users, 1)?.multiply_adds as f64 / 12_000.0);
        let mut quality = |index: &CascadeIndex| Ok(*index.cost(&users, 1)?.entered.last().unwrap() as f64);
        index.within_budget(&candidates, &users, limit, &mut cost, &mut quality).unwrap()
    };
    let costs: Vec<f64> = plan(0.0).trials.iter().map(|trial| trial.cost).collect();
    // 8 for each item, then 80 and 144 for what goes on.
    for (cost, want) in costs.iter().zip([102.0, 55.0, 83.2, 376.0]) {
        assert!((cost - want).abs() < 0.1, "{costs:?}");
    }
    assert_eq!(plan(0.0).chosen, None);
    assert_eq!([60.0, 90.0, 110.0, 400.0].map(|limit| plan(limit).chosen), [Some(1), Some(2), Some(0), Some(3)]);
    assert_eq!(plan(110.0).lost(), Some(12_000.0 - 1_500.0));
    assert_eq!(plan(400.0).lost(), Some(0.0));
    let refused =
        index.within_budget(&candidates, &users, 1.0, &mut |_| Ok(f64::NAN), &mut |_| Ok(0.0)).unwrap_err().to_string();
    assert!(refused.contains("the cost of ratios [0.5, 0.75, 0.875] is NaN"), "{refused}");
}

#[test]
fn batch_wise_search_runs_whole_batches_and_tells_each_stage() {
    let index = CascadeIndex::new(random_parts(2, [1, 100, 4, 2]), Rejection::learned(2)).unwrap();
    let order: Vec<ItemId> = (0..100).rev().map(ItemId).collect();
    let mut top = TopK::new();
    let mut search = |batch_size: usize| {
        let mut stages = Vec::new();
        let batches = index.batch_wise(&order, batch_size).unwrap();
        let cost = batches.search(UserId(0), 5, &ItemFilter::all(), &mut top, &mut |stage| stages.push(stage)).unwrap();
        (stages, cost)
    };
    let (stages, cost) = search(100);
    use crate::Stage::{Module, Scoring, TopK as Best};
    assert_eq!((stages, cost.entered), (vec![Module(1), Module(2), Scoring, Best, Best], vec![100; 3]));
    let compact = index.search(UserId(0), 5, &ItemFilter::all(), &mut TopK::new()).unwrap();
    // One item a batch is the finest compaction.
    assert_eq!(search(1).1.entered, compact.entered);
    assert!(search(10).1.multiply_adds >= compact.multiply_adds);

    let refused = |order: &[ItemId], batch_size| index.batch_wise(order, batch_size).unwrap_err().to_string();
    assert!(refused(&order, 0).contains("batch_size is 0"));
    assert!(refused(&order[1..], 5).contains("the order has its end at position 99"));
    assert!(refused(&[&order[..], &[ItemId(3)]].concat(), 5).contains("item 3 at position 100"));
    assert!(refused(&[ItemId(100)], 5).contains("item 100 at position 0"));
}
