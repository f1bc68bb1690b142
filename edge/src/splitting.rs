//! What is split and how: the same for a spray, a plan and a verification, so that all three make
//! the same parts of the same sources.

mod attributes;
mod error;
mod look;

pub use error::LookError;
pub use skyspray_dfu::join::{MARK_ATTRIBUTE, SEPARATOR_ATTRIBUTE};

use crate::source::{RecordError, Source, SourceError};
use skyspray_dfu::blob::PrefixSpec;
use skyspray_dfu::encoding::{DeclaredEncoding, OnInvalid};
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::format::attributes::AttributeError;
use skyspray_dfu::split::{self, Join, Layout, Piece, SplitError, SplitOptions, Splitter, Target};
use std::num::NonZeroU32;

/// Bytes read at once where nothing else decides it.
pub const BLOCK_BYTES: usize = 1 << 20;

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

/// What stands around the records of a source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Around {
    mark: Vec<u8>,
    header: Vec<u8>,
    footer: Vec<u8>,
    prefix: Vec<u8>,
}

/// Sources that were looked at: in which encoding they are, and what stands around their records.
#[derive(Clone, Debug)]
pub struct Splitting {
    sources: Vec<Source>,
    around: Vec<Around>,
    wanted: Wanted,
    /// The format with the encoding that was found.
    format: RecordFormat,
    /// Whether the ends of the records were found by reading all of the sources.
    measured: bool,
}

impl Splitting {
    /// Looks at the beginnings and ends of the sources. Blocks.
    ///
    /// # Errors
    ///
    /// A source cannot be read or is not what the options say; the user's to correct.
    pub fn look(sources: Vec<Source>, wanted: Wanted) -> Result<Self, LookError> {
        let format = match wanted.prefix {
            Some(_) => RecordFormat::Blob,
            None => wanted.format.clone(),
        };
        let (encoding, marks) = look::encoding(&sources, &wanted)?;
        let format = format.with_encoding(encoding);
        let mut around = look::around(&sources, &format, marks)?;
        if let Some(Prefix { spec, .. }) = &wanted.prefix {
            for (around, source) in around.iter_mut().zip(&sources) {
                around.prefix = look::prefix(spec, source)?;
            }
        }
        Ok(Self { sources, around, wanted, format, measured: false })
    }

    /// Finds where the records of every document end by reading all of it. Blocks.
    ///
    /// # Errors
    ///
    /// As for [`Splitting::look`].
    pub fn measure(&mut self) -> Result<(), LookError> {
        look::measure(&self.sources, &self.format, &mut self.around)?;
        self.measured = true;
        Ok(())
    }

    /// Whether `error` means that the ends of records were guessed wrong, which
    /// [`Splitting::measure`] would mend.
    pub fn was_guessed_wrong(&self, error: &RecordError) -> bool {
        !self.measured && matches!(error.source, SplitError::FooterElsewhere { .. })
    }

    /// The sources.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The format of the sources.
    pub fn format(&self) -> &RecordFormat {
        &self.format
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
        let Some((source, around)) = self.sources.first().zip(self.around.first()) else {
            return Ok(Vec::new());
        };
        let start = around.mark.len() as u64;
        look::read(source, start..source.length().min(start + limit))
    }

    /// Bytes of all sources together.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(Source::length).sum()
    }

    /// How they are split into `parts`.
    pub fn options(&self, parts: NonZeroU32) -> SplitOptions {
        let Wanted { target, on_invalid, join, ref prefix, .. } = self.wanted;
        let layout = match self.wanted.layout {
            Some(layout) => layout,
            None if prefix.is_some() => Layout::WholeSources,
            // A conversion is no copy, so its parts are balanced.
            None if target != Target::Native => Layout::Balanced,
            None => Layout::implied(self.sources.len(), parts),
        };
        SplitOptions { parts, layout, join, target, on_invalid }
    }

    /// What the parts hold, and how, as attributes of the logical file.
    pub fn attributes(&self) -> Vec<(String, String)> {
        attributes::of(&self.wanted, &self.format, &self.options(NonZeroU32::MIN))
    }

    /// What is known of the parts only once their number is: attributes that are added at the end.
    pub fn late_attributes(&self, parts: NonZeroU32) -> Vec<(String, String)> {
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
    pub fn late_attributes_max(&self, parts: NonZeroU32) -> Vec<(String, String)> {
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

    /// Whether rows stand in no array, so that nothing but what separates them tells them apart.
    pub fn has_bare_rows(&self) -> bool {
        let bare = |(source, around): (&Source, &Around)| {
            around.header.is_empty() && source.length() > around.mark.len() as u64
        };
        matches!(self.format, RecordFormat::Json(_))
            && self.sources.iter().zip(&self.around).any(bare)
    }

    /// What tells one way of splitting from another, for a job that is taken up again.
    pub fn signature(&self) -> Vec<u8> {
        if self.measured {
            return self.signature_measured();
        }
        let mut text = self.wanted_text().into_bytes();
        // Sources with nothing around their records may come and go: that is seen elsewhere.
        for around in self.around.iter().filter(|around| **around != Around::default()) {
            for bytes in [&around.mark, &around.header, &around.footer, &around.prefix] {
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
    pub fn splitter(&self, parts: NonZeroU32) -> Result<Splitter, RecordError> {
        let options = self.options(parts);
        let keep = keeps_marks(&options);
        let shapes = self.sources.iter().zip(&self.around).map(|(source, around)| {
            let mark = u8::try_from(around.mark.len()).expect("a mark has 4 bytes at most");
            split::Source {
                length: source.length(),
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
            .map_err(|error| self.explain(error))
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

/// Whether parts are copies of sources, byte order marks and all.
fn keeps_marks(options: &SplitOptions) -> bool {
    options.target == Target::Native && options.layout != Layout::Balanced
}
