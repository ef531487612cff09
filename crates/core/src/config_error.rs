//! Settings that nothing can be made with.

use std::fmt;

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{field} is {got}, expected {expected}", Model(*.model))]
pub struct ConfigError {
    /// The model whose setting it is, if there are several whose setting it could be.
    pub model: Option<&'static str>,
    /// The setting; a field of a table in it is named `table.field`.
    pub field: &'static str,
    /// The range it must lie in, in words.
    pub expected: &'static str,
    /// The value found.
    pub got: String,
}

struct Model(Option<&'static str>);

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |model| write!(f, "{model}: "))
    }
}

impl ConfigError {
    /// Fails unless `holds`.
    ///
    /// ```
    /// use rectify_core::ConfigError;
    ///
    /// let error = ConfigError::check(false, "l2", "at least 0", -1.0).unwrap_err();
    /// assert_eq!(error.to_string(), "l2 is -1, expected at least 0");
    /// assert_eq!(error.of("ease").to_string(), "ease: l2 is -1, expected at least 0");
    /// ```
    ///
    /// # Errors
    /// The setting with its range and value.
    pub fn check(holds: bool, field: &'static str, expected: &'static str, got: impl fmt::Display) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { model: None, field, expected, got: got.to_string() }) }
    }

    /// As [`check`](Self::check), naming the model.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_of(
        holds: bool,
        model: &'static str,
        field: &'static str,
        expected: &'static str,
        got: impl fmt::Display,
    ) -> Result<(), Self> {
        Self::check(holds, field, expected, got).map_err(|error| error.of(model))
    }

    /// With the model's name before it.
    #[must_use]
    pub const fn of(mut self, model: &'static str) -> Self {
        self.model = Some(model);
        self
    }
}
