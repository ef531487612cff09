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
    assert!(
        problem("seeds = 2", "seeds = -1").contains("seeds = -1") || problem("seeds = 2", "seeds = -1").contains("-1")
    );
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
