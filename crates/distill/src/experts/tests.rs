//! Experts against the formula written out, against differences, and against themselves.

use rectify_core::rng::Seed;
use rectify_tensor::kernels::Level;

use super::block::{Block, Input, Pairs, Passes, Scratch, Share, backward_body, forward_body, gather_body};
use super::loss::{Workspace, run_all};
use super::{Experts, ExpertsConfig, ExpertsWorkspace, Selection};
use crate::math::testing::{assert_close, assert_gradient, narrow, normals};
use crate::{LossError, gumbel_noise};

fn experts(n_experts: usize, selection: Selection, student_dim: usize, teacher_dim: usize) -> Experts {
    Experts::new(ExpertsConfig { n_experts, selection }, student_dim, teacher_dim).unwrap()
}

/// The passes in double precision.
struct Double;

impl Passes<f64> for Double {
    fn forward(&self, input: &Input<'_, f64>, block: &mut Block<f64>) -> f64 {
        forward_body::<f64, false>(input, block)
    }

    fn backward(
        &self,
        input: &Input<'_, f64>,
        block: &Block<f64>,
        expert: (usize, usize),
        scratch: &mut Scratch<f64>,
        share: &mut Share<'_, f64>,
    ) {
        backward_body::<f64, false>(input, block, expert, scratch, share);
    }

    fn gather(&self, input: &Input<'_, f64>, block: &mut Block<f64>, pairs: &Pairs<f64>, d_students: &mut [f64]) {
        gather_body::<f64, false>(input, block, pairs, d_students);
    }
}

/// Some entities with parameters and noise, in double precision.
struct Case {
    experts: Experts,
    params: Vec<f64>,
    students: Vec<f64>,
    teachers: Vec<f64>,
    noise: Vec<f64>,
    temperature: f64,
}

impl Case {
    fn new(experts: Experts, n: usize, temperature: f64) -> Self {
        Self {
            params: normals("params", experts.n_params()).iter().map(|x| 0.5 * x).collect(),
            students: normals("students", n * experts.student_dim()),
            teachers: normals("teachers", n * experts.teacher_dim()),
            noise: normals("noise", experts.noise_len(n)),
            experts,
            temperature,
        }
    }

    /// The formula, term by term.
    fn naive(&self, params: &[f64], students: &[f64]) -> f64 {
        let (ds, dt, dh) = (self.experts.student_dim(), self.experts.teacher_dim(), self.experts.hidden_dim());
        let (m, p) = (self.experts.config().n_experts, self.experts.split(params));
        let softmax = |x: Vec<f64>| -> Vec<f64> {
            let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = x.iter().map(|x| (x - max).exp()).sum();
            x.iter().map(|x| (x - max).exp() / sum).collect()
        };
        let mut total = 0.0;
        for (row, (v, t)) in students.chunks(ds).zip(self.teachers.chunks(dt)).enumerate() {
            let scores = |p: &super::model::Parameters<'_, f64>| -> Vec<f64> {
                (0..m)
                    .map(|e| p.selection_bias[e] + (0..dt).map(|j| t[j] * p.selection_weight[j * m + e]).sum::<f64>())
                    .collect()
            };
            let z = match self.experts.config().selection {
                Selection::Average => vec![1.0 / m as f64; m],
                Selection::Attention => softmax(scores(&p)),
                Selection::Gumbel => {
                    let alpha = softmax(scores(&p));
                    let logits = alpha.iter().enumerate();
                    softmax(
                        logits.map(|(e, a)| ((a + 1e-10).ln() + self.noise[row * m + e]) / self.temperature).collect(),
                    )
                }
            };
            let mut output = vec![0.0; dt];
            for (e, z) in z.iter().enumerate() {
                let hidden: Vec<f64> = (0..dh)
                    .map(|h| {
                        let dot: f64 = (0..ds).map(|i| v[i] * p.hidden_weight[(e * ds + i) * dh + h]).sum();
                        (dot + p.hidden_bias[e * dh + h]).max(0.0)
                    })
                    .collect();
                for (j, o) in output.iter_mut().enumerate() {
                    let dot: f64 = (0..dh).map(|h| hidden[h] * p.output_weight[(e * dh + h) * dt + j]).sum();
                    *o += z * (dot + p.output_bias[e * dt + j]);
                }
            }
            total += output.iter().zip(t).map(|(o, t)| (o - t) * (o - t)).sum::<f64>();
        }
        total
    }

    /// Our code in double precision: loss, and gradients of parameters and students.
    fn twin(&self, weight: f64) -> (f64, Vec<f64>, Vec<f64>) {
        let (mut d_params, mut d_students) = (vec![0.0; self.params.len()], vec![0.0; self.students.len()]);
        let params = self.experts.split(&self.params);
        let input = Input {
            experts: &self.experts,
            params: &params,
            students: &self.students,
            teachers: &self.teachers,
            noise: &self.noise,
            temperature: self.temperature,
            weight,
        };
        let loss = run_all(&input, &Double, &mut Workspace::default(), &mut d_params, &mut d_students);
        (loss, d_params, d_students)
    }

    /// The public function, in single precision.
    fn single(&self, weight: f32) -> (f64, Vec<f32>, Vec<f32>) {
        let (mut d_params, mut d_students) = (vec![0.0; self.params.len()], vec![0.0; self.students.len()]);
        let loss = self
            .experts
            .loss(
                &narrow(&self.params),
                &narrow(&self.students),
                &narrow(&self.teachers),
                &narrow(&self.noise),
                self.temperature as f32,
                weight,
                &mut ExpertsWorkspace::default(),
                &mut d_params,
                &mut d_students,
            )
            .unwrap();
        (loss, d_params, d_students)
    }
}

#[test]
fn all_gradients_match_central_differences_of_the_formula() {
    for (m, selection, temperature) in [
        (3, Selection::Gumbel, 1.0),
        (3, Selection::Gumbel, 0.3),
        (4, Selection::Attention, 1.0),
        (3, Selection::Average, 1.0),
        (1, Selection::Gumbel, 0.5),
    ] {
        let case = Case::new(experts(m, selection, 3, 5), 6, temperature);
        let (loss, d_params, d_students) = case.twin(1.0);
        let direct = case.naive(&case.params, &case.students);
        assert!((loss - direct).abs() < 1e-9 * direct, "{selection:?}: {loss} against {direct}");
        assert_gradient(&case.params, &d_params, |params| case.naive(params, &case.students));
        assert_gradient(&case.students, &d_students, |students| case.naive(&case.params, students));
    }
}

#[test]
fn single_precision_agrees_with_double_at_every_level_dense_or_sparse() {
    // A low temperature leaves one or two experts an entity, a high one all of them.
    for (selection, temperature) in
        [(Selection::Gumbel, 1.0), (Selection::Gumbel, 0.02), (Selection::Gumbel, 1e-10), (Selection::Attention, 1.0)]
    {
        let case = Case::new(experts(5, selection, 7, 18), 33, temperature);
        let (want, want_params, want_students) = case.twin(0.5);
        let (loss, d_params, d_students) = case.single(0.5);
        // A choice between near equals turns on the last bit; its gradient, divided by the temperature, even more so.
        let tolerance = if temperature == 0.02 { 1e-2 } else { 2e-5 };
        assert!((loss - want).abs() < 1e-5 * want, "{loss} against {want}");
        assert_close(&d_params, &want_params, tolerance);
        assert_close(&d_students, &want_students, tolerance);

        let (params, students) = (narrow(&case.params), narrow(&case.students));
        let (teachers, noise) = (narrow(&case.teachers), narrow(&case.noise));
        let input = Input {
            experts: &case.experts,
            params: &case.experts.split(&params),
            students: &students,
            teachers: &teachers,
            noise: &noise,
            temperature: temperature as f32,
            weight: 0.5,
        };
        for level in [Level::Scalar, Level::Avx2, Level::Avx512] {
            let (mut d_params, mut d_students) = (vec![0.0; params.len()], vec![0.0; students.len()]);
            let loss = run_all(&input, &level, &mut Workspace::default(), &mut d_params, &mut d_students);
            assert!((loss - want).abs() < 1e-5 * want);
            assert_close(&d_params, &want_params, tolerance);
            assert_close(&d_students, &want_students, tolerance);
        }
    }
}

/// The worked example: input (1, 2), hidden (1, 2, 0), output (1.1, 2.1, 0.1, 3.1).
fn worked(n_experts: usize, selection: Selection) -> (Experts, Vec<f32>) {
    let experts = experts(n_experts, selection, 2, 4);
    assert_eq!(experts.hidden_dim(), 3);
    let mut params = vec![0.0; experts.n_params()];
    let m = n_experts;
    params[..6].copy_from_slice(&[1.0, 0.0, 1.0, 0.0, 1.0, -1.0]); // (d_s, h)
    let output = m * 6 + m * 3;
    params[output..output + 12].copy_from_slice(&[1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0]); // (h, d_t)
    let bias = output + m * 12;
    params[bias..bias + 4].fill(0.1);
    (experts, params)
}

fn loss_of(experts: &Experts, params: &[f32], target: &[f32]) -> (f64, Vec<f32>) {
    let mut d_params = vec![0.0; params.len()];
    let noise = vec![0.0; experts.noise_len(1)];
    let (v, mut dv) = ([1.0, 2.0], [0.0; 2]);
    let mut workspace = ExpertsWorkspace::default();
    let loss = experts.loss(params, &v, target, &noise, 1.0, 1.0, &mut workspace, &mut d_params, &mut dv).unwrap();
    (loss, d_params)
}

#[test]
fn one_expert_rebuilds_the_worked_example_and_selects_nothing() {
    let target = [1.0, 2.0, 0.0, 3.0];
    let (plain, params) = worked(1, Selection::Average);
    let (loss, d_plain) = loss_of(&plain, &params, &target);
    assert!((loss - 0.04).abs() < 1e-6, "{loss}");
    // With a selection network, of any weights, it is the same decoder, and the network gets no gradient.
    let (one, mut params) = worked(1, Selection::Gumbel);
    let n_decoder = d_plain.len();
    for (i, p) in params[n_decoder..].iter_mut().enumerate() {
        *p = i as f32 - 2.0;
    }
    let (loss, d_params) = loss_of(&one, &params, &target);
    assert!((loss - 0.04).abs() < 1e-6, "{loss}");
    assert_eq!(d_params[..n_decoder], d_plain);
    assert!(d_params[n_decoder..].iter().all(|d| *d == 0.0));
    assert_eq!(params.len(), n_decoder + 4 + 1);
}

#[test]
fn two_experts_mix_by_the_selection_networks_weights() {
    // The second expert is all zeros; a bias of ln 3 gives weights (¾, ¼).
    let (two, mut params) = worked(2, Selection::Attention);
    let bias = params.len() - 2;
    params[bias] = 3f32.ln();
    let (loss, _) = loss_of(&two, &params, &[1.0, 2.0, 0.0, 3.0]);
    // Output (.825, 1.575, .075, 2.325).
    assert!((loss - 0.6725).abs() < 1e-6, "{loss}");
    let (loss, _) = loss_of(&two, &params, &[0.825, 1.575, 0.075, 2.325]);
    assert!(loss < 1e-12, "{loss}");
}

#[test]
fn parameter_counts_are_those_of_the_paper() {
    let side = experts(30, Selection::Gumbel, 20, 200);
    assert_eq!(side.hidden_dim(), 110);
    let selection = 200 * 30 + 30;
    assert_eq!(2 * (side.n_params() - selection), 1_470_600);
    assert_eq!(2 * selection, 12_060);
    assert_eq!(2 * side.n_params() + (5_220 + 25_182) * 20, 2_090_700);
    // Ablation (b) has the experts' parameters and no selection network.
    assert_eq!(2 * experts(30, Selection::Average, 20, 200).n_params(), 1_470_600);
}

#[test]
fn the_hidden_width_is_half_the_sum_or_half_of_equal_widths() {
    assert_eq!(experts(1, Selection::Gumbel, 20, 201).hidden_dim(), 110);
    assert_eq!(experts(1, Selection::Gumbel, 200, 200).hidden_dim(), 100);
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    // More than two blocks of entities.
    let case = Case::new(experts(4, Selection::Gumbel, 4, 9), 2500, 0.1);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.single(1.0))
    };
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(5), one);
    let (want, want_params, _) = case.twin(1.0);
    assert!((one.0 - want).abs() < 1e-4 * want);
    assert!(want_params.iter().zip(&one.1).all(|(w, g)| (w - f64::from(*g)).abs() < 1e-2 * w.abs().max(1e2)));
}

#[test]
fn a_used_workspace_gives_what_a_fresh_one_gives() {
    let (large, small) = (
        Case::new(experts(3, Selection::Gumbel, 3, 6), 40, 1.0),
        Case::new(experts(2, Selection::Gumbel, 5, 8), 9, 0.1),
    );
    let mut workspace = ExpertsWorkspace::default();
    for case in [&large, &small, &large] {
        let (mut d_params, mut d_students) = (vec![0.0; case.params.len()], vec![0.0; case.students.len()]);
        let loss = case
            .experts
            .loss(
                &narrow(&case.params),
                &narrow(&case.students),
                &narrow(&case.teachers),
                &narrow(&case.noise),
                case.temperature as f32,
                1.0,
                &mut workspace,
                &mut d_params,
                &mut d_students,
            )
            .unwrap();
        assert_eq!((loss, d_params, d_students), case.single(1.0));
    }
}

#[test]
fn training_experts_and_students_together_lowers_the_loss() {
    let experts = experts(4, Selection::Gumbel, 4, 12);
    let (n, mut workspace) = (64, ExpertsWorkspace::default());
    let (mut students, teachers) = (narrow(&normals("students", n * 4)), narrow(&normals("teachers", n * 12)));
    let mut params = vec![0.0; experts.n_params()];
    experts.init(Seed(1).stream("experts"), &mut params).unwrap();
    let mut noise = vec![0.0; experts.noise_len(n)];
    let mut losses = Vec::new();
    for step in 0..200 {
        gumbel_noise(Seed(1).stream("noise"), 0, step, 4, &mut noise);
        let (mut d_params, mut d_students) = (vec![0.0; params.len()], vec![0.0; students.len()]);
        let loss = experts
            .loss(&params, &students, &teachers, &noise, 0.5, 1.0, &mut workspace, &mut d_params, &mut d_students)
            .unwrap();
        losses.push(loss);
        for (x, d) in params.iter_mut().zip(&d_params).chain(students.iter_mut().zip(&d_students)) {
            *x -= 1e-3 * d;
        }
    }
    // Usually from 770 to 190.
    assert!(losses[199] < 0.5 * losses[0], "{} to {}", losses[0], losses[199]);
}

#[test]
fn selection_network_scores_of_plus_and_minus_100_stay_finite() {
    let (two, mut params) = worked(2, Selection::Gumbel);
    let bias = params.len() - 2;
    params[bias] = 100.0;
    params[bias + 1] = -100.0;
    let (loss, d_params) = loss_of(&two, &params, &[100.0, -100.0, 100.0, -100.0]);
    assert!(loss.is_finite() && d_params.iter().all(|d| d.is_finite()));
}

#[test]
fn the_favoured_expert_is_the_one_with_the_largest_score() {
    let one = experts(3, Selection::Gumbel, 2, 2);
    let mut params = vec![0.0; one.n_params()];
    let selection = params.len() - 9;
    params[selection..selection + 6].copy_from_slice(&[1.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
    let mut chosen = [9; 3];
    one.favoured(&params, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], &mut chosen).unwrap();
    assert_eq!(chosen, [0, 2, 0]);
    let none = experts(3, Selection::Average, 2, 2);
    assert!(none.favoured(&vec![0.0; none.n_params()], &[0.0; 2], &mut [0]).is_err());
}

#[test]
fn impossible_settings_and_sizes_are_errors() {
    let refused = |n_experts, student: usize, teacher: usize, field: &str| {
        let config = ExpertsConfig { n_experts, ..ExpertsConfig::default() };
        let problem = Experts::new(config, student, teacher).unwrap_err().to_string();
        assert!(problem.starts_with(field), "{problem}");
    };
    refused(0, 2, 4, "n_experts");
    refused(30, 0, 4, "student_dim");
    refused(30, 2, 0, "teacher_dim");
    refused(30, 1, 1, "student_dim");

    let experts = experts(2, Selection::Gumbel, 2, 4);
    let p = vec![0.0; experts.n_params()];
    let call = |params: &[f32], v: &[f32], t: &[f32], g: &[f32], tau: f32| {
        let (mut dp, mut dv) = (vec![0.0; p.len()], [0.0; 2]);
        experts.loss(params, v, t, g, tau, 1.0, &mut ExpertsWorkspace::default(), &mut dp, &mut dv)
    };
    assert!(call(&p, &[0.0; 2], &[0.0; 4], &[0.0; 2], 1.0).is_ok());
    for bad in [
        call(&p[1..], &[0.0; 2], &[0.0; 4], &[0.0; 2], 1.0),
        call(&p, &[0.0; 3], &[0.0; 4], &[0.0; 2], 1.0),
        call(&p, &[0.0; 2], &[0.0; 4], &[], 1.0),
    ] {
        assert!(matches!(bad, Err(LossError::Shape { .. })), "{bad:?}");
    }
    assert!(matches!(call(&p, &[0.0; 2], &[0.0; 5], &[0.0; 2], 1.0), Err(LossError::Rows { .. })));
    for tau in [0.0, -1.0, f32::NAN] {
        assert!(matches!(call(&p, &[0.0; 2], &[0.0; 4], &[0.0; 2], tau), Err(LossError::Config(_))));
    }
    let mut none = vec![0.0; p.len()];
    let empty = experts.loss(&p, &[], &[], &[], 1.0, 1.0, &mut ExpertsWorkspace::default(), &mut none, &mut []);
    assert_eq!(empty, Ok(0.0));
    assert!(experts.init(Seed(0), &mut none[1..]).is_err());
}
