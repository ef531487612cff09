//! From a CSV to a file of lists with one's own ids: BPR, then LightRec's codes, with what was lost. Without a path, on data that are made up.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::io::Write;

use rectify::train::{Goal, distil, read, settings, train};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = read(&std::env::args().nth(1).unwrap_or_else(|| "synthetic-tiny".to_owned()))?;
    let teacher = train(&data, &Goal::of("mf-bpr", &settings(r#"{"embedding_dim": 32}"#)?))?;
    let codes = settings(r#"{"n_codebooks": 8, "n_codewords": 16}"#)?;
    let small = distil(&teacher, &data, "light-rec", &codes, &Goal::default())?;
    for value in &small.provenance().measured {
        println!("{} ({}): {:.4}, 95 % {:.4?}", value.metric, value.part, value.value, value.ci95);
    }
    let users: Vec<String> = (0..small.n_users() as u32).filter_map(|user| small.people().ids().name(user)).collect();
    let mut out = std::fs::File::create(std::env::temp_dir().join("lists.csv"))?;
    for (user, list) in users.iter().zip(small.recommend_batch(&users, 20, &small.filter())?) {
        let items: Vec<&str> = list.iter().map(|one| one.item.as_str()).collect();
        writeln!(out, "{user},{}", items.join(","))?;
    }
    Ok(())
}
