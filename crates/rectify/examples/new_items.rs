//! New items beside coding everything again: a student is made without a tenth of the items, which are then encoded and added; another is made
//! of all of them. Both serve the same people.
//!
//! `cargo run --release -p rectify --example new_items -- [DATA SET [KIND ...]]`: the teacher is iALS and knows all items.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::time::Instant;

use rectify::train::{Goal, distil, settings, train};
use rectify::{Catalogue, IdMap, People, Recommender};
use rectify_core::rng::Seed;
use rectify_core::{ItemId, ItemVectors, UserId};
use rectify_data::{DataSource, Dataset, Holdout, Interactions, Places, Ragged};
use rectify_eval::{Candidates, Metric, evaluate};
use rectify_models::Newcomers;
use rectify_models::train::system;

/// Students with their settings.
const KINDS: [(&str, &str); 5] = [
    ("rvq", r#"{"n_codebooks": 8}"#),
    ("pq", r#"{"n_codebooks": 8}"#),
    ("opq", r#"{"n_codebooks": 8}"#),
    ("light-rec", r#"{"n_codebooks": 8}"#),
    ("signs", r#"{"rotation_rounds": 50}"#),
];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "synthetic-tiny".to_owned());
    let wanted: Vec<String> = arguments.collect();
    let (data, n_old) = new_items_last(&DataSource::named(&name, &Places::usual(None))?.load()?)?;
    let n_items = data.n_items();

    // A fifth of each person's items is held out, old and new ones.
    let out = |user: UserId, item: ItemId| Seed(2).stream("held out").at(user.0, item.0.into()).below(5) == 0;
    let known = data.filter(|user, at| !out(user, data.all_items()[at]));
    let held = |first: usize| {
        let kept = |user: UserId, item: ItemId| item.index() >= first && out(user, item);
        let row = |user: UserId| data.items_of(user).iter().copied().filter(|item| kept(user, *item)).collect();
        Holdout::new(Ragged::from_rows(data.users().map(row).collect::<Vec<Vec<ItemId>>>()))
    };
    let (all_held, new_held) = (held(0), held(n_old));

    let ials = match name.as_str() {
        "gowalla" => r#"{"l2": 0.003, "unobserved_weight": 0.03}"#,
        _ => r#"{"l2": 0.01, "unobserved_weight": 0.3}"#,
    };
    let teacher =
        train(&dataset(&name, known.clone()), &Goal { max_epochs: 15, ..Goal::of("ials", &settings(ials)?) })?;
    let factors = teacher.model().factors().ok_or("iALS has vectors")?;
    let dim = factors.index().dim();
    let mut vectors = vec![0.0; n_items * dim];
    for (item, row) in (0..).map(ItemId).zip(vectors.chunks_exact_mut(dim)) {
        factors.index().item_vector_into(item, row)?;
    }
    let users = match teacher.model().users() {
        Some(rectify_models::Users::Vectors(users)) => users.to_vec(),
        _ => return Err("iALS has vectors of users".into()),
    };
    let made_of = |n: usize| -> Outcome<(Recommender, Dataset)> {
        let train = cut(&known, n)?;
        let people = People::new(IdMap::numbered(train.n_users()), train.users().map(|user| train.items_of(user)))?;
        let items = Catalogue::of(IdMap::numbered(n));
        let teacher = Recommender::from_vectors(items, vectors[..n * dim].to_vec(), people, users.clone(), dim)?;
        Ok((teacher, dataset(&name, train)))
    };
    let (whole, old) = (made_of(n_items)?, made_of(n_old)?);

    let recall: Metric = "recall@20".parse()?;
    let measure = |model: &Recommender, held: &Holdout| -> Outcome<f64> {
        let asked = system(model.model().answers(), &[recall], Candidates::Unseen);
        Ok(evaluate(asked, &known, held, &[recall], Candidates::Unseen)?.value(recall).unwrap_or(0.0))
    };
    println!("{name}: {n_old} items coded, {} new ones; iALS {:.4}", n_items - n_old, measure(&whole.0, &all_held)?);
    println!(
        "{:<10} {:>10} {:>10} {:>8} {:>16} {:>10} {:>8} {:>10}",
        "kind", "all again", "encoded", "share", "new: all again", "encoded", "share", "µs an item"
    );
    for (kind, codes) in KINDS.iter().filter(|(kind, _)| wanted.is_empty() || wanted.iter().any(|name| name == kind)) {
        let goal = Goal { max_epochs: 15, ..Goal::default() };
        let again = distil(&whole.0, &whole.1, kind, &settings(codes)?, &goal)?;
        let few = distil(&old.0, &old.1, kind, &settings(codes)?, &goal)?;
        let ids: Vec<String> = (n_old..n_items).map(|item| item.to_string()).collect();
        let begun = Instant::now();
        let encoded = few.with_items(&ids, &vectors[n_old * dim..])?;
        let us = begun.elapsed().as_secs_f64() * 1e6 / ids.len() as f64;
        if !matches!(encoded.model().newcomers(), Newcomers::ByVector(_)) {
            return Err("items with vectors stay items with vectors".into());
        }
        let [one, two] = [measure(&again, &all_held)?, measure(&encoded, &all_held)?];
        let [new_one, new_two] = [measure(&again, &new_held)?, measure(&encoded, &new_held)?];
        println!(
            "{kind:<10} {one:>10.4} {two:>10.4} {:>7.1}% {new_one:>16.4} {new_two:>10.4} {:>7.1}% {us:>10.1}",
            100.0 * two / one,
            100.0 * new_two / new_one
        );
    }
    Ok(())
}

/// The same pairs with a tenth of the items, drawn by lot, at the end; and how many stand before them.
fn new_items_last(data: &Dataset) -> Outcome<(Interactions, usize)> {
    let data = &data.interactions;
    let is_new = |item: &u32| Seed(1).stream("items").at(0, u64::from(*item)).below(10) == 0;
    let (new, old): (Vec<u32>, Vec<u32>) = (0..data.n_items() as u32).partition(is_new);
    let mut place = vec![0; data.n_items()];
    (0..).zip(old.iter().chain(&new)).for_each(|(at, item)| place[*item as usize] = at);
    let pairs: Vec<(u32, u32)> = data
        .users()
        .flat_map(|user| data.items_of(user).iter().map(move |item| (user.0, *item)))
        .map(|(user, item)| (user, place[item.index()]))
        .collect();
    Ok((Interactions::from_pairs(data.n_users(), data.n_items(), &pairs)?, old.len()))
}

/// The pairs whose item is one of the first `n`.
fn cut(data: &Interactions, n: usize) -> Outcome<Interactions> {
    let pairs: Vec<(u32, u32)> = data
        .users()
        .flat_map(|user| data.items_of(user).iter().map(move |item| (user.0, item.0)))
        .filter(|(_, item)| (*item as usize) < n)
        .collect();
    Ok(Interactions::from_pairs(data.n_users(), n, &pairs)?)
}

/// Numbers as ids.
fn dataset(name: &str, interactions: Interactions) -> Dataset {
    Dataset {
        name: name.to_owned(),
        ids: rectify_data::IdMaps {
            users: IdMap::numbered(interactions.n_users()),
            items: IdMap::numbered(interactions.n_items()),
        },
        interactions,
        categories: None,
        text: None,
        fixed: None,
        provenance: rectify_data::Provenance::default(),
    }
}
