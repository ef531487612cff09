//! Items to nodes of limited capacity.

use std::cmp::Ordering;

use super::Assignment;

/// Gives each item a node; `scores[i][n]`, `capacities[n]`, whose sum is the number of items, and each item's former node, if it is among
/// these. Items come in the order of their importance.
pub(super) fn assign(
    rule: Assignment,
    scores: &[Vec<f32>],
    capacities: &[usize],
    former: &[Option<usize>],
) -> Vec<usize> {
    debug_assert_eq!(capacities.iter().sum::<usize>(), scores.len(), "room for each item");
    match rule {
        Assignment::Greedy => greedy(scores, capacities, former),
        Assignment::Rebalance => rebalance(scores, capacities, former),
    }
}

/// The best node of those that pass: highest score, then the former one, then the first.
fn best(scores: &[f32], former: Option<usize>, passes: impl Fn(usize) -> bool) -> usize {
    let better = |a: &usize, b: &usize| {
        let by_score = scores[*a].total_cmp(&scores[*b]);
        by_score.then((Some(*a) == former).cmp(&(Some(*b) == former))).then(b.cmp(a))
    };
    (0..scores.len()).filter(|n| passes(*n)).max_by(better).expect("there is room for each item")
}

fn greedy(scores: &[Vec<f32>], capacities: &[usize], former: &[Option<usize>]) -> Vec<usize> {
    let mut room = capacities.to_vec();
    let give = |(scores, former): (&Vec<f32>, &Option<usize>)| {
        let node = best(scores, *former, |n| room[n] > 0);
        room[node] -= 1;
        node
    };
    scores.iter().zip(former).map(give).collect()
}

fn rebalance(scores: &[Vec<f32>], capacities: &[usize], former: &[Option<usize>]) -> Vec<usize> {
    let mut given: Vec<usize> =
        scores.iter().zip(former).map(|(scores, former)| best(scores, *former, |_| true)).collect();
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); capacities.len()];
    for (item, &node) in given.iter().enumerate() {
        members[node].push(item);
    }
    let mut done = vec![false; capacities.len()];
    let excess = |members: &[Vec<usize>], n: usize| members[n].len().saturating_sub(capacities[n]);
    while let Some(node) = (0..capacities.len()).max_by_key(|&n| (excess(&members, n), std::cmp::Reverse(n)))
        && excess(&members, node) > 0
    {
        done[node] = true;
        let mut list = std::mem::take(&mut members[node]);
        list.sort_by(|&a, &b| -> Ordering {
            let stays = |item: usize| former[item] == Some(node);
            stays(b).cmp(&stays(a)).then(scores[b][node].total_cmp(&scores[a][node])).then(a.cmp(&b))
        });
        for item in list.split_off(capacities[node]) {
            let next = best(&scores[item], former[item], |n| !done[n]);
            given[item] = next;
            members[next].push(item);
        }
        members[node] = list;
    }
    given
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn greedy_assignment_is_that_worked_out_by_hand() {
        let scores = [[-1.0, -2.0], [-0.5, -3.0], [-0.2, -0.3], [-2.0, -0.1]].map(|s| s.to_vec());
        let given = assign(Assignment::Greedy, &scores, &[2, 2], &[None; 4]);
        assert_eq!(given, [0, 0, 1, 1]);
        let total: f32 = given.iter().zip(&scores).map(|(node, scores)| scores[*node]).sum();
        assert!((total + 1.9).abs() < 1e-6);
    }

    #[test]
    fn an_overfull_node_keeps_its_former_items_and_then_the_best() {
        // Three items want node 0, which has room for two: the former one stays though it is the worst.
        let scores = [[-1.0, -2.0, -9.0], [-0.5, -3.0, -4.0], [-0.9, -8.0, -7.0]].map(|s| s.to_vec());
        let given = assign(Assignment::Rebalance, &scores, &[2, 1, 0], &[Some(0), None, None]);
        assert_eq!(given, [0, 0, 1]);
        // Without it the best two stay, and the other goes to the best of the rest.
        assert_eq!(assign(Assignment::Rebalance, &scores, &[2, 1, 0], &[None; 3]), [1, 0, 0]);
    }

    #[test]
    fn items_without_samples_keep_their_former_node_while_there_is_room() {
        let scores = vec![vec![0.0; 3]; 4];
        for rule in [Assignment::Greedy, Assignment::Rebalance] {
            let given = assign(rule, &scores, &[1, 1, 2], &[Some(2), Some(2), None, Some(1)]);
            assert_eq!(given, [2, 2, 0, 1], "{rule:?}");
        }
    }

    proptest! {
        #[test]
        fn every_capacity_is_met_exactly(
            capacities in prop::collection::vec(0usize..4, 1..9),
            seed in any::<u64>(),
        ) {
            let n: usize = capacities.iter().sum();
            let mut rng = rectify_core::rng::Seed(seed).rng();
            // Few values, so that many tie.
            let scores: Vec<Vec<f32>> =
                (0..n).map(|_| capacities.iter().map(|_| -(rng.below(3) as f32)).collect()).collect();
            let nodes = capacities.len() as u32;
            let former: Vec<Option<usize>> =
                (0..n).map(|_| (rng.below(2) == 0).then(|| rng.below(nodes) as usize)).collect();
            for rule in [Assignment::Greedy, Assignment::Rebalance] {
                let given = assign(rule, &scores, &capacities, &former);
                for (node, capacity) in capacities.iter().enumerate() {
                    prop_assert_eq!(given.iter().filter(|n| **n == node).count(), *capacity);
                }
            }
        }
    }
}
