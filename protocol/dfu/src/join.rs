//! Joining: where every byte of the parts stands in the one file they make, with one header, one
//! footer, and what separates rows between parts.

use crate::format::RecordFormat;

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
    /// Bytes of its records; `None` if header and footer are longer than it is.
    fn body(&self) -> Option<u64> {
        self.length.checked_sub(u64::from(self.header) + u64::from(self.footer))
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

    fn add(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.added.push((self.length, bytes.to_vec()));
            self.length += bytes.len() as u64;
        }
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
        crate::encoding::Encoding::Utf16Le => unit.to_le_bytes().to_vec(),
        crate::encoding::Encoding::Utf16Be => unit.to_be_bytes().to_vec(),
        crate::encoding::Encoding::Utf32Le => u32::from(unit).to_le_bytes().to_vec(),
        crate::encoding::Encoding::Utf32Be => u32::from(unit).to_be_bytes().to_vec(),
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
}
