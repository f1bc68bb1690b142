//! Joining: where every byte of the parts stands in the one file they make, with one header, one
//! footer, and what separates rows between parts.

use crate::encoding::Encoding;
use crate::format::RecordFormat;
use crate::format::attributes::AttributeError;

/// Kept with a logical file whose sources began with a byte order mark that no part has: `1`.
pub const MARK_ATTRIBUTE: &str = "byteOrderMark";

/// Kept with a logical file whose rows are separated by what no part has.
pub const SEPARATOR_ATTRIBUTE: &str = "rowSeparator";

/// A part, as far as joining must know it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stored {
    /// Its length in bytes.
    pub length: u64,
    /// Bytes at its start that are a document's header.
    pub header: u32,
    /// Bytes at its end that are a document's footer.
    pub footer: u32,
}

impl Stored {
    /// Bytes around its records.
    fn around(&self) -> u64 {
        u64::from(self.header) + u64::from(self.footer)
    }

    /// Bytes of its records; `None` if header and footer are longer than it is.
    fn body(&self) -> Option<u64> {
        self.length.checked_sub(self.around())
    }
}

/// Where bytes of a part stand in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Placed {
    /// The first byte of the part that is in the file.
    pub from: u64,
    /// One past the last byte of the part that is in the file.
    pub to: u64,
    /// Where the first one stands in the file.
    pub at: u64,
}

impl Placed {
    /// The bytes of the part from `offset` on, `length` of them, that are in the file: where they
    /// start among these bytes, how many there are, and where in the file they stand.
    pub fn within(&self, offset: u64, length: u64) -> Option<(u64, u64, u64)> {
        let from = self.from.max(offset);
        let to = self.to.min(offset + length);
        (from < to).then(|| (from - offset, to - from, self.at + (from - self.from)))
    }
}

/// A part's header and footer are longer than the part (HPCC 8110): its metadata are wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "part {} has {} bytes, less than its header of {} and footer of {}",
    index + 1, stored.length, stored.header, stored.footer
)]
pub struct PartTooShort {
    /// The part, from 0.
    pub index: usize,
    /// What is said of it.
    pub stored: Stored,
}

impl PartTooShort {
    /// HPCC's number for this cause.
    pub fn hpcc_number(&self) -> u16 {
        8110
    }
}

/// Why it cannot be said what file the parts of a logical file make. Whoever stored it is at fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// What is said of a part is wrong.
    #[error(transparent)]
    Part(#[from] PartTooShort),
    /// The attributes say that something stands between or before parts, but not in which format.
    #[error("it is not kept with the logical file what its records are")]
    Format(#[from] AttributeError),
}

/// The one file that parts make.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Joined {
    /// Where each part's bytes stand.
    pub parts: Vec<Placed>,
    /// Bytes that are in no part, and where they stand.
    pub added: Vec<(u64, Vec<u8>)>,
    /// Length of the file in bytes.
    pub length: u64,
}

impl Joined {
    /// Joins `parts` in order. The header is that of the first part that has records, the footer
    /// that of the last; a file without records has those of its first part. `mark` stands before
    /// everything, `separator` between the records of one part and the next.
    ///
    /// # Errors
    ///
    /// [`PartTooShort`]: what is stored, or said of it, is wrong.
    pub fn try_new(parts: &[Stored], mark: &[u8], separator: &[u8]) -> Result<Self, PartTooShort> {
        let mut bodies = Vec::with_capacity(parts.len());
        for (index, stored) in parts.iter().enumerate() {
            bodies.push(stored.body().ok_or(PartTooShort { index, stored: *stored })?);
        }
        let filled = |&index: &usize| bodies[index] > 0;
        let first = (0..parts.len()).find(filled).unwrap_or(0);
        let last = (0..parts.len()).rev().find(filled).unwrap_or(0);
        let mut joined = Self::default();
        joined.add(mark);
        for (index, (part, body)) in parts.iter().zip(&bodies).enumerate() {
            if *body > 0 && index > first {
                joined.add(separator);
            }
            let header = u64::from(part.header);
            let from = if index == first { 0 } else { header };
            let to = if index == last { part.length } else { header + body };
            let to = to.max(from);
            joined.parts.push(Placed { from, to, at: joined.length });
            joined.length += to - from;
        }
        Ok(joined)
    }

    /// The file that the parts of a logical file with these attributes make, with the byte order
    /// mark and the row separators that its attributes tell of.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub fn of_file(attributes: &[(String, String)], parts: &[Stored]) -> Result<Self, JoinError> {
        let value = |name: &str| {
            attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
        };
        let said = value(SEPARATOR_ATTRIBUTE);
        let pairs = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let (between, before) = match RecordFormat::from_attributes(pairs) {
            Ok(format) => {
                let marked = value(MARK_ATTRIBUTE) == Some("1");
                let before = if marked { mark(format.encoding()) } else { b"" };
                (separator(&format, edges(parts).0, said), before)
            }
            // Whatever the records are, they need nothing between them that parts have not.
            Err(_)
                if said.is_none()
                    && value(MARK_ATTRIBUTE) != Some("1")
                    && parts.iter().all(|part| part.around() == 0) =>
            {
                (Vec::new(), &b""[..])
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self::try_new(parts, before, &between)?)
    }

    fn add(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.added.push((self.length, bytes.to_vec()));
            self.length += bytes.len() as u64;
        }
    }
}

/// Bytes of header and footer of the one file that parts make: those of the first and of the last
/// part that has records.
pub fn edges(parts: &[Stored]) -> (u32, u32) {
    let filled = |part: &&Stored| part.around() < part.length;
    let first = parts.iter().find(filled).or(parts.first());
    let last = parts.iter().rev().find(filled).or(parts.first());
    (first.map_or(0, |part| part.header), last.map_or(0, |part| part.footer))
}

/// The byte order mark of text in an encoding.
pub fn mark(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::Ascii => b"",
        Encoding::Utf8 => b"\xEF\xBB\xBF",
        Encoding::Utf16Le => b"\xFF\xFE",
        Encoding::Utf16Be => b"\xFE\xFF",
        Encoding::Utf32Le => b"\xFF\xFE\0\0",
        Encoding::Utf32Be => b"\0\0\xFE\xFF",
    }
}

/// What separates the rows of one part from those of the next. `said` is what was kept with the
/// file, where the format alone does not tell.
pub fn separator(format: &RecordFormat, header: u32, said: Option<&str>) -> Vec<u8> {
    let comma = match (format, said) {
        (RecordFormat::Json(_), Some(said)) => said,
        (RecordFormat::Json(_), None) if header > 0 => ",",
        _ => return Vec::new(),
    };
    let encode = |unit: u16| match format.encoding() {
        Encoding::Utf16Le => unit.to_le_bytes().to_vec(),
        Encoding::Utf16Be => unit.to_be_bytes().to_vec(),
        Encoding::Utf32Le => u32::from(unit).to_le_bytes().to_vec(),
        Encoding::Utf32Be => u32::from(unit).to_be_bytes().to_vec(),
        _ => vec![unit as u8],
    };
    comma.bytes().filter(u8::is_ascii).flat_map(|byte| encode(u16::from(byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(length: u64, header: u32, footer: u32) -> Stored {
        Stored { length, header, footer }
    }

    /// Joins texts the way a reader of chunks of 3 bytes would.
    fn join(parts: &[(&str, u32, u32)], mark: &str, separator: &str) -> String {
        let shapes =
            parts.iter().map(|(text, header, footer)| stored(text.len() as u64, *header, *footer));
        let shapes = shapes.collect::<Vec<_>>();
        let joined = Joined::try_new(&shapes, mark.as_bytes(), separator.as_bytes()).unwrap();
        let mut file = vec![b'?'; usize::try_from(joined.length).unwrap()];
        for (at, bytes) in &joined.added {
            let at = usize::try_from(*at).unwrap();
            file[at..at + bytes.len()].copy_from_slice(bytes);
        }
        for ((text, ..), placed) in parts.iter().zip(&joined.parts) {
            for (index, chunk) in text.as_bytes().chunks(3).enumerate() {
                let offset = 3 * index as u64;
                if let Some((skip, count, at)) = placed.within(offset, chunk.len() as u64) {
                    let [skip, count, at] = [skip, count, at].map(|n| usize::try_from(n).unwrap());
                    file[at..at + count].copy_from_slice(&chunk[skip..skip + count]);
                }
            }
        }
        String::from_utf8(file).unwrap()
    }

    #[test]
    fn one_header_and_one_footer_stay_and_rows_are_separated() {
        let parts = [("[1,2]", 1, 1), ("[]", 1, 1), ("[ 3]", 1, 1), ("[]", 1, 1)];

        assert_eq!(join(&parts, "", ","), "[1,2, 3]");
        assert_eq!(join(&parts[1..2], "", ","), "[]");
        assert_eq!(join(&[("[]", 1, 1), ("[]", 1, 1)], "", ","), "[]");
        assert_eq!(join(&[("<a>x</a>", 3, 4), ("<b>y</b>", 3, 4)], "", ""), "<a>xy</b>");
    }

    #[test]
    fn plain_parts_follow_each_other_after_the_mark() {
        assert_eq!(join(&[("a\n", 0, 0), ("", 0, 0), ("b\nc\n", 0, 0)], "M", ""), "Ma\nb\nc\n");
        assert_eq!(Joined::try_new(&[], b"", b","), Ok(Joined::default()));
    }

    #[test]
    fn a_part_shorter_than_what_stands_around_its_records_is_refused() {
        let error = Joined::try_new(&[stored(9, 4, 4), stored(7, 4, 4)], b"", b"").unwrap_err();

        assert_eq!(error.hpcc_number(), 8110);
        assert_eq!(
            error.to_string(),
            "part 2 has 7 bytes, less than its header of 4 and footer of 4"
        );
    }

    #[test]
    fn attributes_say_what_stands_between_and_before_parts() {
        let text = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let with = |format: &RecordFormat, more: &[(&str, &str)]| {
            [format.to_attributes(), text(more)].concat()
        };
        let csv = RecordFormat::from_file_name("a.csv").unwrap();
        let utf16 = csv.clone().with_encoding(Encoding::Utf16Le);
        let json = RecordFormat::from_file_name("a.json").unwrap();
        let plain = [stored(2, 0, 0), stored(4, 0, 0)];
        let rows = [stored(3, 1, 1), stored(3, 1, 1)];
        let joined = |attributes: &[(String, String)], parts: &[Stored]| {
            let joined = Joined::of_file(attributes, parts).unwrap();
            (joined.length, joined.added)
        };

        assert_eq!(joined(&with(&csv, &[]), &plain), (6, vec![]));
        let marked = with(&utf16, &[(MARK_ATTRIBUTE, "1")]);
        assert_eq!(joined(&marked, &plain), (8, vec![(0, b"\xFF\xFE".to_vec())]));
        assert_eq!(joined(&with(&json, &[]), &rows), (5, vec![(2, b",".to_vec())]));
        let bare = with(&json, &[(SEPARATOR_ATTRIBUTE, "\n")]);
        assert_eq!(joined(&bare, &plain), (7, vec![(2, b"\n".to_vec())]));
        assert_eq!(joined(&[], &plain), (6, vec![]));
        for (attributes, parts) in [
            (text(&[]), &rows),
            (text(&[(SEPARATOR_ATTRIBUTE, ",")]), &plain),
            (text(&[(MARK_ATTRIBUTE, "1")]), &plain),
        ] {
            let error = Joined::of_file(&attributes, parts).unwrap_err();
            assert!(matches!(error, JoinError::Format(_)), "{error:?}");
        }
    }
}
