//! New people beside retraining: a tenth of the users is not trained on, folded in by four fifths of their items, and measured on the rest;
//! the same people with the same items are then trained on.
//!
//! `cargo run --release -p rectify --example fold_in -- [DATA SET [KIND ...]]`

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::time::Instant;

use rectify::train::{FoldedIn, choose_fold_in};
use rectify::{Kinds, RidgeConfig};
use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, ItemId, QueryError, Retriever, TopK, UserId};
use rectify_data::{DataSource, Holdout, Interactions, Places, Ragged};
use rectify_eval::{Candidates, Metric, System, evaluate};
use rectify_models::train::{FitConfig, FitRequest, SideInformation, Silent, system};
use rectify_models::{ByHistory, Model, Newcomers, Settings};
use rectify_teachers::RidgeFoldIn;

/// Kinds, each with its teacher's.
const KINDS: [(&str, Option<&str>); 9] = [
    ("item-cf", None),
    ("ease", None),
    ("ials", None),
    ("mf-bpr", None),
    ("rvq", Some("ials")),
    ("opq", Some("ials")),
    ("signs", Some("mf-bpr")),
    ("mf-student", Some("mf-bpr")),
    ("hdn", Some("mf-bpr")),
];

/// Settings and epochs: those of docs/results/baselines, chosen on validation data there, where it has the kind.
fn settings(kind: &str, data: &str) -> (&'static str, u32) {
    match (kind, data) {
        ("item-cf", "gowalla") => (r#"{"n_neighbours": 200}"#, 1),
        ("item-cf", _) => (r#"{"n_neighbours": 20}"#, 1),
        ("ease", _) => (r#"{"l2": 1000.0}"#, 1),
        ("ials", "gowalla") => (r#"{"l2": 0.003, "unobserved_weight": 0.03}"#, 4),
        ("ials", _) => (r#"{"l2": 0.01, "unobserved_weight": 0.3}"#, 15),
        ("mf-bpr", _) => (r#"{"l2": 0.01, "row_update": "lazy"}"#, 130),
        ("rvq" | "opq", _) => (r#"{"n_codebooks": 8, "n_codewords": 256}"#, 1),
        _ => ("{}", 30),
    }
}

/// A part of the users, with what is known of them and what is held out.
struct People {
    histories: Interactions,
    held: Holdout,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "synthetic-tiny".to_owned());
    let wanted: Vec<String> = arguments.collect();
    let data = DataSource::named(&name, &Places::usual(None))?.load()?.interactions;
    let (recall, ndcg): (Metric, Metric) = ("recall@20".parse()?, "ndcg@20".parse()?);

    // One user of ten is new, another chooses the settings; the rest is trained on.
    let tenth = |user: UserId| Seed(1).stream("people").at(0, user.0.into()).below(10);
    let new = people(&data, |user| tenth(user) == 0);
    let choosing = people(&data, |user| tenth(user) == 1);
    let old = data.filter(|user, _| tenth(user) > 1);
    let with_new = data
        .filter(|user, at| tenth(user) > 1 || tenth(user) == 0 && new.histories.contains(user, data.all_items()[at]));
    println!(
        "{name}: {} people trained on, {} new ones",
        old.users().filter(|user| !old.items_of(*user).is_empty()).count(),
        new.held.users().count()
    );
    println!("{:<12} {:>12} {:>12} {:>8} {:>12}  fold-in", "kind", "trained on", "folded in", "share", "µs a person");
    for (kind, teacher) in KINDS.iter().filter(|(kind, ..)| wanted.is_empty() || wanted.iter().any(|name| name == kind))
    {
        if *kind == "ease" && data.n_items() > 12_000 {
            println!("{kind:<12} its square matrix of {} items is too large here", data.n_items());
            continue;
        }
        let train = |data: &Interactions| -> Result<Box<dyn Model>, Box<dyn Error>> {
            let taught = teacher.map(|teacher| fit(teacher, &name, data, None)).transpose()?;
            fit(kind, &name, data, taught.as_deref())
        };
        // Both sides are measured on the same people, with the same histories.
        let trained = train(&with_new)?;
        let answers = trained.answers();
        let upper = evaluate(
            system(answers, &[recall], Candidates::Unseen),
            &new.histories,
            &new.held,
            &[recall],
            Candidates::Unseen,
        )?;
        let upper = upper.value(recall).unwrap_or(0.0);
        let model = train(&old)?;
        let (value, us, how) = match model.newcomers() {
            Newcomers::ByHistory(model) => {
                let asked = Asked { model: &*model, histories: &new.histories };
                (measure(&asked, &new, recall)?, cost(&asked, &new), String::from("history"))
            }
            Newcomers::ByVector(vectors) => {
                let config = choose_fold_in(&*model, &choosing.histories, &choosing.held, ndcg)?.unwrap_or_default();
                let fold_in = RidgeFoldIn::new(vectors.items(), config)?;
                let asked = FoldedIn { model: &*vectors, fold_in: &fold_in, histories: &new.histories };
                let RidgeConfig { unobserved_weight, l2, .. } = config;
                (measure(&asked, &new, recall)?, cost(&asked, &new), format!("weight {unobserved_weight}, l2 {l2}"))
            }
            Newcomers::Unanswered => continue,
        };
        println!("{kind:<12} {upper:>12.4} {value:>12.4} {:>7.1}% {us:>12.0}  {how}", 100.0 * value / upper);
    }
    Ok(())
}

/// Four fifths of each chosen user's items as history, the rest held out.
fn people(data: &Interactions, chosen: impl Fn(UserId) -> bool) -> People {
    let out = |user: UserId, item: ItemId| Seed(2).stream("held out").at(user.0, item.0.into()).below(5) == 0;
    let histories = data.filter(|user, at| chosen(user) && !out(user, data.all_items()[at]));
    let held = |user: UserId| -> Vec<ItemId> {
        let has_history = !histories.items_of(user).is_empty();
        let items = data.items_of(user).iter().copied();
        items.filter(|item| chosen(user) && has_history && out(user, *item)).collect()
    };
    let held = Holdout::new(Ragged::from_rows(data.users().map(held)));
    People { histories, held }
}

fn fit(
    kind: &str,
    data: &str,
    train: &Interactions,
    teacher: Option<&dyn Model>,
) -> Result<Box<dyn Model>, Box<dyn Error>> {
    let kinds = Kinds::builtin();
    let kind = kinds.get(kind)?;
    let (settings, max_epochs) = settings(kind.name, data);
    let settings: Settings = serde_json::from_str(settings)?;
    let fitted = kind.fit(FitRequest {
        train,
        config: &kind.resolve(&settings)?,
        // A fixed number of epochs on both sides, so that neither is chosen by what it is measured on.
        fit: &FitConfig { max_epochs, patience: None, eval_every: 0, checkpoint: None },
        seed: Seed(1),
        teacher,
        text: None,
        side: SideInformation::default(),
        validate: &mut |_| Ok(0.0),
        observer: &mut Silent,
    })?;
    Ok(fitted.model)
}

/// Everybody asked for by history.
struct Asked<'a> {
    model: &'a dyn ByHistory,
    histories: &'a Interactions,
}

impl rectify_core::Catalogue for Asked<'_> {
    fn n_items(&self) -> usize {
        self.histories.n_items()
    }
}

impl Retriever for Asked<'_> {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.model.top_k_by_history(self.histories.items_of(*user), k, filter, out)
    }
}

fn measure(asked: &dyn Retriever<Query = UserId>, people: &People, metric: Metric) -> Result<f64, Box<dyn Error>> {
    let found = evaluate(System::Retriever(asked), &people.histories, &people.held, &[metric], Candidates::Unseen)?;
    Ok(found.value(metric).unwrap_or(0.0))
}

/// Microseconds a person, one after the other: folding in and the list of twenty.
fn cost(asked: &dyn Retriever<Query = UserId>, people: &People) -> f64 {
    let users: Vec<UserId> = people.held.users().take(200).collect();
    let (mut top, begun) = (TopK::new(), Instant::now());
    for user in &users {
        let filter = ItemFilter::seen(people.histories.items_of(*user)).unwrap_or_default();
        // What a refusal would cost is of no interest: `measure` has had none.
        let _ = asked.top_k(user, 20, &filter, &mut top);
    }
    begun.elapsed().as_secs_f64() * 1e6 / users.len() as f64
}
