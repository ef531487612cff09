//! Guided trainings from end to end: the same bits on any number of threads and after a resume, and a student that follows.

#![expect(clippy::unwrap_used, reason = "a test")]

use rectify_core::rng::Seed;
use rectify_core::{Teacher, UserId};
use rectify_data::{Interactions, SyntheticConfig};
use rectify_distill::sampling::ListSamplerConfig;
use rectify_distill::{Collaborative, Distillation, ExpertsTerm, ListLoss, ListTerm, RankWeights};
use rectify_teachers::Factors;
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};
use rectify_tensor::Optimizer;
use rectify_tensor::train::{Checkpoint, FitConfig, FitReport, Guides, Silent};

fn data() -> Interactions {
    SyntheticConfig::tiny().generate("tiny", Seed(1)).unwrap().interactions
}

fn run(max_epochs: u32) -> FitConfig {
    FitConfig { max_epochs, eval_every: 0, ..FitConfig::default() }
}

fn config(embedding_dim: usize) -> MfConfig {
    MfConfig {
        embedding_dim,
        batch_size: 256,
        optimizer: Optimizer::adam(0.01).with_weight_decay(1e-4),
        ..MfConfig::default()
    }
}

fn teacher(train: &Interactions) -> Factors {
    mf::fit(train, &config(16), &run(20), Seed(2), &mut |_| Ok(0.0), &mut Silent).unwrap().0
}

fn lists() -> ListSamplerConfig {
    ListSamplerConfig { n_interesting: 8, n_uninteresting: 8, depth: 40, ..ListSamplerConfig::default() }
}

fn guides<'t>(settings: &Distillation, teacher: &'t dyn Teacher<Query = UserId>, train: &Interactions) -> Guides<'t> {
    settings.guides(teacher, train.n_users(), train.n_items(), |user| train.items_of(user), Seed(3)).unwrap()
}

/// Each method that has state or draws of its own.
fn methods() -> Vec<Distillation> {
    let list = |loss| Some(ListTerm { weight: 0.01, loss });
    let experts = Some(ExpertsTerm { n_experts: 3, ..ExpertsTerm::default() });
    let weights = RankWeights { n_top: 5, n_estimate: 10, warm_up_epochs: 2, ..RankWeights::default() };
    let collaborative = Collaborative { n_items: 5, student_guided: true, ..Collaborative::default() };
    vec![
        Distillation { experts, lists: list(ListLoss::RelaxedRanking(lists())) },
        Distillation { experts: None, lists: list(ListLoss::RelaxedRankingOfPredictions(lists())) },
        Distillation { experts: None, lists: list(ListLoss::RankingDistillation(weights)) },
        Distillation { experts: None, lists: list(ListLoss::Collaborative(collaborative)) },
    ]
}

fn student(settings: &Distillation, teacher: &Factors, train: &Interactions, run: &FitConfig) -> (Factors, FitReport) {
    let guides = guides(settings, teacher, train);
    mf::fit_guided(train, &config(4), run, Seed(4), guides, &mut |_| Ok(0.0), &mut Silent).unwrap()
}

fn with_threads<R: Send>(n: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
}

#[test]
fn a_guided_training_has_the_same_bits_on_any_number_of_threads_and_after_a_resume() {
    let train = data();
    let teacher = teacher(&train);
    let folder = tempfile::tempdir().unwrap();
    for (i, settings) in methods().iter().enumerate() {
        let one = with_threads(1, || student(settings, &teacher, &train, &run(5)).0);
        let three = with_threads(3, || student(settings, &teacher, &train, &run(5)).0);
        assert_eq!(one.users(), three.users(), "{settings:?}");
        assert_eq!(one.items(), three.items(), "{settings:?}");

        let checkpoint = Some(Checkpoint { path: folder.path().join(i.to_string()), run: "a test".into() });
        student(settings, &teacher, &train, &FitConfig { checkpoint: checkpoint.clone(), ..run(3) });
        let (resumed, report) = student(settings, &teacher, &train, &FitConfig { checkpoint, ..run(5) });
        assert_eq!(report.history.len(), 5);
        assert_eq!(one.users(), resumed.users(), "{settings:?}");
        assert_eq!(one.items(), resumed.items(), "{settings:?}");
    }
}

#[test]
fn a_student_of_rankings_agrees_more_with_its_teacher_than_one_alone() {
    let train = data();
    let teacher = teacher(&train);
    let strong =
        Distillation { experts: None, lists: Some(ListTerm { weight: 1.0, loss: ListLoss::RelaxedRanking(lists()) }) };
    let alone = mf::fit(&train, &config(4), &run(20), Seed(4), &mut |_| Ok(0.0), &mut Silent).unwrap().0;
    let (guided, _) = student(&strong, &teacher, &train, &run(20));
    let (own, theirs) = (agreement(&alone, &teacher, &train), agreement(&guided, &teacher, &train));
    assert!(theirs > own + 0.05, "{own} alone, {theirs} guided");
}

/// Share of the teacher's ten best unseen items that are among the student's ten.
fn agreement(student: &Factors, teacher: &Factors, train: &Interactions) -> f64 {
    use rectify_core::{ItemFilter, Retriever, TopK};
    let (mut a, mut b, mut shared) = (TopK::new(), TopK::new(), 0);
    for user in train.users() {
        let filter = ItemFilter::seen(train.items_of(user)).unwrap();
        student.top_k(&user, 10, &filter, &mut a).unwrap();
        teacher.top_k(&user, 10, &filter, &mut b).unwrap();
        shared += a.items().filter(|item| b.items().any(|other| other == *item)).count();
    }
    shared as f64 / (10 * train.n_users()) as f64
}

#[test]
fn neu_mf_students_learn_from_pairs_and_from_black_boxes() {
    let train = data();
    let small = |dim: usize| NeuMfConfig {
        gmf_dim: dim,
        mlp_dim: dim,
        hidden: vec![dim],
        n_negatives: 1,
        batch_size: 512,
        optimizer: Optimizer::adam(0.01),
        ..NeuMfConfig::default()
    };
    let large = neumf::fit(&train, &small(12), &run(8), Seed(2), &mut |_| Ok(0.0), &mut Silent).unwrap().0;
    let fit = |guides| {
        neumf::fit_guided(&train, &small(4), &run(4), Seed(4), guides, &mut |_| Ok(0.0), &mut Silent).unwrap().1
    };
    let alone = fit(Guides::new());
    let [de_rrd, of_predictions, rd, _] = &methods()[..] else { unreachable!() };
    // The loss reported holds the guides' part.
    assert!(fit(guides(de_rrd, &large, &train)).history[0].loss > alone.history[0].loss);
    // A matrix factorisation shows no vectors of pairs, but it can rank.
    let other = teacher(&train);
    for lists in [of_predictions, rd] {
        assert!(fit(guides(lists, &other, &train)).history[3].loss.is_finite());
    }
    let settings = Distillation { lists: None, ..de_rrd.clone() };
    let refused = guides(&settings, &other, &train);
    let error = neumf::fit_guided(&train, &small(4), &run(1), Seed(4), refused, &mut |_| Ok(0.0), &mut Silent);
    let text = error.err().unwrap().to_string();
    assert!(text.contains("the student has vectors of pairs, the teacher of users and items"), "{text}");
}
