//! Which items a student learns from: the teacher's best unseen items, and draws from them.

mod law;
mod lists;
mod ranking;

pub use law::RankLaw;
pub use lists::{DrawnLists, ListSampler, ListSamplerConfig, Pool};
pub use ranking::Rankings;
