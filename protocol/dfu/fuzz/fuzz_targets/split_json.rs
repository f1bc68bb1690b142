//! JSON: rows at the root, one after the other, and below keys.
#![no_main]

mod harness;

use harness::Case;
use libfuzzer_sys::fuzz_target;
use skyspray_dfu::format::{JsonFormat, RecordFormat};

const PATHS: [&str; 3] = ["/", "/a", "/a/b"];

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::of(data) else { return };
    let path = PATHS[usize::from(case.choice) % 3];
    case.check(&RecordFormat::Json(JsonFormat::try_new(path).expect("a path")));
});
