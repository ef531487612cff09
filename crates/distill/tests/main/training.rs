//! Guided trainings from end to end: what every trainer promises, and a student that follows.

use rectify_core::rng::Seed;
use rectify_core::{Factors, Teacher, UserId};
use rectify_data::{Interactions, SyntheticConfig};
use rectify_distill::sampling::ListSamplerConfig;
use rectify_distill::{Collaborative, Distillation, ExpertsTerm, ListLoss, ListTerm, RankWeights};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};
use rectify_tensor::train::{Guides, TrainRun};
use rectify_tensor::{Optimizer, testing};

fn data() -> Interactions {
    SyntheticConfig::tiny().generate("tiny", Seed(1)).unwrap().interactions
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
    mf::fit(train, &config(16), TrainRun::new(Seed(2)).epochs(20)).unwrap().0
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

#[test]
fn a_guided_training_keeps_every_promise_of_a_trainer() {
    let train = data();
    let teacher = teacher(&train);
    for settings in methods() {
        testing::trainer(|run| mf::fit_guided(&train, &config(4), guides(&settings, &teacher, &train), run));
    }
}

#[test]
fn a_student_of_rankings_agrees_more_with_its_teacher_than_one_alone() {
    let train = data();
    let teacher = teacher(&train);
    let strong =
        Distillation { experts: None, lists: Some(ListTerm { weight: 1.0, loss: ListLoss::RelaxedRanking(lists()) }) };
    let run = || TrainRun::new(Seed(4)).epochs(20);
    let (alone, _) = mf::fit(&train, &config(4), run()).unwrap();
    let (guided, _) = mf::fit_guided(&train, &config(4), guides(&strong, &teacher, &train), run()).unwrap();
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
    let (large, _) = neumf::fit(&train, &small(12), TrainRun::new(Seed(2)).epochs(8)).unwrap();
    let student = |guides, epochs| neumf::fit_guided(&train, &small(4), guides, TrainRun::new(Seed(4)).epochs(epochs));
    let fit = |guides| student(guides, 4).unwrap().1;
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
    let text = student(refused, 1).err().unwrap().to_string();
    assert!(text.contains("the student has vectors of pairs, the teacher of users and items"), "{text}");
}
