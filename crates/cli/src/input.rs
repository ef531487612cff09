//! From flags to how a file is read.

use rectify_args::ReadArgs;
use rectify_data::{Cleaning, FileOptions, ReadOptions};

/// What the flags ask for.
pub(crate) fn options(args: &ReadArgs) -> FileOptions {
    FileOptions {
        format: args.format.clone(),
        read: ReadOptions {
            user_column: args.user_column.clone(),
            item_column: args.item_column.clone(),
            rating_column: args.rating_column.clone(),
            time_column: args.time_column.clone(),
            ..ReadOptions::default()
        },
        // Cleaning keeps what is above a threshold: the largest number below this one.
        cleaning: Cleaning { rating_above: args.rating_at_least.map(f32::next_down), ..Cleaning::default() },
    }
}
