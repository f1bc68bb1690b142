//! Which part gets the record an ideal boundary lies in, by format.

use super::deduction::Deduction;
use super::ledger::Spanning;
use super::narrow::Narrow;
use crate::encoding::Encoding;
use crate::format::RecordFormat;

/// The rule for formats that report the ends of records; the others know more and say more.
pub(super) fn spanning(format: &RecordFormat, converts: bool, narrow: &Narrow) -> Spanning {
    match format {
        RecordFormat::Csv(csv) if !converts && csv.options().encoding != Encoding::Ascii => {
            let record_max = narrow.units(csv.options().max_record).get();
            Spanning::Later { record_max: u64::from(record_max) }
        }
        _ => Spanning::Earlier,
    }
}

/// What HPCC looks at before it searches for the record's end; only for plain csv.
pub(super) fn deduction(format: &RecordFormat, converts: bool) -> Option<Deduction> {
    match format {
        RecordFormat::Csv(csv) if !converts && csv.options().encoding == Encoding::Ascii => {
            Deduction::for_format(csv)
        }
        _ => None,
    }
}

/// HPCC's number for a record that is too long.
pub(super) fn too_long_number(format: &RecordFormat) -> u16 {
    match format {
        RecordFormat::Csv(_) if format.encoding() == Encoding::Ascii => 8102,
        RecordFormat::Csv(_) => 8103,
        RecordFormat::Xml(_) | RecordFormat::Json(_) | RecordFormat::JsonLines(_) => 8101,
        _ => 8080,
    }
}
