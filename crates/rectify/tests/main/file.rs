//! The file: whole, small, and refused when it is not what it should be.

use rectify::{Catalogue, IdMap, Kinds, Overwrite, People, Provenance, RecommendError, Recommender};
use rectify_core::{ItemId, UserVectors};
use rectify_quantize::{CodeIndex, CodeShape, CodedFactors, Composition};

use crate::common::{coded, saved, shop};

#[test]
fn everything_comes_back_from_a_file_and_equal_content_gives_equal_bytes() {
    let shop = shop();
    let (_folder, path) = saved(&shop, "shop.rectify");
    let opened = Recommender::open(&path).unwrap();
    for user in ["anna", "boris"] {
        assert_eq!(opened.recommend(user, 6).unwrap(), shop.recommend(user, 6).unwrap());
    }
    assert_eq!(opened.recommend_for(&["SKU-03"], 6).unwrap(), shop.recommend_for(&["SKU-03"], 6).unwrap());
    assert_eq!(opened.similar("SKU-03", 6).unwrap(), shop.similar("SKU-03", 6).unwrap());
    assert_eq!(opened.items().name("SKU-06"), Some("茶"));
    assert_eq!(opened.items().popularity("SKU-02"), Some(8));
    assert_eq!(opened.items().categories(), ["drink", "food", "new", "ware"]);
    assert_eq!(opened.fold_in_config(), shop.fold_in_config());
    assert_eq!(opened.kind().name, "vectors");
    let again = path.with_extension("again");
    opened.save(&again, Overwrite::Refuse).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(again).unwrap());
    assert!(opened.save(&path, Overwrite::Refuse).is_err());
}

#[test]
fn a_file_without_users_holds_none_of_their_ids() {
    let (_folder, path) = saved(&shop().without_users().unwrap(), "public.rectify");
    let bytes = std::fs::read(&path).unwrap();
    for name in ["anna", "boris"] {
        assert!(!bytes.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
    }
    let opened = Recommender::open(&path).unwrap();
    assert_eq!(opened.recommend_for(&["SKU-01"], 3).unwrap(), shop().recommend_for(&["SKU-01"], 3).unwrap());
    assert!(matches!(opened.recommend("anna", 1), Err(RecommendError::NoUsers)));
}

#[test]
fn two_thousand_items_of_four_bytes_take_less_than_sixty_kilobytes() {
    // Eight codebooks of 16 codewords: four bits each. Ids of twelve bytes.
    let (n_items, dim) = (2_000usize, 32usize);
    let shape = CodeShape { embedding_dim: dim, n_codebooks: 8, n_codewords: 16, composition: Composition::Sum };
    let codebooks: Vec<f32> = (0..8 * 16 * dim).map(|x| (x as f32 * 0.11).sin()).collect();
    let codes: Vec<u8> = (0..n_items * 8).map(|x| (x * 7 % 16) as u8).collect();
    let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
    let users = UserVectors::new(vec![], dim).unwrap();
    let model = CodedFactors::new(users, index, Provenance::default()).unwrap();
    let items = Catalogue::new((0..n_items).map(|item| format!("article-{item:04}"))).unwrap();
    let kind = *Kinds::builtin().get("rvq").unwrap();
    let whole = Recommender::new(kind, Box::new(model), items, People::nobody(), Provenance::default()).unwrap();
    let (_folder, path) = saved(&whole, "small.rectify");
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 60_000, "{size} bytes");
    let opened = Recommender::open(&path).unwrap();
    assert_eq!(opened.recommend_for(&["article-0007"], 5).unwrap(), whole.recommend_for(&["article-0007"], 5).unwrap());
}

#[test]
fn a_byte_that_changed_is_found_and_another_file_is_named() {
    let (folder, path) = saved(&shop(), "shop.rectify");
    let whole = std::fs::read(&path).unwrap();
    for at in [9, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let damaged = folder.path().join("damaged");
        std::fs::write(&damaged, bytes).unwrap();
        assert!(Recommender::open(&damaged).is_err(), "byte {at}");
    }
    let text = folder.path().join("text.csv");
    std::fs::write(&text, "user,item\na,b\n").unwrap();
    let said = Recommender::open(&text).unwrap_err().to_string();
    assert!(said.contains("text.csv"), "{said}");
}

#[test]
fn a_deferred_file_answers_what_its_header_says_and_is_checked_at_the_first_question() {
    let (folder, path) = saved(&shop(), "shop.rectify");
    let deferred = Recommender::open_deferred(&path).unwrap();
    assert_eq!((deferred.n_items(), deferred.n_users(), deferred.kind()), (6, 2, "vectors"));
    assert_eq!(deferred.get().unwrap().recommend("anna", 3).unwrap(), shop().recommend("anna", 3).unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = folder.path().join("damaged");
    std::fs::write(&damaged, bytes).unwrap();
    let deferred = Recommender::open_deferred(&damaged).unwrap();
    assert!(deferred.get().is_err() && deferred.get().is_err());
    let other = Recommender::open_deferred(folder.path().join("nothing")).unwrap_err().to_string();
    assert!(other.contains("nothing"), "{other}");
}

#[test]
fn a_newer_version_is_refused_by_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer");
    let mut writer = rectify_core::artifact::ArtifactWriter::new("recommender", 99);
    writer.config(&serde_json::json!({}));
    writer.save(&path, Overwrite::Refuse).unwrap();
    let said = Recommender::open(&path).unwrap_err().to_string();
    assert!(said.contains("99") && said.contains("version"), "{said}");
}

/// The reader of docs/format.md, run where there is a Python.
#[test]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn a_short_reader_in_python_gets_the_same_lists() {
    for (model, user) in
        [(shop(), "anna"), (coded(Composition::Sum, 16), "u7"), (coded(Composition::Product, 32), "u0")]
    {
        let (_folder, path) = saved(&model, "shop.rectify");
        let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read_recommender.py");
        let run = std::process::Command::new("python3").arg(reader).arg(&path).args([user, "3"]).output();
        let Ok(run) = run else {
            println!("no python3 here: the reader was not tried");
            return;
        };
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let expected: Vec<String> = model.recommend(user, 3).unwrap().into_iter().map(|one| one.item).collect();
        assert_eq!(String::from_utf8(run.stdout).unwrap().split_whitespace().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn numbers_of_ids_must_fit() {
    let items = Catalogue::new(["a", "b"]).unwrap();
    let wrong = Recommender::from_vectors(items, vec![1.0; 6], People::nobody(), vec![], 2).unwrap_err().to_string();
    assert_eq!(wrong, "ids of items: 2 given, expected 3");
    let people = People::new(IdMap::from_names(["u"]).unwrap(), [[ItemId(0)], [ItemId(1)]]).unwrap_err().to_string();
    assert_eq!(people, "lists of seen items: 2 given, expected 1");
    assert!(Catalogue::new(["a", "a"]).unwrap_err().to_string().contains("comes twice"));
}
