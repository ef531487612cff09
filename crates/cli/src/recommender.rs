//! `recommend`, `similar`, `inspect`: a file is asked.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Result, anyhow};
use rectify::{RecommendError, Recommendation, Recommender};
use rectify_args::{InspectArgs, RecommendArgs, SimilarArgs};
use rectify_core::Fault;
use rectify_core::artifact::write_atomically;
use rectify_lab::refusal;
use serde_json::json;

use crate::output::overwrite;

/// People whose lists are made at once, so that memory does not grow with their number.
const BATCH: usize = 4_096;

/// An error of the facade with the exit code of its cause.
pub(crate) fn refused(error: RecommendError) -> anyhow::Error {
    match error.fault() {
        Some(Fault::Usage) => refusal::usage(error),
        Some(Fault::Input) => refusal::input(error),
        Some(Fault::Output) => refusal::output(error),
        None => anyhow!(error),
    }
}

fn open(path: &Path) -> Result<Recommender> {
    Recommender::open(path).map_err(refused)
}

/// How lists are written.
#[derive(Clone, Copy)]
enum Form {
    /// For people.
    Table,
    /// `user,rank,item,score`.
    Csv,
    /// An object a person.
    JsonLines,
}

/// Carries out `recommend`.
pub(crate) fn recommend(args: &RecommendArgs) -> Result<()> {
    let form = match (&args.out, args.json) {
        (_, true) => Form::JsonLines,
        (None, false) => Form::Table,
        (Some(path), false) => match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Form::Csv,
            Some("jsonl" | "ndjson") => Form::JsonLines,
            _ => {
                let expected = "the ending names no form of lists, expected .csv, .jsonl or .ndjson";
                return Err(refusal::usage(format!("--out {}: {expected}", path.display())));
            }
        },
    };
    if args.users.is_empty() && args.liked.is_empty() && !args.all {
        return Err(refusal::usage("say for whom: --user ID, --liked ID (an item somebody new liked), or --all"));
    }
    let model = open(&args.model)?;
    let mut filter = model.filter();
    for name in &args.category {
        filter = filter.category(name).map_err(refused)?;
    }
    filter = filter.deny(&args.deny).map_err(refused)?;
    if args.include_seen {
        filter = filter.include_seen();
    }
    let k = args.k as usize;
    let everybody = || (0..model.n_users() as u32).filter_map(|user| model.people().ids().name(user)).collect();
    let users: Vec<String> = if args.all { everybody() } else { args.users.clone() };
    if args.all && users.is_empty() {
        return Err(refused(RecommendError::NoUsers));
    }
    // Asked before anything is written: a user who is unknown leaves no half of a file.
    for user in &users {
        if model.people().ids().find(user).is_none() {
            return Err(refused(if model.n_users() == 0 {
                RecommendError::NoUsers
            } else {
                RecommendError::UnknownUser(user.clone())
            }));
        }
    }
    let newcomer = if args.liked.is_empty() {
        None
    } else {
        Some(model.recommend_for_with(&args.liked, k, &filter).map_err(refused)?)
    };
    write(args.out.as_deref(), args.force, |out| {
        if matches!(form, Form::Csv) {
            writeln!(out, "user,rank,item,score")?;
        }
        if let Some(list) = &newcomer {
            write_list(out, form, None, list)?;
        }
        for part in users.chunks(BATCH) {
            let lists = model.recommend_batch(part, k, &filter).map_err(io::Error::other)?;
            for (user, list) in part.iter().zip(&lists) {
                write_list(out, form, Some(user), list)?;
            }
        }
        Ok(())
    })?;
    if let Some(path) = &args.out {
        let n = users.len().max(args.liked.len().min(1));
        println!("{n} lists of up to {k} items: {}", path.display());
    }
    Ok(())
}

/// Carries out `similar`.
pub(crate) fn similar(args: &SimilarArgs) -> Result<()> {
    let list = open(&args.model)?.similar(&args.item, args.k as usize).map_err(refused)?;
    let form = if args.json { Form::JsonLines } else { Form::Table };
    write(None, false, |out| write_list(out, form, None, &list))
}

/// Carries out `inspect`.
pub(crate) fn inspect(args: &InspectArgs) -> Result<()> {
    let model = open(&args.model)?;
    let bytes = std::fs::metadata(&args.model)?.len();
    let provenance = model.provenance();
    let item_bytes = model.model().item_bytes();
    write(None, false, |out| {
        if args.json {
            let told = json!({
                "kind": model.kind().name,
                "paper": model.kind().paper,
                "n_items": model.n_items(),
                "n_users": model.n_users(),
                "bytes": bytes,
                "item_bytes": item_bytes,
                "provenance": provenance,
                "remarks": model.remarks(),
            });
            return writeln!(out, "{told}");
        }
        writeln!(out, "kind      {} ({})", model.kind().name, model.kind().paper)?;
        writeln!(out, "items     {}", model.n_items())?;
        writeln!(out, "people    {}", model.n_users())?;
        writeln!(out, "file      {bytes} bytes, every one checked")?;
        if let Some(item_bytes) = item_bytes {
            let each = item_bytes as f64 / model.n_items().max(1) as f64;
            writeln!(out, "items     {item_bytes} bytes, {each:.1} each")?;
        }
        writeln!(out, "settings  {}", provenance.settings)?;
        if let Some(teacher) = &provenance.teacher {
            writeln!(out, "teacher   {} {}", teacher.model, teacher.settings)?;
        }
        if let Some(data) = &provenance.data {
            let counts = format!("{} users, {} items, {} pairs", data.n_users, data.n_items, data.n_interactions);
            writeln!(out, "data      {}: {counts}, BLAKE3 {}", data.name, data.blake3)?;
        }
        for value in &provenance.measured {
            let interval = value.ci95.map_or(String::new(), |[low, high]| format!(" [{low:.4}, {high:.4}]"));
            writeln!(out, "measured  {} ({}): {:.4}{interval}", value.metric, value.part, value.value)?;
        }
        for remark in model.remarks() {
            writeln!(out, "remark    {remark}")?;
        }
        Ok(())
    })
}

/// To a file, whole or not at all, or to standard output, whose reader may have had enough.
fn write(out: Option<&Path>, force: bool, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    match out {
        Some(path) => Ok(write_atomically(path, overwrite(force), content)?),
        None => {
            let mut out = io::BufWriter::new(io::stdout().lock());
            let written = content(&mut out).and_then(|()| out.flush());
            match written {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !io::stdout().is_terminal() => {
                    // What is left in the buffer has no reader either.
                    let _ = out.into_parts();
                    Ok(())
                }
                other => Ok(other?),
            }
        }
    }
}

fn write_list(out: &mut dyn Write, form: Form, user: Option<&str>, list: &[Recommendation]) -> io::Result<()> {
    match form {
        Form::Table => {
            if let Some(user) = user {
                writeln!(out, "{user}")?;
            }
            list.iter()
                .zip(1..)
                .try_for_each(|(one, rank)| writeln!(out, "{rank:>4}  {:<24} {:.4}", one.item, one.score))
        }
        Form::Csv => list.iter().zip(1..).try_for_each(|(one, rank)| {
            writeln!(out, "{},{rank},{},{}", quoted(user.unwrap_or_default()), quoted(&one.item), one.score)
        }),
        Form::JsonLines => {
            let items: Vec<_> = list.iter().map(|one| json!({"item": one.item, "score": one.score})).collect();
            let told = match user {
                Some(user) => json!({"user": user, "items": items}),
                None => json!({"items": items}),
            };
            writeln!(out, "{told}")
        }
    }
}

/// A field of CSV (RFC 4180).
fn quoted(field: &str) -> std::borrow::Cow<'_, str> {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\"")).into()
    } else {
        field.into()
    }
}
