//! A vector a user, codes an item: what learned codes are served as.

use rectify_core::artifact::{Artifact, ArtifactError};
use rectify_core::{ForUsers, Format, Provenance, UserVectors, WithUsers};
use serde::Deserialize;

use super::index::CodesConfig;
use crate::{CodeIndex, InvertedIndex};

/// User vectors with items as codes: `score(u, i) = p_u · y_i` with `y_i` what the codes of i stand for.
///
/// The query is a user; ask [`index`](ForUsers::index) with any other vector. Scores, search and memory are those of
/// [`CodeIndex`], with 4 bytes a dimension of each user added.
///
/// - **Shapes**: users `[n_users, embedding_dim]`, row-major.
///
/// ```
/// use rectify_quantize::{
///     CodeIndex, CodeShape, CodedFactors, Composition, ItemFilter, Provenance, Retriever, TopK, UserId, UserVectors,
/// };
///
/// let shape = CodeShape { embedding_dim: 2, n_codebooks: 1, n_codewords: 2, composition: Composition::Sum };
/// let items = CodeIndex::from_codes(shape, &[1., 0., 0., 1.], &[0, 1])?;
/// let model = CodedFactors::new(UserVectors::new(vec![2., -1., -1., 3.], 2)?, items, Provenance::default())?;
/// let mut top = TopK::new();
/// model.top_k(&UserId(1), 1, &ItemFilter::all(), &mut top)?;
/// assert_eq!((top.hits()[0].item.0, top.hits()[0].score), (1, 3.));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type CodedFactors = ForUsers<UserVectors, CodeIndex>;

/// [`CodedFactors`] whose items stand in inverted lists, of which a query visits some: searched by [`InvertedIndex`], with the same scores.
///
/// ```
/// use rectify_quantize::{
///     CodeIndex, CodeShape, CodedFactors, Composition, InvertedFactors, InvertedIndex, ItemFilter, Provenance, Retriever,
///     TopK, UserId, UserVectors,
/// };
///
/// let shape = CodeShape { embedding_dim: 2, n_codebooks: 1, n_codewords: 2, composition: Composition::Sum };
/// let items = CodeIndex::from_codes(shape, &[1., 0., 0., 1.], &[0, 1])?;
/// let model = CodedFactors::new(UserVectors::new(vec![2., -1., -1., 3.], 2)?, items, Provenance::default())?;
///
/// // The same users before the same items, in inverted lists of which a query visits one.
/// let (users, items, provenance) = model.into_parts();
/// let model = InvertedFactors::new(users, InvertedIndex::new(&items, 1)?, provenance)?;
/// let mut top = TopK::new();
/// model.top_k(&UserId(1), 1, &ItemFilter::all(), &mut top)?;
/// assert_eq!((top.hits()[0].item.0, top.hits()[0].score), (1, 3.));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type InvertedFactors = ForUsers<UserVectors, InvertedIndex>;

impl WithUsers for CodeIndex {
    const FORMAT_WITH_USERS: Format = Format { kind: "coded-factors", version: 2 };

    fn query_width(&self) -> Option<usize> {
        Some(self.shape().embedding_dim)
    }

    fn upgraded(artifact: Artifact) -> Result<Artifact, ArtifactError> {
        let Version1 { items } = artifact.config()?;
        // It did not say where it came from.
        Ok(Provenance::default().shown_in(&artifact).with_config(&items))
    }
}

/// The configuration of a file of version 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Version1 {
    items: CodesConfig,
}

impl WithUsers for InvertedIndex {
    const FORMAT_WITH_USERS: Format = Format { kind: "inverted-coded-factors", version: 1 };

    fn query_width(&self) -> Option<usize> {
        Some(self.n_components())
    }
}
