//! What guides ask a student for, and what they refuse.

use rectify_core::rng::Seed;
use rectify_core::{Catalogue, Hidden, HiddenWidths, ItemId, QueryError, Scorer, Teacher, UserId};
use rectify_distill::sampling::ListSamplerConfig;
use rectify_distill::{Collaborative, Distillation, ExpertsTerm, GuideError, ListLoss, ListTerm, RankWeights};
use rectify_tensor::train::{BoxError, Entities, Guides, Lists};
use rectify_tensor::{Optimizer, ParamStore};

const USERS: usize = 3;
const ITEMS: usize = 12;

/// User u scores item i by `sign · i + u`; hidden vectors of width 4, or none.
struct Toy {
    n_users: usize,
    n_items: usize,
    sign: f32,
    black_box: bool,
    broken: Option<u32>,
}

impl Toy {
    fn new() -> Self {
        Self { n_users: USERS, n_items: ITEMS, sign: -1.0, black_box: false, broken: None }
    }
}

impl Catalogue for Toy {
    fn n_items(&self) -> usize {
        self.n_items
    }
}

impl Scorer for Toy {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        if user.index() >= self.n_users {
            return Err(QueryError::UnknownUser { user: *user, n_users: self.n_users });
        }
        for (item, out) in items.iter().zip(out) {
            *out = if self.broken == Some(user.0) { f32::NAN } else { self.sign * item.0 as f32 + user.0 as f32 };
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        let items: Vec<ItemId> = (0..self.n_items as u32).map(ItemId).collect();
        self.score_into(user, &items, out)
    }
}

impl Teacher for Toy {
    fn hidden(&self) -> Option<&dyn Hidden> {
        (!self.black_box).then_some(self)
    }
}

impl Hidden for Toy {
    fn widths(&self) -> HiddenWidths {
        HiddenWidths { user: 4, item: 4, pair: 0 }
    }

    fn user_into(&self, user: UserId, out: &mut [f32]) -> Result<(), QueryError> {
        out.fill(if self.broken == Some(user.0) { f32::NAN } else { user.0 as f32 });
        Ok(())
    }

    fn item_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        out.fill(0.5 * item.0 as f32);
        Ok(())
    }

    fn pairs_into(&self, _: &[(UserId, ItemId)], _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("no pairs".into()))
    }
}

/// User u has seen item u alone; user 2 everything if `full`.
fn seen(full: bool) -> impl Fn(UserId) -> &'static [ItemId] {
    const ALL: [ItemId; ITEMS] = {
        let mut all = [ItemId(0); ITEMS];
        let mut i = 0;
        while i < ITEMS {
            all[i] = ItemId(i as u32);
            i += 1;
        }
        all
    };
    move |user| if full && user.0 == 2 { &ALL } else { &ALL[user.index()..=user.index()] }
}

fn lists(n_interesting: usize, n_uninteresting: usize) -> ListSamplerConfig {
    ListSamplerConfig { n_interesting, n_uninteresting, depth: n_interesting, ..ListSamplerConfig::default() }
}

fn by_lists(loss: ListLoss) -> Distillation {
    Distillation { lists: Some(ListTerm { weight: 0.5, loss }), ..Distillation::default() }
}

fn by_experts(n_experts: usize) -> Distillation {
    Distillation { experts: Some(ExpertsTerm { n_experts, ..ExpertsTerm::default() }), ..Distillation::default() }
}

fn guides<'t>(settings: &Distillation, teacher: &'t Toy) -> Result<Guides<'t>, GuideError> {
    settings.guides(teacher, USERS, ITEMS, seen(false), Seed(1))
}

fn refusal(settings: &Distillation, teacher: &Toy) -> String {
    guides(settings, teacher).err().unwrap().to_string()
}

fn no_student() -> Result<Box<dyn Scorer<Query = UserId>>, BoxError> {
    Err("the student was not needed".into())
}

/// The lists of users 2 and 0 in an epoch.
fn asked(guides: &mut Guides<'_>, epoch: u32) -> Lists {
    let mut lists = Lists::default();
    guides[0].begin_epoch(epoch, &mut no_student).unwrap();
    guides[0].lists(&[2, 0], &mut lists);
    lists
}

#[test]
fn relaxed_lists_hold_the_teachers_best_in_order_and_the_loss_is_weighed_and_scaled() {
    let teacher = Toy::new();
    let settings = by_lists(ListLoss::RelaxedRanking(ListSamplerConfig { deterministic_top: true, ..lists(3, 2) }));
    let mut guides = guides(&settings, &teacher).unwrap();
    let lists = asked(&mut guides, 1);
    assert_eq!((lists.len, &lists.places[..]), (5, &[0, 1][..]));
    // The teacher prefers low items; user 2 has seen item 2, user 0 item 0.
    assert_eq!((&lists.items[..3], &lists.items[5..8]), (&[0, 1, 3][..], &[1, 2, 3][..]));
    assert!(lists.items[3..5].iter().chain(&lists.items[8..]).all(|item| *item > 3));
    let scores = [2.0, 1.0, 0.5, 0.0, -1.0];
    let mut grads = [9.0; 10];
    let loss = guides[0].score_loss(&[2, 0], &lists, &[scores, scores].concat(), 0.1, &mut grads).unwrap();
    assert!((loss - 0.5 * 2.0 * 1.925_135_8).abs() < 1e-6, "{loss}");
    assert!((grads[0] + 0.436_979 * 0.05).abs() < 1e-7 && grads[..5] == grads[5..]);
}

#[test]
fn the_ablations_order_everything_or_leave_the_others_out() {
    let teacher = Toy::new();
    let mut full = guides(&by_lists(ListLoss::FullRanking(lists(3, 4))), &teacher).unwrap();
    let drawn = asked(&mut full, 1);
    assert!(drawn.items.chunks(7).all(|list| list[3..].is_sorted()), "{:?}", drawn.items);
    let mut interesting = guides(&by_lists(ListLoss::InterestingRanking(lists(3, 4))), &teacher).unwrap();
    assert_eq!(asked(&mut interesting, 1).len, 3);
}

#[test]
fn ranking_distillation_estimates_ranks_after_its_warm_up_only() {
    let teacher = Toy::new();
    let weights = RankWeights { n_top: 2, n_estimate: 4, warm_up_epochs: 1, ..RankWeights::default() };
    let mut guides = guides(&by_lists(ListLoss::RankingDistillation(weights)), &teacher).unwrap();
    assert_eq!(asked(&mut guides, 1).len, 2);
    let lists = asked(&mut guides, 2);
    assert_eq!(lists.len, 6);
    // Nothing drawn outscores the first item, everything outscores the second.
    let list = [5.0, -5.0, 0.0, 0.0, 0.0, 0.0];
    let mut grads = [9.0; 12];
    guides[0].score_loss(&[2, 0], &lists, &[list, list].concat(), 1.0, &mut grads).unwrap();
    assert_eq!(grads[0], 0.0);
    assert!(grads[1] < 0.0);
    assert_eq!(grads[2..6], [0.0; 4]);
}

#[test]
fn a_trainer_that_counts_epochs_from_0_is_guided() {
    let teacher = Toy::new();
    for (warm_up_epochs, asked_for) in [(0, 6), (1, 2)] {
        let weights = RankWeights { n_top: 2, n_estimate: 4, warm_up_epochs, ..RankWeights::default() };
        let mut guides = guides(&by_lists(ListLoss::RankingDistillation(weights)), &teacher).unwrap();
        let lists = asked(&mut guides, 0);
        assert_eq!(lists.len, asked_for);
        let scores = vec![0.5; 2 * asked_for];
        let loss = guides[0].score_loss(&[2, 0], &lists, &scores, 1.0, &mut vec![0.0; 2 * asked_for]).unwrap();
        assert!(loss.is_finite());
    }
}

#[test]
fn collaborative_targets_are_the_teachers_and_draws_may_be_the_students() {
    let teacher = Toy::new();
    let config = Collaborative { n_items: 2, ..Collaborative::default() };
    let mut guides = guides(&by_lists(ListLoss::Collaborative(config.clone())), &teacher).unwrap();
    let lists = asked(&mut guides, 1);
    let logits: Vec<f32> =
        lists.items.iter().zip([2.0, 2.0, 0.0, 0.0]).map(|(item, user)| user - *item as f32).collect();
    let mut grads = [9.0; 4];
    // A student that agrees with the teacher has nothing to learn.
    guides[0].score_loss(&[2, 0], &lists, &logits, 1.0, &mut grads).unwrap();
    assert!(grads.iter().all(|g| g.abs() < 1e-7), "{grads:?}");

    // A student that prefers high items, drawn at a temperature that takes the best for certain.
    let config = Collaborative { student_guided: true, temperature: 0.01, ..config };
    let mut guides = self::guides(&by_lists(ListLoss::Collaborative(config)), &teacher).unwrap();
    guides[0].begin_epoch(1, &mut || Ok(Box::new(Toy { sign: 1.0, ..Toy::new() }))).unwrap();
    let mut lists = Lists::default();
    guides[0].lists(&[0], &mut lists);
    assert_eq!(lists.items, [11, 10]);
}

#[test]
fn experts_learn_to_rebuild_the_teachers_vectors() {
    let teacher = Toy::new();
    let mut guides = guides(&by_experts(2), &teacher).unwrap();
    let mut params = ParamStore::new(Seed(2));
    let widths = HiddenWidths { user: 3, item: 3, pair: 0 };
    guides[0].prepare(widths, &mut params).unwrap();
    // Each expert: (3 + 1) · 3 and (3 + 1) · 4; each selection network: (4 + 1) · 2; on both sides.
    assert_eq!(params.n_values(), 2 * (2 * (12 + 16) + 10));
    let users: Vec<f32> = vec![0.1, 0.2, 0.3, -0.4, 0.5, 0.6, 0.7, -0.8, 0.9];
    let mut losses = Vec::new();
    for epoch in 1..=200 {
        guides[0].begin_epoch(epoch, &mut no_student).unwrap();
        let mut grads = [0.0; 9];
        let of = Entities::Users(&[0, 1, 2]);
        losses.push(guides[0].hidden_loss(of, &users, 1.0, &params, &mut grads).unwrap());
        assert!(grads.iter().any(|g| *g != 0.0));
        guides[0].step(&mut params, &Optimizer::adam(0.02));
    }
    assert!(losses[199] < 0.05 * losses[0], "{} to {}", losses[0], losses[199]);
    // Positives and negatives weigh half as much as users.
    let same = |of: Entities<'_>, guides: &mut Guides<'_>| {
        guides[0].hidden_loss(of, &[0.1, 0.2, 0.3], 1.0, &params, &mut [0.0; 3]).unwrap()
    };
    let (positive, negative) =
        (same(Entities::Positives(&[4]), &mut guides), same(Entities::Negatives(&[4]), &mut guides));
    assert!(positive > 0.0 && negative > 0.0);
}

#[test]
fn teachers_that_do_not_fit_are_refused_with_the_reason() {
    let relaxed = by_lists(ListLoss::RelaxedRanking(lists(3, 2)));
    let other = |toy: Toy| refusal(&relaxed, &toy);
    assert!(other(Toy { n_items: 9, ..Toy::new() }).contains("scores 9 items, the training set has 12"));
    let text = other(Toy { n_users: 2, ..Toy::new() });
    assert!(text.contains("user 2"), "{text}");
    let text = other(Toy { broken: Some(1), ..Toy::new() });
    assert!(text.contains("user 1") && text.contains("NaN"), "{text}");
    let text = refusal(&by_experts(2), &Toy { black_box: true, ..Toy::new() });
    assert!(text.contains("hidden vectors"), "{text}");
    // A black box can still rank.
    assert!(guides(&relaxed, &Toy { black_box: true, ..Toy::new() }).is_ok());

    let teacher = Toy::new();
    let mut experts = guides(&by_experts(2), &teacher).unwrap();
    let pairs = HiddenWidths { user: 0, item: 0, pair: 6 };
    let error = experts[0].prepare(pairs, &mut ParamStore::new(Seed(1))).unwrap_err().to_string();
    assert!(error.contains("the student has vectors of pairs, the teacher of users and items"), "{error}");

    let broken = Toy { broken: Some(1), ..Toy::new() };
    let mut experts = guides(&by_experts(2), &broken).unwrap();
    let mut params = ParamStore::new(Seed(1));
    experts[0].prepare(HiddenWidths { user: 3, item: 3, pair: 0 }, &mut params).unwrap();
    experts[0].begin_epoch(1, &mut no_student).unwrap();
    let error = experts[0].hidden_loss(Entities::Users(&[0, 1]), &[0.1; 6], 1.0, &params, &mut [0.0; 6]).unwrap_err();
    assert!(error.to_string().contains("user 1: value 0 is NaN"), "{error}");
}

#[test]
fn impossible_settings_are_refused_by_field() {
    let teacher = Toy::new();
    for (settings, field) in [
        (by_experts(0), "n_experts"),
        (by_lists(ListLoss::RelaxedRanking(lists(0, 2))), "n_interesting"),
        (by_lists(ListLoss::RelaxedRanking(ListSamplerConfig { temperature: 0.0, ..lists(3, 2) })), "temperature"),
        (by_lists(ListLoss::RankingDistillation(RankWeights { n_top: 0, ..RankWeights::default() })), "n_top"),
        (
            by_lists(ListLoss::Collaborative(Collaborative { logit_temperature: 0.0, ..Collaborative::default() })),
            "logit_temperature",
        ),
        (
            Distillation {
                lists: Some(ListTerm { weight: -1.0, loss: ListLoss::RelaxedRanking(lists(3, 2)) }),
                ..Distillation::default()
            },
            "weight",
        ),
    ] {
        let text = refusal(&settings, &teacher);
        assert!(text.contains(field), "{field}: {text}");
    }
    // 7 + 5 items, but only 11 are unseen.
    let text = refusal(&by_lists(ListLoss::RelaxedRanking(lists(7, 5))), &teacher);
    assert!(text.contains("user 0 has 11 unseen items, but a list needs 12"), "{text}");
}

#[test]
fn a_user_without_unseen_items_gets_no_list_if_told_to() {
    let teacher = Toy::new();
    let strict = by_lists(ListLoss::RelaxedRanking(lists(3, 2)));
    let error = strict.guides(&teacher, USERS, ITEMS, seen(true), Seed(1)).err().unwrap().to_string();
    assert!(error.contains("user 2 has 0 unseen items"), "{error}");
    let lax = by_lists(ListLoss::RelaxedRanking(ListSamplerConfig { skip_short_users: true, ..lists(3, 2) }));
    let mut guides = lax.guides(&teacher, USERS, ITEMS, seen(true), Seed(1)).unwrap();
    assert_eq!(asked(&mut guides, 1).places, [1]);
}
