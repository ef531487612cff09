use super::*;

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
only_on = ["gowalla"]

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
    Experiment::parse(text, "test".into())
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
    let text = TEXT.replace("only_on = [\"gowalla\"]", "teacher = \"mf-bpr\"");
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
only_in = ["paper"]
on_request = true
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
    let text = problem("only_on", "only_no");
    assert!(text.contains("only_no"), "{text}");
}

#[test]
fn impossible_values_are_refused() {
    assert!(problem("seeds = 2", "seeds = 0").contains("seeds is 0"));
    assert!(problem("seeds = 2", "seeds = -1").contains("-1"));
    assert!(problem("[\"recall@20\"]", "[]").contains("metrics is empty"));
    assert!(problem("[kinds.light-gcn]", "[kinds.light-gnc]").contains("did you mean 'light-gcn'"));
    assert!(problem("[profiles.quick.kinds.light-gcn]", "[profiles.quick.kinds.light-gnc]").contains("'light-gcn'"));
    assert!(problem("[profiles.quick]", "[profiles.quik]").contains("did you mean 'quick'"));
    assert!(problem("models.mf-bpr", "models.mf-bpt").contains("did you mean 'mf-bpr'"));
    assert!(problem("name = \"deep\"", "name = \"mf-bpr\"").contains("two models are named"));
    let text = problem("only_on = [\"gowalla\"]", "teacher = \"mf-bqr\"");
    assert!(text.contains("model 'deep'") && text.contains("did you mean 'mf-bpr'"), "{text}");
    assert!(problem("kind = \"mf-bpr\"", "kind = \"mf-bpr\"\nteacher = \"deep\"").contains("before those who need it"));
    let text = problem("only_on = [\"gowalla\"]", "post_rank = { by = \"mf-bqr\", depths = [5] }");
    assert!(text.contains("model to rank again by") && text.contains("did you mean 'mf-bpr'"), "{text}");
    let text = problem("only_on = [\"gowalla\"]", "post_rank = { by = \"mf-bpr\", depths = [] }");
    assert!(text.contains("post_rank.depths"), "{text}");
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
only_on = ["gowalla"]
better = "deep"
than = "mf-bpr"
factor = 0.5

[[claims]]
id = "quick"
text = "deep is quick"
left = { value = 5.0 }
right = { model = "deep", measured = "seconds" }
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
    assert!(refused("measured = \"seconds\"", "variant = \"x\"").contains("claim 'quick': field right"));
    assert!(refused("value = 5.0", "value = 5.0, model = \"deep\"").contains("a value belongs to no model"));
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/experiments");
    let mut plans = 0;
    for (_, path) in files(&folder)? {
        let experiment = Experiment::read(&path)?;
        let named = experiment.datasets.keys().map(String::as_str);
        for dataset in named.chain(["synthetic"]) {
            for profile in Profile::value_variants() {
                crate::reproduce::runner::check(&experiment.plan(dataset, profile.name(), &[])?)?;
                plans += 1;
            }
        }
    }
    assert!(plans > 40, "{plans}");
    Ok(())
}
