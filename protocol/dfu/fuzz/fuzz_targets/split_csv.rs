//! Delimited records of every kind of delimiter, and lines.
#![no_main]

mod harness;

use harness::Case;
use libfuzzer_sys::fuzz_target;
use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{CsvFormat, CsvOptions, JsonLinesFormat, RecordFormat};
use std::num::NonZeroU32;

/// Lists for separator, quote, terminator and escape.
const FORMATS: [[&str; 4]; 8] = [
    ["\\,", "\"", "\\n,\\r\\n", ""],
    ["\\,", "", "\\n,\\r\\n", ""],
    ["\\,,;,\\t", "\"", "\\r\\n,\\n", ""],
    ["\\,", "\",'", "\\n,\\r\\n", "\\\\"],
    ["||", "\"", "\\r\\n", ""],
    ["<S>", "''", "<EOL>,<E>,\\n", ""],
    ["\\n\\n\\n", "", "\\n", "\\\\"],
    ["", "\"", "\\n\\n,\\n,;", ""],
];

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::of(data) else { return };
    let index = usize::from(case.choice) % (FORMATS.len() + 1);
    let Some(lists) = FORMATS.get(index) else {
        case.check(&RecordFormat::JsonLines(JsonLinesFormat::default()));
        return;
    };
    let mut options = CsvOptions { quoted_terminator: case.choice < 128, ..CsvOptions::default() };
    if case.choice % 3 == 0 {
        options.max_record = NonZeroU32::new(64).expect("not zero");
    }
    for (role, list) in
        [Role::Separator, Role::Quote, Role::Terminator, Role::Escape].into_iter().zip(lists)
    {
        options.set(role, list).expect("the lists are right");
    }
    case.check(&RecordFormat::Csv(CsvFormat::try_new(options).expect("the options fit")));
});
