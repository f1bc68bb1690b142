//! Length-prefixed and fixed records.
#![no_main]

mod harness;

use harness::Case;
use libfuzzer_sys::fuzz_target;
use skyspray_dfu::format::{ByteOrder, RecordFormat};
use std::num::NonZeroU32;

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::of(data) else { return };
    let max_record = NonZeroU32::new(if case.choice < 128 { 64 } else { 1 << 20 }).expect("not zero");
    let record_bytes = NonZeroU32::new(u32::from(case.choice) + 1).expect("not zero");
    case.check(&match case.choice % 6 {
        0 => RecordFormat::Variable { order: ByteOrder::Little, max_record },
        1 => RecordFormat::Variable { order: ByteOrder::Big, max_record },
        2 => RecordFormat::RecfmV,
        3 => RecordFormat::RecfmVb,
        4 => RecordFormat::Blocked,
        _ => RecordFormat::Fixed { record_bytes },
    });
});
