//! Conformance with HPCC: every case of a supported format in the folder that SKYSPRAY_CASES names.
//!
//! A new format adds an arm to `format_of`. Without the variable nothing is checked, and that is said.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use serde_json::Value;
use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{CsvFormat, CsvOptions, RecordFormat};
use skyspray_dfu::naming::{PartPaths, lfn_hash};
use skyspray_dfu::split::{Join, Layout, Piece, SplitError, SplitOptions, Splitter};
use skyspray_wire::ids::PartIndex;
use skyspray_wire::name::LogicalName;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// HPCC looks at a window and guesses the quote state; where the guess comes late it splits one or
/// more records after the boundary. An exact scan splits at the first record end. Part lengths here.
const GUESSED_LATE: [(&str, &[u64]); 3] = [
    ("csv-quoted-nl-n4", &[46, 31, 11, 19]),
    ("csv-quoted-nl-n5", &[46, 0, 31, 11, 19]),
    ("csv-quoted-nl-n6", &[46, 0, 31, 0, 11, 19]),
];

#[test]
fn parts_are_those_of_hpcc() {
    let Some(folder) = folder() else { return };
    let manifest = read_json(&folder.join("manifest.json"));
    let mut checked = 0;
    let mut skipped = 0;
    for case in manifest["cases"].as_array().unwrap() {
        if case["informative"] == true {
            continue;
        }
        match format_of(case) {
            Some(format) => {
                check(case, &format, &folder);
                checked += 1;
            }
            None if assigns_sources(case) => checked += 1,
            None => skipped += 1,
        }
    }
    println!("{checked} cases checked, {skipped} of other formats or operations skipped");
    assert_ne!(checked, 0);
}

#[test]
fn part_paths_are_those_of_hpcc() {
    let Some(folder) = folder() else { return };
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

/// The format of a spray that these tests can do; `None` for others.
fn format_of(case: &Value) -> Option<RecordFormat> {
    let options = &case["options"];
    if options["op"] != "spray" || options.get("noSplit").is_some() {
        return None;
    }
    if options.get("encoding").is_some_and(|encoding| encoding != "ascii") {
        return None;
    }
    match options["format"].as_str()? {
        "fixed" => Some(RecordFormat::Fixed { record_bytes: number(&options["recordSize"]) }),
        "csv" if options.get("sourceEncoding").is_none() => {
            let mut csv = CsvOptions::default();
            for (role, key) in [
                (Role::Separator, "separator"),
                (Role::Quote, "quote"),
                (Role::Terminator, "terminator"),
                (Role::Escape, "escape"),
            ] {
                if let Some(list) = options[key].as_str() {
                    csv.set(role, list).unwrap();
                }
            }
            csv.max_record = number(&options["maxRecordSize"]);
            Some(RecordFormat::Csv(CsvFormat::try_new(csv).unwrap()))
        }
        _ => None,
    }
}

fn check(case: &Value, format: &RecordFormat, folder: &Path) {
    let id = case["id"].as_str().unwrap();
    let sources = case["inputs"].as_array().unwrap().iter().map(|input| source(input, folder));
    let sources = sources.collect::<Vec<_>>();
    let parts = number(&case["options"]["numParts"]);
    let layout = Layout::implied(sources.len(), parts);
    let options = SplitOptions { parts, layout, join: Join::Verbatim };
    let expect = &case["expect"];
    for block in [1, 7, 64, 1 << 20] {
        let found = spray(format, &sources, options, block);
        if let Some(number) = expect["error"].as_u64() {
            let error = found.expect_err(id);
            assert_eq!(error.hpcc_number().map(u64::from), Some(number), "{id}: {error}");
            continue;
        }
        let found = found.unwrap_or_else(|error| panic!("{id}: {error}"));
        let lengths = found.iter().map(|part| part.bytes.len() as u64).collect::<Vec<_>>();
        if let Some((_, exact)) = GUESSED_LATE.iter().find(|(guessed, _)| *guessed == id) {
            assert_eq!(lengths, *exact, "{id}");
            let joined = found.iter().flat_map(|part| part.bytes.iter().copied());
            assert_eq!(joined.collect::<Vec<_>>(), sources.concat(), "{id}");
            continue;
        }
        assert_eq!(lengths, expected_lengths(expect), "{id}");
        if expect.get("records_per_part").is_some() {
            let records = found.iter().map(|part| part.records).collect::<Vec<_>>();
            assert_eq!(records, numbers(&expect["records_per_part"]), "{id}");
        }
        for (part, expected) in found.iter().zip(expect["parts"].as_array().into_iter().flatten()) {
            if let Some(file) = expected["file"].as_str() {
                assert_eq!(part.bytes, std::fs::read(folder.join(file)).unwrap(), "{id} {file}");
            }
        }
    }
}

/// Checks the tables that say only which source goes into which part.
fn assigns_sources(case: &Value) -> bool {
    let Some(expected) = case["expect"].get("source_to_part") else { return false };
    let count = case["options"]["sources"].as_u64().unwrap();
    let sources = (0..count).map(|index| format!("{index}\n").into_bytes()).collect::<Vec<_>>();
    let format = RecordFormat::Csv(CsvFormat::default());
    let parts = number(&case["options"]["numParts"]);
    let options = SplitOptions { parts, layout: Layout::WholeSources, join: Join::Verbatim };
    let found = spray(&format, &sources, options, 64).unwrap();
    let assigned = sources.iter().map(|source| {
        let holds = |part: &Part| part.bytes.windows(2).any(|window| window == source);
        found.iter().position(holds).unwrap() as u64 + 1
    });
    assert_eq!(assigned.collect::<Vec<_>>(), numbers(expected), "{}", case["id"]);
    true
}

#[derive(Clone, Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    records: u64,
}

fn spray(
    format: &RecordFormat,
    sources: &[Vec<u8>],
    options: SplitOptions,
    block: usize,
) -> Result<Vec<Part>, SplitError> {
    let lengths = sources.iter().map(|source| source.len() as u64).collect::<Vec<_>>();
    let mut splitter = Splitter::try_new(format, &lengths, options)?;
    let mut parts = vec![Part::default(); options.parts.get() as usize];
    for source in sources {
        for block in source.chunks(block) {
            splitter.push(block)?;
            drain(&mut splitter, block, &mut parts);
        }
        splitter.end_source()?;
        drain(&mut splitter, &[], &mut parts);
    }
    splitter.finish()?;
    drain(&mut splitter, &[], &mut parts);
    Ok(parts)
}

fn drain(splitter: &mut Splitter, block: &[u8], parts: &mut [Part]) {
    while let Some(piece) = splitter.poll() {
        match piece {
            Piece::Bytes { part, range } => {
                parts[part.0 as usize].bytes.extend_from_slice(&block[range]);
            }
            Piece::Literal { part, bytes } => parts[part.0 as usize].bytes.extend(bytes),
            Piece::PartEnd { part, records, .. } => parts[part.0 as usize].records = records,
        }
    }
}

fn source(input: &Value, folder: &Path) -> Vec<u8> {
    match input["generate"].as_str() {
        None => std::fs::read(folder.join(input["file"].as_str().unwrap())).unwrap(),
        Some(text) => {
            let count = text.strip_prefix("bytes 'a' LF followed by ").unwrap();
            let count = count.strip_suffix(" bytes 'x'").unwrap().parse().unwrap();
            [b"a\n".to_vec(), vec![b'x'; count]].concat()
        }
    }
}

/// Part lengths, from whichever of the two forms a case has.
fn expected_lengths(expect: &Value) -> Vec<u64> {
    match expect.get("part_sizes") {
        Some(lengths) => numbers(lengths),
        None => {
            let parts = expect["parts"].as_array().unwrap();
            parts.iter().map(|part| part["size"].as_u64().unwrap()).collect()
        }
    }
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SKYSPRAY_CASES").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: SKYSPRAY_CASES does not name the folder of HPCC cases");
    }
    folder
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn number(value: &Value) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(value.as_u64().unwrap()).unwrap()).unwrap()
}

fn numbers(values: &Value) -> Vec<u64> {
    values.as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect()
}

fn strings(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}
