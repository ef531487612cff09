//! Lloyd's algorithm with a k-means++ start, the same bits on any number of threads.

use rayon::prelude::*;
use rectify_core::rng::Seed;
use rectify_tensor::kernels::{self, Op, gemm};
use rectify_tensor::parallel::map_reduce;

/// Points that a thread takes at a time; the distances to 256 centres take 512 KiB.
const PIECE: usize = 512;

/// Vectors to find centres of, `[n, dim]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Points<'a> {
    pub(super) values: &'a [f32],
    pub(super) dim: usize,
    /// How much each counts; `None`: all the same.
    pub(super) weights: Option<&'a [f32]>,
}

impl<'a> Points<'a> {
    pub(super) const fn new(values: &'a [f32], dim: usize) -> Self {
        Self { values, dim, weights: None }
    }

    /// Points of which each counts as its weight says, above 0.
    pub(super) const fn weighted(values: &'a [f32], dim: usize, weights: &'a [f32]) -> Self {
        Self { values, dim, weights: Some(weights) }
    }

    pub(super) const fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.dim..][..self.dim]
    }

    fn weight(&self, i: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[i])
    }
}

/// Centres of points, and the centre of each point.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    /// `[n_clusters, dim]`.
    pub(super) centres: Vec<f32>,
    /// The nearest centre of each point, the first of equals.
    pub(super) nearest: Vec<u8>,
    /// `Σ w ‖x − c‖²` over all points.
    pub(super) error: f64,
}

/// `n_clusters` (at most 256) centres of points.
///
/// Starts as k-means++ says (Arthur and Vassilvitskii, SODA 2007): each next centre is a point drawn in proportion to its weight
/// and its squared distance from the centres so far. Ends when no point changes its centre, or after `max_iterations`. With fewer
/// distinct points than centres the surplus centres stay copies that nothing is nearest to.
pub(super) fn kmeans(points: Points<'_>, n_clusters: usize, max_iterations: u32, seed: Seed) -> Clusters {
    let mut clusters =
        Clusters { centres: start(points, n_clusters, seed), nearest: vec![0; points.len()], error: 0.0 };
    lloyd(points, &mut clusters, max_iterations);
    clusters
}

/// Goes on from the centres that are there.
pub(super) fn lloyd(points: Points<'_>, clusters: &mut Clusters, max_iterations: u32) {
    let mut distances = assign(points, clusters).0;
    for _ in 0..max_iterations {
        update(points, clusters, &mut distances);
        let (next, changed) = assign(points, clusters);
        distances = next;
        if !changed {
            break;
        }
    }
    clusters.error = distances.iter().map(|d| f64::from(*d)).sum();
}

/// The k-means++ start.
fn start(points: Points<'_>, n_clusters: usize, seed: Seed) -> Vec<f32> {
    let n = points.len();
    let mut rng = seed.rng();
    let mut centres = Vec::with_capacity(n_clusters * points.dim);
    let mut distances = vec![f32::INFINITY; n];
    let mut chosen = rng.below(n as u32) as usize;
    for _ in 0..n_clusters {
        let centre = points.row(chosen);
        centres.extend_from_slice(centre);
        distances.par_chunks_mut(PIECE).enumerate().for_each(|(piece, distances)| {
            for (i, d) in (piece * PIECE..).zip(distances) {
                *d = d.min(points.weight(i) * squared_distance(points.row(i), centre));
            }
        });
        let total: f64 = distances.iter().map(|d| f64::from(*d)).sum();
        let mut left = rng.unit_f64() * total;
        // All points are centres already: any will do.
        chosen = rng.below(n as u32) as usize;
        if total > 0.0 {
            for (i, d) in distances.iter().enumerate() {
                left -= f64::from(*d);
                if *d > 0.0 {
                    chosen = i;
                }
                if left < 0.0 {
                    break;
                }
            }
        }
    }
    centres
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Finds the nearest centre of each point; weighted squared distances, and whether any point changed its centre.
fn assign(points: Points<'_>, clusters: &mut Clusters) -> (Vec<f32>, bool) {
    let Clusters { centres, nearest, .. } = clusters;
    let dim = points.dim;
    let n_clusters = centres.len() / dim;
    // The nearest centre has the highest x·c − ‖c‖²/2.
    let offsets: Vec<f32> = centres.chunks_exact(dim).map(|c| -0.5 * kernels::squared_norm(c)).collect();
    let mut distances = vec![0.0; nearest.len()];
    let pieces = points.values.par_chunks(PIECE * dim).zip(nearest.par_chunks_mut(PIECE));
    let changed = pieces
        .zip(distances.par_chunks_mut(PIECE))
        .enumerate()
        .map_init(Vec::new, |scores, (piece, ((values, nearest), distances))| {
            scores.resize(nearest.len() * n_clusters, 0.0);
            let shape = (nearest.len(), n_clusters, dim);
            gemm(shape, 1.0, values, Op::Plain, centres, Op::Transposed, 0.0, scores);
            kernels::bias_act(scores, &offsets, kernels::Activation::Identity);
            let mut changed = false;
            let rows = scores.chunks_exact(n_clusters).zip(piece * PIECE..);
            for ((nearest, distance), (scores, i)) in nearest.iter_mut().zip(distances).zip(rows) {
                let best = kernels::argmax(scores);
                *distance = points.weight(i) * squared_distance(points.row(i), &centres[best * dim..][..dim]);
                changed |= *nearest != best as u8;
                *nearest = best as u8;
            }
            changed
        })
        .reduce(|| false, |a, b| a | b);
    (distances, changed)
}

/// Moves each centre to the weighted mean of its points; one without points takes the point that errs most.
fn update(points: Points<'_>, clusters: &mut Clusters, distances: &mut [f32]) {
    let Clusters { centres, nearest, .. } = clusters;
    let dim = points.dim;
    let n_clusters = centres.len() / dim;
    let sums = |range: std::ops::Range<usize>| {
        let (mut sums, mut weights) = (vec![0.0f64; n_clusters * dim], vec![0.0f64; n_clusters]);
        for i in range {
            let (cluster, weight) = (usize::from(nearest[i]), f64::from(points.weight(i)));
            weights[cluster] += weight;
            for (sum, x) in sums[cluster * dim..][..dim].iter_mut().zip(points.row(i)) {
                *sum += weight * f64::from(*x);
            }
        }
        (sums, weights)
    };
    let zero = (vec![0.0f64; n_clusters * dim], vec![0.0f64; n_clusters]);
    // Larger pieces than elsewhere: each has a table of sums.
    let (sums, weights) = map_reduce(nearest.len(), 16 * PIECE, sums, zero, |(mut sums, mut weights), (s, w)| {
        sums.iter_mut().zip(s).for_each(|(sum, s)| *sum += s);
        weights.iter_mut().zip(w).for_each(|(weight, w)| *weight += w);
        (sums, weights)
    });
    for ((centre, sum), &weight) in centres.chunks_exact_mut(dim).zip(sums.chunks_exact(dim)).zip(&weights) {
        if weight > 0.0 {
            for (c, sum) in centre.iter_mut().zip(sum) {
                *c = (sum / weight) as f32;
            }
            continue;
        }
        let farthest = distances.iter().enumerate().fold(0, |far, (i, d)| if *d > distances[far] { i } else { far });
        if distances[farthest] > 0.0 {
            centre.copy_from_slice(points.row(farthest));
            distances[farthest] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups of two points: the group means (0, .5) and (4, .5) leave a squared error of 1, any other split more.
    const POINTS: [f32; 8] = [0., 0., 0., 1., 4., 0., 4., 1.];

    #[test]
    fn four_points_have_two_obvious_centres() {
        // Lloyd may also end at the means of the rows; the start must not lead there for every seed.
        let best = (0..8)
            .map(|seed| kmeans(Points::new(&POINTS, 2), 2, 25, Seed(seed)))
            .min_by(|a, b| a.error.total_cmp(&b.error));
        let mut best = best.unwrap();
        if best.centres[0] > best.centres[2] {
            best.centres.rotate_left(2);
            best.nearest.iter_mut().for_each(|c| *c = 1 - *c);
        }
        assert_eq!(
            (&best.centres[..], &best.nearest[..], best.error),
            (&[0., 0.5, 4., 0.5][..], &[0, 0, 1, 1][..], 1.0)
        );
    }

    #[test]
    fn as_many_centres_as_points_leave_no_error() {
        let clusters = kmeans(Points::new(&POINTS, 2), 4, 25, Seed(1));
        assert_eq!(clusters.error, 0.0);
        // More centres than points: the surplus serves nobody.
        let clusters = kmeans(Points::new(&POINTS, 2), 16, 25, Seed(1));
        assert_eq!(clusters.error, 0.0);
        assert!(clusters.centres.iter().all(|x| x.is_finite()));
    }

    fn cloud(n: usize, dim: usize) -> Vec<f32> {
        let mut rng = Seed(2).stream("cloud").rng();
        (0..n * dim).map(|i| rng.normal() as f32 + 4.0 * (i / dim % 5) as f32).collect()
    }

    #[test]
    fn the_error_falls_with_iterations_and_each_point_has_its_nearest_centre() {
        let points = cloud(3000, 6);
        let mut before = f64::INFINITY;
        for iterations in [0, 1, 3, 10, 100] {
            let clusters = kmeans(Points::new(&points, 6), 20, iterations, Seed(4));
            assert!(clusters.error <= before * (1.0 + 1e-6), "{} {before}", clusters.error);
            before = clusters.error;
            for (x, nearest) in points.chunks(6).zip(&clusters.nearest) {
                let distance = |c: usize| squared_distance(x, &clusters.centres[c * 6..][..6]);
                let least = (0..20).map(distance).fold(f32::INFINITY, f32::min);
                assert!(distance(usize::from(*nearest)) <= least + 1e-4);
            }
        }
    }

    #[test]
    fn a_centre_without_points_is_moved_to_the_farthest_point() {
        let points = [0.0, 1.0, 2.0, 50.0];
        let mut clusters = Clusters { centres: vec![1.0, 1000.0], nearest: vec![0; 4], error: 0.0 };
        lloyd(Points::new(&points, 1), &mut clusters, 25);
        assert_eq!((&clusters.centres[..], &clusters.nearest[..]), (&[1.0, 50.0][..], &[0, 0, 0, 1][..]));
    }

    #[test]
    fn centres_have_the_same_bits_for_one_and_two_threads() {
        let points = cloud(20_000, 3);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| kmeans(Points::new(&points, 3), 16, 5, Seed(4)))
        };
        let (one, two) = (run(1), run(2));
        assert_eq!((one.centres, one.nearest, one.error.to_bits()), (two.centres, two.nearest, two.error.to_bits()));
    }

    #[test]
    fn a_point_of_weight_three_is_three_points() {
        let (points, mut rng) = (cloud(400, 5), Seed(5).rng());
        let weights: Vec<f32> = (0..400).map(|_| 1.0 + rng.below(3) as f32).collect();
        let copies = |(x, weight): (&[f32], &f32)| x.repeat(*weight as usize);
        let repeated: Vec<f32> = points.chunks(5).zip(&weights).flat_map(copies).collect();
        let from = Clusters { centres: points[..40].to_vec(), nearest: vec![0; 400], error: 0.0 };
        let mut want = Clusters { nearest: vec![0; repeated.len() / 5], ..from.clone() };
        lloyd(Points::new(&repeated, 5), &mut want, 25);
        let mut got = from;
        lloyd(Points::weighted(&points, 5, &weights), &mut got, 25);
        assert!((got.error / want.error - 1.0).abs() < 1e-5, "{} {}", got.error, want.error);
        assert!(got.centres.iter().zip(&want.centres).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
