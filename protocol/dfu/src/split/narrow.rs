//! Text of wide code units, one byte a unit: enough to find every delimiter, since a unit that is
//! no delimiter may look like any other byte of data.
//!
//! An ASCII unit is its own byte. Every other unit that occurs in a delimiter gets a byte of its
//! own from 0x80 on; all the rest become one byte no delimiter has. UTF-8 and single bytes are
//! scanned as they are.

use crate::encoding::Encoding;
use crate::format::{CsvFormat, RecordFormat};
use std::num::NonZeroU32;

#[derive(Debug)]
pub(crate) struct Narrow {
    encoding: Encoding,
    /// Wide units that occur in delimiters; the one at index `i` is byte `0x80 + i`.
    special: Vec<u32>,
}

/// A unit outside ASCII that is in no delimiter.
const OTHER: u8 = 0xFF;

/// Units of delimiters that have a byte of their own.
const SPECIAL_MAX: usize = (OTHER - 0x80) as usize;

impl Narrow {
    /// `None` if the delimiters hold more different characters outside ASCII than there are bytes.
    pub(crate) fn try_new(format: &RecordFormat) -> Option<Self> {
        let mut narrow = Self { encoding: format.encoding(), special: Vec::new() };
        if narrow.width() == 1 {
            return Some(narrow);
        }
        let mut note = |text: &str| {
            for unit in narrow.encode(text) {
                if unit >= 0x80 && !narrow.special.contains(&unit) {
                    narrow.special.push(unit);
                }
            }
        };
        match format {
            RecordFormat::Csv(csv) => {
                let options = csv.options();
                [&options.separators, &options.quotes, &options.terminators, &options.escapes]
                    .into_iter()
                    .flatten()
                    .for_each(|token| note(&String::from_utf8_lossy(token)));
            }
            RecordFormat::Xml(xml) => note(xml.row_tag()),
            RecordFormat::Json(json) => json.keys().iter().for_each(|key| note(key)),
            _ => {}
        }
        (narrow.special.len() <= SPECIAL_MAX).then_some(narrow)
    }

    /// Bytes of a code unit.
    pub(crate) fn width(&self) -> usize {
        usize::from(self.encoding.unit_bytes())
    }

    /// What follows a byte order mark at the start of `text`, which is not narrowed.
    pub(super) fn behind_mark<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let mark: &[u8] = match self.encoding {
            Encoding::Ascii => b"",
            Encoding::Utf8 => b"\xEF\xBB\xBF",
            Encoding::Utf16Le => b"\xFF\xFE",
            Encoding::Utf16Be => b"\xFE\xFF",
            Encoding::Utf32Le => b"\xFF\xFE\0\0",
            Encoding::Utf32Be => b"\0\0\xFE\xFF",
        };
        text.strip_prefix(mark).unwrap_or(text)
    }

    /// A length in units, at least one.
    pub(super) fn units(&self, bytes: NonZeroU32) -> NonZeroU32 {
        let width = u32::from(self.encoding.unit_bytes());
        NonZeroU32::new(bytes.get() / width).unwrap_or(NonZeroU32::MIN)
    }

    /// The delimiters as they look after narrowing, the longest record in units.
    pub(super) fn delimiters(&self, csv: &CsvFormat) -> CsvFormat {
        if self.width() == 1 {
            return csv.clone();
        }
        let max_record = self.units(csv.options().max_record);
        csv.map_tokens(|token| self.text(&String::from_utf8_lossy(token)), max_record)
    }

    /// Text as it looks after narrowing.
    pub(crate) fn text(&self, text: &str) -> Vec<u8> {
        if self.width() == 1 {
            return text.as_bytes().to_vec();
        }
        self.encode(text).into_iter().map(|unit| self.byte(unit)).collect()
    }

    /// Narrowed delimiters as they are stored.
    pub(super) fn widen(&self, narrowed: &[u8]) -> Vec<u8> {
        if self.width() == 1 {
            return narrowed.to_vec();
        }
        let unit = |&byte: &u8| match byte {
            0..0x80 => u32::from(byte),
            _ => self.special.get(usize::from(byte - 0x80)).copied().unwrap_or(u32::from('?')),
        };
        narrowed.iter().flat_map(|byte| self.store(unit(byte))).collect()
    }

    /// Narrows whole units into `output`, which is emptied first.
    pub(crate) fn narrow(&self, wide: &[u8], output: &mut Vec<u8>) {
        output.clear();
        let order = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]));
        match self.encoding {
            Encoding::Ascii | Encoding::Utf8 => output.extend_from_slice(wide),
            Encoding::Utf16Le => self.extend(wide.as_chunks().0, output, |[a, b]| order(a, b)),
            Encoding::Utf16Be => self.extend(wide.as_chunks().0, output, |[a, b]| order(b, a)),
            Encoding::Utf32Le => self.extend(wide.as_chunks().0, output, u32::from_le_bytes),
            Encoding::Utf32Be => self.extend(wide.as_chunks().0, output, u32::from_be_bytes),
        }
    }

    fn extend<const WIDTH: usize>(
        &self,
        units: &[[u8; WIDTH]],
        output: &mut Vec<u8>,
        unit: impl Fn([u8; WIDTH]) -> u32,
    ) {
        if self.special.is_empty() {
            output.extend(units.iter().map(|&bytes| {
                let value = unit(bytes);
                if value < 0x80 { value as u8 } else { OTHER }
            }));
        } else {
            output.extend(units.iter().map(|&bytes| self.byte(unit(bytes))));
        }
    }

    fn byte(&self, unit: u32) -> u8 {
        match u8::try_from(unit) {
            Ok(byte @ 0..0x80) => byte,
            _ => match self.special.iter().position(|&special| special == unit) {
                Some(index) => 0x80 + u8::try_from(index).unwrap_or(OTHER - 0x80),
                None => OTHER,
            },
        }
    }

    /// The code units of `text`.
    fn encode(&self, text: &str) -> Vec<u32> {
        match self.width() {
            2 => text.encode_utf16().map(u32::from).collect(),
            _ => text.chars().map(u32::from).collect(),
        }
    }

    /// One code unit as it is stored.
    fn store(&self, unit: u32) -> Vec<u8> {
        let short = u16::try_from(unit).unwrap_or(u16::MAX);
        match self.encoding {
            Encoding::Utf16Le => short.to_le_bytes().to_vec(),
            Encoding::Utf16Be => short.to_be_bytes().to_vec(),
            Encoding::Utf32Le => unit.to_le_bytes().to_vec(),
            Encoding::Utf32Be => unit.to_be_bytes().to_vec(),
            Encoding::Ascii | Encoding::Utf8 => vec![u8::try_from(unit).unwrap_or(b'?')],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::CsvOptions;

    fn narrow(encoding: Encoding, separator: &str) -> Narrow {
        let options = CsvOptions {
            separators: vec![separator.as_bytes().to_vec()],
            encoding,
            ..CsvOptions::default()
        };
        Narrow::try_new(&RecordFormat::Csv(CsvFormat::try_new(options).unwrap())).unwrap()
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn ascii_stays_delimiters_get_a_byte_and_the_rest_is_data() {
        let narrow = narrow(Encoding::Utf16Be, "\u{a7}\u{1f600}");
        let mut found = Vec::new();

        narrow.narrow(&wide("a\u{a7}\u{e4}\u{1f600}\n"), &mut found);

        assert_eq!(found, [b'a', 0x80, OTHER, 0x81, 0x82, b'\n']);
        assert_eq!(narrow.text("\u{a7}\u{1f600}"), [0x80, 0x81, 0x82]);
        assert_eq!(narrow.widen(&[0x80, 0x81, 0x82]), wide("\u{a7}\u{1f600}"));
        assert_eq!(narrow.units(NonZeroU32::new(9).unwrap()).get(), 4);
    }

    #[test]
    fn a_unit_whose_low_byte_is_a_delimiter_is_not_one() {
        let narrow = narrow(Encoding::Utf32Le, ",");
        let mut found = Vec::new();

        narrow.narrow(&[0x0A, 1, 0, 0, 0x0A, 0, 0, 0, 0x0A, 0, 0, 1], &mut found);

        assert_eq!(found, [OTHER, b'\n', OTHER]);
    }
}
