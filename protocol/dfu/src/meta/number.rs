//! Numbers as HPCC writes them into attributes.

use super::error::NumberKind;

/// The attributes of `Attr` that mean something to us and must be numbers, with what they take.
pub(super) const CHECKED: [(&str, NumberKind); 8] = [
    ("size", NumberKind::Count),
    ("compressedSize", NumberKind::Count),
    ("recordCount", NumberKind::Count),
    ("fileCrc", NumberKind::Bits32),
    ("lfnHash", NumberKind::Bits32),
    ("flags", NumberKind::Bits32),
    ("headerLength", NumberKind::Length32),
    ("footerLength", NumberKind::Length32),
];

/// What `value` should have been, where the attribute must be a number and is none.
pub(super) fn fault(attribute: &str, value: &str) -> Option<NumberKind> {
    let &(_, kind) = CHECKED.iter().find(|(name, _)| *name == attribute)?;
    let fits = match kind {
        NumberKind::Count => count(value).is_some(),
        NumberKind::Bits32 => bits32(value).is_some(),
        NumberKind::Length32 => length32(value).is_some(),
        NumberKind::FromOne => from_one(value).is_some(),
    };
    (!fits).then_some(kind)
}

/// A count; `Some(None)` is -1, not known.
pub(super) fn count(value: &str) -> Option<Option<u64>> {
    if value == "-1" { Some(None) } else { digits(value)?.parse().ok().map(Some) }
}

/// 32 bits written as a signed or an unsigned number.
pub(super) fn bits32(value: &str) -> Option<u32> {
    match value.strip_prefix('-') {
        Some(magnitude) => {
            digits(magnitude)?;
            value.parse::<i32>().ok().map(i32::cast_unsigned)
        }
        None => length32(value),
    }
}

pub(super) fn length32(value: &str) -> Option<u32> {
    digits(value)?.parse().ok()
}

pub(super) fn from_one(value: &str) -> Option<u64> {
    digits(value)?.parse().ok().filter(|&number| number > 0)
}

/// Keeps out the `+` that `parse` would take.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}
