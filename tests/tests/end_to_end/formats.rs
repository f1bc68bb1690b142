//! Every format as a stranger would use it: sprayed, planned, described, verified and back, with
//! data made here and records counted by other means.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod binary;
mod documents;
mod faults;
mod kills;
mod layouts;
mod text;

use serde_json::Value;
use skyspray_tests::args;
use skyspray_tests::check::stored_parts;
use skyspray_tests::pair::Pair;
use std::ffi::OsString;
use std::fs;

/// Into how many parts everything is sprayed.
const PARTS: [u32; 3] = [1, 3, 7];

/// Sources, how they are sprayed, and what must become of them.
struct Case {
    /// Names of the sources in the landing zone, and their bytes.
    sources: Vec<(String, Vec<u8>)>,
    options: Vec<OsString>,
    /// What a despray gives.
    back: Vec<u8>,
    /// Attributes that describe the logical file.
    attributes: Vec<(&'static str, &'static str)>,
    /// Records of a part, counted without the code under test.
    count: fn(&[u8]) -> u64,
}

impl Case {
    /// One source that comes back as it is.
    fn one(name: &str, bytes: Vec<u8>, options: Vec<OsString>, count: fn(&[u8]) -> u64) -> Self {
        let sources = vec![(name.to_owned(), bytes.clone())];
        Self { sources, options, back: bytes, attributes: Vec::new(), count }
    }

    fn kept(self, attributes: &[(&'static str, &'static str)]) -> Self {
        Self { attributes: attributes.to_vec(), ..self }
    }

    /// Writes the sources; as the command line names them.
    fn write(&self, pair: &Pair) -> Vec<OsString> {
        let written = self.sources.iter().map(|(name, bytes)| {
            fs::write(pair.edge.file(name), bytes).unwrap();
            OsString::from(format!("lz:{name}"))
        });
        written.collect()
    }

    /// Sprays into every number of parts and checks all there is to check; what was stored, for
    /// each number.
    fn check(&self, pair: &Pair) -> Vec<Vec<Vec<u8>>> {
        let named = self.write(pair);
        let all = PARTS.iter().map(|&parts| self.check_parts(pair, &named, parts));
        all.collect()
    }

    fn check_parts(&self, pair: &Pair, named: &[OsString], parts: u32) -> Vec<Vec<u8>> {
        let label = format!("{} in {parts} parts", self.sources[0].0);
        let name = format!("t::f{parts}");
        let target = pair.target(&name);
        let count = parts.to_string();
        let mut spray = [args!["spray"], named.to_vec(), args![&target, "--overwrite"]].concat();
        spray.extend([args!["--parts", &count], self.options.clone()].concat());
        pair.done(spray);

        let verified = pair.done([args!["verify", &target], named.to_vec()].concat());
        assert_eq!(verified.event("verified").unwrap()["sources"], named.len(), "{label}");
        pair.done(args!["verify", &target]);

        let described = pair.done(args!["describe", &target, "--origins"]);
        let description = described.event("description").unwrap();
        for (attribute, value) in &self.attributes {
            assert_eq!(description["attributes"][attribute], *value, "{label}: {description:#}");
        }
        let told: Vec<Value> = described.objects();
        let of = |event: &str| -> Vec<&Value> {
            told.iter().filter(|object| object["event"] == event).collect()
        };
        let stored = stored_parts(&pair.relay.plane, &name).unwrap();
        let stored: Vec<Vec<u8>> = stored.iter().map(|part| fs::read(part).unwrap()).collect();
        let counted: Vec<u64> = stored.iter().map(|part| (self.count)(part)).collect();
        let records: Vec<u64> = of("part").iter().map(|part| number(part, "records")).collect();
        assert_eq!(records, counted, "records of {label}");
        assert_eq!(description["records"], counted.iter().sum::<u64>(), "{label}");

        let plan = [args!["plan", "--parts", &count], named.to_vec(), self.options.clone()];
        let planned = pair.done(plan.concat());
        assert_planned(&label, &planned.objects(), &of("part"), &of("origin"));

        let back = pair.edge.file("back.out");
        pair.done(args!["despray", &target, &back, "--overwrite"]);
        assert_eq!(shown(&fs::read(&back).unwrap()), shown(&self.back), "despray of {label}");
        stored
    }
}

/// Asserts that what was planned is what the relay tells of what was stored.
fn assert_planned(label: &str, planned: &[Value], parts: &[&Value], origins: &[&Value]) {
    let planned: Vec<&Value> = planned.iter().filter(|object| object["event"] == "part").collect();
    let same = ["length", "records", "header", "footer"];
    let of = |part: &Value| same.map(|field| number(part, field));
    let (left, right): (Vec<_>, Vec<_>) = (
        planned.iter().map(|part| of(part)).collect(),
        parts.iter().map(|part| of(part)).collect(),
    );
    assert_eq!(left, right, "parts of the plan of {label}");
    let mut ranges = Vec::new();
    for part in planned {
        for range in part["ranges"].as_array().unwrap() {
            let fields = ["source", "offset", "length", "part_offset"];
            let [source, offset, length, at] = fields.map(|field| number(range, field));
            ranges.push([number(part, "part"), source, offset, length, at]);
        }
    }
    let fields = ["part", "source", "source_offset", "length", "part_offset"];
    let told: Vec<_> =
        origins.iter().map(|origin| fields.map(|field| number(origin, field))).collect();
    assert_eq!(ranges, told, "ranges of the plan of {label}");
}

fn number(object: &Value, field: &str) -> u64 {
    object[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {object:#}"))
}

/// Bytes as a failing test can show them.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The records of delimited text; quotes at the start of a field may hold line ends, doubled ones
/// open again what they closed.
fn lines(text: &str) -> u64 {
    let (mut quoted, mut field_begins, mut open, mut records) = (false, true, false, 0);
    for character in text.chars() {
        open = true;
        match character {
            '"' if quoted || field_begins => (quoted, field_begins) = (!quoted, quoted),
            '\n' if !quoted => (open, field_begins, records) = (false, true, records + 1),
            ' ' => {}
            _ => field_begins = character == ',' && !quoted,
        }
    }
    assert!(!quoted, "a part ends inside quotes: {text}");
    records + u64::from(open)
}

fn csv_text(rows: usize) -> String {
    let row = |index: usize| match index % 4 {
        0 => format!("{index},plain,{}\n", "x".repeat(index % 50)),
        1 => format!("{index},\"two\nlines \u{1f600}\",ä\n"),
        2 => format!("{index}, \"a \"\"quote\"\", and\r\n\",\n"),
        _ => format!("{index},it's 5\" wide,\u{4e2d}\r\n"),
    };
    (0..rows).map(row).collect()
}
