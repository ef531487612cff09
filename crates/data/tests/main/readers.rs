//! Every format: a small file that reads as it should, and files that must not read.

#![expect(clippy::unwrap_used, reason = "tests: a failure there is the message")]

use std::io::Write;
use std::path::{Path, PathBuf};

use rectify_core::IdMap;
use rectify_core::{ItemId, UserId};
use rectify_data::read::{Files, ItemFormat, PartFile, Source, load, read_categories, read_words};
use rectify_data::{Dataset, Duplicates, Format, ReadError, ReadOptions, load_path};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn read(format: Format, content: impl AsRef<[u8]>) -> Result<Dataset, ReadError> {
    read_with(format, content, &ReadOptions::default())
}

fn read_with(format: Format, content: impl AsRef<[u8]>, options: &ReadOptions) -> Result<Dataset, ReadError> {
    let folder = Folder::new();
    load_path(&folder.file("data.txt", content), format, options)
}

/// The message without the folder, which is random.
fn message(result: Result<Dataset, ReadError>) -> String {
    let text = result.unwrap_err().to_string();
    text.split_once("data.txt").map_or(text.clone(), |(_, rest)| rest.to_owned())
}

/// (user, item, weight, time) by own ids, in order.
fn rows(data: &Dataset) -> Vec<(String, String, Option<f32>, Option<i64>)> {
    let all = &data.interactions;
    let mut at = 0;
    all.pairs()
        .map(|(user, item)| {
            let weight = all.all_weights().map(|weights| weights[at]);
            let time = all.all_times().map(|times| times[at]);
            at += 1;
            (data.ids.users.name(user.0).unwrap(), data.ids.items.name(item.0).unwrap(), weight, time)
        })
        .collect()
}

fn row(user: &str, item: &str, weight: Option<f32>, time: Option<i64>) -> (String, String, Option<f32>, Option<i64>) {
    (user.to_owned(), item.to_owned(), weight, time)
}

#[test]
fn movielens_rows_have_ratings_and_times_and_ids_with_gaps() {
    let data = read(Format::Movielens, "1::1193::5::978300760\n1::661::3::978302109\r\n\n7::661::3.5::9\n").unwrap();
    assert_eq!(
        rows(&data),
        [
            row("1", "661", Some(3.0), Some(978_302_109)),
            row("1", "1193", Some(5.0), Some(978_300_760)),
            row("7", "661", Some(3.5), Some(9)),
        ]
    );
    assert_eq!((data.interactions.n_users(), data.interactions.n_items()), (2, 2), "no gaps inside");
}

#[test]
fn tab_rows_may_have_two_to_four_columns_crlf_and_blanks_at_the_end() {
    assert_eq!(
        rows(&read(Format::Tab, "a\tx\r\nb\ty \n").unwrap()),
        [row("a", "x", None, None), row("b", "y", None, None)]
    );
    assert_eq!(rows(&read(Format::Tab, "0\t14\t2\r\n").unwrap()), [row("0", "14", Some(2.0), None)]);
    assert_eq!(
        rows(&read(Format::Tab, "196\t242\t3\t881250949").unwrap()),
        [row("196", "242", Some(3.0), Some(881_250_949))]
    );
}

#[test]
fn csv_columns_are_found_by_name_and_quotes_are_honoured() {
    let text = "\u{feff}userId,title,movieId,rating,timestamp\n1,\"Usual, Suspects \"\"The\"\"\",31,2.5,1260759144\n";
    assert_eq!(rows(&read(Format::Csv, text).unwrap()), [row("1", "31", Some(2.5), Some(1_260_759_144))]);
    let text = "user_id\titem_id\ttime\r\n2177\tB00X\t965779200\r\n";
    assert_eq!(rows(&read(Format::Csv, text).unwrap()), [row("2177", "B00X", None, Some(965_779_200))]);
    let options =
        ReadOptions { user_column: Some("who".into()), item_column: Some("what".into()), ..ReadOptions::default() };
    assert_eq!(rows(&read_with(Format::Csv, "what;who\nx;y\n", &options).unwrap()), [row("y", "x", None, None)]);
}

#[test]
fn lightgcn_users_may_be_empty_and_lines_may_end_in_blanks() {
    let data = read(Format::Lightgcn, "0 5 3 \r\n2\n1 5\n").unwrap();
    assert_eq!(rows(&data), [row("0", "3", None, None), row("0", "5", None, None), row("1", "5", None, None)]);
    assert_eq!(data.interactions.n_users(), 3);
    assert!(data.interactions.items_of(UserId(2)).is_empty());
}

#[test]
fn citeulike_users_are_numbers_of_lines_and_counts_must_agree() {
    let data = read(Format::Citeulike, "2 193 11908\n0\n1 193\n\n").unwrap();
    assert_eq!(rows(&data), [row("0", "193", None, None), row("0", "11908", None, None), row("2", "193", None, None)]);
    assert_eq!(data.interactions.n_users(), 3);
    assert_eq!(
        message(read(Format::Citeulike, "1 7\n2 193\n")),
        ":2: found 1 items, expected 2, as the first number of the line says"
    );
    assert!(message(read(Format::Citeulike, "1 7\n\n1 8\n")).starts_with(":3: found a row after blank line 2"));
}

#[test]
fn pairs_may_end_in_a_one_and_their_order_may_be_time() {
    assert_eq!(rows(&read(Format::Pairs, "0 8362 1\n0 22406 1\n").unwrap()).len(), 2);
    let options = ReadOptions { row_order_is_time: true, ..ReadOptions::default() };
    let data = read_with(Format::Pairs, "1 6393\n1 13504\n1 14\n", &options).unwrap();
    assert_eq!(data.interactions.times_of(UserId(0)), Some(&[3, 1, 2][..]), "items 14, 6393, 13504");
    assert!(message(read(Format::Pairs, "0 1 1\n0 2 4\n")).starts_with(":2: found \"0 2 4\", expected `user item`"));
}

#[test]
fn recbole_files_have_typed_headers() {
    let text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ti9\t4\t978300760.0\n";
    assert_eq!(rows(&read(Format::Inter, text).unwrap()), [row("u1", "i9", Some(4.0), Some(978_300_760))]);
    assert!(message(read(Format::Inter, "user_id\titem_id\n1\t2\n")).contains("found \"user_id\", expected a header"));
}

#[test]
fn mind_counts_clicks_or_everything_shown() {
    let text =
        "1\tU13\t11/11/2019 9:05:58 AM\tN55189 N42782\tN7-1 N8-0 N9-0\n2\tU2\t11/12/2019 6:11:30 PM\t\tN7-0 N8-1\n";
    let clicked = read(Format::Mind, text).unwrap();
    assert_eq!(
        rows(&clicked),
        [row("U13", "N7", None, Some(1_573_463_158)), row("U2", "N8", None, Some(1_573_582_290))]
    );
    let shown = read_with(Format::Mind, text, &ReadOptions { shown_counts: true, ..ReadOptions::default() }).unwrap();
    assert_eq!(shown.interactions.n_interactions(), 5);
    assert!(message(read(Format::Mind, "1\tU\t2019-11-11\t\tN1-1\n")).contains("a time such as"));
    assert!(message(read(Format::Mind, "1\tU\t11/11/2019 9:05:58 AM\t\tN1-2\n")).contains("news-1 (clicked)"));
}

#[test]
fn times_may_stand_in_a_file_of_their_own() {
    let folder = Folder::new();
    folder.file("train.txt", "0 7 3 7\n1 3\n");
    folder.file("time_train.txt", "0 100 101 99\n1 5\n");
    folder.file("test.txt", "0 3 4\n");
    folder.file("time_test.txt", "0 200 201\n");
    let data = load_path(folder.0.path(), Format::Lightgcn, &ReadOptions::default()).unwrap();
    assert_eq!((data.provenance.n_rows, data.provenance.n_duplicates, data.provenance.n_repeated), (6, 1, 1));
    let fixed = data.fixed.as_ref().unwrap();
    assert_eq!(fixed.train.times_of(UserId(0)), Some(&[101, 99][..]), "the earliest of item 7");
    assert_eq!(fixed.test.items_of(UserId(0)), [ItemId(1)], "item 3 was in training");
    assert_eq!(data.interactions.n_interactions(), 4);

    folder.file("time_test.txt", "0 200\n");
    let error = load_path(folder.0.path(), Format::Lightgcn, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("time_test.txt:1: found fewer times than items, expected one time an item"), "{error}");
    folder.file("time_test.txt", "5 200 201\n");
    let error = load_path(folder.0.path(), Format::Lightgcn, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("found \"5\", expected user 0, as in the file of items"), "{error}");
    folder.file("time_test.txt", "");
    let error = load_path(folder.0.path(), Format::Lightgcn, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("it has fewer lines than the file of items"), "{error}");
}

#[test]
fn a_folder_needs_a_train_and_a_test_file_and_each_once() {
    let folder = Folder::new();
    let load = |folder: &Folder| load_path(folder.0.path(), Format::Pairs, &ReadOptions::default());
    assert!(load(&folder).unwrap_err().to_string().contains("no train file"));
    folder.file("set.train.txt", "0 1\n");
    assert!(load(&folder).unwrap_err().to_string().contains("no test file"));
    folder.file("test.txt", "0 2\n");
    folder.file("valid.txt", "0 3\n");
    let fixed = load(&folder).unwrap().fixed.unwrap();
    assert_eq!(fixed.validation.unwrap().n_interactions(), 1);
    folder.file("test.csv", "0 2\n");
    assert!(load(&folder).unwrap_err().to_string().contains("both test.csv and test.txt"));
}

#[test]
fn repeated_pairs_are_counted_and_merged_by_rule() {
    let folder = Folder::new();
    let path = folder.file("d", "1\t2\t1\t30\n1\t2\t5\t10\n1\t2\t3\t20\n1\t9\t4\t1\n");
    let load = |rule| {
        let files = Files::Whole(PartFile::from(Source::from(path.as_path())));
        let data = load("d", &files, Format::Tab, &ReadOptions::default(), rule).unwrap();
        assert_eq!((data.provenance.n_rows, data.provenance.n_duplicates), (4, 2));
        rows(&data)[0].clone()
    };
    assert_eq!(load(Duplicates::KeepEarliest), row("1", "2", Some(5.0), Some(10)));
    assert_eq!(load(Duplicates::KeepLatest), row("1", "2", Some(1.0), Some(30)));
    assert_eq!(load(Duplicates::Sum), row("1", "2", Some(9.0), Some(10)));
}

#[test]
fn gzip_is_told_by_its_bytes_and_a_truncated_one_is_an_error() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for user in 0..5000 {
        writeln!(encoder, "{user}\t{}", user * 7919 % 10_007).unwrap();
    }
    let packed = encoder.finish().unwrap();
    assert_eq!(read(Format::Tab, &packed).unwrap().interactions.n_interactions(), 5000);
    let error = read(Format::Tab, &packed[..packed.len() / 2]).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { line: 1.., .. }), "{error}");
    let error = read(Format::Csv, &packed[..packed.len() - 4]).unwrap_err();
    assert!(matches!(error, ReadError::Damaged { .. } | ReadError::Column { .. }), "{error}");
}

#[test]
fn a_file_that_is_missing_or_a_bare_zip_archive_is_named() {
    let error = load_path(Path::new("/nowhere/x.dat"), Format::Tab, &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere/x.dat: "), "{error}");
    assert!(message(read(Format::Tab, b"PK\x03\x04rest of it")).contains("zip archive"));
}

#[test]
fn an_empty_file_is_an_error_in_every_format() {
    for format in Format::ALL.iter().filter(|format| **format != Format::Parquet) {
        for content in ["", "\n", "\r\n\r\n"] {
            let error = read(*format, content).unwrap_err();
            assert!(matches!(error, ReadError::Empty { .. }), "{format}: {error}");
        }
    }
    assert!(message(read(Format::Csv, "user,item\n")).contains("is empty, expected rows below the header"));
}

#[test]
fn a_wrong_separator_is_an_error_that_quotes_the_line() {
    for (format, content) in [
        (Format::Movielens, "1\t2\t3\t4\n"),
        (Format::Movielens, "1::2::3::4::5\n"),
        (Format::Tab, "1::2::3::4\n"),
        (Format::Tab, "1\t2\t3\t4\t5\n"),
        (Format::Csv, "user item\n1 2\n"),
        (Format::Lightgcn, "0,1,2\n"),
        (Format::Citeulike, "2,1,2\n"),
        (Format::Pairs, "0,1\n"),
        (Format::Mind, "1,U1,11/11/2019 9:05:58 AM,,N1-1\n"),
    ] {
        let text = message(read(format, content));
        assert!(text.starts_with(":1: found "), "{format}: {text}");
    }
}

#[test]
fn a_missing_column_is_an_error_that_names_what_there_is() {
    assert_eq!(
        message(read(Format::Csv, "movieId,rating\n1,2\n")),
        ":1: no column for the user: found movieId, rating, expected one of user, userid, uid, username, reviewerid, \
         visitorid and others like them; say which with --user-column NAME"
    );
    assert!(message(read(Format::Inter, "user_id:token\trating:float\n1\t2\n")).contains("no column for the item"));
    let options = ReadOptions { time_column: Some("when".into()), ..ReadOptions::default() };
    let text = message(read_with(Format::Csv, "user,item\n1,2\n", &options));
    assert!(text.contains("no column for the time: found user, item, expected one of when"), "{text}");
    assert!(message(read(Format::Csv, "user,item\n1,2\n1\n")).starts_with(":3: found 1 columns, expected 2"));
    assert!(message(read(Format::Tab, "1\t2\t3\n1\t2\n")).starts_with(":2: found no rating"));
}

#[test]
fn an_id_that_is_no_number_is_an_error_where_ids_are_numbers() {
    for (format, content, bad) in [
        (Format::Movielens, "1::2::3::4\nbob::2::3::4\n", "bob"),
        (Format::Movielens, "1::2::3::4\n1::-2::3::4\n", "-2"),
        (Format::Lightgcn, "0 1\n1 2 x3\n", "x3"),
        (Format::Citeulike, "1 1\n1 1.5\n", "1.5"),
        (Format::Pairs, "0 1\nu 2\n", "u"),
    ] {
        let text = message(read(format, content));
        assert!(text.starts_with(&format!(":2: found {bad:?}, expected a number as ")), "{format}: {text}");
    }
    assert!(message(read(Format::Tab, "1\t2\n\t3\n")).starts_with(":2: found nothing, expected a user id"));
}

#[test]
fn ratings_and_times_that_are_no_numbers_are_errors() {
    for bad in ["NaN", "inf", "five", ""] {
        let text = message(read(Format::Movielens, format!("1::2::{bad}::4\n")));
        assert_eq!(text, format!(":1: found {bad:?}, expected a finite number as rating"));
        let text = message(read(Format::Csv, format!("user,item,rating\n1,2,{bad}\n")));
        assert_eq!(text, format!(":2: found {bad:?}, expected a finite number as rating"));
    }
    assert!(message(read(Format::Tab, "1\t2\t3\tnoon\n")).contains("found \"noon\", expected a time in seconds"));
}

#[test]
fn a_shops_export_reads_as_it_is() {
    let csv =
        "Customer-ID;SKU;product_name;quantity;timestamp\nä1;A-7;Tee;2;2026-03-31T18:05:00Z\nb2;A-7;Tee;1;2026-04-01\n";
    let data = read(Format::Csv, csv).unwrap();
    assert_eq!(rows(&data), [row("b2", "A-7", None, Some(1_775_001_600)), row("ä1", "A-7", None, Some(1_774_980_300))]);
}

#[test]
fn json_lines_have_columns_by_member() {
    let lines = "{\"user_id\": \"ann\", \"item_id\": 7, \"rating\": 4.5, \"other\": []}\n\n\
                 {\"user_id\": 12, \"item_id\": \" x \", \"rating\": \"3,5\"}\n";
    let data = read(Format::Jsonl, lines).unwrap();
    assert_eq!(rows(&data), [row("12", "x", Some(3.5), None), row("ann", "7", Some(4.5), None)]);
    let wrong = |second: &str| message(read(Format::Jsonl, format!("{{\"user\": 1, \"item\": 2}}\n{second}\n")));
    assert!(wrong("[1]").starts_with(":2: found \"[1]\", expected a JSON object a line"), "{}", wrong("[1]"));
    assert_eq!(wrong("{\"user\": 1}"), ":2: found no \"item\", expected one, as the first line has");
    assert_eq!(wrong("{\"user\": null, \"item\": 1}"), ":2: found user: null, expected a string or a number");
    assert!(message(read(Format::Jsonl, "{\"who\": 1}\n")).contains("no column for the user: found who"));
}

#[test]
fn zstd_is_told_by_its_bytes_and_a_damaged_one_is_an_error() {
    let packed =
        |text: &str| ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    let whole = packed("user,item\n1,2\n");
    assert_eq!(rows(&read(Format::Csv, &whole).unwrap()), [row("1", "2", None, None)]);
    let cut = read(Format::Csv, &whole[..whole.len() - 6]).unwrap_err().to_string();
    assert!(cut.contains("is damaged"), "{cut}");
}

#[test]
fn endings_name_formats() {
    let named = |name: &str| Format::of_path(Path::new(name));
    let known =
        [("a.csv", Format::Csv), ("A.TSV.GZ", Format::Csv), ("u.data", Format::Tab), ("r.dat", Format::Movielens)];
    for (name, format) in known {
        assert_eq!(named(name).unwrap(), format, "{name}");
    }
    assert_eq!(named("x.jsonl.zst").unwrap(), Format::Jsonl);
    let text = named("sales.txt").unwrap_err().to_string();
    assert!(text.contains("sales.txt") && text.contains("or say --format NAME"), "{text}");
}

#[test]
fn unknown_formats_are_answered_with_the_known_ones() {
    let error = "movie-lens".parse::<Format>().unwrap_err().to_string();
    assert!(error.starts_with("unknown format \"movie-lens\", expected one of movielens, tab, csv"), "{error}");
    for format in Format::ALL {
        assert_eq!(format.name().parse::<Format>().unwrap(), *format);
    }
}

#[test]
fn categories_come_in_five_formats_and_two_encodings() {
    let folder = Folder::new();
    let items = IdMap::from_names(["1", "2", "7"]).unwrap();
    let check = |name: &str, format, content: &[u8], names: Option<&str>, expected: [&[&str]; 3]| {
        let path = folder.file(name, content);
        let names = names.map(|names| Source::from(folder.file("names", names).as_path()));
        let found = read_categories(&path.as_path().into(), format, names.as_ref(), &items).unwrap();
        for (item, expected) in expected.iter().enumerate() {
            let got: Vec<&str> = found
                .of_item(ItemId(item as u32))
                .iter()
                .map(|&category| found.names()[category as usize].as_str())
                .collect();
            assert_eq!(got, *expected, "{name}, item {item}");
        }
    };
    // The title is Latin-1.
    check(
        "movies.dat",
        ItemFormat::Movielens,
        b"1::Caf\xe9 (1995)::Drama|Comedy\n9::Other::Horror\n7::X::Drama\n",
        None,
        [&["Comedy", "Drama"], &[], &["Drama"]],
    );
    check(
        "u.item",
        ItemFormat::Flags,
        b"1|T|d||u|1|0|1\n2|T|d||u|0|1|0\n",
        Some("unknown|0\nAction|1\nSci-Fi|2\n\n"),
        [&["Sci-Fi", "unknown"], &["Action"], &[]],
    );
    check(
        "business.dat",
        ItemFormat::Pairs,
        b"1\t334\t1\n1\t42\t1\n7 42 646 1\n",
        None,
        [&["42", "334"], &[], &["42"]],
    );
    check(
        "movies.csv",
        ItemFormat::Csv,
        "movieId,title,genres\n2,\"A, B\",(no genres listed)\n7,é,Ünï|War\n".as_bytes(),
        None,
        [&[], &[], &["War", "Ünï"]],
    );
    check(
        "news.tsv",
        ItemFormat::News,
        b"1\tsports\tgolf\tTitle\n7\tnews\tx\tT\n",
        None,
        [&["sports"], &[], &["news"]],
    );

    let bad = folder.file("bad", "1|T|d||u|1|2\n");
    let error = read_categories(&bad.as_path().into(), ItemFormat::Flags, None, &items).unwrap_err().to_string();
    assert!(error.ends_with("bad:1: found \"2\", expected 0 or 1 as flag of a genre"), "{error}");
}

#[test]
fn bags_of_words_belong_to_the_item_of_their_line() {
    let folder = Folder::new();
    let items = IdMap::from_names(["0", "2"]).unwrap();
    let path = folder.file("mult.dat", "2 5:1 3:2\n1 9:9\n0\n");
    let words = read_words(&path.as_path().into(), &items).unwrap();
    assert_eq!(words.of_item(ItemId(0)), (&[3, 5][..], &[2, 1][..]));
    assert_eq!((words.of_item(ItemId(1)), words.n_words()), ((&[][..], &[][..]), 10));
    for (content, expected) in [
        ("2 5:1\n", ":1: found 1 words, expected 2, as the first number says"),
        ("1 5;1\n", ":1: found \"5;1\", expected word:times, both numbers"),
        ("2 5:1 5:2\n", ":1: found word \"5\" twice, expected each word once"),
    ] {
        let error = read_words(&folder.file("bad", content).as_path().into(), &items).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_the_feature_parquet_is_refused_with_its_name() {
    assert!(message(read(Format::Parquet, "PAR1")).contains("build with feature parquet"));
}
