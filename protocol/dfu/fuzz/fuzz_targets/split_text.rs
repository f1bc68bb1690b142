//! Text of every encoding, kept and converted.
#![no_main]

mod harness;

use harness::Case;
use libfuzzer_sys::fuzz_target;
use skyspray_dfu::encoding::Encoding;
use skyspray_dfu::format::{CsvFormat, CsvOptions, JsonFormat, RecordFormat, XmlFormat};

const ENCODINGS: [Encoding; 5] = [
    Encoding::Utf8,
    Encoding::Utf16Le,
    Encoding::Utf16Be,
    Encoding::Utf32Le,
    Encoding::Utf32Be,
];

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::of(data) else { return };
    let encoding = ENCODINGS[usize::from(case.choice) % 5];
    let format = match case.choice / 5 % 4 {
        0 => RecordFormat::Csv(CsvFormat::default()),
        1 => {
            let separators = vec!["\u{a7}".into()];
            let options = CsvOptions { separators, ..CsvOptions::default() };
            RecordFormat::Csv(CsvFormat::try_new(options).expect("the options fit"))
        }
        2 => RecordFormat::Xml(XmlFormat::try_new("R").expect("a name")),
        _ => RecordFormat::Json(JsonFormat::try_new("/").expect("a path")),
    };
    case.check(&format.with_encoding(encoding));
});
