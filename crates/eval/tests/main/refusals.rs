//! What cannot be evaluated, and broken lists, are refused with their reason.

use super::common::{N_ITEMS, N_USERS, Table, data, metrics};
use rectify_core::{Catalogue, Exhaustive, Hit, ItemFilter, ItemId, QueryError, Retriever, TopK, UserId};
use rectify_data::{Holdout, Interactions, Ragged};
use rectify_eval::{Candidates, EvalError, System, evaluate};

/// A retriever that returns whatever it was made with.
struct Broken(Vec<u32>);

impl Catalogue for Broken {
    fn n_items(&self) -> usize {
        N_ITEMS
    }
}

impl Retriever for Broken {
    type Query = UserId;

    fn top_k(&self, _: &UserId, _: usize, _: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.assign(9, self.0.iter().map(|&item| Hit::new(ItemId(item), 1.0)));
        Ok(())
    }
}

#[test]
fn lists_that_break_the_rules_are_refused() {
    let train = Interactions::from_pairs(N_USERS, N_ITEMS, &[(0, 3)]).unwrap();
    let held = Holdout::of(&Interactions::from_pairs(N_USERS, N_ITEMS, &[(0, 1)]).unwrap());
    let run = |list: &[u32]| {
        let system = Broken(list.to_vec());
        evaluate(System::Retriever(&system), &train, &held, &metrics(&["ndcg@5"]), Candidates::Unseen)
    };
    let refused = |list: &[u32]| run(list).unwrap_err().to_string();
    assert_eq!(refused(&[1, 2, 1]), "the list for user 0 is broken: item 1 is in it twice");
    assert_eq!(refused(&[1, 40]), "the list for user 0 is broken: item 40 is beyond the catalogue");
    assert_eq!(refused(&[1, 3]), "the list for user 0 is broken: item 3 was to be kept out");
    assert_eq!(run(&[0, 1]).unwrap().counts().short_lists, 1);
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_its_reason() {
    let (train, held, _) = data();
    let table = Table::random(1);
    let retriever = Exhaustive::new(&table);
    let ndcg = metrics(&["ndcg@5"]);
    let run = |system, held: &Holdout, names: &[&str], candidates| {
        evaluate(system, &train, held, &metrics(names), candidates).unwrap_err().to_string()
    };
    let (lists, scores) = (System::Retriever(&retriever), System::Scorer(&table));
    assert_eq!(
        run(lists, &held, &["ndcg@5", "ndcg_all"], Candidates::Unseen),
        "ndcg@all needs scores of chosen items: pass the system as a scorer, not as a retriever"
    );
    assert!(run(lists, &held, &["ndcg@5"], Candidates::Sampled).starts_with("ranking among sampled candidates needs"));
    assert!(run(scores, &held, &["coverage@5"], Candidates::Sampled).starts_with("coverage@5 is a property of lists"));

    let bare = Holdout::new(Ragged::from_rows((0..N_USERS as u32).map(|user| [ItemId(user % 40)])));
    assert_eq!(
        run(scores, &bare, &["ndcg@5"], Candidates::Sampled),
        "user 0 has no sampled candidates: split with candidates, or rank among unseen items"
    );
    let nobody = Holdout::new(Ragged::empty(N_USERS));
    assert_eq!(evaluate(scores, &train, &nobody, &ndcg, Candidates::Unseen).unwrap_err(), EvalError::NoUsers);

    let other_users = Holdout::new(Ragged::empty(N_USERS + 1));
    assert!(
        run(scores, &other_users, &["ndcg@5"], Candidates::Unseen)
            .contains("expected 70 as in the training part, got 71")
    );
    let small = Interactions::from_pairs(N_USERS, 39, &[]).unwrap();
    let refused = evaluate(scores, &small, &Holdout::new(Ragged::empty(N_USERS)), &ndcg, Candidates::Unseen);
    assert!(matches!(refused, Err(EvalError::Shape { what: "items of the system", expected: 39, got: 40 })));
    for rows in [[3, 3], [4, 3], [3, 40]] {
        let truth = Ragged::from_rows((0..N_USERS).map(|_| rows.map(ItemId)));
        let refused = evaluate(scores, &train, &Holdout::new(truth), &ndcg, Candidates::Unseen);
        assert!(matches!(refused, Err(EvalError::Truth { user: UserId(0), .. })), "{refused:?}");
    }

    let mut nan = Table::random(1);
    nan.0[6 * N_ITEMS + 11] = f32::NAN;
    for candidates in [Candidates::Unseen, Candidates::All] {
        let refused = evaluate(System::Scorer(&nan), &train, &held, &ndcg, candidates);
        assert_eq!(refused, Err(EvalError::NanScore { user: UserId(6), item: ItemId(11) }));
    }
    let mut nan = Table::random(1);
    nan.0[..7 * N_ITEMS].fill(f32::NAN);
    let refused = evaluate(System::Scorer(&nan), &train, &held, &ndcg, Candidates::Sampled);
    assert!(matches!(refused, Err(EvalError::NanScore { user: UserId(1), .. })), "{refused:?}");
}
