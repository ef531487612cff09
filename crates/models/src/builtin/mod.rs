//! The kinds of rectify, by family. What they learn by is in [`learn`]; what is here opens and serves.

#[cfg(feature = "hashing")]
mod bits;
#[cfg(feature = "cascade")]
mod cascades;
#[cfg(feature = "quantize")]
mod codes;
mod distilled;
#[cfg(feature = "train")]
mod learn;
mod teachers;
mod towers;
#[cfg(feature = "forest")]
mod trees;

use crate::Kind;

/// Gives a kind its settings and its training, in builds that train.
macro_rules! learning {
    ($kind:expr, $resolve:expr, $fit:expr) => {{
        #[cfg(feature = "train")]
        let kind = $kind.learning($resolve, $fit);
        #[cfg(not(feature = "train"))]
        let kind = $kind;
        kind
    }};
    ($kind:expr, $resolve:expr, $fit:expr, on device $fit_on:expr) => {{
        let kind = learning!($kind, $resolve, $fit);
        #[cfg(feature = "cuda")]
        let kind = kind.learning_on($fit_on);
        kind.on_device()
    }};
}
use learning;

/// All of them.
pub(crate) fn kinds() -> Vec<Kind> {
    [
        teachers::kinds(),
        towers::kinds(),
        distilled::kinds(),
        #[cfg(feature = "quantize")]
        codes::kinds(),
        #[cfg(feature = "hashing")]
        bits::kinds(),
        #[cfg(feature = "forest")]
        trees::kinds(),
        #[cfg(feature = "cascade")]
        cascades::kinds(),
    ]
    .concat()
}

/// The feature that a kind of rectify is behind, in a build that lacks it.
pub(crate) fn missing_feature(kind: &str) -> Option<&'static str> {
    feature_of(kind).filter(|feature| match *feature {
        "quantize" => !cfg!(feature = "quantize"),
        "hashing" => !cfg!(feature = "hashing"),
        "forest" => !cfg!(feature = "forest"),
        _ => !cfg!(feature = "cascade"),
    })
}

/// Nothing for kinds that are always there.
fn feature_of(kind: &str) -> Option<&'static str> {
    match kind {
        "light-rec" | "rvq" | "pq" | "opq" => Some("quantize"),
        "signs" | "dgcn-bincf" | "dcf" | "dcmf" | "bccf" | "pph" => Some("hashing"),
        "tdm" | "jtm" | "deforec" => Some("forest"),
        "mf-student" => Some("cascade"),
        kind => kind.starts_with("hdn").then_some("cascade"),
    }
}

#[cfg(all(test, feature = "quantize", feature = "hashing", feature = "forest", feature = "cascade"))]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_a_technique_is_behind_its_feature_and_no_other_is() {
        let behind = |kinds: Vec<Kind>, feature| {
            kinds.iter().filter(|kind| feature_of(kind.name) != feature).map(|kind| kind.name).collect::<Vec<_>>()
        };
        assert_eq!(behind(codes::kinds(), Some("quantize")), [""; 0]);
        assert_eq!(behind(bits::kinds(), Some("hashing")), [""; 0]);
        assert_eq!(behind(trees::kinds(), Some("forest")), [""; 0]);
        assert_eq!(behind(cascades::kinds(), Some("cascade")), [""; 0]);
        assert_eq!(behind([teachers::kinds(), towers::kinds(), distilled::kinds()].concat(), None), [""; 0]);
        assert!(kinds().iter().all(|kind| missing_feature(kind.name).is_none()));
    }
}
