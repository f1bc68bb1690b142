//! What is split and how, of source files: the same for a spray, a plan and a verification, so that
//! all three make the same parts of the same sources.

mod error;

pub use error::LookError;
pub use skyspray_dfu::splitting::{
    JOIN_ATTRIBUTE, MARK_ATTRIBUTE, NOSPLIT_ATTRIBUTE, OF_SPLITTING, POINTS_ATTRIBUTE,
    PREFIX_ATTRIBUTE, Prefix, REPLACED_ATTRIBUTE, SEPARATOR_ATTRIBUTE, SOURCE_ATTRIBUTE,
    TARGET_ATTRIBUTE, Wanted,
};

use crate::source::{RecordError, Source, SourceError};
use skyspray_dfu::encoding::EncodingError;
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::look::{self, Readable};
use skyspray_dfu::split::{Origin, Piece, SplitError, SplitOptions, Splitter};
use skyspray_dfu::splitting::{self, Named, SplittingError};
use std::num::NonZeroU32;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;

/// Bytes read at once where nothing else decides it.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Sources that were looked at: in which encoding they are, and what stands around their records.
#[derive(Clone, Debug)]
pub struct Splitting {
    sources: Vec<Source>,
    looked: splitting::Splitting,
}

impl Splitting {
    /// Looks at the beginnings and ends of the sources. Blocks.
    ///
    /// # Errors
    ///
    /// A source cannot be read or is not what the options say; the user's to correct.
    pub fn look(sources: Vec<Source>, wanted: Wanted) -> Result<Self, LookError> {
        let format = wanted.format.clone();
        match splitting::Splitting::look(&sources, wanted) {
            Ok(looked) => Ok(Self { sources, looked }),
            Err(error) => Err(of(&sources, &format, error)),
        }
    }

    /// Finds where the records of every document end by reading all of it. Blocks.
    ///
    /// # Errors
    ///
    /// As for [`Splitting::look`].
    pub fn measure(&mut self) -> Result<(), LookError> {
        let Self { sources, looked } = self;
        let format = looked.format().clone();
        looked.measure(sources).map_err(|error| of(sources, &format, error))
    }

    /// Whether `error` means that the ends of records were guessed wrong, which
    /// [`Splitting::measure`] would mend.
    pub fn was_guessed_wrong(&self, error: &RecordError) -> bool {
        self.looked.was_guessed_wrong(&error.source)
    }

    /// The sources.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The format of the sources.
    pub fn format(&self) -> &RecordFormat {
        self.looked.format()
    }

    /// The first source as `zone:path`; empty if there is none.
    pub fn first_path(&self) -> String {
        self.sources.first().map(|source| source.at().to_string()).unwrap_or_default()
    }

    /// The first bytes of the first source after its byte order mark, at most `limit`. Blocks.
    ///
    /// # Errors
    ///
    /// It cannot be read, or changed meanwhile.
    pub fn first_record_bytes(&self, limit: u64) -> Result<Vec<u8>, SourceError> {
        let Some(source) = self.sources.first() else { return Ok(Vec::new()) };
        let start = self.looked.first_mark_bytes();
        source.read(start..source.length().min(start + limit))
    }

    /// Bytes of all sources together.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(Source::length).sum()
    }

    /// How they are split into `parts`.
    pub fn options(&self, parts: NonZeroU32) -> SplitOptions {
        self.looked.options(parts)
    }

    /// What the parts hold, and how, as attributes of the logical file.
    pub fn attributes(&self) -> Vec<(String, String)> {
        self.looked.attributes()
    }

    /// What is known of the parts only once their number is: attributes that are added at the end.
    pub fn late_attributes(&self, parts: NonZeroU32) -> Vec<(String, String)> {
        self.looked.late_attributes(parts)
    }

    /// The longest that attributes may get that only reading all of the sources shows, in so many
    /// parts: more than are added at the end, never fewer.
    pub fn late_attributes_max(&self, parts: NonZeroU32) -> Vec<(String, String)> {
        self.looked.late_attributes_max(parts)
    }

    /// The attributes that are added once everything was read. `origins` is what the parts were
    /// made of, `replaced` how many illegal sequences of text were replaced.
    pub fn found_attributes(
        &self,
        parts: NonZeroU32,
        origins: &[Origin],
        replaced: u64,
    ) -> Vec<(String, String)> {
        self.looked.found_attributes(parts, origins, replaced)
    }

    /// What tells one way of splitting from another, for a job that is taken up again.
    pub fn signature(&self) -> Vec<u8> {
        self.looked.signature()
    }

    /// What [`Splitting::signature`] is once the sources are measured, known before they are.
    pub fn signature_measured(&self) -> Vec<u8> {
        self.looked.signature_measured()
    }

    /// A splitter at the start of the first source.
    ///
    /// # Errors
    ///
    /// The options do not fit the sources; the user's to correct.
    pub fn splitter(&self, parts: NonZeroU32) -> Result<Splitter, RecordError> {
        self.looked.splitter(parts).map_err(|error| self.explain(error))
    }

    /// Says of which source and place an error speaks.
    pub fn explain(&self, error: SplitError) -> RecordError {
        Source::record_error(&self.sources, error)
    }

    /// Reads all sources once and hands every piece, with the block it may be in, to `take`.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// A source cannot be read, changed, or breaks a rule; and whatever `take` says.
    pub fn walk<E: From<SourceError> + From<RecordError>>(
        &self,
        parts: NonZeroU32,
        mut take: impl FnMut(Piece, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut splitter = self.splitter(parts)?;
        let mut drain = |splitter: &mut Splitter, block: &[u8]| {
            std::iter::from_fn(|| splitter.poll()).try_for_each(|piece| take(piece, block))
        };
        let wrong = |error| self.explain(error);
        let mut block = vec![0; BLOCK_BYTES];
        for source in &self.sources {
            let mut offset = 0;
            while offset < source.length() {
                let left = source.length() - offset;
                let count = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
                source.read_exact_at(&mut block[..count], offset)?;
                splitter.push(&block[..count]).map_err(wrong)?;
                drain(&mut splitter, &block[..count])?;
                offset += count as u64;
            }
            splitter.end_source().map_err(wrong)?;
            drain(&mut splitter, &[])?;
            source.recheck()?;
        }
        splitter.finish().map_err(wrong)?;
        drain(&mut splitter, &[])
    }
}

/// The error with the source it is about.
fn of(sources: &[Source], format: &RecordFormat, error: SplittingError<SourceError>) -> LookError {
    let path =
        |index: usize| sources.get(index).map(|source| source.at().to_string()).unwrap_or_default();
    match error {
        SplittingError::Look { source_index, error } => match error {
            look::LookError::Read(error) => error.into(),
            look::LookError::Encoding(error) => {
                LookError::Encoding { path: path(source_index), error }
            }
            look::LookError::Document(error) => {
                LookError::Document { path: path(source_index), error }
            }
        },
        SplittingError::Encoding(error) => {
            let at = match &error {
                EncodingError::Disagreement { second_source, .. } => path(*second_source),
                _ => String::new(),
            };
            LookError::Encoding { path: at, error }
        }
        SplittingError::NoRows => LookError::no_rows(path(0), format),
        SplittingError::Prefix { source_index, error } => {
            LookError::Prefix { path: path(source_index), error }
        }
    }
}

impl Readable for Source {
    type Error = SourceError;

    fn length(&self) -> u64 {
        self.length()
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        let length = usize::try_from(range.end - range.start).expect("the caller bounds it");
        let mut bytes = vec![0; length];
        if length > 0 {
            self.read_exact_at(&mut bytes, range.start)?;
        }
        Ok(bytes)
    }
}

impl Named for Source {
    fn file_name(&self) -> &[u8] {
        self.at().path.file_name().unwrap_or_default().as_bytes()
    }
}
