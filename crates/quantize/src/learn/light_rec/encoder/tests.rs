//! Values worked out by hand from the equations of the paper (section 3), and gradients against differences of the surrogate that
//! straight-through selection stands for.

use rectify_core::rng::Seed;
use rectify_tensor::kernels::softmax_rows;

use super::*;

const SIMILARITIES: [Similarity; 5] = [
    Similarity::Bilinear,
    Similarity::Dot,
    Similarity::ScaledDot,
    Similarity::Euclidean,
    Similarity::RepresentationOnly,
];
const RECURRENCES: [Recurrence; 4] =
    [Recurrence::None, Recurrence::Residual, Recurrence::Projected, Recurrence::General];

struct Fixture {
    store: ParamStore,
    encoder: Encoder,
    affine: Affine,
}

impl Fixture {
    fn new(config: &LightRecConfig, dim: usize, set: impl Fn(&mut ParamStore, &Keys)) -> Self {
        let mut store = ParamStore::new(Seed(5));
        let encoder = Encoder::new(config, dim, &mut store);
        set(&mut store, &encoder.keys);
        let mut affine = Affine::default();
        affine.refresh(&encoder, &store);
        Self { store, encoder, affine }
    }

    /// Codebooks of two codewords of two dimensions.
    fn small(similarity: Similarity, codebooks: &[f32]) -> Self {
        let config =
            LightRecConfig { n_codebooks: codebooks.len() / 4, n_codewords: 2, similarity, ..LightRecConfig::paper() };
        Self::new(&config, 2, |store, keys| {
            store.dense_mut([keys.codebooks])[0].values_mut().copy_from_slice(codebooks);
        })
    }

    fn tower(&self) -> Tower<'_> {
        self.encoder.tower(&self.store, &self.affine)
    }

    fn forward(&self, items: &[f32]) -> Tile {
        let mut tile = Tile::default();
        tile.forward(&self.tower(), items, &mut Scratch::default());
        tile
    }

    /// Similarities of one x with the codewords of codebook b.
    fn similarities(&self, b: usize, x: &[f32]) -> Vec<f32> {
        let Sizes { n_codewords: w, dim: d, .. } = self.encoder.sizes;
        let weights = &self.affine.weights[b * d * w..][..d * w];
        let offset = |c: usize| self.affine.offsets.get(b * w + c).copied().unwrap_or(0.0);
        (0..w).map(|c| x.iter().enumerate().map(|(j, x)| x * weights[j * w + c]).sum::<f32>() + offset(c)).collect()
    }
}

fn soft(similarities: &[f32], temperature: f32) -> Vec<f32> {
    let mut out = vec![0.0; similarities.len()];
    softmax_rows(similarities, similarities.len(), temperature, &mut out);
    out
}

#[track_caller]
fn assert_close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert!((a - b).abs() <= tolerance, "at {i}: {a} against {b}");
    }
}

const C1: [f32; 4] = [1.0, 0.0, 0.0, 1.0];
const Q: [f32; 2] = [1.2, 0.3];

#[test]
fn two_codebooks_give_the_codes_worked_by_hand() {
    // Digest, oracle 1.
    let fixture = Fixture::small(Similarity::Dot, &[1.0, 0.0, 0.0, 1.0, 0.5, 0.5, -0.5, 0.5]);
    let tile = fixture.forward(&Q);
    assert_eq!((tile.codes(), tile.decoded()), (&[0, 0][..], &[1.5, 0.5][..]));
    assert_close(tile.seen(1), &[0.2, 0.3], 1e-6);
    assert_close(&fixture.similarities(0, tile.seen(0)), &[1.2, 0.3], 1e-6);
    assert_close(&soft(&[1.2, 0.3], 0.9), &[0.731_059, 0.268_941], 1e-6);
    let second = fixture.similarities(1, tile.seen(1));
    assert_close(&second, &[0.25, 0.05], 1e-6);
    assert_close(&soft(&second, 0.9), &[0.555_328, 0.444_672], 1e-6);
    let hint = rectify_distill::euclidean_hint(&Q, tile.decoded(), 1.0, &mut [0.0; 2], None).unwrap();
    assert!((hint - 0.13).abs() < 1e-6, "{hint}");
}

#[test]
fn a_bilinear_form_and_a_bias_of_codewords_change_the_choice() {
    // Digest, oracle 4; its term w1·x = 1.5 is the same for both codewords.
    let config = LightRecConfig { n_codebooks: 1, n_codewords: 2, ..LightRecConfig::paper() };
    let set = |store: &mut ParamStore, keys: &Keys| {
        store.dense_mut([keys.codebooks])[0].values_mut().copy_from_slice(&C1);
        let forms = keys.forms.unwrap();
        store.dense_mut([forms])[0].values_mut().copy_from_slice(&[0.0, 1.0, 1.0, 0.0]);
        if let Some(bias) = keys.bias {
            store.dense_mut([bias])[0].values_mut().copy_from_slice(&[0.1, 0.2]);
        }
    };
    let plain = Fixture::new(&config, 2, set);
    assert_close(&plain.similarities(0, &Q), &[0.3, 1.2], 1e-6);
    assert_eq!(plain.forward(&Q).codes(), [1]);

    let biased = Fixture::new(&LightRecConfig { codeword_bias: true, ..config }, 2, set);
    let similarities = biased.similarities(0, &Q);
    assert_close(&similarities, &[0.4, 1.4], 1e-6);
    assert_close(&soft(&similarities, 0.9), &[0.247_664, 0.752_336], 1e-6);
    assert_close(&soft(&[1.9, 2.9], 0.9), &[0.247_664, 0.752_336], 1e-6);
}

#[test]
fn a_larger_codebook_is_a_lower_temperature() {
    // Digest, oracle 5.
    let fixture = Fixture::small(Similarity::Dot, &C1.map(|c| 3.0 * c));
    assert_eq!(fixture.forward(&Q).codes(), [0]);
    assert_close(&soft(&fixture.similarities(0, &Q), 2.7), &[0.731_059, 0.268_941], 1e-6);
}

#[test]
fn gradients_pass_straight_through_as_worked_by_hand() {
    // Digest, oracle 6: L = v·y.
    let fixture = Fixture::small(Similarity::Dot, &C1);
    let tile = fixture.forward(&Q);
    let tower = fixture.tower();
    let (mut gradients, mut dq) = (TowerGradients::default(), [0.0; 2]);
    gradients.clear(&tower);
    tile.backward(&tower, &[1.0, 2.0], &mut gradients, Some(&mut dq), &mut Scratch::default());
    assert_close(&dq, &[-0.218_458, 0.218_458], 1e-6);
    assert_close(&gradients.codebooks, &[1.0, 2.0, 0.0, 0.0], 1e-6);
    Affine::backward(&gradients.affine, &fixture.encoder, &fixture.store, &mut gradients.codebooks, &mut [], &mut []);
    let want = [1.0 - 0.262_149, 2.0 - 0.065_537, 0.262_149, 0.065_537];
    assert_close(&gradients.codebooks, &want, 2e-6);
}

fn normals(name: &str, n: usize, scale: f64) -> Vec<f32> {
    let mut rng = Seed(7).stream(name).rng();
    (0..n).map(|_| (scale * rng.normal()) as f32).collect()
}

#[test]
fn what_is_left_is_what_was_not_decoded() {
    // Digest, oracle 2, with more rows than a register and any similarity.
    for similarity in SIMILARITIES {
        let config = LightRecConfig { n_codebooks: 5, n_codewords: 16, similarity, ..LightRecConfig::paper() };
        let fixture = Fixture::new(&config, 19, |store, keys| {
            let values = normals("codebooks", 5 * 16 * 19, 0.5);
            store.dense_mut([keys.codebooks])[0].values_mut().copy_from_slice(&values);
        });
        let q = normals("q", 37 * 19, 1.0);
        let tile = fixture.forward(&q);
        for (i, q) in q.iter().enumerate() {
            let last = tile.codes()[4 * 37 + i / 19] as usize;
            let chosen = fixture.store.dense(fixture.encoder.keys.codebooks).values()[(4 * 16 + last) * 19 + i % 19];
            assert!((tile.seen(4)[i] - chosen - (q - tile.decoded()[i])).abs() < 1e-5, "{similarity:?} {i}");
        }
    }
}

#[test]
fn a_codeword_an_item_gives_every_item_its_own() {
    // Digest, oracle 17: B = 1, W = N, C = Q, Euclidean.
    let q = normals("own", 64 * 6, 1.0);
    let config = LightRecConfig {
        n_codebooks: 1,
        n_codewords: 64,
        similarity: Similarity::Euclidean,
        ..LightRecConfig::paper()
    };
    let fixture = Fixture::new(&config, 6, |store, keys| {
        store.dense_mut([keys.codebooks])[0].values_mut().copy_from_slice(&q);
    });
    let own: Vec<u8> = (0..64).collect();
    assert_eq!(fixture.encoder.encode(&fixture.store, &q), own);
    assert_eq!(fixture.forward(&q).decoded(), q);
}

#[test]
fn codes_do_not_depend_on_the_number_of_threads() {
    let config = LightRecConfig { n_codebooks: 3, n_codewords: 32, ..LightRecConfig::paper() };
    let fixture = Fixture::new(&config, 8, |_, _| {});
    let q = normals("many", 1000 * 8, 1.0);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fixture.encoder.encode(&fixture.store, &q))
    };
    assert_eq!(run(1), run(2));
    assert!(run(1).iter().any(|code| *code != 0));
}

/// The encoder in double precision as it is defined, one item at a time, with parameters as flat lists.
struct Plain {
    sizes: Sizes,
    similarity: Similarity,
    recurrence: Recurrence,
    temperature: f64,
    codebooks: Vec<f64>,
    forms: Vec<f64>,
    bias: Vec<f64>,
    matrices: Vec<f64>,
    items: Vec<f64>,
}

impl Plain {
    fn of(fixture: &Fixture, items: &[f32]) -> Self {
        let wide = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let dense = |key: Option<DenseKey>| key.map_or(Vec::new(), |key| wide(fixture.store.dense(key).values()));
        let Encoder { sizes, similarity, recurrence, temperature, keys } = fixture.encoder;
        Self {
            sizes,
            similarity,
            recurrence,
            temperature: f64::from(temperature),
            codebooks: dense(Some(keys.codebooks)),
            forms: dense(keys.forms),
            bias: dense(keys.bias),
            matrices: dense(keys.recurrence),
            items: wide(items),
        }
    }

    fn lists(&mut self) -> [&mut Vec<f64>; 5] {
        [&mut self.codebooks, &mut self.forms, &mut self.bias, &mut self.matrices, &mut self.items]
    }

    fn soft(&self, b: usize, x: &[f64]) -> Vec<f64> {
        let Sizes { n_codewords: w, dim: d, .. } = self.sizes;
        let similarity = |code: usize| -> f64 {
            let c = &self.codebooks[(b * w + code) * d..][..d];
            let dot = || x.iter().zip(c).map(|(x, c)| x * c).sum::<f64>();
            match self.similarity {
                Similarity::Dot => dot(),
                Similarity::ScaledDot => dot() / (d as f64).sqrt(),
                Similarity::Euclidean => -x.iter().zip(c).map(|(x, c)| (x - c).powi(2)).sum::<f64>(),
                Similarity::RepresentationOnly => {
                    (0..d).map(|i| x[i] * self.forms[b * d * w + i * w + code]).sum::<f64>()
                }
                Similarity::Bilinear => {
                    let bias = |j: usize| self.bias.get(b * d + j).copied().unwrap_or(0.0);
                    let form = |i: usize, j: usize| self.forms[(b * d + i) * d + j];
                    let product = |i: usize| (0..d).map(|j| x[i] * form(i, j) * c[j]).sum::<f64>();
                    (0..d).map(product).sum::<f64>() + (0..d).map(|j| bias(j) * c[j]).sum::<f64>()
                }
            }
        };
        let terms: Vec<f64> = (0..w).map(|code| (similarity(code) / self.temperature).exp()).collect();
        let sum: f64 = terms.iter().sum();
        terms.into_iter().map(|term| term / sum).collect()
    }

    /// `x R` for matrix number m.
    fn times(&self, m: usize, x: &[f64]) -> Vec<f64> {
        let d = self.sizes.dim;
        let r = &self.matrices[m * d * d..][..d * d];
        (0..d).map(|j| (0..d).map(|i| x[i] * r[i * d + j]).sum()).collect()
    }

    /// `Σ v·y` with `y_b = C[code] + Σ_w (e_w − e⁰_w) C⁰_w`: at the anchor its value is that of the hard codes, and its
    /// gradient the straight-through one. `None` for an anchor of its own, which is returned too.
    fn loss(&self, codes: &[u32], v: &[f32], anchor: Option<&(Vec<Vec<f64>>, Vec<f64>)>) -> (f64, Vec<Vec<f64>>) {
        let Sizes { n_codebooks, n_codewords: w, dim: d } = self.sizes;
        let n = self.items.len() / d;
        let (mut loss, mut softs) = (0.0, Vec::new());
        for item in 0..n {
            let q = &self.items[item * d..][..d];
            let mut x = q.to_vec();
            for b in 0..n_codebooks {
                let e = self.soft(b, &x);
                let code = codes[b * n + item] as usize;
                let mut y = self.codebooks[(b * w + code) * d..][..d].to_vec();
                if let Some((e0, c0)) = anchor {
                    for (code, (e, e0)) in e.iter().zip(&e0[item * n_codebooks + b]).enumerate() {
                        y.iter_mut().enumerate().for_each(|(j, y)| *y += (e - e0) * c0[(b * w + code) * d + j]);
                    }
                }
                softs.push(e);
                loss += y.iter().zip(&v[item * d..]).map(|(y, v)| y * f64::from(*v)).sum::<f64>();
                let minus = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x - y).collect::<Vec<f64>>();
                x = match self.recurrence {
                    Recurrence::None => q.to_vec(),
                    Recurrence::Residual => minus(&x, &y),
                    Recurrence::Projected => minus(&x, &self.times(0, &y)),
                    Recurrence::General => minus(&self.times(0, &x), &self.times(1, &y)),
                };
            }
        }
        (loss, softs)
    }
}

#[test]
fn every_variant_has_the_gradients_of_the_straight_through_surrogate() {
    let (b, w, d, n) = (3, 8, 5, 7);
    for similarity in SIMILARITIES {
        for recurrence in RECURRENCES {
            let codeword_bias = similarity == Similarity::Bilinear && recurrence != Recurrence::None;
            let config = LightRecConfig {
                n_codebooks: b,
                n_codewords: w,
                similarity,
                recurrence,
                codeword_bias,
                ..LightRecConfig::paper()
            };
            let fixture = Fixture::new(&config, d, |store, keys| {
                for (name, key) in [
                    ("codebooks", Some(keys.codebooks)),
                    ("forms", keys.forms),
                    ("bias", keys.bias),
                    ("matrices", keys.recurrence),
                ] {
                    let Some(key) = key else { continue };
                    let [param] = store.dense_mut([key]);
                    let values = normals(name, param.values().len(), 0.6);
                    param.values_mut().copy_from_slice(&values);
                }
            });
            let (items, v) = (normals("items", n * d, 1.0), normals("v", n * d, 1.0));
            let tile = fixture.forward(&items);
            let tower = fixture.tower();
            let (mut gradients, mut d_items) = (TowerGradients::default(), vec![0.0; n * d]);
            gradients.clear(&tower);
            tile.backward(&tower, &v, &mut gradients, Some(&mut d_items), &mut Scratch::default());
            let size = |key: Option<DenseKey>| key.map_or(0, |key| fixture.store.dense(key).values().len());
            let keys = fixture.encoder.keys;
            let (mut d_forms, mut d_bias) = (vec![0.0; size(keys.forms)], vec![0.0; size(keys.bias)]);
            let TowerGradients { affine, mut codebooks, recurrence: d_matrices } = gradients;
            Affine::backward(&affine, &fixture.encoder, &fixture.store, &mut codebooks, &mut d_forms, &mut d_bias);

            let mut plain = Plain::of(&fixture, &items);
            let (value, e0) = plain.loss(tile.codes(), &v, None);
            let hard: f64 = tile.decoded().iter().zip(&v).map(|(y, v)| f64::from(y * v)).sum();
            assert!((value - hard).abs() < 1e-4, "{similarity:?} {recurrence:?}: {value} {hard}");
            let anchor = (e0, plain.codebooks.clone());
            let got = [codebooks, d_forms, d_bias, d_matrices, d_items];
            for (list, got) in got.iter().enumerate() {
                assert_eq!(got.len(), plain.lists()[list].len());
                for (i, got) in got.iter().enumerate() {
                    let mut side = |delta: f64| {
                        plain.lists()[list][i] += delta;
                        let loss = plain.loss(tile.codes(), &v, Some(&anchor)).0;
                        plain.lists()[list][i] -= delta;
                        loss
                    };
                    let want = (side(1e-5) - side(-1e-5)) / 2e-5;
                    let got = f64::from(*got);
                    let what = format!("{similarity:?} {recurrence:?}, list {list}, value {i}: {got} {want}");
                    assert!((got - want).abs() <= 2e-5 * want.abs().max(1.0), "{what}");
                }
            }
        }
    }
}
