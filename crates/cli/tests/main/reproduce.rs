//! `reproduce` from end to end: results, cache, threads, and a kill in the middle.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{CASCADE, CODES, EXPERIMENT, FOREST, Place, failure, models};

#[test]
fn one_run_writes_every_output_and_a_second_one_trains_nothing() {
    let place = Place::new(EXPERIMENT);
    place.reproduce(&["--out", "out"]).assert().success();
    let first = place.results("out");
    // Four models, two metrics.
    assert_eq!(first["records"].as_array().unwrap().len(), 8);
    assert_eq!(first["claims"][0]["verdict"], "holds", "{}", first["claims"]);
    assert_eq!(first["verdicts"]["holds"], 1);
    let runs = first["runs"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["cached"] == false));
    assert!(runs[3]["curve"].as_array().unwrap().len() >= 2, "{}", runs[3]);
    assert_eq!(runs[3]["search"].as_array().unwrap().len(), 2);
    let page = std::fs::read_to_string(place.path("out/report.html")).unwrap();
    assert!(page.contains("Learning curves") && page.contains("Quality against latency"));
    assert!(std::fs::read_to_string(place.path("out/report.md")).unwrap().contains("| EASE is better"));

    place.reproduce(&["--out", "out"]).assert().success();
    let second = place.results("out");
    assert!(second["runs"].as_array().unwrap().iter().all(|run| run["cached"] == true));
    assert_eq!(first["records"], second["records"]);

    place.reproduce(&["--out", "out", "--fresh", "--model", "ease"]).assert().success();
    let third = place.results("out");
    assert_eq!(third["runs"][0]["cached"], false);
    assert_eq!(third["records"][0]["value"], first["records"][2]["value"]);
    // The claim needs a model that was left out: a note says so.
    assert!(third["notes"][0].as_str().unwrap().contains("not decided: ease"), "{}", third["notes"]);
}

#[test]
fn a_forest_is_served_in_other_ways_without_another_training() {
    let place = Place::new(FOREST);
    place.reproduce(&["--out", "out"]).assert().success();
    let first = place.results("out");
    let variants = |results: &serde_json::Value| -> Vec<String> {
        let records = results["records"].as_array().unwrap().iter().filter(|r| r["model"] == "deforec");
        records.map(|r| r["variant"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(variants(&first), ["", "n_trees = 1", "beam_width = 12, n_trees = 1"]);
    assert_eq!(first["claims"].as_array().unwrap().len(), 1, "{}", first["notes"]);
    let trained = models(&place.path("out"));
    assert_eq!(trained.len(), 2);

    // Other ways of serving find the same models.
    let other = FOREST.replace("{ n_trees = 1 }, {", "{ beam_width = 40, candidates = \"beam\" }, {");
    std::fs::write(place.path("experiments/tiny.toml"), other).unwrap();
    place.reproduce(&["--out", "out"]).assert().success();
    let second = place.results("out");
    assert_eq!(variants(&second)[1], "beam_width = 40, candidates = \"beam\"");
    assert!(second["runs"].as_array().unwrap().iter().all(|run| run["cached"] == true));
    assert!(models(&place.path("out")) == trained, "models were trained again");
    assert_eq!(first["records"][0]["value"], second["records"][0]["value"]);
}

#[test]
fn codes_are_served_by_inverted_lists() {
    let place = Place::new(CODES);
    place.reproduce(&["--out", "out"]).assert().success();
    let results = place.results("out");
    let records = results["records"].as_array().unwrap().iter().filter(|r| r["model"] == "rvq");
    let found: Vec<(&str, f64)> =
        records.map(|r| (r["variant"].as_str().unwrap(), r["value"].as_f64().unwrap())).collect();
    let [("", all), ("n_probes = 32", every_list), ("n_probes = 1", one_list)] = found[..] else { panic!("{found:?}") };
    assert_eq!(every_list, all);
    // An inverted list of a few dozen items is visited first; more are, until the answer is whole. Usually 0.0784 and 0.0764.
    assert!(one_list != all && (one_list / all - 1.0).abs() < 0.2, "{found:?}");
}

#[test]
fn a_calibrated_cascade_rejects_what_is_asked_and_needs_a_cascade() {
    let place = Place::new(CASCADE);
    place.reproduce(&["--out", "out"]).assert().success();
    let results = place.results("out");
    let measured = |model: &str, what: &str| {
        let run = results["runs"].as_array().unwrap().iter().find(|run| run["model"] == model).unwrap();
        run["measured"][what].as_f64()
    };
    let gap = |model| measured(model, "rejection-gap").unwrap();
    assert!(gap("hdn") > 0.02, "three epochs learn it to {}; then this test shows nothing", gap("hdn"));
    assert!(gap("hdn-calibrated") < 0.01, "{}", gap("hdn-calibrated"));
    // Other thresholds, the same scores: nearly the same lists.
    let overlap = |model| measured(model, "overlap@10");
    let (of_mf, of_hdn) = (overlap("hdn").unwrap(), overlap("hdn-calibrated").unwrap());
    assert!(0.0 < of_mf && of_mf < of_hdn && of_hdn <= 1.0, "{of_mf} {of_hdn}");
    assert_eq!(overlap("mf-bce"), None);

    for (from, to, problem) in [
        ("teacher = \"hdn\"", "teacher = \"mf-bce\"", "name one as teacher"),
        ("[0.5, 0.8]", "[0.8, 0.5]", "rejection_ratios is 0.5 at position 1"),
        ("[0.5, 0.8]", "[0.5]", "the cascade has 2 modules"),
    ] {
        assert!(CASCADE.contains(from));
        std::fs::write(place.path("experiments/tiny.toml"), CASCADE.replace(from, to)).unwrap();
        let (_, text) = failure(place.reproduce(&["--out", "out"]));
        assert!(text.contains(problem), "{text}");
    }
}

#[test]
fn models_have_the_same_bytes_with_one_and_two_threads() {
    let place = Place::new(EXPERIMENT);
    place.reproduce(&["--out", "one", "--threads", "1"]).assert().success();
    place.reproduce(&["--out", "two", "--threads", "2"]).assert().success();
    let (one, two) = (models(&place.path("one")), models(&place.path("two")));
    assert!(one.len() >= 8, "{:?}", one.keys());
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    assert!(one == two, "bytes differ");
    let values = |out: &str| -> Vec<String> {
        place.results(out)["records"].as_array().unwrap().iter().map(|r| r["value"].to_string()).collect()
    };
    assert_eq!(values("one"), values("two"));
}

#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_bytes() {
    let place = Place::new(EXPERIMENT);
    let arguments = ["--profile", "paper", "--model", "mf-bpr", "--out"];
    place.reproduce(&[&arguments[..], &["whole"]].concat()).assert().success();

    let mut child = Command::new(env!("CARGO_BIN_EXE_rectify"))
        .args(["reproduce", "--experiments", "experiments"])
        .args(arguments)
        .arg("killed")
        .current_dir(place.path(""))
        .env("XDG_CACHE_HOME", place.path("xdg"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = || {
        let entries = std::fs::read_dir(place.path("killed/cache")).ok()?;
        entries.filter_map(|e| Some(e.ok()?.path())).find(|p| p.extension().is_some_and(|e| e == "checkpoint"))
    };
    let start = Instant::now();
    while checkpoint().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!(checkpoint().is_some() && !place.path("killed/results.json").exists());

    let resumed = place.reproduce(&[&arguments[..], &["killed"]].concat()).output().unwrap();
    assert!(resumed.status.success());
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("goes on after epoch"));
    assert!(models(&place.path("whole")) == models(&place.path("killed")), "bytes differ after resume");
    assert!(checkpoint().is_none(), "the checkpoint of a finished run stays");
}

#[test]
fn any_file_of_a_known_format_can_be_reproduced_on() {
    let place = Place::new(EXPERIMENT);
    place.rectify(&["data", "generate", "--size", "tiny", "--out", "mine.inter"]).assert().success();
    place
        .reproduce(&[
            "--input",
            "mine.inter",
            "--format",
            "inter",
            "--model",
            "pop-rank",
            "--model",
            "ease",
            "--out",
            "out",
        ])
        .assert()
        .success();
    let results = place.results("out");
    assert_eq!(results["records"][0]["dataset"], "mine");
    assert!(results["records"][2]["value"].as_f64().unwrap() > results["records"][0]["value"].as_f64().unwrap());
}

#[test]
fn the_programs_own_experiments_parse_wherever_it_runs() {
    // `--model` with an unknown name is refused after all experiments were read.
    let (code, text) = failure(Place::new(EXPERIMENT).rectify(&["reproduce", "--model", "no-such-model"]));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("unknown model 'no-such-model'"), "{text}");
}

#[test]
fn the_record_names_the_version_and_the_report_the_command() {
    let place = Place::new(EXPERIMENT);
    place.reproduce(&["--model", "pop-rank", "--out", "out"]).assert().success();
    assert_eq!(place.results("out")["records"][0]["commit"], concat!("v", env!("CARGO_PKG_VERSION")));
    let report = || std::fs::read_to_string(place.path("out/report.md")).unwrap();
    assert!(
        report().contains("command: `rectify reproduce --experiments experiments --model pop-rank"),
        "{}",
        report()
    );
    let mut from_the_front_door = place.reproduce(&["--model", "pop-rank", "--out", "out"]);
    from_the_front_door.env("RECTIFY_CALLED_AS", "cargo xtask").env("RECTIFY_COMMIT", "abc+").assert().success();
    assert_eq!(place.results("out")["records"][0]["commit"], "abc+");
    assert!(report().contains("command: `cargo xtask reproduce"), "{}", report());
}

/// Standard output of a command that must succeed.
fn told(mut command: assert_cmd::Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

#[test]
fn a_plan_is_printed_and_nothing_is_trained() {
    let place = Place::new(EXPERIMENT);
    // Of data that are not here, too.
    let page =
        told(place.reproduce(&["--plan", "--dataset", "gowalla", "--seed", "3", "--seeds", "2", "--out", "out"]));
    for line in [
        "dataset = \"gowalla\"",
        "seeds = [3, 4]",
        "name = \"mf-bpr\"",
        "training.max_epochs = 6",
        "settings.embedding_dim = 8",
        "settings.optimizer.learning_rate = 0.001",
        "    { optimizer = { learning_rate = 0.01 } },",
        "id = \"ease\"",
        "greater = \"ndcg@10 of ease\"",
    ] {
        assert!(page.lines().any(|own| own == line), "{line} is missing in:\n{page}");
    }
    assert!(!place.path("out").exists());
}

#[test]
fn an_experiment_can_be_named_by_its_path() {
    let place = Place::new(EXPERIMENT);
    std::fs::write(place.path("mine.toml"), EXPERIMENT).unwrap();
    place.rectify(&["reproduce", "./mine.toml", "--model", "pop-rank", "--out", "out"]).assert().success();
    assert_eq!(place.results("out")["records"][0]["paper"], "mine");
}

#[test]
fn a_setting_of_the_command_line_wins_over_the_search_and_is_told() {
    let place = Place::new(EXPERIMENT);
    let set = ["--set", "ease.l2=42.5", "--set", "mf-bpr.optimizer.learning_rate=0.02"];
    let page = told(place.reproduce(&[&["--plan"], &set[..]].concat()));
    assert!(page.contains("settings.l2 = 42.5") && page.contains("settings.optimizer.learning_rate = 0.02"), "{page}");
    assert!(!page.contains("search"), "{page}");
    place.reproduce(&[&["--model", "ease", "--out", "out"], &set[..2]].concat()).assert().success();
    let run = &place.results("out")["runs"][0];
    assert_eq!((&run["config"]["l2"], run.get("search")), (&42.5.into(), None), "{run}");
    let report = std::fs::read_to_string(place.path("out/report.md")).unwrap();
    assert!(report.contains("--set ease.l2=42.5`"), "{report}");
}
