//! A code per user, a code per item: what every method of this crate leaves behind.

use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{ForUsers, Format, Provenance, UserId, UserSide, Violation, WithUsers};
use serde::Deserialize;

use super::codes::check_code_bits;
use super::index::Config;
use super::{BinaryCodes, CodesError, HammingIndex};

/// Name of the array of user codes.
const USERS: &str = "users";

/// Frozen codes of users and items with `score(u, i) = code_bits - 2 · hamming(u, i)`, the inner product of ±1 vectors.
///
/// Scorer, teacher (a black box: bits are no vectors to imitate) and index at once; items are searched by
/// [`HammingIndex`], whose docs fix the order of ties.
///
/// ```
/// use rectify_hashing::{BinaryCodes, BinaryFactors, HammingIndex, ItemFilter, Provenance, Retriever, TopK, UserId};
///
/// let users = BinaryCodes::from_signs(&[1., 1., -1.], 3)?;
/// let items = BinaryCodes::from_signs(&[1., -1., -1., 1., 1., -1.], 3)?;
/// let factors = BinaryFactors::new(users, HammingIndex::new(&items)?, Provenance::default())?;
/// let mut top = TopK::new();
/// factors.top_k(&UserId(0), 1, &ItemFilter::all(), &mut top)?;
/// assert_eq!((top.hits()[0].item.0, top.hits()[0].score), (1, 3.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type BinaryFactors = ForUsers<BinaryCodes, HammingIndex>;

/// Codes as users: each asks with the words of its own.
impl UserSide for BinaryCodes {
    type Query = [u64];

    fn n_users(&self) -> usize {
        self.len()
    }

    fn query(&self, user: UserId) -> Option<&[u64]> {
        (user.index() < self.len()).then(|| self.words_of(user.index()))
    }

    fn width(&self) -> Option<usize> {
        Some(self.code_bits())
    }

    fn size_bytes(&self) -> usize {
        size_of_val(self.as_words())
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.array(&format!("{prefix}{USERS}"), &[self.len(), self.words()], self.as_words());
    }

    fn read(artifact: &Artifact, prefix: &str, width: Option<usize>) -> Result<Self, ArtifactError> {
        let name = format!("{prefix}{USERS}");
        let code_bits = width.unwrap_or_default();
        check_code_bits(code_bits).map_err(|error| artifact.field_error(&name, error.to_string()))?;
        let per_code = code_bits.div_ceil(64);
        let (words, shape) = artifact.array(&name)?;
        match shape {
            &[_, width] if width == per_code => Ok(Self { code_bits, words }),
            _ => Err(artifact.field_error(&name, format!("array has shape {shape:?}, expected [n_users, {per_code}]"))),
        }
    }

    fn validate(&self, _: usize) -> Vec<Violation> {
        let few = u32::try_from(self.len()).map_err(|_| CodesError::TooMany { got: self.len() });
        let wrong = few.and_then(|_| self.check_tails()).err();
        wrong.map(|error| Violation { field: USERS.into(), problem: error.to_string() }).into_iter().collect()
    }
}

impl WithUsers for HammingIndex {
    const FORMAT_WITH_USERS: Format = Format { kind: "binary-factors", version: 2 };

    fn query_width(&self) -> Option<usize> {
        Some(self.code_bits())
    }

    fn upgraded(artifact: Artifact) -> Result<Artifact, ArtifactError> {
        let Version1 { code_bits, n_items, origin: Origin { model, settings } } = artifact.config()?;
        // Nothing forced the settings to be JSON then.
        let settings = match &*settings {
            "" => serde_json::Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        Ok(Provenance { model, settings, ..Provenance::default() }
            .shown_in(&artifact)
            .with_config(&Config { code_bits, n_items }))
    }
}

/// The configuration of a file of version 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Version1 {
    code_bits: usize,
    n_items: usize,
    origin: Origin,
}

/// What it had as provenance.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    model: String,
    /// JSON.
    settings: String,
}

#[cfg(test)]
mod tests {
    use rectify_core::artifact::Overwrite;
    use rectify_core::rng::Seed;
    use rectify_core::{Index, Teacher, testing};
    use serde_json::json;

    use super::*;

    fn codes(name: &str, n: usize, code_bits: usize) -> BinaryCodes {
        let mut rng = Seed(5).stream(name).rng();
        let signs: Vec<f32> = (0..n * code_bits).map(|_| rng.unit_f32() - 0.5).collect();
        BinaryCodes::from_signs(&signs, code_bits).unwrap()
    }

    fn factors(n_users: usize, n_items: usize, code_bits: usize) -> BinaryFactors {
        let items = HammingIndex::new(&codes("items", n_items, code_bits)).unwrap();
        let provenance = Provenance::new("dcf", &json!({"code_bits": code_bits}));
        BinaryFactors::new(codes("users", n_users, code_bits), items, provenance).unwrap()
    }

    #[test]
    fn binary_factors_keep_every_promise_of_a_scorer_retriever_and_index() {
        for code_bits in [7, 192] {
            let factors = factors(5, 300, code_bits);
            let users = [&UserId(0), &UserId(4)];
            testing::scorer(&factors, &users);
            testing::scorer_refuses(&factors, &UserId(5));
            testing::retriever(&factors, &users, &testing::Oracle::scorer(&factors));
            testing::retriever_refuses(&factors, &UserId(1), &UserId(5));
            testing::index(&factors, &users);
        }
    }

    #[test]
    fn bits_are_no_vectors_to_imitate() {
        assert!(factors(2, 3, 8).hidden().is_none());
    }

    #[test]
    fn codes_of_different_lengths_are_refused() {
        let items = HammingIndex::new(&codes("items", 5, 65)).unwrap();
        let error = BinaryFactors::new(codes("users", 5, 64), items, Provenance::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "queries of users have 64 components, the index takes 65; both must have one width"
        );
    }

    #[test]
    fn a_file_keeps_codes_and_provenance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factors");
        let factors = factors(5, 70, 70);
        factors.save(&path, Overwrite::Refuse).unwrap();
        let opened = BinaryFactors::open(&path).unwrap();
        assert_eq!((opened.users(), opened.provenance()), (factors.users(), factors.provenance()));
        assert_eq!(opened.index().codes(), codes("items", 70, 70));
    }

    #[test]
    fn a_file_of_version_1_opens_with_its_provenance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factors");
        let opened = |settings: &str| {
            let mut writer = ArtifactWriter::new("binary-factors", 1);
            let origin = json!({"model": "itq", "settings": settings});
            writer.config(&json!({"code_bits": 4, "n_items": 3, "origin": origin}));
            // Codes of 4 bits lie in lanes of 8: the first word of the chunk holds items 0 to 7.
            writer.array("users", &[2, 1], &[0b1011u64, 0b0000]);
            writer.array("codes", &[1, 8], &[0x0f_03_0bu64, 0, 0, 0, 0, 0, 0, 0]);
            writer.save(&path, Overwrite::Replace).unwrap();
            BinaryFactors::open(&path).unwrap()
        };
        let factors = opened(r#"{"centre":"both","rotation_rounds":5}"#);
        let provenance = Provenance::new("itq", &json!({"centre": "both", "rotation_rounds": 5}));
        assert_eq!(factors.provenance(), &provenance);
        assert_eq!(factors.users().as_words(), [0b1011, 0b0000]);
        assert_eq!(factors.index().codes().as_words(), [0b1011, 0b0011, 0b1111]);
        assert!(factors.validate().is_empty());
        // Written again it is of version 2, with the same content.
        factors.save(&path, Overwrite::Replace).unwrap();
        assert_eq!(Artifact::open_any(&path).unwrap().version(), 2);
        let again = BinaryFactors::open(&path).unwrap();
        assert_eq!((again.users(), again.provenance()), (factors.users(), &provenance));
        assert_eq!(again.index().codes(), factors.index().codes());

        assert_eq!(opened("").provenance(), &Provenance { model: "itq".into(), ..Provenance::default() });
        assert_eq!(opened("by hand").provenance(), &Provenance::new("itq", &"by hand"));
    }

    #[test]
    fn a_file_whose_users_have_another_shape_or_stray_bits_is_refused_by_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("factors");
        let factors = factors(2, 9, 70);
        let refused = |shape: &[usize], words: &[u64]| {
            let Format { kind, version } = BinaryFactors::format();
            let mut writer = ArtifactWriter::new(kind, version);
            Provenance::default().write(&mut writer);
            writer.array("users", shape, words);
            factors.index().write(&mut writer, "");
            writer.save(&path, Overwrite::Replace).unwrap();
            BinaryFactors::open(&path).unwrap_err().to_string()
        };
        assert!(refused(&[3, 1], &[0; 3]).contains("users: array has shape [3, 1], expected [n_users, 2]"));
        let error = refused(&[1, 2], &[0, 1 << 6]);
        assert!(error.contains("users: code 0 has bits set beyond its 70 bits"), "{error}");
    }
}
