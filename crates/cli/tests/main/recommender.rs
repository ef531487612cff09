//! From a shop's CSV to lists in its own ids, without editing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::common::{EXPERIMENT, Place, failure};

/// Two tastes: customers buy teas or tools, some of them twice; ids are text.
fn shop() -> String {
    let mut csv = "Customer-ID;sku;product_name;quantity;timestamp\n".to_owned();
    for customer in 0..60u32 {
        let kind = if customer.is_multiple_of(2) { "Tee" } else { "Säge" };
        for at in 0..12 {
            let product = (customer / 2 * 7 + at * 11) % 30;
            let line =
                format!("kunde-{customer};{kind}-{product};„{kind}“ {product};1;2026-03-{:02}T10:00:00Z", at + 1);
            writeln!(csv, "{line}").unwrap();
        }
    }
    csv
}

fn said(place: &Place, arguments: &[&str]) -> String {
    let output = place.rectify(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_shops_csv_becomes_lists_in_five_commands() {
    let place = Place::new(EXPERIMENT);
    std::fs::write(place.path("sales.csv"), shop()).unwrap();
    let kind = ["--kind", "ials", "--settings", r#"{"embedding_dim": 16}"#, "--max-epochs", "5"];
    let trained = said(&place, &[&["train", "sales.csv", "-o", "shop.rectify"], &kind[..]].concat());
    assert!(trained.contains("60 users, 60 items") && trained.contains("ndcg@20 (test): "), "{trained}");
    let distilled = said(&place, &["distil", "shop.rectify", "--max-bytes-per-item", "40", "-o", "small.rectify"]);
    assert!(distilled.contains("less the teacher's (test)"), "{distilled}");

    said(&place, &["recommend", "small.rectify", "--all", "-k", "5", "--out", "lists.csv"]);
    let lists = std::fs::read_to_string(place.path("lists.csv")).unwrap();
    let mut rows = lists.lines();
    assert_eq!(rows.next(), Some("user,rank,item,score"));
    let sales = shop();
    let mut bought: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in sales.lines().skip(1) {
        let mut fields = row.split(';');
        bought.entry(fields.next().unwrap()).or_default().insert(fields.next().unwrap());
    }
    let (mut n, mut own_taste) = (0, 0);
    for row in rows {
        let fields: Vec<&str> = row.split(',').collect();
        assert!(!bought[fields[0]].contains(fields[2]), "{row}: bought already");
        let customer: u32 = fields[0].trim_start_matches("kunde-").parse().unwrap();
        own_taste += usize::from(fields[2].starts_with(if customer.is_multiple_of(2) { "Tee" } else { "Säge" }));
        n += 1;
    }
    assert_eq!(n, 60 * 5);
    assert!(own_taste > 250, "{own_taste} of 300 are of the customer's own taste, by chance 120");

    let similar = said(&place, &["similar", "small.rectify", "Tee-6", "-k", "3", "--json"]);
    let similar: serde_json::Value = serde_json::from_str(&similar).unwrap();
    assert!(similar["items"][0]["item"].as_str().unwrap().starts_with("Tee-"), "{similar}");
    let told: serde_json::Value = serde_json::from_str(&said(&place, &["inspect", "small.rectify", "--json"])).unwrap();
    assert_eq!((&told["n_items"], &told["provenance"]["teacher"]["model"]), (&60.into(), &"ials".into()));
    let new = said(&place, &["recommend", "small.rectify", "--liked", "Tee-6", "--liked", "Tee-2", "-k", "4"]);
    assert_eq!(new.lines().count(), 4);
    assert!(new.lines().all(|line| !line.contains("Tee-6 ") && !line.contains("Tee-2 ")), "{new}");
}

#[test]
fn refusals_name_what_was_wrong_and_harm_nothing() {
    let place = Place::new(EXPERIMENT);
    std::fs::write(place.path("sales.csv"), shop()).unwrap();
    let train = ["train", "sales.csv", "--kind", "item-cf", "-o", "shop.rectify"];
    said(&place, &train);
    let before = std::fs::read(place.path("shop.rectify")).unwrap();
    let check = |arguments: &[&str], code: i32, parts: &[&str]| {
        let got = failure(place.rectify(arguments));
        assert_eq!(got.0, code, "{}", got.1);
        parts.iter().for_each(|part| assert!(got.1.contains(part), "{part} is missing in: {}", got.1));
    };
    check(&train, 4, &["shop.rectify"]);
    check(&["train", "sales.csv", "--kind", "ialz", "-o", "x"], 2, &["did you mean 'ials'"]);
    check(&["train", "nowhere.csv", "-o", "x"], 3, &["nowhere.csv does not exist"]);
    check(&["train", "sales.csv", "--item-column", "article", "-o", "x"], 3, &["expected one of article"]);
    check(&["distil", "shop.rectify", "--to", "rvq", "-o", "shop.rectify", "--force"], 4, &["cannot be written over"]);
    check(&["distil", "shop.rectify", "--max-bytes-per-item", "8", "-o", "x"], 2, &["item-cf has no vectors of items"]);
    check(&["recommend", "shop.rectify"], 2, &["--user ID", "--all"]);
    check(&["recommend", "shop.rectify", "--user", "nobody"], 2, &["user \"nobody\" is unknown"]);
    check(&["recommend", "shop.rectify", "--all", "--out", "lists.xls"], 2, &["lists.xls", ".csv"]);
    check(&["recommend", "sales.csv", "--all"], 3, &["sales.csv"]);
    check(&["similar", "shop.rectify", "Tee"], 2, &["item \"Tee\" is unknown"]);
    said(&place, &["train", "sales.csv", "--kind", "item-cf", "-o", "public.rectify", "--without-users"]);
    check(&["recommend", "public.rectify", "--all"], 3, &["holds no people"]);
    assert_eq!(std::fs::read(place.path("shop.rectify")).unwrap(), before);
    assert!(!place.path("x").exists());
}
