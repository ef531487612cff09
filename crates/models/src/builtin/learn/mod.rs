//! How the kinds learn: settings over the defaults of each, and one training.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a trainer of a kind takes its request, whether it needs all of it or not"
)]

#[cfg(feature = "hashing")]
pub(super) mod bits;
#[cfg(feature = "cascade")]
pub(super) mod cascades;
#[cfg(feature = "quantize")]
pub(super) mod codes;
pub(super) mod distilled;
#[cfg(feature = "graph")]
pub(super) mod graphs;
pub(super) mod networks;
pub(super) mod teachers;
#[cfg(feature = "forest")]
pub(super) mod trees;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::resolve;
use crate::{BoxError, Settings, SettingsError};

/// Settings of a model without any.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// Of a kind without settings.
pub(super) fn no_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve::<NoSettings, BoxError>(settings, |_| Ok(()))
}
