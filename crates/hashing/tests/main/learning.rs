//! What every method promises: it learns, and keeps what the kit asks of a trainer.

use rectify_core::{Factors, Provenance};
use rectify_hashing::bccf::{self, BccfConfig};
use rectify_hashing::bin_cf::{self, BinCfConfig, Relaxation, Start};
use rectify_hashing::dcf::{self, DcfConfig};
use rectify_hashing::dcmf::{self, DcmfConfig, Features};
use rectify_hashing::pph::{self, PphConfig};
use rectify_hashing::signs::{self, SignConfig};
use rectify_hashing::{
    BinaryFactors, Csr, FeatureError, Feedback, FitError, FitReport, Interactions, ItemId, Scorer, Seed, Side, TrainRun,
};
use rectify_teachers::mf::{self, MfConfig};
use rectify_tensor::{Optimizer, testing};

/// Users and items in four groups: a user has half of the items of the own group and a twentieth of the others.
fn clusters(n_users: u32, n_items: u32) -> Interactions {
    let mut rng = Seed(1).stream("clusters").rng();
    let mut pairs = Vec::new();
    for user in 0..n_users {
        for item in 0..n_items {
            let share = if user % 4 == item % 4 { 0.5 } else { 0.05 };
            if user != 7 && rng.unit_f32() < share {
                pairs.push((user, item));
            }
        }
    }
    Interactions::from_pairs(n_users as usize, n_items as usize, &pairs).unwrap()
}

/// Share of pairs (unseen item of the own group, unseen item of another) that a model orders rightly; ties count half.
fn order(model: &BinaryFactors, train: &Interactions) -> f64 {
    let mut scores = vec![0.0; train.n_items()];
    let (mut right, mut all) = (0.0, 0.0);
    for user in train.users().filter(|user| user.0 != 7) {
        model.score_all_into(&user, &mut scores).unwrap();
        let unseen = |own: bool| {
            (0..train.n_items() as u32)
                .filter(|item| !train.contains(user, ItemId(*item)) && (item % 4 == user.0 % 4) == own)
                .map(|item| scores[item as usize])
                .collect::<Vec<_>>()
        };
        let others = unseen(false);
        for own in unseen(true) {
            for other in &others {
                right += if own > *other {
                    1.0
                } else if own == *other {
                    0.5
                } else {
                    0.0
                };
                all += 1.0;
            }
        }
    }
    right / all
}

/// A teacher that knows the groups, roughly.
fn teacher(train: &Interactions) -> Factors {
    let config = MfConfig { embedding_dim: 24, optimizer: Optimizer::adam(0.02), ..MfConfig::default() };
    mf::fit(train, &config, TrainRun::new(Seed(2)).epochs(30)).unwrap().0
}

/// A group as a feature of its items.
fn groups(n_items: usize) -> Csr {
    let columns = (0..n_items as u32).map(|item| item % 4).collect();
    Csr::new(4, (0..=n_items as u64).collect(), columns, vec![1.0; n_items]).unwrap()
}

const METHODS: [&str; 9] =
    ["dgcn-bincf", "bincf", "stochastic", "random start", "dcf", "dcmf", "dcmf with features", "bccf", "pph"];

fn fit(
    name: &str,
    train: &Interactions,
    teacher: &Factors,
    run: TrainRun<'_, BinaryFactors>,
) -> Result<(BinaryFactors, FitReport), FitError> {
    let bin = BinCfConfig { batch_users: 16, ..BinCfConfig::default() };
    let dcf = DcfConfig { code_bits: 16, ..DcfConfig::default() };
    match name {
        "dgcn-bincf" => bin_cf::fit(train, teacher, &bin, run),
        "bincf" => bin_cf::fit(train, teacher, &BinCfConfig { ranking_weight: 0.0, ..bin }, run),
        "stochastic" => bin_cf::fit(train, teacher, &BinCfConfig { relaxation: Relaxation::Stochastic, ..bin }, run),
        "random start" => {
            let start = Start::Random { code_bits: 40, std: 0.1 };
            bin_cf::fit(train, teacher, &BinCfConfig { start, ..bin }, run)
        }
        "dcf" => dcf::fit(train, &dcf, run),
        "dcmf" => dcmf::fit(train, Features::default(), &DcmfConfig { dcf, ..DcmfConfig::default() }, run),
        "dcmf with features" => {
            let config = DcmfConfig { dcf, item_content: 1.0, ..DcmfConfig::default() };
            let items = groups(train.n_items());
            dcmf::fit(train, Features { items: Some(&items), ..Features::default() }, &config, run)
        }
        "bccf" => bccf::fit(train, &BccfConfig { code_bits: 16, ..BccfConfig::default() }, run),
        "pph" => pph::fit(train, &PphConfig { code_bits: 16, ..PphConfig::default() }, run),
        other => panic!("no method {other}"),
    }
}

fn run<'a>(epochs: u32) -> TrainRun<'a, BinaryFactors> {
    TrainRun::new(Seed(3)).epochs(epochs)
}

#[test]
fn every_method_learns_the_groups() {
    let train = clusters(120, 80);
    let teacher = teacher(&train);
    for name in METHODS {
        let codes = fit(name, &train, &teacher, run(15)).unwrap().0;
        let got = order(&codes, &train);
        // Chance is 0.5. PPH fits the noise of so few pairs too; usual is 0.64, 0.9 and more for the others.
        assert!(got > if name == "pph" { 0.6 } else { 0.8 }, "{name}: {got}");
        let Provenance { model, settings, .. } = codes.provenance();
        assert!(!model.is_empty() && settings.is_object(), "{name}: {model}, {settings}");
    }
    for config in [SignConfig::default(), SignConfig { rotation_rounds: 20, ..SignConfig::default() }] {
        let codes = signs::fit(&teacher, train.n_users(), &config, Seed(1)).unwrap();
        let got = order(&codes, &train);
        assert!(got > 0.8 && codes.index().code_bits() == 24, "{config:?}: {got}");
    }
}

#[test]
fn every_method_keeps_what_a_trainer_promises() {
    let train = clusters(70, 300);
    let teacher = teacher(&train);
    for name in METHODS {
        testing::trainer(|run| fit(name, &train, &teacher, run));
    }
}

#[test]
fn positives_alone_are_degenerate_where_nothing_else_keeps_codes_apart() {
    let train = clusters(120, 80);
    let feedback = Feedback::PositivesOnly;
    let config = PphConfig { code_bits: 16, feedback, ..PphConfig::default() };
    let (codes, report) = pph::fit(&train, &config, run(15)).unwrap();
    let got = order(&codes, &train);
    assert!(
        report.history[14].loss < 1e-3 && (0.4..0.6).contains(&got),
        "PPH fits everything and learns nothing: {got}"
    );

    let dcf = DcfConfig { code_bits: 16, feedback, ..DcfConfig::default() };
    let config = DcmfConfig { dcf, interaction: 0.05, ..DcmfConfig::default() };
    let codes = dcmf::fit(&train, Features::default(), &config, run(15)).unwrap().0;
    let got = order(&codes, &train);
    assert!(got > 0.9, "DCMF's interaction term: {got}");
}

#[test]
fn impossible_settings_and_data_are_named() {
    let train = clusters(20, 15);
    assert_eq!(
        dcf::fit(&train, &DcfConfig { code_bits: 0, ..DcfConfig::default() }, run(1)).unwrap_err().to_string(),
        "dcf: code_bits is 0, expected in 1..=4096"
    );
    let base = DcfConfig::default;
    let validate = |config: DcfConfig| config.validate().unwrap_err().to_string();
    assert!(validate(DcfConfig { user_balance: -1.0, ..base() }).contains("user_balance is -1"));
    assert!(validate(DcfConfig { item_balance: f64::NAN, ..base() }).contains("item_balance is NaN"));
    assert!(validate(DcfConfig { sweeps: 0, ..base() }).contains("sweeps is 0"));
    let base = DcmfConfig::default;
    let validate = |config: DcmfConfig| config.validate().unwrap_err().to_string();
    assert!(validate(DcmfConfig { interaction: -1.0, ..base() }).contains("dcmf: interaction is -1"));
    assert!(validate(DcmfConfig { ridge: 0.0, ..base() }).contains("ridge is 0"));
    assert!(BccfConfig { balance: -0.1, ..BccfConfig::default() }.validate().is_err());
    assert!(PphConfig { code_bits: 2, ..PphConfig::default() }.validate().is_err());
    assert!(PphConfig { length: 0.0, ..PphConfig::default() }.validate().is_err());
    assert!(serde_json::from_str::<DcfConfig>(r#"{"bits": 3}"#).is_err());

    let refused = |features: Features<'_>| dcmf::fit(&train, features, &base(), run(1)).unwrap_err();
    let other = groups(14);
    let error = refused(Features { items: Some(&other), ..Features::default() });
    assert_eq!(error.to_string(), "item features have 14 rows, expected 15");
    assert!(matches!(error, FitError::Features(FeatureError::Rows { side: Side::Items, expected: 15, got: 14 })));
    let wide = Csr::new(8193, vec![0; 21], Vec::new(), Vec::new()).unwrap();
    let error = refused(Features { users: Some(&wide), ..Features::default() }).to_string();
    assert!(error.starts_with("user features have 8193 columns, expected at most 8192"), "{error}");
    let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
    let error = bccf::fit(&empty, &BccfConfig::default(), run(1)).unwrap_err();
    assert!(matches!(error, FitError::Empty { .. }), "{error}");
    let full = Interactions::from_pairs(1, 2, &[(0, 0), (0, 1)]).unwrap();
    let error = pph::fit(&full, &PphConfig::default(), run(1)).unwrap_err();
    assert!(matches!(error, FitError::Negatives(_)), "{error}");
}
