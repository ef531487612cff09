//! A kind that another crate makes: this one.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::rng::Seed;
use rectify_core::{
    Catalogue, Exhaustive, FoldIn, ForUsers, Format, Histories, Index, ItemFilter, ItemId, Provenance, QueryError,
    Retriever, Scorer, TopK, UserId, Violation, WithUsers,
};
use rectify_data::{Interactions, InteractionsBuilder};
use rectify_models::settings::resolve;
use rectify_models::train::{FitRequest, Fitted, SideInformation};
use rectify_models::{Answers, BoxError, Kind, Kinds, Model, ModelError, Needs, Newcomers, Query, Reader, Settings};
use rectify_tensor::train::{FitConfig, Silent};
use serde::{Deserialize, Serialize};

/// How often two items stand in one history, row-major.
#[derive(Clone, Debug)]
struct Together {
    counts: Array<f32>,
    n_items: usize,
}

impl Catalogue for Together {
    fn n_items(&self) -> usize {
        self.n_items
    }
}

impl Scorer for Together {
    type Query = [ItemId];

    fn score_into(&self, history: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let n_items = self.n_items;
        if let Some(&item) = history.iter().chain(items).find(|item| item.index() >= n_items) {
            return Err(QueryError::UnknownItem { item, n_items });
        }
        for (score, item) in out.iter_mut().zip(items) {
            *score = history.iter().map(|liked| self.counts[liked.index() * n_items + item.index()]).sum();
        }
        Ok(())
    }

    fn score_all_into(&self, history: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.score_into(history, &(0..self.n_items as u32).map(ItemId).collect::<Vec<_>>(), out)
    }
}

impl Retriever for Together {
    type Query = [ItemId];

    fn top_k(&self, history: &[ItemId], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        Exhaustive::new(self).top_k(history, k, filter, out)
    }
}

impl Index for Together {
    fn format() -> Format {
        Format { kind: "together", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        size_of_val(&self.counts[..])
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.array(&format!("{prefix}counts"), &[self.n_items, self.n_items], &self.counts);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let (counts, shape) = artifact.array(&format!("{prefix}counts"))?;
        Ok(Self { counts, n_items: shape[0] })
    }

    fn validate(&self) -> Vec<Violation> {
        Vec::new()
    }
}

impl WithUsers for Together {
    const FORMAT_WITH_USERS: Format = Format { kind: "together-with-users", version: 1 };
}

impl FoldIn for Together {
    type Query = [ItemId];

    fn fold_in(&self, history: &[ItemId]) -> Result<Vec<ItemId>, QueryError> {
        self.score_into(history, &[], &mut [])?;
        Ok(history.to_vec())
    }
}

/// As the kind serves it.
struct Served(ForUsers<Histories, Together>);

impl Model for Served {
    fn answers(&self) -> Answers<'_> {
        Answers::listed(&self.0)
    }

    fn format(&self) -> Format {
        Together::FORMAT_WITH_USERS
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        Index::write(&self.0, writer, prefix);
    }

    fn newcomers(&self) -> Newcomers<'_> {
        Newcomers::by_history(self.0.index())
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    weight: f32,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of a trainer")]
fn fit(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, Config { weight }) = (request.train, request.config()?);
    let n_items = train.n_items();
    let mut counts = vec![0.0; n_items * n_items];
    for user in train.users() {
        for a in train.items_of(user) {
            train.items_of(user).iter().for_each(|b| counts[a.index() * n_items + b.index()] += weight);
        }
    }
    let histories = train.histories().map_err(ModelError::other)?;
    let index = Together { counts: counts.into(), n_items };
    Ok(Fitted::at_once(Served(ForUsers::new(histories, index, Provenance::default())?)))
}

fn kind() -> Kind {
    let reader = Reader::new(ForUsers::<Histories, Together>::format, |artifact, prefix| {
        Ok(Box::new(Served(ForUsers::read_checked(artifact, prefix)?)))
    });
    Kind::new("together", "this test", reader)
        .needing(Needs { times: true, ..Needs::default() })
        .asked_by(Query::History)
        .folding_in()
        .learning(|settings| resolve::<Config, BoxError>(settings, |_| Ok(())), fit)
}

/// Users 0 and 1 like items 0 to 2, users 2 and 3 items 3 to 5, but user 0 has not met item 2 yet.
fn data() -> Interactions {
    let mut builder = InteractionsBuilder::new(4, 6).with_times();
    for (time, (user, item)) in
        [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 3), (2, 4), (2, 5), (3, 4), (3, 5)].into_iter().enumerate()
    {
        builder.push_event(UserId(user), ItemId(item), time as i64, 1.0);
    }
    builder.build().unwrap().0
}

#[test]
fn a_kind_of_another_crate_is_trained_opens_serves_and_folds_in_from_its_file() {
    let kinds = Kinds::builtin().with(kind());
    let kind = kinds.get("together").unwrap();
    assert!(kind.abilities.folds_in && kind.abilities.query == Query::History);
    let settings: Settings = serde_json::from_str(r#"{"weight": 2.0}"#).unwrap();
    let config = kind.resolve(&settings).unwrap();
    let request = FitRequest {
        train: &data(),
        config: &config,
        fit: &FitConfig::default(),
        seed: Seed(1),
        teacher: None,
        text: None,
        side: SideInformation::default(),
        validate: &mut |_| Ok(0.0),
        observer: &mut Silent,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("together");
    kind.fit(request).unwrap().model.save(&path).unwrap();

    let model = kinds.get("together").unwrap().open(&path).unwrap();
    let mut top = TopK::new();
    let seen = [ItemId(0), ItemId(1)];
    let lists = model.answers().retriever.unwrap();
    lists.top_k(&UserId(0), 1, &ItemFilter::seen(&seen).unwrap(), &mut top).unwrap();
    assert_eq!((top.hits()[0].item, top.hits()[0].score), (ItemId(2), 4.0));

    // Somebody who was not there, and likes items 4 and 5.
    let Newcomers::ByHistory(newcomers) = model.newcomers() else { panic!("it answers histories") };
    let liked = [ItemId(5), ItemId(4)];
    newcomers.top_k_by_history(&liked, 1, &ItemFilter::seen(&[ItemId(4), ItemId(5)]).unwrap(), &mut top).unwrap();
    assert_eq!(top.hits()[0].item, ItemId(3));
    let refused = newcomers.top_k_by_history(&[ItemId(6)], 1, &ItemFilter::all(), &mut top);
    assert!(refused.is_err() && top.hits().is_empty(), "{refused:?}");
    assert!(kind.open_variant(&path, &Settings::new()).is_err());
}
