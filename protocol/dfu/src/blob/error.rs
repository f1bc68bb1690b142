//! Why a prefix cannot be written or read, with the place and HPCC's number.

use skyspray_wire::limits::SEGMENT_BYTES_MAX;
use std::fmt;
use thiserror::Error;

/// Which option a specification was given with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpecOption {
    /// `--prefix` of a spray.
    Prefix,
    /// `--splitprefix` of a despray.
    SplitPrefix,
}

impl SpecOption {
    fn hpcc_number(self) -> u16 {
        match self {
            Self::Prefix => 8085,
            Self::SplitPrefix => 8091,
        }
    }
}

impl fmt::Display for SpecOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "prefix",
            Self::SplitPrefix => "splitprefix",
        })
    }
}

/// Why a prefix cannot be read or written. Offsets are in bytes of the stored stream.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum BlobError {
    /// An element of the option that means nothing there. The user's option is at fault.
    #[error("element {position} of {option} is {element:?}, which means nothing there")]
    UnknownElement {
        /// The option.
        option: SpecOption,
        /// Which element, counted from 1.
        position: usize,
        /// The element, cut after 40 characters.
        element: String,
    },
    /// The option names the same thing twice, and the values could contradict each other.
    #[error("{option} says {element} twice")]
    Repeated {
        /// The option.
        option: SpecOption,
        /// `FILENAME` or `FILESIZE`.
        element: &'static str,
    },
    /// Without name and size the files cannot be told apart again.
    #[error("splitprefix lacks {element}")]
    Lacks {
        /// `FILENAME` or `FILESIZE`.
        element: &'static str,
    },
    /// The file is larger than its prefix can say.
    #[error("size {size} does not fit a prefix of {size_bytes} bytes")]
    SizeTooLarge {
        /// Size of the file in bytes.
        size: u64,
        /// Bytes the prefix has for it.
        size_bytes: u8,
    },
    /// The name is longer than its place. HPCC would cut it, and two files could get one name.
    #[error("name {:?} of {} bytes does not fit FILENAME:{width}", lossy(name), name.len())]
    NameTooWide {
        /// Name of the file.
        name: Vec<u8>,
        /// Bytes the prefix has for it.
        width: u16,
    },
    /// The name ends in a blank, which cannot be told from the padding after it.
    #[error("name {:?} ends in a blank, which FILENAME:{width} uses as padding", lossy(name))]
    NameEndsInBlank {
        /// Name of the file.
        name: Vec<u8>,
        /// Bytes the prefix has for it.
        width: u16,
    },
    /// The name of a file to be sprayed could not become a file's name again.
    #[error("name {:?} cannot be stored: {fault}", lossy(name))]
    Name {
        /// Name of the file.
        name: Vec<u8>,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// What stands where a name should be is no file name: most often the specification is not
    /// that of the stored data.
    #[error("offset {offset}: stored name {:?} cannot be a file's: {fault}", lossy(name))]
    StoredName {
        /// Where the name starts.
        offset: u64,
        /// The name, without its padding; empty if it is too long to be read.
        name: Vec<u8>,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// The stored data end inside a prefix.
    #[error("offset {end}: data end inside the prefix that starts at offset {start}")]
    CutPrefix {
        /// Where the prefix starts.
        start: u64,
        /// Where the data end.
        end: u64,
    },
    /// The stored data end inside a file.
    #[error("offset {end}: data end {missing} bytes before the end of file {:?}", lossy(name))]
    CutFile {
        /// Name of the file.
        name: Vec<u8>,
        /// Where the data end.
        end: u64,
        /// Bytes of the file that are not there.
        missing: u64,
    },
}

impl BlobError {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::UnknownElement { option, .. } | Self::Repeated { option, .. } => {
                Some(option.hpcc_number())
            }
            Self::SizeTooLarge { .. } | Self::NameTooWide { .. } => Some(8086),
            Self::NameEndsInBlank { .. } | Self::Name { .. } => None,
            Self::Lacks { .. }
            | Self::StoredName { .. }
            | Self::CutPrefix { .. }
            | Self::CutFile { .. } => Some(8091),
        }
    }

    /// The offset in the stored stream that a person should look at.
    pub fn offset(&self) -> Option<u64> {
        match *self {
            Self::StoredName { offset, .. } => Some(offset),
            Self::CutPrefix { end, .. } | Self::CutFile { end, .. } => Some(end),
            _ => None,
        }
    }

    /// What a person should do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::UnknownElement { option: SpecOption::Prefix, .. } => {
                "give FILENAME or FILENAME:n, and FILESIZE or FILESIZE:L1 to L8 or B1 to B8"
            }
            Self::UnknownElement { option: SpecOption::SplitPrefix, .. } => {
                "give what the file was sprayed with; SKIP:n and SEQ:n pass over n bytes"
            }
            Self::Repeated { .. } => {
                "name it once; splitprefix passes over other bytes with SKIP:n"
            }
            Self::Lacks { .. } => "give both FILENAME and FILESIZE",
            Self::SizeTooLarge { .. } => "give the size more bytes, FILESIZE:L8 takes any",
            Self::NameTooWide { .. } => "give FILENAME without a width, or a larger one",
            Self::NameEndsInBlank { .. } => "give FILENAME without a width, or rename the file",
            Self::Name { .. } => "rename the file",
            Self::StoredName { .. } | Self::CutPrefix { .. } | Self::CutFile { .. } => {
                "check that splitprefix is the prefix the file was sprayed with, and that the \
                 stored file is whole"
            }
        }
    }
}

/// Why bytes cannot be the name of a file in a directory.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NameFault {
    /// Nothing, or nothing but padding.
    #[error("it is empty")]
    Empty,
    /// Longer than file systems allow.
    #[error("it has {bytes} bytes, at most {SEGMENT_BYTES_MAX} are allowed")]
    TooLong {
        /// Bytes it has.
        bytes: u32,
    },
    /// `.` or `..`.
    #[error("it names a directory")]
    Directory,
    /// `/`, `\` or NUL: it would name a file elsewhere, or another file.
    #[error("byte {:?} is not allowed", char::from(*byte))]
    Byte {
        /// The first such byte.
        byte: u8,
    },
}

impl NameFault {
    /// What keeps these bytes from being a file's name, if anything does.
    pub(super) fn find(name: &[u8]) -> Option<Self> {
        match name {
            b"" => return Some(Self::Empty),
            b"." | b".." => return Some(Self::Directory),
            _ => {}
        }
        if name.len() > SEGMENT_BYTES_MAX {
            let bytes = u32::try_from(name.len()).unwrap_or(u32::MAX);
            return Some(Self::TooLong { bytes });
        }
        let byte = name.iter().find(|byte| matches!(byte, b'/' | b'\\' | 0));
        byte.map(|&byte| Self::Byte { byte })
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
