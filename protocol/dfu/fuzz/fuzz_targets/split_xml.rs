//! XML with rows of one name.
#![no_main]

mod harness;

use harness::Case;
use libfuzzer_sys::fuzz_target;
use skyspray_dfu::format::{RecordFormat, XmlFormat};

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::of(data) else { return };
    let tag = if case.choice < 200 { "R" } else { "ns:row" };
    case.check(&RecordFormat::Xml(XmlFormat::try_new(tag).expect("a name")));
});
