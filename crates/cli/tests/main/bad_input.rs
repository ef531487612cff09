//! What a user can get wrong: the message names it, the exit code says its kind, and nothing on disk is harmed.

#[cfg(feature = "train")]
use crate::common::{CODES, FOREST, models};
use crate::common::{EXPERIMENT, Place, failure};

#[cfg(feature = "train")]
mod reproduce {
    use super::*;

    fn refused(experiment: &str, arguments: &[&str]) -> (i32, String) {
        failure(Place::new(experiment).reproduce(arguments))
    }

    fn check(got: &(i32, String), code: i32, parts: &[&str]) {
        assert_eq!(got.0, code, "{}", got.1);
        for part in parts {
            assert!(got.1.contains(part), "{part} is missing in: {}", got.1);
        }
    }

    #[test]
    fn unknown_paper() {
        check(&refused(EXPERIMENT, &["tinny"]), 2, &["unknown paper 'tinny'", "did you mean 'tiny'", ".toml"]);
    }

    #[test]
    fn experiments_by_path() {
        let place = Place::new(EXPERIMENT);
        let refused = |arguments: &[&str]| failure(place.rectify(&[&["reproduce"], arguments].concat()));
        check(&refused(&["./nowhere.toml"]), 3, &["cannot read the experiment ./nowhere.toml"]);
        std::fs::write(place.path("mine.toml"), EXPERIMENT.replace("[[claims]]", "[[claim]]")).unwrap();
        check(&refused(&["./mine.toml"]), 3, &["./mine.toml:30: ", "`claim`", "did you mean `claims`"]);
        std::fs::write(place.path("mine.toml"), EXPERIMENT.replace("than = \"pop-rank\"", "than = \"pop-rnk\""))
            .unwrap();
        check(&refused(&["./mine.toml"]), 3, &["./mine.toml:30: ", "claim 'ease'", "did you mean 'pop-rank'"]);
        std::fs::write(place.path("mine.toml"), EXPERIMENT).unwrap();
        check(&refused(&["mine.toml", "experiments/../mine.toml"]), 2, &["'mine' is run already", "rename"]);
    }

    #[test]
    fn settings_of_the_command_line() {
        let refused = |set| refused(EXPERIMENT, &["--set", set]);
        check(&refused("esae.l2=1"), 2, &["--set esae.l2=1", "unknown model 'esae'", "did you mean 'ease'"]);
        let optimizer = refused("mf-bpr.optimizer.lerning_rate=1");
        check(&optimizer, 2, &["--set mf-bpr.optimizer.lerning_rate=1", "did you mean `learning_rate`"]);
        check(&refused("mf-bpr.embedding_dim=0"), 2, &["--set mf-bpr.embedding_dim=0", "at least 1"]);
        check(&refused("mf-bpr.embedding_dim=wide"), 2, &["--set mf-bpr.embedding_dim=wide", "\"wide\""]);
        check(&refused("ease.l2"), 2, &["--set ease.l2", "MODEL.FIELD=VALUE"]);
    }

    #[test]
    fn unknown_dataset() {
        check(&refused(EXPERIMENT, &["--dataset", "gowala"]), 2, &["unknown data set", "did you mean 'gowalla'"]);
    }

    #[test]
    fn unknown_model() {
        check(&refused(EXPERIMENT, &["--model", "mf-brp"]), 2, &["unknown model", "did you mean 'mf-bpr'"]);
    }

    #[test]
    fn unknown_metric() {
        let experiment = EXPERIMENT.replace("\"recall@10\"", "\"recal@10\"");
        check(&refused(&experiment, &[]), 3, &["tiny.toml:5:", "unknown metric", "recall@10"]);
    }

    #[test]
    fn unknown_key_of_an_experiment() {
        let experiment = EXPERIMENT.replace("refit", "refits");
        check(&refused(&experiment, &[]), 3, &["tiny.toml:7:", "refits", "did you mean `refit`"]);
    }

    #[test]
    fn unknown_config_key_of_a_model() {
        let experiment = EXPERIMENT.replace("embedding_dim = 8 }", "embeding_dim = 8 }");
        check(
            &refused(&experiment, &[]),
            3,
            &["tiny.toml:17: model ials", "embeding_dim", "did you mean `embedding_dim`"],
        );
    }

    #[test]
    fn unknown_kind_of_model() {
        let experiment = EXPERIMENT.replace("kind = \"ease\"", "name = \"ease\"\nkind = \"eese\"");
        check(&refused(&experiment, &[]), 3, &["unknown kind of model 'eese'", "did you mean 'ease'"]);
    }

    #[test]
    fn impossible_settings() {
        let experiment = EXPERIMENT.replace("embedding_dim = 8,", "embedding_dim = 0,");
        check(&refused(&experiment, &[]), 3, &["mf-bpr", "embedding_dim", "at least 1"]);
        let experiment = EXPERIMENT.replace("l2 = [10.0, 100.0]", "l2 = [10.0, -1.0]");
        check(&refused(&experiment, &[]), 3, &["model ease", "l2", "-1"]);
    }

    #[test]
    fn impossible_ways_of_serving() {
        let refused = |from: &str, to: &str| refused(&FOREST.replace(from, to), &[]);
        check(
            &refused("{ n_trees = 1 }, {", "{ n_trees = 3 }, {"),
            3,
            &["model deforec", "n_trees is 3, expected 1 to 2"],
        );
        check(&refused("beam_width = 12", "beam_width = 0"), 3, &["serve_variants of deforec: beam_width is 0"]);
        check(&refused("beam_width = 12", "beam_wdth = 12"), 3, &["did you mean `beam_width`"]);
        let text = refused("{ embedding_dim = 8 }", "{ embedding_dim = 8 }\nserve_variants = [{ n_trees = 1 }]");
        check(&text, 3, &["serve_variants of fm", "in one way only"]);
        let codes = |from: &str, to: &str| self::refused(&CODES.replace(from, to), &[]);
        check(&codes("n_probes = 1 }", "n_probes = 0 }"), 3, &["serve_variants of rvq: n_probes is 0"]);
        check(&codes("n_probes = 1 }", "beam_width = 1 }"), 3, &["beam_width", "n_probes"]);
        check(&refused("{ embedding_dim = 8 }", "{ hidden = [8] }"), 3, &["youtube-dnn, not fm; name the other kind"]);
    }

    #[test]
    fn impossible_numbers_on_the_command_line() {
        check(&refused(EXPERIMENT, &["--seeds", "0"]), 2, &["--seeds", "1..=100"]);
        check(&refused(EXPERIMENT, &["--threads", "0"]), 2, &["--threads"]);
        check(&refused(EXPERIMENT, &["--seed", "one"]), 2, &["--seed"]);
    }

    #[test]
    fn missing_input_path() {
        let arguments = ["--input", "nowhere.csv", "--format", "csv"];
        check(&refused(EXPERIMENT, &arguments), 3, &["nowhere.csv", "does not exist"]);
    }

    #[test]
    fn unknown_format() {
        let arguments = ["--input", "x", "--format", "movilens"];
        check(&refused(EXPERIMENT, &arguments), 2, &["unknown format 'movilens'", "did you mean 'movielens'"]);
    }

    #[test]
    fn an_ending_that_names_no_format() {
        let place = Place::new(EXPERIMENT);
        std::fs::write(place.path("sales.txt"), "a,b\n").unwrap();
        check(&failure(place.reproduce(&["--input", "sales.txt"])), 3, &["sales.txt", "csv, tsv", "--format NAME"]);
    }

    #[test]
    fn a_missing_column_names_the_flag_that_mends_it() {
        let place = Place::new(EXPERIMENT);
        std::fs::write(place.path("sales.csv"), "who,sku\na,b\n").unwrap();
        let got = failure(place.reproduce(&["--input", "sales.csv"]));
        check(&got, 3, &["no column for the user", "who, sku", "--user-column NAME"]);
        let got = failure(place.reproduce(&["--input", "sales.csv", "--user-column", "whom"]));
        check(&got, 3, &["expected one of whom"]);
        check(&refused(EXPERIMENT, &["--user-column", "who"]), 2, &["--input"]);
    }

    #[test]
    fn data_set_that_is_nowhere() {
        let got = refused(EXPERIMENT, &["--dataset", "gowalla"]);
        check(&got, 3, &["gowalla", "train.txt", "data fetch gowalla"]);
    }

    #[test]
    fn a_bad_row_is_named_by_file_and_line() {
        let place = Place::new(EXPERIMENT);
        std::fs::write(place.path("bad.csv"), "user_id,item_id\n1,2\n1\n").unwrap();
        let got = failure(place.reproduce(&["--input", "bad.csv", "--format", "csv"]));
        check(&got, 3, &["bad.csv", "3"]);
    }

    #[test]
    fn device_cuda_without_the_feature() {
        check(&refused(EXPERIMENT, &["--device", "cuda"]), 2, &["no CUDA", "--device cpu"]);
    }

    #[test]
    fn out_that_is_a_file() {
        let place = Place::new(EXPERIMENT);
        std::fs::write(place.path("taken"), "mine").unwrap();
        check(&failure(place.reproduce(&["--out", "taken"])), 4, &["taken", "is a file"]);
        assert_eq!(std::fs::read_to_string(place.path("taken")).unwrap(), "mine");
    }

    #[test]
    fn a_damaged_model_in_the_cache_is_named_and_left_alone() {
        let place = Place::new(EXPERIMENT);
        place.reproduce(&["--model", "ease", "--out", "out"]).assert().success();
        let (name, mut bytes) = models(&place.path("out")).pop_first().unwrap();
        let path = place.path("out/cache").join(&name);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        check(&failure(place.reproduce(&["--model", "ease", "--out", "out"])), 3, &[&name, "checksum", "remove"]);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn data_output_that_exists_is_left_alone_unless_forced() {
    let place = Place::new(EXPERIMENT);
    for verb in [&["data", "generate", "--size", "tiny"][..], &["data", "prepare", "synthetic-tiny"]] {
        std::fs::write(place.path("taken"), "mine").unwrap();
        let (code, text) = failure(place.rectify(&[verb, &["--out", "taken"]].concat()));
        assert_eq!(code, 4, "{text}");
        assert!(text.contains("taken exists"), "{text}");
        assert_eq!(std::fs::read_to_string(place.path("taken")).unwrap(), "mine");
        place.rectify(&[verb, &["--out", "taken", "--force"]].concat()).assert().success();
        assert_ne!(std::fs::read(place.path("taken")).unwrap(), b"mine");
    }
}

#[test]
fn data_verbs_speak_of_every_set_and_refuse_unknown_ones() {
    let place = Place::new(EXPERIMENT);
    let list = place.rectify(&["data", "list"]).output().unwrap();
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(text.contains("gowalla") && text.contains("synthetic") && text.contains("lightgcn"), "{text}");
    let about = place.rectify(&["data", "describe", "synthetic-tiny"]).output().unwrap();
    assert!(String::from_utf8_lossy(&about.stdout).contains("users         200"));
    let (code, text) = failure(place.rectify(&["data", "describe", "ml1m"]));
    assert_eq!(code, 2);
    assert!(text.contains("did you mean 'ml-1m'"), "{text}");
}
