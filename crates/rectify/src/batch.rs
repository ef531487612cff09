//! Lists for many people at once.

use rayon::prelude::*;
use rectify_core::TopK;

use crate::{Filter, RecommendError, Recommendation, Recommender};

impl Recommender {
    /// The list of each of these people, in their order: what [`recommend_with`](Self::recommend_with) gives, whatever the number of threads.
    ///
    /// # Errors
    /// The first user whom it does not know.
    pub fn recommend_batch<S: AsRef<str> + Sync>(
        &self,
        users: &[S],
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Vec<Vec<Recommendation>>, RecommendError> {
        let list = |top: &mut TopK, user: &S| {
            let user = self.people.user(user.as_ref())?;
            self.top_k(user, k, &filter.of(self.people.seen(user))?, top)?;
            Ok(self.named(top))
        };
        let lists: Vec<Result<_, RecommendError>> = users.par_iter().map_init(TopK::new, list).collect();
        lists.into_iter().collect()
    }
}
