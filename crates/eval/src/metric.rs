//! What is measured, under names that say the convention.

use std::fmt;
use std::str::FromStr;

use rectify_core::closest_name;
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::discount::{Discount, LOG, LOG_FROM_TWO};

/// A quantity with its convention.
///
/// In the formulas `K` is the cut-off, `T` the number of true items, `L` the length of the list, `r₁ < r₂ < … < rₕ` the
/// ranks (from 1) of the `h` true items found within the cut-off. Every value of a user without a hit is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// `hr`: 1 if `h > 0`. HDN, DE-RRD (`H@N`), RecBole `Hit`, NCF.
    HitRate,
    /// `hits`: `h` itself.
    Hits,
    /// `recall`: `h / T`. LightRec, DGCN-BinCF, DeFoRec, LightGCN, RecBole.
    Recall,
    /// `recall_min`: `h / min(K, T)`, so that 1 can be reached. Mult-VAE, LensKit.
    RecallMin,
    /// `precision`: `h / K`, also when the list is shorter. DeFoRec, LightGCN, RecBole, torchmetrics.
    Precision,
    /// `precision_len`: `h / min(K, L)`. LensKit, torchmetrics with `adaptive_k`.
    PrecisionLen,
    /// `f1`: harmonic mean of a user's `precision` and `recall`, `2h / (K + T)`; averaged over users afterwards. DeFoRec.
    F1,
    /// `ndcg`: `Σ 1/log₂(rᵢ + 1)` over the same sum for ranks `1..=min(K, T)`. DGCN-BinCF, LightRec with a cut-off,
    /// DE-RRD (one true item, where it is `log 2 / log(r + 1)`), LightGCN, RecBole, `implicit`.
    Ndcg,
    /// `ndcg_hits`: as `ndcg`, but the ideal holds only the hits found, ranks `1..=h`. HDN's tables.
    NdcgHits,
    /// `ndcg_jk`: as `ndcg` with the discount of Järvelin and Kekäläinen (2002), `1 / max(1, log₂ r)`: the second place
    /// costs nothing. LensKit's default (`LogRankWeight(offset=1)` makes it `ndcg`).
    NdcgJk,
    /// `dcg`: `Σ 1/log₂(rᵢ + 1)`, not normalised. LensKit `DCG` with `LogRankWeight(offset=1)`.
    Dcg,
    /// `dcg_ln`: `Σ 1/ln(rᵢ + 1)`. The base cancels out in every `ndcg`; only here does it show.
    DcgLn,
    /// `mrr`: `1 / r₁`. DE-RRD (`M@N`), RecBole.
    Mrr,
    /// `map`: `Σ (i / rᵢ) / T`. trec_eval `map_cut`.
    Map,
    /// `map_k`: the same sum over `K`. The formula that RecBole prints (its code computes `map_min`).
    MapK,
    /// `map_min`: the same sum over `min(K, T)`. DGCN-BinCF, RecBole's code, `implicit`.
    MapMin,
    /// `map_hits`: the same sum over `h`. torchmetrics.
    MapHits,
    /// `coverage`: share of the catalogue that appears in at least one user's list. One value for a system, none a user.
    Coverage,
}

impl Measure {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 18] = [
        Self::HitRate,
        Self::Hits,
        Self::Recall,
        Self::RecallMin,
        Self::Precision,
        Self::PrecisionLen,
        Self::F1,
        Self::Ndcg,
        Self::NdcgHits,
        Self::NdcgJk,
        Self::Dcg,
        Self::DcgLn,
        Self::Mrr,
        Self::Map,
        Self::MapK,
        Self::MapMin,
        Self::MapHits,
        Self::Coverage,
    ];

    /// The name before the `@`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HitRate => "hr",
            Self::Hits => "hits",
            Self::Recall => "recall",
            Self::RecallMin => "recall_min",
            Self::Precision => "precision",
            Self::PrecisionLen => "precision_len",
            Self::F1 => "f1",
            Self::Ndcg => "ndcg",
            Self::NdcgHits => "ndcg_hits",
            Self::NdcgJk => "ndcg_jk",
            Self::Dcg => "dcg",
            Self::DcgLn => "dcg_ln",
            Self::Mrr => "mrr",
            Self::Map => "map",
            Self::MapK => "map_k",
            Self::MapMin => "map_min",
            Self::MapHits => "map_hits",
            Self::Coverage => "coverage",
        }
    }
}

/// How much of the list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// `@20`: the first 20 places.
    At(usize),
    /// `@truth`: as many places as the user has true items (`N_u`); `precision@truth` is known as R-precision.
    Truth,
    /// `@all`: the whole ranking. LightRec's column "NDCG" is `ndcg@all`.
    All,
}

/// A measure with a cut-off, written `ndcg_hits@20`, `recall@100`, `ndcg@all`, `precision@truth`.
///
/// `ndcg_all` and `ndcg_truth` are read as `ndcg@all` and `ndcg@truth`. In files it is its name.
///
/// ```
/// use rectify_eval::{Metric, Outcome};
///
/// let metric: Metric = "ndcg@5".parse()?;
/// let outcome = Outcome { hit_ranks: &[3], n_true: 1, n_listed: 100 };
/// assert_eq!(metric.value(&outcome), Some(0.5)); // log 2 / log 4
///
/// let error = "ngcd@5".parse::<Metric>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown metric \"ngcd@5\": did you mean \"ndcg@5\"?");
/// # Ok::<(), rectify_eval::MetricError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metric {
    measure: Measure,
    cut: Cut,
}

impl Metric {
    /// Pairs a measure with a cut-off.
    ///
    /// # Errors
    /// [`MetricError::Cut`] for a cut-off of 0, and for coverage with any cut-off but a number.
    pub fn new(measure: Measure, cut: Cut) -> Result<Self, MetricError> {
        let fits = match cut {
            Cut::At(k) => k > 0,
            Cut::Truth | Cut::All => measure != Measure::Coverage,
        };
        let metric = Self { measure, cut };
        if fits { Ok(metric) } else { Err(MetricError::Cut { name: metric.to_string() }) }
    }

    /// What is measured.
    #[must_use]
    pub const fn measure(&self) -> Measure {
        self.measure
    }

    /// Over which part of the list.
    #[must_use]
    pub const fn cut(&self) -> Cut {
        self.cut
    }

    /// The value for one user, from 0 (worst; also for a user without true items); `None` for coverage, which no user
    /// has alone. All but `hits`, `dcg` and `dcg_ln` end at 1.
    #[must_use]
    pub fn value(&self, outcome: &Outcome<'_>) -> Option<f64> {
        if self.measure == Measure::Coverage {
            return None;
        }
        let (t, l) = (outcome.n_true, outcome.n_listed);
        let k = match self.cut {
            Cut::At(k) => k,
            Cut::Truth => t,
            Cut::All => l,
        };
        let ranks = &outcome.hit_ranks[..outcome.hit_ranks.partition_point(|&rank| rank as usize <= k)];
        let h = ranks.len();
        if h == 0 {
            return Some(0.0);
        }
        let over = |n: usize| h as f64 / n as f64;
        let ndcg = |discount: &Discount, ideal: usize| discount.gain(ranks) / discount.ideal(ideal);
        let precisions = || ranks.iter().enumerate().map(|(i, &rank)| (i + 1) as f64 / f64::from(rank)).sum::<f64>();
        Some(match self.measure {
            Measure::HitRate => 1.0,
            Measure::Hits => h as f64,
            Measure::Recall => over(t),
            Measure::RecallMin => over(k.min(t)),
            Measure::Precision => over(k),
            Measure::PrecisionLen => over(k.min(l)),
            Measure::F1 => 2.0 * h as f64 / (k + t) as f64,
            Measure::Ndcg => ndcg(&LOG, k.min(t)),
            Measure::NdcgHits => ndcg(&LOG, h),
            Measure::NdcgJk => ndcg(&LOG_FROM_TWO, k.min(t)),
            Measure::Dcg => LOG.gain(ranks),
            Measure::DcgLn => LOG.gain(ranks) * std::f64::consts::LOG2_E,
            Measure::Mrr => 1.0 / f64::from(ranks[0]),
            Measure::Map => precisions() / t as f64,
            Measure::MapK => precisions() / k as f64,
            Measure::MapMin => precisions() / k.min(t) as f64,
            Measure::MapHits => precisions() / h as f64,
            Measure::Coverage => return None,
        })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.measure.name();
        match self.cut {
            Cut::At(k) => write!(f, "{name}@{k}"),
            Cut::Truth => write!(f, "{name}@truth"),
            Cut::All => write!(f, "{name}@all"),
        }
    }
}

impl FromStr for Metric {
    type Err = MetricError;

    fn from_str(text: &str) -> Result<Self, MetricError> {
        let split = text.split_once('@');
        let spelled_out = || ["_all", "_truth"].iter().find_map(|end| Some((text.strip_suffix(end)?, &end[1..])));
        let (name, cut) = split.or_else(spelled_out).unwrap_or((text, ""));
        let parsed = match cut {
            "all" => Some(Cut::All),
            "truth" => Some(Cut::Truth),
            number => number.parse().ok().map(Cut::At),
        };
        let measure = Measure::ALL.into_iter().find(|measure| measure.name() == name);
        match (measure, parsed) {
            (Some(measure), Some(cut)) => Self::new(measure, cut),
            (Some(_), None) => Err(MetricError::Cut { name: text.to_owned() }),
            (None, _) => {
                let nearest = closest_name(name, Measure::ALL.map(Measure::name));
                let tail = if cut.is_empty() { String::new() } else { format!("@{cut}") };
                Err(MetricError::Unknown {
                    name: text.to_owned(),
                    suggestion: nearest.map(|name| format!("{name}{tail}")),
                })
            }
        }
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

impl TryFrom<String> for Metric {
    type Error = MetricError;

    fn try_from(text: String) -> Result<Self, MetricError> {
        text.parse()
    }
}

/// A metric name that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The part before the `@`.
    #[error("unknown metric {name:?}{}", remedy(suggestion.as_deref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest known name, if one is near.
        suggestion: Option<String>,
    },
    /// The part after the `@`.
    #[error(
        "metric {name:?} needs a cut-off: a number from 1 as in \"ndcg@20\", or (not for coverage) \"@truth\" or \"@all\""
    )]
    Cut {
        /// What was asked for.
        name: String,
    },
}

fn remedy(suggestion: Option<&str>) -> String {
    match suggestion {
        Some(name) => format!(": did you mean {name:?}?"),
        None => format!("; known are {}", Measure::ALL.map(Measure::name).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, hit_ranks: &[u32], n_true: usize, n_listed: usize) -> f64 {
        name.parse::<Metric>().unwrap().value(&Outcome { hit_ranks, n_true, n_listed }).unwrap()
    }

    #[track_caller]
    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() < 6e-8, "got {got}, expected {expected}");
    }

    /// DE-RRD, section 10: `H@N = [p <= N]`, `N@N = log 2 / log(p + 1)`, `M@N = 1 / p`, one held-out item among 500.
    #[test]
    fn de_rrd_worked_example() {
        let at = |name: &str, rank: u32| value(name, &[rank], 1, 500);
        near(at("hr@5", 3), 1.0);
        near(at("ndcg@5", 3), 0.5);
        near(at("mrr@5", 3), 1.0 / 3.0);
        assert!((at("ndcg@5", 5) - 0.386853).abs() < 5e-7);
        near(at("hr@5", 6), 0.0);
        assert!((at("ndcg@10", 6) - 0.356207).abs() < 5e-7);
        near(at("mrr@10", 6), 1.0 / 6.0);
        assert!((at("ndcg@20", 20) - 0.22767).abs() < 5e-6);
        near(at("mrr@20", 20), 0.05);
        for name in ["hr@20", "ndcg@20", "mrr@20"] {
            assert_eq!(at(name, 21).to_bits(), 0);
        }
    }

    /// LightRec: test items at ranks 1 and 4.
    #[test]
    fn lightrec_worked_example() {
        near(value("ndcg@all", &[1, 4], 2, 100), 0.8772153);
        near(value("ndcg@3", &[1, 4], 2, 100), 0.6131472);
        near(value("recall@3", &[1, 4], 2, 100), 0.5);
        // N_u = 2: only rank 1 counts, ideal of two.
        near(value("ndcg@truth", &[1, 4], 2, 100), 0.6131472);
    }

    /// DGCN-BinCF: hits at ranks 1 and 3 of K = 5.
    #[test]
    fn dgcn_bincf_worked_example() {
        near(value("recall@5", &[1, 3], 4, 5), 0.5);
        near(value("map_min@5", &[1, 3], 4, 5), 0.4166667);
        near(value("ndcg@5", &[1, 3], 4, 5), 0.5855701);
        near(value("map_min@5", &[1, 3], 2, 5), 0.8333333);
    }

    /// HDN: hits at ranks 3 and 5, six test items, K = 20.
    #[test]
    fn hdn_worked_example() {
        near(value("dcg@20", &[3, 5], 6, 20), 0.8868528);
        near(value("ndcg@20", &[3, 5], 6, 20), 0.2683638);
        near(value("ndcg_hits@20", &[3, 5], 6, 20), 0.5437713);
    }

    /// DeFoRec: 3 hits, K = 20, |G| = 10.
    #[test]
    fn deforec_worked_example() {
        near(value("precision@20", &[2, 9, 20], 10, 20), 0.15);
        near(value("recall@20", &[2, 9, 20], 10, 20), 0.3);
        near(value("f1@20", &[2, 9, 20], 10, 20), 0.2);
    }

    #[test]
    fn conventions_differ_where_they_say_so() {
        // Hits at 1 and 4, K = 5, T = 10; the list has only 4 items. Sum of precisions: 1 + 2/4 = 1.5.
        let at = |name: &str| value(name, &[1, 4], 10, 4);
        near(at("recall@5"), 0.2);
        near(at("recall_min@5"), 0.4);
        near(at("precision@5"), 0.4);
        near(at("precision_len@5"), 0.5);
        near(at("map@5"), 0.15);
        near(at("map_k@5"), 0.3);
        near(at("map_min@5"), 0.3);
        near(value("map_min@5", &[1, 4], 3, 4), 0.5);
        near(at("map_hits@5"), 0.75);
        near(at("hits@5"), 2.0);
        near(at("mrr@5"), 1.0);
        // Natural logarithm: (1 / log2 2 + 1 / log2 5) / ln 2.
        near(at("dcg_ln@5"), 1.0 / 2f64.ln() + 1.0 / 5f64.ln());
        // max(1, log2 r) at 1 and 4: 1 + 1/2; ideal over five: 1 + 1 + 1/log2 3 + 1/2 + 1/log2 5.
        near(at("ndcg_jk@5"), 1.5 / (2.5 + 1.0 / 3f64.log2() + 1.0 / 5f64.log2()));
    }

    #[test]
    fn a_perfect_list_has_exactly_one_and_no_hit_exactly_zero() {
        let ranks: Vec<u32> = (1..=6000).collect();
        for measure in Measure::ALL {
            for cut in [Cut::At(20), Cut::At(9000), Cut::Truth, Cut::All] {
                let Ok(metric) = Metric::new(measure, cut) else { continue };
                let perfect = metric.value(&Outcome { hit_ranks: &ranks, n_true: 6000, n_listed: 6000 });
                let none = metric.value(&Outcome { hit_ranks: &[], n_true: 6000, n_listed: 9 });
                if matches!(measure, Measure::Ndcg | Measure::NdcgHits | Measure::NdcgJk | Measure::RecallMin) {
                    assert_eq!(perfect, Some(1.0), "{metric}");
                }
                assert_eq!(none, (measure != Measure::Coverage).then_some(0.0), "{metric}");
            }
        }
    }

    #[test]
    fn a_user_without_true_items_or_without_a_list_is_zero_not_nan() {
        for measure in Measure::ALL {
            for cut in [Cut::At(1), Cut::Truth, Cut::All] {
                if let Ok(metric) = Metric::new(measure, cut) {
                    let value = metric.value(&Outcome { hit_ranks: &[], n_true: 0, n_listed: 0 });
                    assert!(value.is_none_or(|v| v == 0.0), "{metric}: {value:?}");
                }
            }
        }
    }

    #[test]
    fn the_readme_explains_every_measure_and_no_other() {
        let readme = include_str!("../README.md");
        let table = readme.split("| measure |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        let named: Vec<&str> = table.lines().skip(2).map(|line| line.split('`').nth(1).unwrap()).collect();
        assert_eq!(named, Measure::ALL.map(Measure::name));
    }

    #[test]
    fn names_survive_a_round_trip() {
        for measure in Measure::ALL {
            for cut in [Cut::At(1), Cut::At(100), Cut::Truth, Cut::All] {
                if let Ok(metric) = Metric::new(measure, cut) {
                    assert_eq!(metric.to_string().parse(), Ok(metric));
                }
            }
        }
        assert_eq!("ndcg_all".parse::<Metric>().unwrap().to_string(), "ndcg@all");
        assert_eq!("map_min_truth".parse::<Metric>().unwrap().to_string(), "map_min@truth");
    }

    #[test]
    fn in_files_a_metric_is_its_name() {
        let metrics: Vec<Metric> = serde_json::from_str(r#"["ndcg_all", "map_min@100"]"#).unwrap();
        assert_eq!(serde_json::to_string(&metrics).unwrap(), r#"["ndcg@all","map_min@100"]"#);
        let refused = serde_json::from_str::<Metric>(r#""nccg@20""#).unwrap_err().to_string();
        assert!(refused.contains("did you mean \"ndcg@20\"?"), "{refused}");
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_one() {
        let error = |text: &str| text.parse::<Metric>().unwrap_err().to_string();
        assert!(error("recal@20").contains("did you mean \"recall@20\"?"), "{}", error("recal@20"));
        assert!(error("NDCG@20").contains("did you mean \"ndcg@20\"?"));
        assert!(error("f@20").contains("\"f1@20\""), "{}", error("f@20"));
        assert!(error("serendipity@20").contains("known are hr, hits, recall,"));
        for text in ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@ten", "ndcg@20@3", "coverage@all", "coverage@truth"] {
            assert!(error(text).contains("needs a cut-off"), "{text}: {}", error(text));
        }
        assert!(error("").starts_with("unknown metric \"\"; known are"));
    }
}
