//! What is split and how: the same wherever sources are read, so that the edge, the relay, a plan and
//! a verification make the same parts of the same sources.
//!
//! Pure: sources are read through [`look::Readable`], and only around their records.

mod attributes;

pub use crate::join::{MARK_ATTRIBUTE, SEPARATOR_ATTRIBUTE};

use crate::blob::{BlobError, PrefixSpec};
use crate::encoding::{DeclaredEncoding, Detected, Encoding, EncodingError, OnInvalid};
use crate::format::RecordFormat;
use crate::format::attributes::AttributeError;
use crate::look::{self, LookError, Readable};
use crate::split::{self, Join, Layout, Origin, SplitError, SplitOptions, Splitter, Target};
use std::num::NonZeroU32;

/// Kept with a logical file of blobs: what was written before each.
pub const PREFIX_ATTRIBUTE: &str = "blobPrefix";

/// Kept with a logical file: how sources without a final terminator were joined, if not mended.
pub const JOIN_ATTRIBUTE: &str = "sourceJoin";

/// Kept with a logical file whose parts are not as the sources are: the attributes of the sources'
/// format, as JSON.
pub const SOURCE_ATTRIBUTE: &str = "sourceFormat";

/// Kept with a logical file whose records were converted: to what.
pub const TARGET_ATTRIBUTE: &str = "conversion";

/// Kept with a logical file whose sources were kept whole although there were more of them.
pub const NOSPLIT_ATTRIBUTE: &str = "sourcesWhole";

/// Kept with a logical file stored whole: the parts it would have been split into.
pub const POINTS_ATTRIBUTE: &str = "splitPointParts";

/// Kept with a logical file in whose text illegal sequences were replaced: how many.
pub const REPLACED_ATTRIBUTE: &str = "replacedSequences";

/// Attributes that say how parts were made of sources, beside their format.
pub const OF_SPLITTING: [&str; 9] = [
    MARK_ATTRIBUTE,
    SEPARATOR_ATTRIBUTE,
    PREFIX_ATTRIBUTE,
    JOIN_ATTRIBUTE,
    SOURCE_ATTRIBUTE,
    TARGET_ATTRIBUTE,
    NOSPLIT_ATTRIBUTE,
    POINTS_ATTRIBUTE,
    REPLACED_ATTRIBUTE,
];

type Attributes = Vec<(String, String)>;

/// The byte order mark of each source.
type Marks = Vec<Vec<u8>>;

/// How the user wants sources to be split.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// The format; its encoding counts only once the sources were looked at.
    pub format: RecordFormat,
    /// The encoding the user said.
    pub declared: Option<DeclaredEncoding>,
    /// How records are stored.
    pub target: Target,
    /// What happens to illegal text that is converted.
    pub on_invalid: OnInvalid,
    /// Whether sources stay whole, if it was said.
    pub layout: Option<Layout>,
    /// What happens between delimited sources.
    pub join: Join,
    /// Written before each source.
    pub prefix: Option<Prefix>,
}

impl Wanted {
    /// Records as they are, in as many parts as are asked for.
    pub fn plain(format: RecordFormat) -> Self {
        Self {
            format,
            declared: None,
            target: Target::default(),
            on_invalid: OnInvalid::default(),
            layout: None,
            join: Join::default(),
            prefix: None,
        }
    }

    /// How a logical file with these attributes was split.
    ///
    /// # Errors
    ///
    /// The attributes do not say; whoever stored the file is at fault.
    pub fn of_stored(attributes: &[(String, String)]) -> Result<Self, AttributeError> {
        attributes::wanted(attributes)
    }
}

/// What is written before each blob, as it was said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prefix {
    /// As the user said it.
    pub text: String,
    /// What it means.
    pub spec: PrefixSpec,
}

/// A source that has a name beside its bytes.
pub trait Named: Readable {
    /// The last segment of its path, as its file system has it.
    fn file_name(&self) -> &[u8];
}

/// Why sources are not what the options say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SplittingError<E> {
    /// One of them.
    Look {
        /// Which, from 0.
        source_index: usize,
        /// Why.
        error: LookError<E>,
    },
    /// Their byte order marks contradict the options or each other.
    Encoding(EncodingError),
    /// None has a row.
    NoRows,
    /// The name or length of one does not fit the prefix of blobs.
    Prefix {
        /// Which, from 0.
        source_index: usize,
        /// Why.
        error: BlobError,
    },
}

/// What stands around the records of a source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Around {
    length: u64,
    mark: Vec<u8>,
    header: Vec<u8>,
    footer: Vec<u8>,
    prefix: Vec<u8>,
}

/// What is known of sources that were looked at: in which encoding they are, and what stands around
/// their records. The sources themselves are the caller's.
#[derive(Clone, Debug)]
pub struct Splitting {
    around: Vec<Around>,
    wanted: Wanted,
    /// The format with the encoding that was found.
    format: RecordFormat,
    /// Whether the ends of the records were found by reading all of the sources.
    measured: bool,
}

impl Splitting {
    /// Looks at the beginnings and ends of the sources.
    ///
    /// # Errors
    ///
    /// A source cannot be read or is not what the options say; the user's to correct.
    pub fn look<S: Named>(sources: &[S], wanted: Wanted) -> Result<Self, SplittingError<S::Error>> {
        let format = match wanted.prefix {
            Some(_) => RecordFormat::Blob,
            None => wanted.format.clone(),
        };
        let (encoding, marks) = encoding(sources, &wanted)?;
        let format = format.with_encoding(encoding);
        let mut around = around(sources, &format, marks)?;
        if let Some(Prefix { spec, .. }) = &wanted.prefix {
            for (source_index, (around, source)) in around.iter_mut().zip(sources).enumerate() {
                let prefix = spec.prefix(source.file_name(), source.length());
                around.prefix =
                    prefix.map_err(|error| SplittingError::Prefix { source_index, error })?;
            }
        }
        Ok(Self { around, wanted, format, measured: false })
    }

    /// Finds where the records of every document end by reading all of it. The sources are those
    /// that were looked at.
    ///
    /// # Errors
    ///
    /// As for [`Splitting::look`].
    pub fn measure<S: Named>(&mut self, sources: &[S]) -> Result<(), SplittingError<S::Error>> {
        for (source_index, (source, around)) in sources.iter().zip(&mut self.around).enumerate() {
            let start = (around.mark.len() + around.header.len()) as u64;
            if start < source.length() {
                let footer = look::measured_footer(source, &self.format, start);
                around.footer =
                    footer.map_err(|error| SplittingError::Look { source_index, error })?;
            }
        }
        self.measured = true;
        Ok(())
    }

    /// Whether `error` means that the ends of records were guessed wrong, which
    /// [`Splitting::measure`] would mend.
    pub fn was_guessed_wrong(&self, error: &SplitError) -> bool {
        !self.measured && matches!(error, SplitError::FooterElsewhere { .. })
    }

    /// The format of the sources.
    pub fn format(&self) -> &RecordFormat {
        &self.format
    }

    /// Bytes of the first source's byte order mark.
    pub fn first_mark_bytes(&self) -> u64 {
        self.around.first().map_or(0, |around| around.mark.len() as u64)
    }

    /// How they are split into `parts`.
    pub fn options(&self, parts: NonZeroU32) -> SplitOptions {
        let Wanted { target, on_invalid, join, ref prefix, .. } = self.wanted;
        let layout = match self.wanted.layout {
            Some(layout) => layout,
            None if prefix.is_some() => Layout::WholeSources,
            // A conversion is no copy, so its parts are balanced.
            None if target != Target::Native => Layout::Balanced,
            None => Layout::implied(self.around.len(), parts),
        };
        SplitOptions { parts, layout, join, target, on_invalid }
    }

    /// What the parts hold, and how, as attributes of the logical file.
    pub fn attributes(&self) -> Attributes {
        attributes::of(&self.wanted, &self.format, &self.options(NonZeroU32::MIN))
    }

    /// What is known of the parts only once their number is: attributes that are added at the end.
    pub fn late_attributes(&self, parts: NonZeroU32) -> Attributes {
        let options = self.options(parts);
        let mut attributes = Vec::new();
        let marked = self.around.iter().any(|around| !around.mark.is_empty());
        if marked && !keeps_marks(&options) && options.target == Target::Native {
            attributes.push((MARK_ATTRIBUTE.to_owned(), "1".to_owned()));
        }
        if options.layout == Layout::SplitPoints {
            attributes.push((POINTS_ATTRIBUTE.to_owned(), parts.to_string()));
        }
        attributes
    }

    /// The longest that attributes may get that only reading all of the sources shows, in so many
    /// parts: more than are added at the end, never fewer.
    pub fn late_attributes_max(&self, parts: NonZeroU32) -> Attributes {
        let mut attributes = self.late_attributes(parts);
        let mut add =
            |name: &str, value: &str| attributes.push((name.to_owned(), value.to_owned()));
        if matches!(self.format, RecordFormat::Json(_)) {
            add(SEPARATOR_ATTRIBUTE, ",");
        }
        let converted = matches!(self.wanted.target, Target::Utf8 | Target::Utf8WithMark);
        if converted && self.wanted.on_invalid == OnInvalid::Replace {
            add(REPLACED_ATTRIBUTE, &u64::MAX.to_string());
        }
        attributes
    }

    /// The attributes that are added once everything was read: those of
    /// [`Splitting::late_attributes`], and what the parts were found to be made of. `replaced` is
    /// how many illegal sequences of text were replaced.
    pub fn found_attributes(
        &self,
        parts: NonZeroU32,
        origins: &[Origin],
        replaced: u64,
    ) -> Attributes {
        let mut attributes = self.late_attributes(parts);
        let comma = |pair: &[Origin]| {
            pair[0].source_index == pair[1].source_index
                && pair[0].source_offset + pair[0].length < pair[1].source_offset
        };
        let joint = |pair: &[Origin]| {
            pair[0].part != pair[1].part && pair[0].source_index != pair[1].source_index
        };
        let separator = if origins.windows(2).any(comma) {
            // Only a comma between rows is ever in no part.
            Some(",")
        } else if self.has_bare_rows() && origins.windows(2).any(joint) {
            // Where a source ends with its part, nothing in either tells two rows apart.
            Some("\n")
        } else {
            None
        };
        if let Some(separator) = separator {
            attributes.push((SEPARATOR_ATTRIBUTE.to_owned(), separator.to_owned()));
        }
        if replaced > 0 {
            attributes.push((REPLACED_ATTRIBUTE.to_owned(), replaced.to_string()));
        }
        attributes
    }

    /// Whether rows stand in no array, so that nothing but what separates them tells them apart.
    fn has_bare_rows(&self) -> bool {
        let bare =
            |around: &Around| around.header.is_empty() && around.length > around.mark.len() as u64;
        matches!(self.format, RecordFormat::Json(_)) && self.around.iter().any(bare)
    }

    /// What tells one way of splitting from another, for a job that is taken up again.
    pub fn signature(&self) -> Vec<u8> {
        if self.measured {
            return self.signature_measured();
        }
        let mut text = self.wanted_text().into_bytes();
        for around in &self.around {
            let texts = [&around.mark, &around.header, &around.footer, &around.prefix];
            // Sources with nothing around their records may come and go: that is seen elsewhere.
            if texts.iter().all(|bytes| bytes.is_empty()) {
                continue;
            }
            for bytes in texts {
                text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                text.extend_from_slice(bytes);
            }
        }
        text
    }

    /// What [`Splitting::signature`] is once the sources are measured, known before they are.
    ///
    /// What stands around the records then follows from the sources alone, whose states a job
    /// notes anyway.
    pub fn signature_measured(&self) -> Vec<u8> {
        format!("{} measured", self.wanted_text()).into_bytes()
    }

    fn wanted_text(&self) -> String {
        let Wanted { target, on_invalid, layout, join, .. } = self.wanted;
        format!("{target:?} {on_invalid:?} {layout:?} {join:?}")
    }

    /// A splitter at the start of the first source.
    ///
    /// # Errors
    ///
    /// The options do not fit the sources; the user's to correct.
    pub fn splitter(&self, parts: NonZeroU32) -> Result<Splitter, SplitError> {
        let options = self.options(parts);
        let keep = keeps_marks(&options);
        let shapes = self.around.iter().map(|around| {
            let mark = u8::try_from(around.mark.len()).expect("a mark has 4 bytes at most");
            split::Source {
                length: around.length,
                mark: if keep { 0 } else { mark },
                header: match keep {
                    true => [&around.mark[..], &around.header].concat(),
                    false => around.header.clone(),
                },
                footer: around.footer.clone(),
                prefix: around.prefix.clone(),
            }
        });
        Splitter::try_new(&self.format, shapes.collect(), options)
    }
}

/// Whether parts are copies of sources, byte order marks and all.
fn keeps_marks(options: &SplitOptions) -> bool {
    options.target == Target::Native && options.layout != Layout::Balanced
}

/// The one encoding of all sources, and their byte order marks.
fn encoding<S: Named>(
    sources: &[S],
    wanted: &Wanted,
) -> Result<(Encoding, Marks), SplittingError<S::Error>> {
    let none = || Ok((wanted.format.encoding(), vec![Vec::new(); sources.len()]));
    if wanted.prefix.is_some() || !look::may_be_marked(&wanted.format, wanted.declared) {
        return none();
    }
    let first = |(source_index, source): (usize, &S)| {
        let first = look::first_bytes(source);
        first.map_err(|error| SplittingError::Look { source_index, error })
    };
    let firsts = sources.iter().enumerate().map(first).collect::<Result<Vec<_>, _>>()?;
    let marked = || firsts.iter().find_map(|first| look::marked_as(first));
    let Some(declared) = wanted.declared.or_else(marked) else {
        return none();
    };
    let detect = |(source_index, first): (usize, &Vec<u8>)| {
        let detected = declared.detect(first);
        detected.map_err(|error| SplittingError::Look { source_index, error: error.into() })
    };
    let detected = firsts.iter().enumerate().map(detect).collect::<Result<Vec<_>, _>>()?;
    let encoding = declared.agree(&detected).map_err(SplittingError::Encoding)?;
    let marks = firsts.iter().zip(&detected);
    let marks = marks.map(|(first, Detected { mark, .. })| first[..usize::from(*mark)].to_vec());
    Ok((encoding, marks.collect()))
}

/// Headers and footers of all sources. A footer is a guess that splitting proves.
fn around<S: Named>(
    sources: &[S],
    format: &RecordFormat,
    marks: Marks,
) -> Result<Vec<Around>, SplittingError<S::Error>> {
    let mut result = Vec::with_capacity(sources.len());
    let mut rows = 0;
    for (source_index, (source, mark)) in sources.iter().zip(marks).enumerate() {
        let found = look::around(source, format, mark)
            .map_err(|error| SplittingError::Look { source_index, error })?;
        let look::Around { mark, header, footer, has_rows } = found;
        rows += usize::from(has_rows);
        let length = source.length();
        result.push(Around { length, mark, header, footer, prefix: Vec::new() });
    }
    if rows == 0 && !sources.is_empty() { Err(SplittingError::NoRows) } else { Ok(result) }
}
