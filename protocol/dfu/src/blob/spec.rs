//! What a prefix consists of, as the user writes it: `FILENAME:20,FILESIZE:B8`.

use super::error::{BlobError, NameFault, SpecOption};

/// Widest name of fixed width, in bytes; a name has at most 255, the rest is padding.
const WIDTH_MAX: u16 = 4096;

/// How a name is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NameField {
    /// After its length, 4 bytes with the low one first.
    Counted,
    /// Filled up with blanks to so many bytes.
    Padded { width: u16 },
}

/// How a size is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SizeField {
    /// 1 to 8.
    pub(super) bytes: u8,
    pub(super) high_first: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Field {
    Name(NameField),
    Size(SizeField),
}

/// One element of a prefix as it is read back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SplitField {
    Said(Field),
    /// Bytes that say nothing here.
    Skip {
        bytes: u32,
    },
}

/// What a blob spray writes before each file, in this order.
///
/// `FILENAME` is the length of the name (4 bytes, low one first) and the name; `FILENAME:n` the
/// name filled up with blanks to `n` bytes, 1 to 4096. `FILESIZE:L4` is the size in 4 bytes, low one
/// first, `FILESIZE:B8` in 8 bytes, high one first, `FILESIZE` alone is `L4`; as in HPCC `L4` may
/// stand alone. Case is free.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrefixSpec {
    fields: Vec<Field>,
}

impl PrefixSpec {
    /// Reads the option `--prefix`.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnknownElement`] (8085) and [`BlobError::Repeated`]: the option is wrong.
    pub fn parse(text: &str) -> Result<Self, BlobError> {
        let option = SpecOption::Prefix;
        let mut fields = Vec::new();
        for (index, element) in text.split(',').enumerate() {
            match element_of(element) {
                Some(SplitField::Said(field)) => fields.push(field),
                Some(SplitField::Skip { .. }) | None => {
                    return Err(unknown(option, index, element));
                }
            }
        }
        each_once(option, fields.iter().copied())?;
        Ok(Self { fields })
    }

    /// The bytes that stand before a file. `tail_name` is its name without directories.
    ///
    /// Only names that [`super::Unblob`] accepts again are taken.
    ///
    /// # Errors
    ///
    /// [`BlobError::SizeTooLarge`] and [`BlobError::NameTooWide`] (both 8086): the specification
    /// has not enough room for this file. [`BlobError::Name`] and [`BlobError::NameEndsInBlank`]:
    /// the name would be lost.
    pub fn prefix(&self, tail_name: &[u8], size: u64) -> Result<Vec<u8>, BlobError> {
        let mut prefix = Vec::new();
        for field in &self.fields {
            match field {
                Field::Name(name) => name.write(tail_name, &mut prefix)?,
                Field::Size(field) => field.write(size, &mut prefix)?,
            }
        }
        Ok(prefix)
    }
}

/// What a despray reads before each stored file: the elements of [`PrefixSpec`], and `SKIP:n` or
/// `SEQ:n` for `n` bytes to pass over. Name and size are among them, once each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SplitPrefixSpec {
    fields: Vec<SplitField>,
}

impl SplitPrefixSpec {
    /// Reads the option `--splitprefix`.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnknownElement`], [`BlobError::Repeated`] and [`BlobError::Lacks`], all 8091:
    /// the option is wrong.
    pub fn parse(text: &str) -> Result<Self, BlobError> {
        let option = SpecOption::SplitPrefix;
        let mut fields = Vec::new();
        for (index, element) in text.split(',').enumerate() {
            fields.push(element_of(element).ok_or_else(|| unknown(option, index, element))?);
        }
        let said = fields.iter().filter_map(|field| match field {
            SplitField::Said(field) => Some(*field),
            SplitField::Skip { .. } => None,
        });
        each_once(option, said.clone())?;
        for element in [FILENAME, FILESIZE] {
            if !said.clone().any(|field| field.element() == element) {
                return Err(BlobError::Lacks { element });
            }
        }
        Ok(Self { fields })
    }

    pub(super) fn field(&self, index: usize) -> Option<SplitField> {
        self.fields.get(index).copied()
    }
}

const FILENAME: &str = "FILENAME";
const FILESIZE: &str = "FILESIZE";

impl Field {
    fn element(self) -> &'static str {
        match self {
            Self::Name(_) => FILENAME,
            Self::Size(_) => FILESIZE,
        }
    }
}

impl NameField {
    fn write(self, name: &[u8], prefix: &mut Vec<u8>) -> Result<(), BlobError> {
        if let Some(fault) = NameFault::find(name) {
            return Err(BlobError::Name { name: name.to_vec(), fault });
        }
        match self {
            Self::Counted => {
                let length = u32::try_from(name.len()).expect("a name has at most 255 bytes");
                prefix.extend_from_slice(&length.to_le_bytes());
                prefix.extend_from_slice(name);
            }
            Self::Padded { width } => {
                if name.len() > usize::from(width) {
                    return Err(BlobError::NameTooWide { name: name.to_vec(), width });
                }
                if name.ends_with(b" ") {
                    return Err(BlobError::NameEndsInBlank { name: name.to_vec(), width });
                }
                let end = prefix.len() + usize::from(width);
                prefix.extend_from_slice(name);
                prefix.resize(end, b' ');
            }
        }
        Ok(())
    }
}

impl SizeField {
    fn write(self, size: u64, prefix: &mut Vec<u8>) -> Result<(), BlobError> {
        let bytes = usize::from(self.bytes);
        let low_first = size.to_le_bytes();
        if low_first[bytes..].iter().any(|&byte| byte != 0) {
            return Err(BlobError::SizeTooLarge { size, size_bytes: self.bytes });
        }
        if self.high_first {
            prefix.extend(low_first[..bytes].iter().rev());
        } else {
            prefix.extend_from_slice(&low_first[..bytes]);
        }
        Ok(())
    }

    /// The size that all of the field's bytes say.
    pub(super) fn read(self, stored: &[u8]) -> u64 {
        let add = |size: u64, byte: &u8| size << 8 | u64::from(*byte);
        if self.high_first { stored.iter().fold(0, add) } else { stored.iter().rev().fold(0, add) }
    }
}

fn element_of(text: &str) -> Option<SplitField> {
    let upper = text.trim().to_ascii_uppercase();
    let (word, value) = match upper.split_once(':') {
        Some((word, value)) => (word, Some(value)),
        None => (&upper[..], None),
    };
    let said = |field| Some(SplitField::Said(field));
    match (word, value) {
        (FILENAME, None) => said(Field::Name(NameField::Counted)),
        (FILENAME, Some(width)) => {
            let width = number(width).and_then(|width| u16::try_from(width).ok())?;
            let fits = (1..=WIDTH_MAX).contains(&width);
            fits.then_some(SplitField::Said(Field::Name(NameField::Padded { width })))
        }
        (FILESIZE, None) => said(Field::Size(SizeField { bytes: 4, high_first: false })),
        (FILESIZE, Some(size)) | (size, None) => said(Field::Size(size_field(size)?)),
        ("SKIP" | "SEQ", Some(bytes)) => Some(SplitField::Skip { bytes: number(bytes)? }),
        _ => None,
    }
}

/// Reads `L4`, `B8` and the like, in upper case.
fn size_field(text: &str) -> Option<SizeField> {
    match *text.as_bytes() {
        [order @ (b'L' | b'B'), digit @ b'1'..=b'8'] => {
            Some(SizeField { bytes: digit - b'0', high_first: order == b'B' })
        }
        _ => None,
    }
}

/// Reads a number without a sign, which `parse` would take.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn unknown(option: SpecOption, index: usize, element: &str) -> BlobError {
    let element = element.chars().take(40).collect();
    BlobError::UnknownElement { option, position: index + 1, element }
}

fn each_once(
    option: SpecOption,
    fields: impl Iterator<Item = Field> + Clone,
) -> Result<(), BlobError> {
    for element in [FILENAME, FILESIZE] {
        if fields.clone().filter(|field| field.element() == element).count() > 1 {
            return Err(BlobError::Repeated { option, element });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(spec: &str, name: &[u8], size: u64) -> Result<Vec<u8>, BlobError> {
        PrefixSpec::parse(spec).unwrap().prefix(name, size)
    }

    #[test]
    fn a_prefix_has_the_bytes_hpcc_writes() {
        let written = |spec, size| prefix(spec, b"ab", size).unwrap();

        assert_eq!(written("FILENAME,FILESIZE", 5), b"\x02\0\0\0ab\x05\0\0\0");
        assert_eq!(written("filename:4", 5), b"ab  ");
        assert_eq!(written("FileSize:B3", 0x01_02_03), b"\x01\x02\x03");
        assert_eq!(written("FILESIZE:L3,FILENAME:2", 0x01_02_03), b"\x03\x02\x01ab");
        assert_eq!(written("l2, FILENAME:2", 258), b"\x02\x01ab");
        assert_eq!(written("FILESIZE:L8", u64::MAX), [0xFF; 8]);
    }

    #[test]
    fn a_size_that_does_not_fit_is_refused() {
        let error = prefix("FILENAME,FILESIZE:L1", b"a", 256).unwrap_err();

        assert_eq!(error, BlobError::SizeTooLarge { size: 256, size_bytes: 1 });
        assert_eq!(error.hpcc_number(), Some(8086));
        assert_eq!(prefix("B1", b"a", 255), Ok(vec![255]));
        assert_eq!(
            prefix("FILESIZE", b"a", 1 << 32),
            Err(BlobError::SizeTooLarge { size: 1 << 32, size_bytes: 4 })
        );
    }

    #[test]
    fn a_name_that_would_change_on_the_way_back_is_refused() {
        let error = prefix("FILENAME:3", b"abcd", 0).unwrap_err();
        assert_eq!(error, BlobError::NameTooWide { name: b"abcd".to_vec(), width: 3 });
        assert_eq!(error.hpcc_number(), Some(8086));
        assert_eq!(error.to_string(), r#"name "abcd" of 4 bytes does not fit FILENAME:3"#);

        assert_eq!(
            prefix("FILENAME:3", b"a ", 0),
            Err(BlobError::NameEndsInBlank { name: b"a ".to_vec(), width: 3 })
        );
        assert_eq!(prefix("FILENAME", b"a ", 0), Ok(b"\x02\0\0\0a ".to_vec()));
        for (name, fault) in [
            (&b""[..], NameFault::Empty),
            (b"..", NameFault::Directory),
            (b"a\\b", NameFault::Byte { byte: b'\\' }),
            (&[b'x'; 256], NameFault::TooLong { bytes: 256 }),
        ] {
            let expected = BlobError::Name { name: name.to_vec(), fault };
            assert_eq!(prefix("FILENAME", name, 0), Err(expected));
        }
    }

    #[test]
    fn an_element_that_means_nothing_is_refused_where_it_stands() {
        for element in [
            "",
            "NAME",
            "FILENAMES",
            "FILENAME:",
            "FILENAME:0",
            "FILENAME:4097",
            "FILENAME:+3",
            "FILENAME:x",
            "FILESIZE:",
            "FILESIZE:4",
            "FILESIZE:L0",
            "FILESIZE:L9",
            "FILESIZE:M4",
            "FILESIZE:L",
            "L",
            "L44",
            "SKIP",
            "SKIP:",
            "SKIP:-1",
            "SEQ:4294967296",
            "ÄÄ",
        ] {
            let split = SplitPrefixSpec::parse(&format!("FILENAME,{element}")).unwrap_err();
            let spray = PrefixSpec::parse(&format!("FILENAME,{element}")).unwrap_err();

            for (error, option, number) in
                [(spray, SpecOption::Prefix, 8085), (split, SpecOption::SplitPrefix, 8091)]
            {
                assert_eq!(error.hpcc_number(), Some(number));
                let element = element.to_owned();
                assert_eq!(error, BlobError::UnknownElement { option, position: 2, element });
            }
        }
    }

    #[test]
    fn skipping_is_for_reading_only() {
        let error = PrefixSpec::parse("FILENAME,SKIP:4").unwrap_err();

        assert_eq!(
            error.to_string(),
            r#"element 2 of prefix is "SKIP:4", which means nothing there"#
        );
        SplitPrefixSpec::parse("SEQ:0,FILENAME,skip:4,FILESIZE").unwrap();
    }

    #[test]
    fn what_is_read_back_needs_name_and_size_once() {
        for (spec, element) in
            [("FILENAME,SKIP:4", "FILESIZE"), ("FILESIZE", "FILENAME"), ("SKIP:9", "FILENAME")]
        {
            let error = SplitPrefixSpec::parse(spec).unwrap_err();
            assert_eq!(error, BlobError::Lacks { element });
            assert_eq!(error.hpcc_number(), Some(8091));
        }
        let option = SpecOption::SplitPrefix;
        assert_eq!(
            SplitPrefixSpec::parse("FILENAME,L4,FILESIZE:B8"),
            Err(BlobError::Repeated { option, element: "FILESIZE" })
        );
        let option = SpecOption::Prefix;
        assert_eq!(
            PrefixSpec::parse("FILENAME,FILENAME:8"),
            Err(BlobError::Repeated { option, element: "FILENAME" })
        );
    }
}
