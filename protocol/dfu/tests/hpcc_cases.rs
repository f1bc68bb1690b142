//! Conformance with HPCC: every case of the folder that SKYSPRAY_CASES names, but those marked
//! informative, which test how HPCC guesses. Without the variable nothing is checked, and that is
//! said.
//!
//! A new format adds an arm to [`case::format`].

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "hpcc_cases/case.rs"]
mod case;
#[path = "hpcc_cases/differences.rs"]
mod differences;
mod support;

use case::{number, numbers, read_json, strings};
use serde_json::Value;
use skyspray_dfu::blob::{PrefixSpec, SplitPrefixSpec, Unblob};
use skyspray_dfu::encoding::{Encoding, OnInvalid, ToUtf8};
use skyspray_dfu::format::{CsvFormat, RecordFormat};
use skyspray_dfu::join::{Joined, Stored};
use skyspray_dfu::naming::{PartPaths, lfn_hash};
use skyspray_dfu::split::{Layout, SplitOptions, Target};
use skyspray_wire::ids::PartIndex;
use skyspray_wire::name::LogicalName;
use std::path::Path;
use support::Part;

/// Lengths of blocks every case is tried with.
const BLOCKS: [usize; 4] = [1, 7, 64, 1 << 20];

#[test]
fn parts_are_those_of_hpcc() {
    let Some(folder) = case::folder() else { return };
    let manifest = read_json(&folder.join("manifest.json"));
    let mut checked = 0;
    let mut elsewhere = Vec::new();
    for case in manifest["cases"].as_array().unwrap() {
        if case["informative"] == true {
            continue;
        }
        if check(case, &folder) {
            checked += 1;
        } else {
            elsewhere.push(case["id"].as_str().unwrap());
        }
    }
    println!("{checked} cases checked; tables and rules for others: {elsewhere:?}");
    assert_ne!(checked, 0);
}

/// `false` for tables in files of their own, and for rules about paths and queues.
fn check(case: &Value, folder: &Path) -> bool {
    let options = &case["options"];
    let id = case["id"].as_str().unwrap();
    match options["op"].as_str() {
        Some("spray") if options.get("prefix").is_some() => blobs(case, folder),
        Some("spray") if case["expect"].get("source_to_part").is_some() => whole_sources(case),
        Some("spray") if options.get("source").is_some() => return false,
        Some("spray") => spray(case, folder),
        Some("despray") if options.get("splitprefix").is_some() => unblob(case, folder),
        Some("despray") if options["format"] == "xml" => despray_xml(folder),
        Some("convert") => fixed_to_variable(case, folder),
        Some(op) if op.starts_with("encode each code point") => code_points(case),
        _ => {
            assert!(
                case.get("file").is_some() || options.get("format").is_none(),
                "{id}: an operation nothing here checks"
            );
            return false;
        }
    }
    true
}

fn spray(case: &Value, folder: &Path) {
    let id = case["id"].as_str().unwrap();
    let expect = &case["expect"];
    let contents = case::contents(case, folder);
    for block in BLOCKS {
        let found = case::spray(case, &contents, block);
        if let Some(number) = expect["error"].as_u64() {
            let error = found.expect_err(id);
            assert_eq!(error.hpcc_number().map(u64::from), Some(number), "{id}: {error}");
            continue;
        }
        if differences::refused(case) {
            // HPCC treats it as one body without rows; the note recommends an error.
            assert_eq!(found.expect_err(id).hpcc_number(), Some(8098), "{id}");
            continue;
        }
        let found = found.unwrap_or_else(|error| panic!("{id}: {error}"));
        if expect.get("invariants").is_some() {
            json_invariants(case, &found);
            continue;
        }
        if differences::splits_quoted_records(case) {
            differences::check_converted(case, folder, &found);
            continue;
        }
        let expected = differences::expected_parts(case, folder);
        let lengths = |parts: &[Vec<u8>]| parts.iter().map(Vec::len).collect::<Vec<_>>();
        let bytes = found.iter().map(|part| part.bytes.clone()).collect::<Vec<_>>();
        match expected {
            Some(expected) => {
                assert_eq!(lengths(&bytes), lengths(&expected), "{id}");
                assert!(bytes == expected, "{id}: same lengths, other bytes");
            }
            None => {
                let found = lengths(&bytes).iter().map(|&length| length as u64).collect::<Vec<_>>();
                assert_eq!(found, case::part_lengths(expect), "{id}");
            }
        }
        check_counts(case, &found);
    }
}

/// Records and what stands around them.
fn check_counts(case: &Value, found: &[Part]) {
    let (id, expect) = (&case["id"], &case["expect"]);
    let records = found.iter().map(|part| part.records).collect::<Vec<_>>();
    for key in ["records_per_part", "rows_per_part"] {
        if expect.get(key).is_some() {
            assert_eq!(records, numbers(&expect[key]), "{id} {key}");
        }
    }
    if let Some(total) = expect["records"].as_u64() {
        let total_is_of_records = case["options"]["format"] != "blocked" || total > 4;
        assert!(!total_is_of_records || records.iter().sum::<u64>() == total, "{id}: {records:?}");
    }
    if let Some(header) = expect["headerLength"].as_u64() {
        let around = (header as u32, expect["footerLength"].as_u64().unwrap() as u32);
        assert!(found.iter().all(|part| part.around == around), "{id}: {found:?}");
    }
}

/// Each part is a document of its own; all rows are there, whole and in order.
fn json_invariants(case: &Value, found: &[Part]) {
    let (id, expect) = (&case["id"], &case["expect"]);
    let named = case["options"]["rowPath"] != "/";
    let mut rows = Vec::new();
    for part in found {
        let text = std::str::from_utf8(&part.bytes).unwrap();
        let in_part: Vec<Value> = if named {
            let document: Value = serde_json::from_str(text).unwrap();
            document["Row"].as_array().unwrap().clone()
        } else {
            serde_json::from_str(&format!("[{text}]")).unwrap()
        };
        assert_eq!(in_part.len() as u64, part.records, "{id}");
        rows.extend(in_part);
    }
    let ids = rows.iter().map(|row| row["personid"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(ids, numbers(&expect["rows_in_order"]), "{id}");
    assert_eq!(rows.len() as u64, expect["rows_total"].as_u64().unwrap(), "{id}");
}

/// Checks the tables that say only which source goes into which part.
fn whole_sources(case: &Value) {
    let count = case["options"]["sources"].as_u64().unwrap();
    let sources = (0..count).map(|index| format!("{index}\n").into_bytes()).collect::<Vec<_>>();
    let format = RecordFormat::Csv(CsvFormat::default());
    let parts = number(&case["options"]["numParts"]);
    let options = SplitOptions { layout: Layout::WholeSources, ..SplitOptions::new(parts) };
    let around = (support::plain(&sources), &sources[..]);
    let found = support::split(&format, around, options, &[64]).unwrap();
    let assigned = sources.iter().map(|source| {
        let holds = |part: &Part| part.bytes.windows(2).any(|window| window == source);
        found.iter().position(holds).unwrap() as u64 + 1
    });
    assert_eq!(
        assigned.collect::<Vec<_>>(),
        numbers(&case["expect"]["source_to_part"]),
        "{}",
        case["id"]
    );
}

fn blobs(case: &Value, folder: &Path) {
    let id = case["id"].as_str().unwrap();
    let spec = PrefixSpec::parse(case["options"]["prefix"].as_str().unwrap()).unwrap();
    let contents = case::contents(case, folder);
    let names = case["inputs"].as_array().unwrap().iter().map(|input| {
        let path = Path::new(input["file"].as_str().unwrap());
        path.file_name().unwrap().to_str().unwrap().to_owned()
    });
    let prefixes = names
        .zip(&contents)
        .map(|(name, content)| spec.prefix(name.as_bytes(), content.len() as u64))
        .collect::<Result<Vec<_>, _>>();
    if let Some(number) = case["expect"]["error"].as_u64() {
        let error = prefixes.expect_err(id);
        assert_eq!(error.hpcc_number().map(u64::from), Some(number), "{id}: {error}");
        return;
    }
    let mut sources = support::plain(&contents);
    for (source, prefix) in sources.iter_mut().zip(prefixes.unwrap()) {
        source.prefix = prefix;
    }
    let parts = number(&case["options"]["numParts"]);
    let options = SplitOptions { layout: Layout::WholeSources, ..SplitOptions::new(parts) };
    for block in BLOCKS {
        let around = (sources.clone(), &contents[..]);
        let found = support::split(&RecordFormat::Blob, around, options, &[block]).unwrap();
        let found = found.into_iter().map(|part| part.bytes).collect::<Vec<_>>();
        assert!(found == case::parts(case, folder).unwrap(), "{id}");
    }
}

fn unblob(case: &Value, folder: &Path) {
    let id = case["id"].as_str().unwrap();
    let stored = case::contents(case, folder).concat();
    for block in BLOCKS {
        let spec = case["options"]["splitprefix"].as_str().unwrap();
        let mut unblob = Unblob::new(SplitPrefixSpec::parse(spec).unwrap());
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for mut input in stored.chunks(block) {
            while let Some(piece) = unblob.next_piece(&mut input).unwrap() {
                match piece {
                    skyspray_dfu::blob::Piece::File { name, .. } => {
                        files.push((String::from_utf8(name).unwrap(), Vec::new()));
                    }
                    skyspray_dfu::blob::Piece::Bytes(bytes) => {
                        files.last_mut().unwrap().1.extend_from_slice(bytes);
                    }
                    skyspray_dfu::blob::Piece::FileEnd => {}
                }
            }
        }
        unblob.finish().unwrap();
        let found = files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64));
        let expected = case["expect"]["files"].as_array().unwrap().iter().map(|file| {
            (file["name"].as_str().unwrap().to_owned(), file["size"].as_u64().unwrap())
        });
        assert!(found.eq(expected), "{id}: {files:?}");
    }
}

/// The rule of the case, on the parts of every case of an xml spray: joined, they are the source.
fn despray_xml(folder: &Path) {
    let manifest = read_json(&folder.join("manifest.json"));
    let mut joined_cases = 0;
    for case in manifest["cases"].as_array().unwrap() {
        if case["options"]["format"] != "xml" || case["expect"].get("rows_per_part").is_none() {
            continue;
        }
        let contents = case::contents(case, folder);
        let parts = case::spray(case, &contents, 64).unwrap();
        let shapes = parts.iter().map(|part| Stored {
            length: part.bytes.len() as u64,
            header: part.around.0,
            footer: part.around.1,
        });
        let joined = Joined::try_new(&shapes.collect::<Vec<_>>(), b"", b"").unwrap();
        let bytes = parts.iter().zip(&joined.parts).flat_map(|(part, placed)| {
            let range = placed.from as usize..placed.to as usize;
            part.bytes[range].to_vec()
        });
        assert!(bytes.collect::<Vec<_>>() == contents[0], "{}", case["id"]);
        joined_cases += 1;
    }
    assert_ne!(joined_cases, 0);
}

/// HPCC writes these lengths highest byte first by an oversight; ours are as `variable` has them.
fn fixed_to_variable(case: &Value, folder: &Path) {
    let record = case["options"]["from"].as_str().unwrap().strip_prefix("fixed ").unwrap();
    let record_bytes = record.parse().unwrap();
    let contents = case::contents(case, folder);
    let mut swapped = case::parts(case, folder).unwrap().concat();
    let step = 4 + usize::try_from(std::num::NonZeroU32::get(record_bytes)).unwrap();
    for record in swapped.chunks_mut(step) {
        record[..4].reverse();
    }
    let options = SplitOptions { target: Target::Variable, ..support::parts(1) };
    let format = RecordFormat::Fixed { record_bytes };
    for block in BLOCKS {
        let around = (support::plain(&contents), &contents[..]);
        let found = support::split(&format, around, options, &[block]).unwrap();
        assert!(found[0].bytes == swapped, "{}", case["id"]);
    }
}

fn code_points(case: &Value) {
    for code in numbers(&case["expect"]["codepoints"]) {
        let character = char::from_u32(u32::try_from(code).unwrap()).unwrap();
        let utf16 = character.encode_utf16(&mut [0; 2]).to_vec();
        let utf32 = u32::from(character);
        for (encoding, stored) in [
            (Encoding::Utf8, character.to_string().into_bytes()),
            (Encoding::Utf16Le, utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect()),
            (Encoding::Utf16Be, utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect()),
            (Encoding::Utf32Le, utf32.to_le_bytes().to_vec()),
            (Encoding::Utf32Be, utf32.to_be_bytes().to_vec()),
        ] {
            let mut text = Vec::new();
            let mut converter = ToUtf8::try_new(encoding, OnInvalid::Fail).unwrap();
            converter.push(&stored, &mut text).unwrap();
            converter.finish(&mut text).unwrap();
            assert_eq!(text, character.to_string().as_bytes(), "{code} in {encoding}");
        }
    }
}

#[test]
fn part_paths_are_those_of_hpcc() {
    let Some(folder) = case::folder() else { return };
    let table = read_json(&folder.join("part_paths.json"));
    let prefix = table["prefix"].as_str().unwrap();
    let mut checked = 0;
    for case in table["cases"].as_array().unwrap() {
        let name = LogicalName::parse(case["lfn"].as_str().unwrap()).unwrap();
        let paths = PartPaths {
            parts: number(&case["numParts"]),
            devices: number(&case["numDevices"]),
            directory_per_part: case["dirPerPart"].as_bool().unwrap(),
            lfn_hash: lfn_hash(&name),
            generation: None,
        };
        let found = (0..paths.parts.get())
            .map(|part| format!("{prefix}/{}", paths.path(&name, PartIndex(part)).join("/")))
            .collect::<Vec<_>>();
        assert_eq!(name.as_str(), case["normalized"]);
        assert_eq!(u64::from(paths.lfn_hash), case["lfnHash"].as_u64().unwrap());
        assert_eq!(found, strings(&case["paths"]), "{}", case["lfn"]);
        checked += 1;
    }
    println!("{checked} part path cases checked");
    assert_ne!(checked, 0);
}
