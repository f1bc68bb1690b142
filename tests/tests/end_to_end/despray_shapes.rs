//! Despray in all its shapes: one file byte for byte, a file for each part, files of records, and
//! the files that were sprayed as blobs.

use skyspray_tests::args;
use skyspray_tests::check::{
    assert_returns, assert_same, assert_same_tree, assert_says, files_below, staged, stored_parts,
};
use skyspray_tests::data::{digest, digest_of, random_file};
use skyspray_tests::edge::Running;
use skyspray_tests::kill::MEMORY_MIB;
use skyspray_tests::pair::Pair;
use skyspray_tests::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const XML_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Orders day=\"3\">\n";
const XML_TAIL: &str = "</Orders>\n<!-- end -->\n";

fn xml(rows: usize) -> String {
    let row = |index| format!("  <Row id='{index}'><a>é {}</a></Row>\n", "x".repeat(index % 40));
    format!("{XML_HEAD}{}{XML_TAIL}", (0..rows).map(row).collect::<String>())
}

fn json(rows: usize) -> String {
    let row = |index| format!("  {{\"id\": {index}, \"text\": \"]}},[ \\\" {index}\"}}");
    let rows = (0..rows).map(row).collect::<Vec<_>>().join(",\n");
    format!("{{\"version\": 1, \"rows\": [\n{rows}\n], \"more\": [1, 2]}}\n")
}

fn csv(rows: usize) -> String {
    (0..rows).map(|index| format!("{index},\"ä\n{}\"\n", "y".repeat(index % 30))).collect()
}

/// The files that a despray made of `target`, in the order of their numbers.
fn numbered(pair: &Pair, target: &str) -> Vec<PathBuf> {
    let names = files_below(&pair.edge.zone).expect("the zone can be read");
    let number = |path: &Path| {
        let rest = path.to_str()?.strip_prefix(target)?.strip_prefix("._")?.to_owned();
        let (part, of) = rest.split_once("_of_")?;
        Some((of.parse::<usize>().ok()?, part.parse::<usize>().ok()?))
    };
    let mut found: Vec<_> =
        names.iter().filter_map(|path| Some((number(path)?, pair.edge.zone.join(path)))).collect();
    found.sort();
    let count = found.len();
    assert!(found.iter().map(|(at, _)| *at).eq((1..=count).map(|part| (count, part))), "{found:?}");
    found.into_iter().map(|(_, path)| path).collect()
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| fs::read_to_string(path).expect("it is text")).collect()
}

fn assert_no_open_job(pair: &Pair) {
    assert_eq!(pair.done(args!["status"]).event("open-job"), None);
}

#[test]
fn documents_and_marked_text_come_back_byte_for_byte_from_several_parts() {
    let pair = Pair::start();
    let wide: Vec<u8> =
        format!("\u{feff}{}", csv(500)).encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes, options) in [
        ("a.xml", xml(500).into_bytes(), args!["--row-tag", "Row"]),
        ("b.json", json(500).into_bytes(), args!["--row-path", "/rows"]),
        ("c.json", b"[1, 2 ,3 , 4,5]".to_vec(), args![]),
        ("d.json", b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n".to_vec(), args![]),
        ("e.jsonl", b"{\"a\":1}\r\n{\"a\":2}\r\n\r\n{\"a\":3}".to_vec(), args![]),
        ("f.csv", format!("\u{feff}{}", csv(500)).into_bytes(), args!["--encoding", "utf8"]),
        ("g.csv", wide, args!["--encoding", "utf16"]),
    ] {
        let source = pair.edge.file(name);
        fs::write(&source, bytes).unwrap();
        let logical = format!("t::{}", name.replace('.', "_"));
        let mut spray = args!["spray", &source, &pair.target(&logical), "--parts", "4"];
        spray.extend(options);
        pair.done(spray);
        assert_returns(&pair, &logical, &source);
    }
}

#[test]
fn every_part_of_a_wrapped_document_is_a_document_and_what_is_stored() {
    let pair = Pair::start();
    let source = pair.edge.file("orders.xml");
    fs::write(&source, xml(300)).unwrap();
    pair.done(args!["spray", &source, "data:t::x", "--parts", "3", "--row-tag", "Row"]);

    let done = pair.done(args!["despray", "data:t::x", "lz:out/orders", "--wrap"]);

    assert_eq!((done.done_number("files"), done.done_number("parts")), (3, 3));
    let files = numbered(&pair, "out/orders");
    for (file, stored) in files.iter().zip(stored_parts(&pair.relay.plane, "t::x").unwrap()) {
        assert_same(file, &stored);
        let text = fs::read_to_string(file).unwrap();
        assert!(text.starts_with(XML_HEAD) && text.ends_with(XML_TAIL), "{text}");
    }
    assert_eq!(staged(&pair.edge.zone), Vec::<PathBuf>::new());
    assert!(!pair.edge.file("out/orders").exists());
}

#[test]
fn a_wrapped_despray_with_an_empty_part_writes_it_too_and_replaces_only_when_asked_to() {
    let pair = Pair::start();
    let source = pair.edge.file("one.bin");
    fs::write(&source, b"x").unwrap();
    pair.done(pair.spray_bytes(&source, "t::one", 3));
    let despray = args!["despray", "data:t::one", "lz:o", "--wrap"];

    pair.done(despray.clone());
    assert_eq!(texts(&numbered(&pair, "o")).concat(), "x");
    let refused = pair.run(despray.clone());
    assert_says(&refused, 4, "lz:o._1_of_3 exists already");
    assert_no_open_job(&pair);
    pair.done([despray, args!["--overwrite"]].concat());
}

#[test]
fn files_of_a_size_hold_whole_records_and_are_no_longer() {
    let pair = Pair::start();
    let source = pair.edge.file("orders.csv");
    fs::write(&source, csv(2000)).unwrap();
    let spray = args!["spray", &source, "data:t::c", "--parts", "2", "--max-record", "1KiB"];
    pair.done(spray);

    let done = pair.done(args!["despray", "data:t::c", "lz:part", "--split", "8KiB"]);

    let files = texts(&numbered(&pair, "part"));
    assert_eq!(done.done_number("split"), files.len() as u64);
    assert!(files.len() > 5, "{} files", files.len());
    assert!(files.iter().all(|text| text.len() <= 8192 && text.ends_with("\"\n")));
    assert_eq!(files.concat(), csv(2000));
    assert_eq!(staged(&pair.edge.zone), Vec::<PathBuf>::new());
}

#[test]
fn a_size_too_small_for_a_record_names_both_and_leaves_no_job() {
    let pair = Pair::start();
    let source = pair.edge.file("orders.csv");
    fs::write(&source, csv(20)).unwrap();
    pair.done(args!["spray", &source, "data:t::c", "--max-record", "1KiB"]);

    let refused = pair.run(args!["despray", "data:t::c", "lz:part", "--split", "1KiB"]);

    assert_says(&refused, 2, "--split 1KiB is too small: with its longest record of 1024 bytes");
    assert_eq!(staged(&pair.edge.zone), Vec::<PathBuf>::new());
    assert_no_open_job(&pair);
}

#[test]
fn another_number_of_files_is_made_of_whole_rows_each_well_formed() {
    let pair = Pair::start();
    let source = pair.edge.file("orders.json");
    fs::write(&source, json(400)).unwrap();
    pair.done(args!["spray", &source, "data:t::j", "--parts", "2", "--row-path", "/rows"]);

    let done = pair.done(args!["despray", "data:t::j", "lz:j", "--parts", "5"]);

    assert_eq!(done.done_number("files"), 5);
    let mut ids = Vec::new();
    for text in texts(&numbered(&pair, "j")) {
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rows = document["rows"].as_array().unwrap();
        ids.extend(rows.iter().map(|row| row["id"].as_u64().unwrap()));
    }
    assert!(ids.into_iter().eq(0..400));
}

#[test]
fn blobs_become_the_files_they_were_by_what_is_kept_and_by_what_is_said() {
    let pair = Pair::start();
    let before = pair.edge.file("before");
    fs::create_dir(&before).unwrap();
    let name = "a name with thirty-eight bytes in it.x";
    assert_eq!(name.len(), 38);
    fs::write(before.join(name), b"38").unwrap();
    fs::write(before.join("empty"), b"").unwrap();
    random_file(&before.join("large"), 3_000_001, 8).unwrap();
    let spray = args!["spray", "lz:before/*", "data:t::b", "--parts", "2"];
    pair.done([spray, args!["--prefix", "FILENAME,FILESIZE:B8"]].concat());

    for (directory, spec) in [("kept", "auto"), ("said", "FILENAME,FILESIZE:B8")] {
        let target = format!("lz:{directory}");
        let despray = args!["despray", "data:t::b", &target, "--splitprefix", spec];
        let done = pair.done(despray.clone());
        assert_eq!((done.done_number("files"), done.done_number("bytes")), (3, 3_000_003));
        assert_same_tree(&pair.edge.file(directory), &before);
        assert_says(&pair.run(despray.clone()), 4, "exists already");
        assert!(pair.done(args!["status"]).event("open-job").is_some(), "--overwrite goes on");
        let again = pair.done([despray, args!["--overwrite"]].concat());
        assert_eq!(again.done_number("chunks_received"), 0, "it was all here");
        assert_same_tree(&pair.edge.file(directory), &before);
    }
    let wrong = args!["despray", "data:t::b", "lz:wrong", "--splitprefix", "FILENAME,FILESIZE:L8"];
    let wrong = pair.run(wrong);
    assert_says(&wrong, 3, "blobs of lz:wrong cannot be told apart");
    assert_says(&wrong, 3, "\"hpcc\":8091");
    assert!(!pair.edge.file("wrong").exists());
    let records = pair.run(args!["despray", "data:t::b", "lz:wrong", "--parts", "2"]);
    assert_says(&records, 2, "take the files apart with --splitprefix auto");
    assert_no_open_job(&pair);
    assert_eq!(staged(&pair.edge.zone), Vec::<PathBuf>::new());
}

/// Waits until the command has written that much; whether it still runs then.
fn wait_exported(running: &mut Running, bytes: u64) -> bool {
    let seen = wait::poll(Duration::from_secs(60), || {
        if running.process.used().written_bytes >= bytes {
            return Some(true);
        }
        running.process.has_ended().then_some(false)
    });
    seen.expect("the export goes on or ends")
}

#[test]
fn every_shape_goes_on_after_kills_and_shows_nothing_before_its_end() {
    let pair = Pair::start();
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    let source = pair.edge.file("source.bin");
    random_file(&source, (32 << 20) + 77, 51).unwrap();
    pair.done(pair.spray_bytes(&source, "t::file", 4));

    // The second copy of --parts is made once 33 MiB are here.
    let shapes = [(args!["--wrap"], [6, 12]), (args!["--parts", "3"], [12, 36])];
    for (index, (shape, kills)) in shapes.into_iter().enumerate() {
        let name = format!("out{index}");
        let despray = [args!["despray", "data:t::file", &format!("lz:{name}")], shape].concat();
        for mib in kills {
            let mut running = pair.begin(despray.clone());
            assert!(wait_exported(&mut running, mib << 20), "it ended by itself");
            running.process.kill();
            assert_eq!(numbered(&pair, &name), Vec::<PathBuf>::new());
        }
        let last = pair.done(despray);
        // 32 MiB and 77 bytes in 4 parts are 36 chunks.
        assert!(last.done_number("chunks_received") < 36, "it began from nothing: {last:#?}");
        let files = numbered(&pair, &name);
        assert_eq!(files.len(), if index == 0 { 4 } else { 3 });
        assert_eq!(digest_of(&files).unwrap(), digest(&source).unwrap());
        assert_eq!(staged(&pair.edge.zone), Vec::<PathBuf>::new());
    }
}

#[test]
fn files_have_the_modes_that_the_umask_of_their_zone_leaves() {
    let pair = Pair::start();
    let source = pair.edge.file("a.csv");
    fs::write(&source, csv(3)).unwrap();
    pair.done(args!["spray", &source, "data:t::c"]);
    let config = pair.edge.dir.join("edge.toml");
    let text = fs::read_to_string(&config).unwrap();
    let table = "[landing_zone.lz]\n";
    assert!(text.contains(table), "{text}");
    fs::write(&config, text.replace(table, &format!("{table}umask = \"007\"\n"))).unwrap();

    pair.done(args!["despray", "data:t::c", "lz:new/plain"]);
    pair.done(args!["despray", "data:t::c", "lz:new/wrapped", "--wrap"]);

    let mode =
        |name: &str| fs::metadata(pair.edge.file(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("new"), mode("new/plain")), (0o770, 0o660));
    assert_eq!(mode("new/wrapped._1_of_1"), 0o660);
}
