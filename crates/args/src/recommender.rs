//! Verbs that make one file with a recommender, and that ask it.

use std::path::PathBuf;

use clap::Args;

use crate::{EXIT_CODES, ReadArgs};

/// Where a recommender is written to.
#[derive(Args, Clone, Debug)]
pub struct OutArgs {
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
    /// Write a file that holds nobody's data: no ids of people, nothing they have
    #[arg(long)]
    pub without_users: bool,
}

/// Trains a recommender on a file of interactions, chosen on held-out items, and writes it to one file.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct TrainArgs {
    /// A file of interactions (csv, tsv, jsonl, parquet, inter; .gz and .zst, too), or a data set by name
    #[arg(value_name = "INPUT")]
    pub input: String,
    /// How to read it
    #[command(flatten)]
    pub read: ReadArgs,
    /// Train this kind alone; by default PopRank, Item-CF, EASE and iALS compete
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Settings of the kind as JSON, for instance '{"embedding_dim": 32}'
    #[arg(long, value_name = "JSON", requires = "kind", default_value = "{}")]
    pub settings: String,
    /// What is chosen by, among items that a person does not have
    #[arg(long, value_name = "METRIC", default_value = "ndcg@20")]
    pub metric: String,
    /// Epochs at most, of kinds that learn by them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_epochs: u32,
    /// Seed of every draw
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Where to
    #[command(flatten)]
    pub to: OutArgs,
}

/// Distils a recommender into a small one: codes, bits, a cascade.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct DistilArgs {
    /// The recommender, with its people: what they have is what the small one learns from
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// Kind of the small one
    #[arg(long = "to", value_name = "KIND", required_unless_present = "max_bytes_per_item")]
    pub kind: Option<String>,
    /// Bytes an item at most, codebooks shared out over items; without --to the better of `rvq` and `opq` is taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_bytes_per_item: Option<u32>,
    /// Settings of the kind as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub settings: String,
    /// Seed of every draw
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Where to
    #[command(flatten)]
    pub to: OutArgs,
}

/// Lists items for people: known ones by their ids, new ones by what they liked.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct RecommendArgs {
    /// The recommender
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// Somebody known; may be given again
    #[arg(long = "user", value_name = "ID")]
    pub users: Vec<String>,
    /// Everybody known
    #[arg(long, conflicts_with = "users")]
    pub all: bool,
    /// Somebody new, by an item that they liked, newest first; may be given again
    #[arg(long, value_name = "ID", conflicts_with_all = ["users", "all"])]
    pub liked: Vec<String>,
    /// Length of a list
    #[arg(short, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// Items that a person has already, too
    #[arg(long)]
    pub include_seen: bool,
    /// Only items of this category; of several: items that are in all of them
    #[arg(long, value_name = "NAME")]
    pub category: Vec<String>,
    /// Never this item; may be given again
    #[arg(long, value_name = "ID")]
    pub deny: Vec<String>,
    /// Write lists to a file, .csv or .jsonl, in place of the terminal
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
}

/// Lists the items that are most like one.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct SimilarArgs {
    /// The recommender
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// The item
    #[arg(value_name = "ID")]
    pub item: String,
    /// Length of the list
    #[arg(short, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub k: u32,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
}

/// Says what a recommender is, where it comes from and what was measured of it, after checking every byte.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct InspectArgs {
    /// The recommender
    #[arg(value_name = "FILE")]
    pub model: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
