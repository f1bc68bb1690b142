//! What the parts of a compressed logical file are when HPCC's compression is undone, as one
//! attribute: `LENGTH[:CRC]` for each part, CRC-32 in hexadecimal, separated by commas.

use super::MetaFault;
use skyspray_dfu::meta::PartMeta;

/// An expanded part; nothing of it need be known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Expanded {
    /// Its length in bytes.
    pub(super) length: Option<u64>,
    /// CRC-32 of its bytes.
    pub(super) crc32: Option<u32>,
}

/// The attribute for these parts.
pub(super) fn text(parts: &[PartMeta]) -> String {
    let part = |part: &PartMeta| {
        let length = part.length.map(|length| length.to_string()).unwrap_or_default();
        let crc32 = part.crc32.map(|crc32| format!(":{crc32:08x}")).unwrap_or_default();
        format!("{length}{crc32}")
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

/// The parts an attribute describes, of which there are `count`.
///
/// # Errors
///
/// It describes other parts, or none; whoever stored the file is at fault.
pub(super) fn parse(text: &str, count: usize) -> Result<Vec<Expanded>, MetaFault> {
    let number = |text: &str| match text {
        "" => Some(None),
        digits => digits.parse().ok().map(Some),
    };
    let part = |text: &str| match text.split_once(':') {
        None => Some(Expanded { length: number(text)?, crc32: None }),
        Some((length, crc32)) => Some(Expanded {
            length: number(length)?,
            crc32: Some(u32::from_str_radix(crc32, 16).ok()?),
        }),
    };
    let parts: Option<Vec<_>> = text.split(',').map(part).collect();
    parts.filter(|parts| parts.len() == count).ok_or(MetaFault::Expanded { parts: count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_the_round_trip_and_nothing_else_is_taken() {
        let part = |length, crc32| PartMeta { length, crc32, ..PartMeta::default() };
        let parts = [part(Some(12), Some(0xA0)), part(Some(7), None), part(None, Some(1))];
        let attribute = text(&parts);
        assert_eq!(attribute, "12:000000a0,7,:00000001");

        let found = parse(&attribute, 3).unwrap();
        let expected = parts.map(|part| Expanded { length: part.length, crc32: part.crc32 });
        assert_eq!(found, expected);
        assert_eq!(parse("", 1).unwrap(), [Expanded::default()]);
        for (wrong, count) in
            [(&*attribute, 2), ("", 2), ("x", 1), ("1:", 1), ("1:g", 1), ("-1", 1)]
        {
            let fault = parse(wrong, count).unwrap_err();
            assert!(matches!(fault, MetaFault::Expanded { parts } if parts == count), "{wrong}");
        }
    }
}
