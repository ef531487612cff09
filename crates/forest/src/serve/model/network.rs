//! A trained preference model, ready to serve.

use rectify_core::Violation;
use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};

use super::super::NetworkError;
use super::PreferenceShape;
use super::kernel::{BLOCK, LANES};

/// Places of the arrays in the list of weights; hidden layers follow, three arrays each (weight, bias, slope).
pub(crate) const HISTORY: usize = 0;
pub(crate) const PRODUCT: usize = 1;
pub(crate) const NODE: usize = 2;
pub(crate) const ATTENTION_BIAS: usize = 3;
pub(crate) const ATTENTION_SLOPE: usize = 4;
pub(crate) const OUT: usize = 5;
pub(crate) const OUT_BIAS: usize = 6;
pub(crate) const HEAD: usize = 7;
pub(crate) const HEAD_BIAS: usize = 8;
pub(crate) const FIRST_LAYER: usize = 9;

/// Names and shapes of the weights, in their order.
pub(crate) struct WeightNames;

impl WeightNames {
    pub(crate) fn of(shape: &PreferenceShape) -> Vec<(String, [usize; 2])> {
        let (e, a) = (shape.embedding_dim, shape.attention_dim);
        let mut all = vec![
            ("attention/history".to_owned(), [e, a]),
            ("attention/product".to_owned(), [e, a]),
            ("attention/node".to_owned(), [e, a]),
            ("attention/bias".to_owned(), [1, a]),
            ("attention/slope".to_owned(), [1, a]),
            ("attention/out".to_owned(), [1, a]),
            ("attention/out_bias".to_owned(), [1, 1]),
            ("head/weight".to_owned(), [1, shape.last_width()]),
            ("head/bias".to_owned(), [1, 1]),
        ];
        for (i, (n_in, n_out)) in shape.layer_sizes().into_iter().enumerate() {
            all.push((format!("layer{}/weight", i + 1), [n_in, n_out]));
            all.push((format!("layer{}/bias", i + 1), [1, n_out]));
            all.push((format!("layer{}/slope", i + 1), [1, n_out]));
        }
        all
    }
}

/// One hidden layer as the kernel reads it: outputs padded to whole vectors.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) width: usize,
    /// `[inputs, width]`.
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) slope: Vec<f32>,
}

/// A preference model for one tree, its batch norms folded into the weights; immutable.
///
/// Embeddings are one row a node, level after level ([`Layout::row`](crate::Layout::row)).
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) shape: PreferenceShape,
    pub(super) embeddings: Array<f32>,
    /// In the order of [`WeightNames`].
    weights: Vec<Array<f32>>,
    /// The attention unit in blocks of [`BLOCK`] hidden values: `[blocks, E]`.
    pub(super) history: Vec<[f32; BLOCK]>,
    pub(super) product: Vec<[f32; BLOCK]>,
    pub(super) node: Vec<[f32; BLOCK]>,
    pub(super) attention_bias: Vec<f32>,
    pub(super) attention_slope: Vec<f32>,
    pub(super) out: Vec<f32>,
    pub(super) layers: Vec<Layer>,
    pub(super) head: Vec<f32>,
}

/// `[rows, columns]` to blocks of columns, `[⌈columns / BLOCK⌉, rows]`, with zeros where columns end.
fn in_blocks(matrix: &[f32], columns: usize) -> Vec<[f32; BLOCK]> {
    let block = |b: usize| {
        matrix
            .chunks_exact(columns)
            .map(move |row| std::array::from_fn(|i| row.get(b * BLOCK + i).copied().unwrap_or(0.0)))
    };
    (0..columns.div_ceil(BLOCK)).flat_map(block).collect()
}

/// Rows of `columns` values, each padded with zeros to `width`.
fn padded(matrix: &[f32], columns: usize, width: usize) -> Vec<f32> {
    let row = |row: &[f32]| row.iter().copied().chain(std::iter::repeat_n(0.0, width - columns)).collect::<Vec<_>>();
    matrix.chunks_exact(columns).flat_map(row).collect()
}

impl Network {
    /// Wraps arrays in the order of [`WeightNames`]; embeddings are `[n_nodes, E]`.
    pub(crate) fn new(
        shape: PreferenceShape,
        embeddings: Array<f32>,
        weights: Vec<Array<f32>>,
    ) -> Result<Self, NetworkError> {
        shape.validate()?;
        let names = WeightNames::of(&shape);
        assert_eq!(names.len(), weights.len(), "one array a weight");
        for ((name, [rows, columns]), values) in names.iter().zip(&weights) {
            assert_eq!(rows * columns, values.len(), "size of {name}");
            if let Some(position) = values.iter().position(|x| !x.is_finite()) {
                return Err(NetworkError::NotFinite { array: name.clone(), position });
            }
        }
        if let Some(position) = embeddings.iter().position(|x| !x.is_finite()) {
            return Err(NetworkError::NotFinite { array: NODES.to_owned(), position });
        }
        let a = shape.attention_dim;
        let a_padded = a.next_multiple_of(BLOCK);
        let layers =
            shape.layer_sizes().into_iter().enumerate().scan(None, |before: &mut Option<usize>, (i, (_, n))| {
                let width = n.next_multiple_of(LANES);
                let [weight, bias, slope] =
                    [0, 1, 2].map(|part| padded(&weights[FIRST_LAYER + 3 * i + part], n, width));
                let mut layer = Layer { width, weight, bias, slope };
                // Its inputs are the padded outputs of the layer before.
                if let Some(before) = before {
                    layer.weight.resize(*before * width, 0.0);
                }
                *before = Some(width);
                Some(layer)
            });
        let layers: Vec<Layer> = layers.collect();
        let last = shape.last_width();
        Ok(Self {
            history: in_blocks(&weights[HISTORY], a),
            product: in_blocks(&weights[PRODUCT], a),
            node: in_blocks(&weights[NODE], a),
            attention_bias: padded(&weights[ATTENTION_BIAS], a, a_padded),
            attention_slope: padded(&weights[ATTENTION_SLOPE], a, a_padded),
            out: padded(&weights[OUT], a, a_padded),
            head: padded(&weights[HEAD], last, last.next_multiple_of(LANES)),
            layers,
            shape,
            embeddings,
            weights,
        })
    }

    /// Its sizes.
    #[must_use]
    pub const fn shape(&self) -> &PreferenceShape {
        &self.shape
    }

    /// Nodes that have an embedding.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        self.embeddings.len() / self.shape.embedding_dim
    }

    /// Embedding of a node, by its row.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    #[inline]
    pub fn embedding(&self, row: u32) -> &[f32] {
        &self.embeddings[row as usize * self.shape.embedding_dim..][..self.shape.embedding_dim]
    }

    pub(crate) fn out_bias(&self) -> f32 {
        self.weights[OUT_BIAS][0]
    }

    pub(crate) fn head_bias(&self) -> f32 {
        self.weights[HEAD_BIAS][0]
    }

    /// Embeddings of all nodes.
    #[cfg(feature = "cuda")]
    pub(crate) fn embeddings(&self) -> &[f32] {
        &self.embeddings
    }

    /// What scoring a node reads, in the order of `tree_scores.cu`.
    #[cfg(feature = "cuda")]
    pub(crate) fn weights_of_a_node(&self) -> Vec<f32> {
        let attention = [OUT, ATTENTION_SLOPE, PRODUCT, NODE].into_iter();
        let layers = FIRST_LAYER..self.weights.len();
        attention.chain(layers).chain([HEAD]).flat_map(|at| self.weights[at].iter().copied()).collect()
    }

    /// Bytes of embeddings and weights as a search reads them.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let blocks = self.history.len() + self.product.len() + self.node.len();
        let layers: usize = self.layers.iter().map(|l| l.weight.len() + l.bias.len() + l.slope.len()).sum();
        4 * (self.embeddings.len() + BLOCK * blocks + 3 * self.out.len() + layers + self.head.len() + 2)
    }

    /// Rules that a network for `n_nodes` nodes breaks.
    pub(crate) fn violations(&self, n_nodes: usize) -> Vec<Violation> {
        if self.n_nodes() == n_nodes {
            return Vec::new();
        }
        let problem = format!("embeddings of {} nodes, expected {n_nodes}", self.n_nodes());
        vec![Violation { field: NODES.into(), problem }]
    }

    pub(crate) fn write_into<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.array(&format!("{prefix}/{NODES}"), &[self.n_nodes(), self.shape.embedding_dim], &self.embeddings[..]);
        for ((name, shape), values) in WeightNames::of(&self.shape).into_iter().zip(&self.weights) {
            writer.array(&format!("{prefix}/{name}"), &shape, &values[..]);
        }
    }

    pub(crate) fn read_from(
        artifact: &Artifact,
        prefix: &str,
        shape: &PreferenceShape,
        n_nodes: usize,
    ) -> Result<Self, ArtifactError> {
        let wrong = |error: NetworkError| artifact.field_error(prefix, error.to_string());
        shape.validate().map_err(wrong)?;
        let embeddings = artifact.array_shaped(&format!("{prefix}/{NODES}"), &[n_nodes, shape.embedding_dim])?;
        let names = WeightNames::of(shape).into_iter();
        let weights = names.map(|(name, shape)| artifact.array_shaped(&format!("{prefix}/{name}"), &shape));
        Self::new(shape.clone(), embeddings, weights.collect::<Result<_, _>>()?).map_err(wrong)
    }
}

const NODES: &str = "nodes";
