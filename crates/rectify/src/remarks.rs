//! What somebody who serves a recommender should know.

use rectify_models::Newcomers;

use crate::Recommender;

impl Recommender {
    /// What is odd about it, in sentences with a remedy each; mostly none.
    ///
    /// Today: items that take more bytes than the vectors they stand for, as those of large codebooks do in a small catalogue.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let (Some(bytes), Newcomers::ByVector(items)) = (self.model.item_bytes(), self.model.newcomers()) {
            let dim = items.items().dim();
            let vectors = self.n_items() * dim * size_of::<f32>();
            if bytes > vectors && self.n_items() > 0 {
                remarks.push(format!(
                    "the {} items of this {} take {bytes} bytes, {dim}-dimensional vectors would take {vectors}: choose fewer codewords, or \
                     keep the vectors",
                    self.n_items(),
                    self.kind.name
                ));
            }
        }
        remarks
    }
}
