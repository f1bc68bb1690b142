//! Files of a plane that are sprayed: looked at, and read in the state they were found in.

use super::original::{Ended, Read};
use super::{CopyError, Site};
use crate::admin::Exit;
use crate::plane::{Plane, PlaneError, Stat, StoredFile};
use skyspray_dfu::blob::BlobError;
use skyspray_dfu::encoding::EncodingError;
use skyspray_dfu::look::{self, Readable};
use skyspray_dfu::probe::ProbeError;
use skyspray_dfu::split::SplitError;
use skyspray_dfu::splitting::{Named, SplittingError};
use skyspray_link::seam::files::{BufferPool, RelPath};
use skyspray_wire::ids::SourceIndex;
use skyspray_wire::message::SourceNote;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use thiserror::Error;

/// Why files of a plane are not sprayed. Paths are as people write them: `PLANE:path`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is not there.
    #[error("{path} does not exist")]
    Missing {
        /// The file.
        path: String,
    },
    /// Another content took its place.
    #[error("{path} changed while it was read")]
    Changed {
        /// The file.
        path: String,
    },
    /// Its plane failed.
    #[error("{path} cannot be read")]
    Plane {
        /// The file.
        path: String,
        /// Why.
        source: PlaneError,
    },
    /// Byte order marks contradict the options or each other.
    #[error("{path} is not in the encoding it should be in")]
    Encoding {
        /// The file.
        path: String,
        /// Why.
        source: EncodingError,
    },
    /// A document has no recognizable beginning or end.
    #[error("{path} is no document of the format")]
    Document {
        /// The file.
        path: String,
        /// Why.
        source: ProbeError,
    },
    /// No file has a row.
    #[error("{path} holds no row")]
    NoRows {
        /// The first file.
        path: String,
    },
    /// A name or length does not fit the prefix of blobs.
    #[error("{path} does not fit the prefix")]
    Prefix {
        /// The file.
        path: String,
        /// Why.
        source: BlobError,
    },
    /// The records are not what the options say.
    #[error("the records of {path} are not what the options say")]
    Records {
        /// The file.
        path: String,
        /// Where and how.
        source: SplitError,
    },
}

/// Files of one plane, in order.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) files: Vec<SourceFile>,
}

/// A file as it was found.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    plane: Arc<Plane>,
    path: RelPath,
    /// `PLANE:path`.
    shown: String,
    pub(super) stat: Stat,
}

impl Sources {
    /// Finds the files. Blocks.
    ///
    /// # Errors
    ///
    /// One is not there, or no regular file.
    pub(super) fn find(site: &Site, paths: &[RelPath]) -> Result<Self, SourceError> {
        let find = |path: &RelPath| {
            let shown = format!("{}:{path}", site.name);
            let stat = site.plane.stat(path).map_err(|error| failed(&shown, error))?;
            Ok(SourceFile { plane: Arc::clone(&site.plane), path: path.clone(), shown, stat })
        };
        Ok(Self { files: paths.iter().map(find).collect::<Result<_, _>>()? })
    }

    /// Bytes of all files together.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.stat.length).sum()
    }

    /// Their names and lengths.
    pub(super) fn notes(&self) -> Vec<SourceNote> {
        let note = |(index, file): (u32, &SourceFile)| {
            SourceNote::new(SourceIndex(index), &file.shown, file.stat.length)
        };
        (0..).zip(&self.files).map(note).collect()
    }

    /// Reads all files once and says what it finds. Blocks.
    pub(super) fn read(&self, pool: &BufferPool, out: &SyncSender<Read>) -> Result<(), Ended> {
        for (part, source) in self.files.iter().enumerate() {
            let ended = |error: SourceError| Ended::Failed(error.into());
            let file = source.open().map_err(ended)?;
            file.advise_sequential();
            let mut offset = 0;
            while offset < source.stat.length {
                let mut bytes = pool.take_blocking();
                let left = usize::try_from(source.stat.length - offset).unwrap_or(usize::MAX);
                let count = pool.buffer_size().min(left);
                source.fill(&file, &mut bytes.space()[..count], offset).map_err(ended)?;
                bytes.set_len(count);
                let read = Read::Bytes { part, offset, bytes };
                out.send(read).map_err(|_| Ended::Unwanted)?;
                offset += count as u64;
            }
            source.recheck(&file).map_err(ended)?;
            out.send(Read::End { part }).map_err(|_| Ended::Unwanted)?;
        }
        Ok(())
    }

    /// What is told of records that are not what the options say.
    pub(super) fn records(&self, source: SplitError) -> SourceError {
        let index = source.location().map_or(0, |(index, _)| index);
        SourceError::Records { path: self.shown(index), source }
    }

    /// What is told of files that are not what the options say.
    pub(super) fn unfit(&self, error: SplittingError<SourceError>) -> SourceError {
        match error {
            SplittingError::Look { source_index, error } => {
                let path = self.shown(source_index);
                match error {
                    look::LookError::Read(error) => error,
                    look::LookError::Encoding(source) => SourceError::Encoding { path, source },
                    look::LookError::Document(source) => SourceError::Document { path, source },
                }
            }
            SplittingError::Encoding(source) => {
                let index = match &source {
                    EncodingError::Disagreement { second_source, .. } => *second_source,
                    _ => 0,
                };
                SourceError::Encoding { path: self.shown(index), source }
            }
            SplittingError::NoRows => SourceError::NoRows { path: self.shown(0) },
            SplittingError::Prefix { source_index, error } => {
                SourceError::Prefix { path: self.shown(source_index), source: error }
            }
        }
    }

    fn shown(&self, index: usize) -> String {
        self.files.get(index).map(|file| file.shown.clone()).unwrap_or_default()
    }
}

impl SourceFile {
    /// Opens the file, in the state it was found in or not at all.
    fn open(&self) -> Result<StoredFile, SourceError> {
        let file = self.plane.open(&self.path).map_err(|error| failed(&self.shown, error))?;
        self.recheck(&file)?;
        Ok(file)
    }

    fn recheck(&self, file: &StoredFile) -> Result<(), SourceError> {
        let found = file.stat().map_err(|error| failed(&self.shown, error))?;
        let changed = || SourceError::Changed { path: self.shown.clone() };
        if found == self.stat { Ok(()) } else { Err(changed()) }
    }

    fn fill(&self, file: &StoredFile, bytes: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let mut filled = 0;
        while filled < bytes.len() {
            let read = file.read_at(&mut bytes[filled..], offset + filled as u64);
            match read.map_err(|error| failed(&self.shown, error))? {
                0 => return Err(SourceError::Changed { path: self.shown.clone() }),
                read => filled += read,
            }
        }
        Ok(())
    }
}

impl Readable for SourceFile {
    type Error = SourceError;

    fn length(&self) -> u64 {
        self.stat.length
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        let length = usize::try_from(range.end - range.start).expect("the caller bounds it");
        let mut bytes = vec![0; length];
        self.fill(&self.open()?, &mut bytes, range.start)?;
        Ok(bytes)
    }
}

impl Named for SourceFile {
    fn file_name(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }
}

fn failed(path: &str, source: PlaneError) -> SourceError {
    let path = path.to_owned();
    match source {
        PlaneError::Missing { .. } => SourceError::Missing { path },
        PlaneError::Changed { .. } => SourceError::Changed { path },
        source => SourceError::Plane { path, source },
    }
}

impl SourceError {
    /// How a command ends with it.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Changed { .. } => Exit::Temporary,
            Self::Plane { source, .. } => source.remedy().into(),
            Self::Records { source, .. } => match source {
                SplitError::FewerSources { .. }
                | SplitError::NoConversion { .. }
                | SplitError::TooManyCharacters => Exit::Usage,
                SplitError::TotalTooLong => Exit::Limit,
                SplitError::NoSourceLeft | SplitError::SourcesLeft { .. } => Exit::Internal,
                _ => Exit::Source,
            },
            _ => Exit::Source,
        }
    }

    /// What the operator can do.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "check the plane and the path from its root",
            Self::Changed { .. } => "run the command again when nobody writes to the file",
            Self::Plane { .. } => "test the plane with skyspray-relay plane test NAME",
            Self::Encoding { .. } => "say the encoding with --encoding",
            Self::Document { .. } | Self::NoRows { .. } => {
                "check --row-tag or --row-path, and whether the file is whole"
            }
            Self::Prefix { source, .. } => source.advice(),
            Self::Records { .. } => "check the options of the format, and the file at that place",
        }
    }

    /// HPCC's number for this cause, where it has one.
    pub(super) fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::Missing { .. } => Some(8095),
            Self::Encoding { source, .. } => source.hpcc_number(),
            Self::Document { source, .. } => source.hpcc_number(),
            Self::Prefix { source, .. } => source.hpcc_number(),
            Self::Records { source, .. } => source.hpcc_number(),
            Self::Changed { .. } | Self::Plane { .. } | Self::NoRows { .. } => None,
        }
    }
}

impl From<SourceError> for CopyError {
    fn from(source: SourceError) -> Self {
        Self::Source { source: Box::new(source) }
    }
}
