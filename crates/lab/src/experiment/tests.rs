use std::collections::BTreeMap;

use anyhow::Result;
use rectify_data::Protocol;
use rectify_eval::Candidates;
use rectify_models::Kinds;
use serde_json::Value;

use super::{Experiment, ExperimentFile, PROFILES, Plan};
use crate::{refusal, run};

const TEXT: &str = r#"
title = "test"
dataset = "synthetic"
seeds = 2
metrics = ["recall@20"]
select_by = "ndcg@20"
training = { max_epochs = 100, patience = 10 }
protocol.per-user = { test = { share = [0.2, "nearest"] }, validation = { share = [0.1, "nearest"] } }

[[models]]
kind = "mf-bpr"
settings = { embedding_dim = 64, optimizer.adam.learning_rate = 0.001 }
search = { "optimizer.adam.learning_rate" = [0.01, 0.001], l2 = [0.0, 0.1] }

[[models]]
name = "deep"
kind = "light-gcn"
datasets = ["gowalla"]

[kinds.light-gcn]
settings = { embedding_dim = 32, n_layers = 2 }

[profiles.quick]
seeds = 1
search = false
training = { max_epochs = 5 }
[profiles.quick.kinds.light-gcn]
settings = { n_layers = 1 }

[datasets.gowalla]
protocol.files = {}
[datasets.gowalla.models.mf-bpr]
settings = { optimizer.adam.learning_rate = 0.1 }
training = { max_epochs = 7 }
"#;

fn parse(text: &str) -> Result<Experiment, String> {
    Experiment::parse(text, "test".into(), "test.toml".into())
}

fn problem(from: &str, to: &str) -> String {
    assert!(TEXT.contains(from), "{from}");
    parse(&TEXT.replace(from, to)).map_or_else(|problem| problem, |_| "accepted".into())
}

#[test]
fn later_layers_win_and_inner_tables_merge() -> Result<()> {
    let experiment = parse(TEXT).map_err(refusal::input)?;
    let plan = experiment.plan("gowalla", "quick", &[])?;
    assert_eq!((plan.seeds, plan.models.len()), (1, 2));
    assert_eq!(plan.protocol, Some(Protocol::Files(rectify_data::FilesSplit::default())));
    let model = &plan.models[0];
    assert_eq!(model.training.max_epochs, Some(7));
    assert_eq!(model.training.patience, Some(10));
    assert_eq!(model.settings["embedding_dim"], 64);
    assert_eq!(model.settings["optimizer"]["adam"]["learning_rate"], 0.1);
    assert!(model.trials.is_empty());
    assert_eq!(
        (&plan.models[1].settings["n_layers"], &plan.models[1].settings["embedding_dim"]),
        (&1.into(), &32.into())
    );
    Ok(())
}

#[test]
fn a_table_with_a_matrix_stands_for_several() -> Result<()> {
    let several =
        TEXT.replace("name = \"deep\"", "name = \"deep-{n}\"\nmatrix.n = [2, 3]\nsettings.n_layers = \"{n}\"");
    let claims = r#"
[[claims]]
id = "{better}-over-{than}"
text = "{better} is better than {than}"
factor = "{factor}"
better = "{better}"
than = "{than}"
matrix."better, than, factor" = [["deep-3", "deep-2", 1.0], ["deep-2", "mf-bpr", 1.5]]
"#;
    let plan = parse(&format!("{several}{claims}")).map_err(refusal::input)?.plan("gowalla", "paper", &[])?;
    let models: Vec<_> = plan.models.iter().map(|m| (m.name.as_str(), m.settings.get("n_layers").cloned())).collect();
    assert_eq!(models, [("mf-bpr", None), ("deep-2", Some(2.into())), ("deep-3", Some(3.into()))]);
    let claims: Vec<_> = plan.claims.iter().map(|c| (c.id.as_str(), c.text.as_str(), c.factor)).collect();
    let first = ("deep-3-over-deep-2", "deep-3 is better than deep-2", 1.0);
    assert_eq!(claims, [first, ("deep-2-over-mf-bpr", "deep-2 is better than mf-bpr", 1.5)]);
    let text = problem("name = \"deep\"", "name = \"deep-{m}\"\nmatrix.n = [2, 3]");
    assert!(text.starts_with("15: field matrix.\"n\": nothing here says {n}"), "{text}");
    Ok(())
}

#[test]
fn several_kinds_are_overridden_at_once() -> Result<()> {
    let both = "[profiles.quick.kinds.\"light-gcn, mf-bpr\"]\nsettings = { embedding_dim = 8, n_layers = 3 }\n";
    let plan = parse(&format!("{TEXT}{both}")).map_err(refusal::input)?.plan("gowalla", "quick", &[])?;
    let of = |model: usize, field| plan.models[model].settings[field].clone();
    assert_eq!((of(0, "embedding_dim"), of(1, "embedding_dim")), (8.into(), 8.into()));
    assert_eq!((of(0, "n_layers"), of(1, "n_layers")), (3.into(), 1.into()), "what is said of one alone wins");
    let again = format!("{TEXT}{both}{}", both.replace("light-gcn, mf-bpr", "light-gcn, deep"));
    let problem = parse(&again).err().unwrap_or_default();
    assert!(problem.contains("'light-gcn' is in two lists of names"), "{problem}");
    Ok(())
}

fn plan_with(set: &[&str]) -> Result<Plan> {
    // As TEXT says it, the optimiser is none that a model has.
    let text = TEXT.replace("optimizer.adam", "optimizer");
    let mut plan = parse(&text).map_err(refusal::input)?.plan("gowalla", "paper", &[])?;
    for text in set {
        super::set(std::iter::once(&mut plan), text, &Kinds::builtin())?;
    }
    Ok(plan)
}

#[test]
fn what_is_set_wins_over_every_layer_and_over_the_search() -> Result<()> {
    let trials = |plan: &Plan| -> Vec<String> {
        plan.models[0].trials.iter().map(|trial| Value::Object(trial.clone()).to_string()).collect()
    };
    let plan = plan_with(&["mf-bpr.l2=0.5", "deep.n_layers=7"])?;
    assert_eq!((&plan.models[0].settings["l2"], &plan.models[1].settings["n_layers"]), (&0.5.into(), &7.into()));
    let left = [r#"{"optimizer":{"learning_rate":0.01}}"#, r#"{"optimizer":{"learning_rate":0.001}}"#];
    assert_eq!(trials(&plan), left);
    let plan = plan_with(&["mf-bpr.l2=0.5", "mf-bpr.optimizer={rule=\"adagrad\",learning_rate=0.5}"])?;
    assert_eq!(plan.models[0].settings["optimizer"]["rule"], "adagrad");
    assert!(trials(&plan).is_empty(), "nothing is left to search");
    Ok(())
}

#[test]
fn a_setting_that_is_none_is_refused_with_the_nearest_name() {
    for (text, want) in [
        ("mf-bqr.l2=1", "--set mf-bqr.l2=1: unknown model 'mf-bqr'; did you mean 'mf-bpr'?"),
        ("deep.n_layer=1", "did you mean `n_layers`"),
        ("deep.n_layers=many", "many"),
        ("deep.n_layers", "expected MODEL.FIELD=VALUE"),
        ("n_layers=3", "expected MODEL.FIELD=VALUE"),
    ] {
        let error = plan_with(&[text]).map(|_| String::new()).unwrap_or_else(|error| error.to_string());
        assert!(error.contains(want), "{text}: {error}");
    }
}

#[test]
fn a_plan_is_printed_as_toml_with_every_default() -> Result<()> {
    let text = TEXT.replace("optimizer.adam", "optimizer");
    let plan = parse(&format!("{text}{EXPECTED}")).map_err(refusal::input)?.plan("synthetic", "paper", &[])?;
    let page = super::print(&plan, &Kinds::builtin(), &super::How { profile: "paper", first_seed: 5 })?;
    let read: Value = toml::from_str(&page)?;
    let experiment = &read["experiment"][0];
    assert_eq!(experiment["seeds"], serde_json::json!([5, 6]));
    assert_eq!(experiment["protocol"]["per-user"]["test"]["share"], serde_json::json!([0.2, "nearest"]));
    let model = &experiment["models"][0];
    assert_eq!((&model["name"], &model["kind"]), (&"mf-bpr".into(), &"mf-bpr".into()));
    assert_eq!(model["settings"], Kinds::builtin().get("mf-bpr")?.resolve(&plan.models[0].settings)?);
    assert!(page.contains("\nsettings.batch_size = "), "a default is written out: {page}");
    assert_eq!(model["search"][3], serde_json::json!({"l2": 0.1, "optimizer": {"learning_rate": 0.001}}));
    assert_eq!(model["training"], serde_json::json!({"max_epochs": 100, "patience": 10}));
    assert_eq!(experiment["published"][1]["model"], "mf-bpr (top 5 by deep)");
    let claim = experiment["claims"].as_array().and_then(|claims| claims.last());
    assert_eq!(claim.map(|claim| &claim["than"]), Some(&"overlap@20 with the teacher of deep".into()));
    Ok(())
}

#[test]
fn a_search_is_every_combination() -> Result<()> {
    let plan = parse(TEXT).map_err(refusal::input)?.plan("synthetic", "paper", &[])?;
    assert_eq!(plan.models.len(), 1);
    let trials: Vec<String> = plan.models[0].trials.iter().map(|t| Value::Object(t.clone()).to_string()).collect();
    assert_eq!(trials.len(), 4);
    assert!(trials.contains(&r#"{"l2":0.1,"optimizer":{"adam":{"learning_rate":0.01}}}"#.to_owned()), "{trials:?}");
    Ok(())
}

#[test]
fn a_student_brings_its_teacher() -> Result<()> {
    let text = TEXT.replace("datasets = [\"gowalla\"]", "teacher = \"mf-bpr\"");
    let plan = parse(&text).map_err(refusal::input)?.plan("synthetic", "quick", &["deep".into()])?;
    let names: Vec<&str> = plan.models.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["mf-bpr", "deep"]);
    Ok(())
}

#[test]
fn copies_are_their_models_but_for_what_they_say() -> Result<()> {
    let copies = r#"
[copies.wide]
of = ["mf-bpr", "deep"]
profiles = ["paper"]
opt_in = true
kinds.mf-bpr = { settings = { embedding_dim = 128 }, training = { patience = 3 } }
"#;
    let experiment = parse(&format!("{TEXT}{copies}")).map_err(refusal::input)?;
    assert_eq!(experiment.plan("gowalla", "paper", &[])?.models.len(), 2);
    let plan = experiment.plan("gowalla", "paper", &["mf-bpr-wide".into(), "deep-wide".into()])?;
    let [copy, deep] = &plan.models[..] else { panic!("{:?}", plan.models) };
    assert_eq!((copy.name.as_str(), copy.kind.as_str(), deep.name.as_str()), ("mf-bpr-wide", "mf-bpr", "deep-wide"));
    assert_eq!((&copy.settings["embedding_dim"], &deep.settings["embedding_dim"]), (&128.into(), &32.into()));
    assert_eq!(
        copy.settings["optimizer"]["adam"]["learning_rate"], 0.001,
        "what a data set says of a model it does not say of its copy"
    );
    assert_eq!((copy.training.max_epochs, copy.training.patience, copy.trials.len()), (Some(100), Some(3), 4));
    assert!(experiment.plan("gowalla", "quick", &["mf-bpr-wide".into()])?.models.is_empty());
    for (from, to, want) in [
        (r#"of = ["mf-bpr", "#, r#"of = ["mf-bpt", "#, "copies 'wide': unknown model 'mf-bpt'"),
        ("kinds.mf-bpr", "kinds.mf-bpt", "mf-bpt"),
        ("[copies.wide]", "[copies.wide]\nwhere = 1", "unknown field `where`"),
    ] {
        let problem = parse(&format!("{TEXT}{}", copies.replace(from, to))).err().unwrap_or_default();
        assert!(problem.contains(want), "{problem}");
    }
    Ok(())
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_a_suggestion() {
    let text = problem("select_by", "selct_by");
    assert!(text.starts_with("6: ") && text.contains("did you mean `select_by`"), "{text}");
}

#[test]
fn an_unknown_key_of_a_model_is_refused() {
    let text = problem("datasets = [\"gowalla\"]", "datasetz = [\"gowalla\"]");
    assert!(text.starts_with("18: unknown field `datasetz`") && text.contains("did you mean `datasets`"), "{text}");
}

#[test]
fn impossible_values_are_refused() {
    assert!(problem("seeds = 2", "seeds = 0").starts_with("4: field seeds is 0"));
    assert!(problem("seeds = 2", "seeds = -1").contains("-1"));
    assert!(problem("[\"recall@20\"]", "[]").contains("metrics is empty"));
    let text = problem("[kinds.light-gcn]", "[kinds.light-gnc]");
    assert!(text.starts_with("20: ") && text.contains("did you mean 'light-gcn'"), "{text}");
    assert!(problem("[profiles.quick.kinds.light-gcn]", "[profiles.quick.kinds.light-gnc]").contains("'light-gcn'"));
    assert!(problem("[profiles.quick]", "[profiles.quik]").contains("did you mean 'quick'"));
    assert!(problem("models.mf-bpr", "models.mf-bpt").contains("did you mean 'mf-bpr'"));
    assert!(problem("name = \"deep\"", "name = \"mf-bpr\"").contains("two models are named"));
    let text = problem("datasets = [\"gowalla\"]", "teacher = \"mf-bqr\"");
    assert!(text.contains("model 'deep'") && text.contains("did you mean 'mf-bpr'"), "{text}");
    assert!(problem("name = \"deep\"", "name = \"mf-bpr\"").starts_with("15: "));
    assert!(problem("kind = \"mf-bpr\"", "kind = \"mf-bpr\"\nteacher = \"deep\"").contains("before those who need it"));
    let text = problem("datasets = [\"gowalla\"]", "rerank = { by = \"mf-bqr\", depths = [5] }");
    assert!(text.contains("model to rerank by") && text.contains("did you mean 'mf-bpr'"), "{text}");
    let text = problem("datasets = [\"gowalla\"]", "rerank = { by = \"mf-bpr\", depths = [] }");
    assert!(text.contains("rerank.depths"), "{text}");
}

const EXPECTED: &str = r#"
[[published]]
dataset = "synthetic"
table = "Table 1"
among = "all"
metrics = ["recall@20", "ndcg@20"]
[published.rows]
mf-bpr = [0.1, 0.2]
"mf-bpr (top 5 by deep)" = [0.3, 0.4]

[[claims]]
id = "order"
text = "deep is better"
better = "deep"
than = "mf-bpr (top 5 by deep)"
by = ["recall@20", "ndcg@20 among all"]

[[claims]]
id = "usual"
text = "deep is half as good"
datasets = ["gowalla"]
better = "deep"
than = "mf-bpr"
factor = 0.5

[[claims]]
id = "quick"
text = "deep is quick"
left = { value = 5.0 }
right = { model = "deep", measured = "overlap@20" }
"#;

fn expecting(from: &str, to: &str) -> Result<Experiment, String> {
    assert!(EXPECTED.contains(from), "{from}");
    parse(&format!("{TEXT}{}", EXPECTED.replace(from, to)))
}

#[test]
fn a_published_table_is_a_row_of_values_a_model() -> Result<()> {
    let plan = expecting("", "").map_err(refusal::input)?.plan("synthetic", "quick", &[])?;
    let rows: Vec<_> = plan.published.iter().map(|p| (p.model.as_str(), p.variant.as_str(), p.among)).collect();
    let all = Some(Candidates::All);
    assert_eq!(rows, [("mf-bpr", "", all), ("mf-bpr", "top 5 by deep", all)]);
    assert_eq!(plan.published[1].values, BTreeMap::from([("recall@20".into(), 0.3), ("ndcg@20".into(), 0.4)]));
    Ok(())
}

#[test]
fn a_claim_on_two_models_is_one_for_each_measure() -> Result<()> {
    let experiment = expecting("", "").map_err(refusal::input)?;
    let claims = experiment.plan("gowalla", "quick", &[])?.claims;
    let texts: Vec<_> = claims.iter().map(|c| c.text.as_str()).collect();
    let two = ["deep is better (recall@20)", "deep is better (ndcg@20 among all items)"];
    assert_eq!(texts, [two[0], two[1], "deep is half as good", "deep is quick"]);
    assert_eq!((claims[0].among, claims[1].among), (None, Some(Candidates::All)));
    assert_eq!((claims[1].right.model.as_str(), claims[1].right.variant.as_str()), ("mf-bpr", "top 5 by deep"));
    // Without a word on what decides, it is what models are chosen by.
    assert_eq!((claims[2].left.metric.map(|m| m.to_string()), claims[2].factor), (Some("ndcg@20".into()), 0.5));
    assert_eq!(claims[2].band, 0.01, "where nothing is said");
    assert_eq!(experiment.plan("synthetic", "quick", &[])?.claims.len(), 3, "one speaks of gowalla alone");
    Ok(())
}

#[test]
fn claims_and_tables_that_do_not_add_up_are_refused() {
    let refused = |from: &str, to: &str| expecting(from, to).map_or_else(|problem| problem, |_| "accepted".into());
    assert!(refused("mf-bpr = [0.1, 0.2]", "mf-bpr = [0.1]").contains("row 'mf-bpr' has 1 values"));
    assert!(refused("mf-bpr = [0.1, 0.2]", "mf-brp = [0.1, 0.2]").contains("did you mean 'mf-bpr'"));
    assert!(refused("than = \"mf-bpr\"", "than = \"mf-brp\"").contains("did you mean 'mf-bpr'"));
    assert!(refused("than = \"mf-bpr\"\n", "").contains("expected better and than, or left and right"));
    assert!(refused("[\"recall@20\", \"ndcg@20 among all\"]", "[]").contains("claim 'order': field by is empty"));
    assert!(refused("ndcg@20 among all", "ndcg@20 among many").contains("many"));
    assert!(refused("measured = \"overlap@20\"", "variant = \"x\"").contains("claim 'quick': field right"));
    assert!(refused("value = 5.0", "value = 5.0, model = \"deep\"").contains("a value belongs to no model"));
    assert!(refused("factor = 0.5", "band = 1.5").contains("claim 'usual': field band is 1.5"));
    let text = refused("id = \"quick\"", "id = \"usual\"");
    assert!(text.starts_with("60: two claims have the id 'usual'"), "{text}");
    assert!(refused("overlap@20", "overlp@20").contains("unknown measurement 'overlp@20'; did you mean 'overlap@20'"));
    let point = "point = { figure = \"list-tme\", x = 64 }";
    assert!(
        refused("measured = \"overlap@20\"", point).contains("unknown figure 'list-tme'; did you mean 'list-time'")
    );
}

#[test]
fn an_unknown_model_on_the_command_line_is_refused_with_a_suggestion() -> Result<()> {
    let experiment = parse(TEXT).map_err(refusal::input)?;
    let error = experiment.plan("synthetic", "quick", &["mf-brp".into()]).map(|_| ()).map_err(|e| e.to_string());
    assert!(error.is_err_and(|text| text.contains("did you mean 'mf-bpr'")));
    Ok(())
}

#[test]
fn every_profile_of_every_experiment_has_settings_that_its_models_take() -> Result<()> {
    let kinds = Kinds::builtin();
    let mut plans = 0;
    for file in ExperimentFile::builtin() {
        let experiment = file.read()?;
        let named = experiment.datasets.keys().map(String::as_str);
        for dataset in named.chain(["synthetic"]) {
            for profile in PROFILES {
                let plan = experiment.plan(dataset, profile, &[])?;
                run::check(&plan, &kinds)?;
                let page = super::print(&plan, &kinds, &super::How { profile, first_seed: 0 })?;
                let read: Value = toml::from_str(&page)?;
                let models = read["experiment"][0]["models"].as_array();
                assert_eq!(models.map(Vec::len), Some(plan.models.len()), "{page}");
                plans += 1;
            }
        }
    }
    assert!(plans > 40, "{plans}");
    Ok(())
}
