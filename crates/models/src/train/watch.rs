//! Who watches trainings.

use rectify_tensor::train::{Observer, Silent};

/// Watches one training after the other; the events of each come to it as an [`Observer`].
pub trait Watch: Observer {
    /// The next training begins.
    fn begin(&mut self, label: &str);

    /// Something worth keeping is to be said.
    fn say(&mut self, text: &str);

    /// The training is over, with this outcome.
    fn end(&mut self, text: &str);
}

impl Watch for Silent {
    fn begin(&mut self, _: &str) {}

    fn say(&mut self, _: &str) {}

    fn end(&mut self, _: &str) {}
}
