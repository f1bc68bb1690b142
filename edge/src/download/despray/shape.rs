//! What a despray makes of the parts: one file, a file for each part, files of records, or the
//! files that were sprayed as blobs; and what that means for one logical file.

use super::error::ShapeFault;
use crate::cli::DesprayArgs;
use crate::size::ByteSize;
use crate::splitting::{MARK_ATTRIBUTE, PREFIX_ATTRIBUTE};
use skyspray_dfu::blob::SplitPrefixSpec;
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::format::attributes::AttributeError;
use skyspray_dfu::join::{Joined, Stored, edges, mark};
use skyspray_dfu::naming::part_file_name;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::message::PartInfo;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Bytes of a block of the blocked format, none of which is split.
const BLOCK_BYTES: u64 = 32_768;

/// What is to be made of the parts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// One file.
    Joined,
    /// A file for each part, as it is stored.
    Wrapped,
    /// Files of whole records, none longer than this.
    Sized(ByteSize),
    /// So many files of whole records.
    Parts(NonZeroU32),
    /// The files that were sprayed as blobs, each after what this says; `None` for what is kept
    /// with the logical file.
    Blobs(Option<SplitPrefixSpec>),
}

impl Shape {
    /// The shape the command line asks for.
    pub(super) fn of(args: &DesprayArgs) -> Result<Self, ShapeFault> {
        Ok(match (&args.splitprefix, args.split, args.parts) {
            (Some(text), ..) if matches!(text.as_str(), "" | "auto") => Self::Blobs(None),
            (Some(text), ..) => Self::Blobs(Some(spec(text)?)),
            (_, Some(size), _) => Self::Sized(size),
            (.., Some(parts)) => {
                Self::Parts(NonZeroU32::new(parts).expect("the command line takes 1 and more"))
            }
            _ if args.wrap => Self::Wrapped,
            _ => Self::Joined,
        })
    }

    /// What tells it from the other shapes of the same logical file and target; nothing for
    /// [`Shape::Joined`].
    pub(super) fn option(args: &DesprayArgs) -> Option<(&'static str, String)> {
        match (&args.splitprefix, args.split, args.parts) {
            (Some(text), ..) => Some(("splitprefix", text.clone())),
            (_, Some(size), _) => Some(("split", size.0.to_string())),
            (.., Some(parts)) => Some(("parts", parts.to_string())),
            _ => args.wrap.then(|| ("wrap", "1".to_owned())),
        }
    }
}

/// The name of one of several files: `TARGET._P_of_N`.
pub(super) fn numbered(target: &OsStr, part: PartIndex, parts: NonZeroU32) -> OsString {
    let mut name = target.to_owned();
    name.push(part_file_name("", part, parts));
    name
}

/// How the parts of one logical file get the shape that was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Recipe {
    /// The one file they make gets its name.
    Join(Arc<Joined>),
    /// Each part gets a name.
    Wrap(NonZeroU32),
    /// The one file they make is taken apart.
    Cut(Arc<Joined>, Cut),
}

/// How the one file that parts make is taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    /// Between records.
    Records(RecordCut),
    /// Into the files that were sprayed.
    Blobs(SplitPrefixSpec),
}

/// Files of whole records, each well-formed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct RecordCut {
    /// What the records are.
    pub(super) format: RecordFormat,
    /// Files to make.
    pub(super) files: NonZeroU32,
    /// Most bytes of a file with more than one record, where that was asked for.
    pub(super) longest: Option<ByteSize>,
    /// Whether there are no records: then every file is like the one they make.
    pub(super) is_empty: bool,
}

impl Recipe {
    /// What `shape` means for a logical file with these attributes and parts.
    ///
    /// # Errors
    ///
    /// The file has not what the shape needs; the user's to correct, or whoever stored it.
    pub(super) fn of(
        shape: &Shape,
        attributes: &[(String, String)],
        parts: &[PartInfo],
    ) -> Result<Self, ShapeFault> {
        let count = u32::try_from(parts.len()).ok().and_then(NonZeroU32::new);
        if let (Shape::Wrapped, Some(count)) = (shape, count) {
            return Ok(Self::Wrap(count));
        }
        let stored = Described::new(attributes, parts);
        if stored.format() == Err(AttributeError::Compressed.into()) {
            return Err(ShapeFault::Compressed);
        }
        let joined = stored.joined()?;
        let cut = match shape {
            Shape::Joined | Shape::Wrapped => return Ok(Self::Join(joined)),
            Shape::Blobs(spec) => Cut::Blobs(stored.blobs(spec.as_ref())?),
            Shape::Parts(files) => Cut::Records(stored.records("--parts", *files, &joined)?),
            Shape::Sized(size) => {
                let cut = stored.records("--split", NonZeroU32::MIN, &joined)?;
                Cut::Records(stored.sized(cut, *size, &joined)?)
            }
        };
        Ok(Self::Cut(joined, cut))
    }
}

/// A logical file as the relay describes it.
struct Described<'a> {
    attributes: &'a [(String, String)],
    parts: &'a [PartInfo],
}

impl<'a> Described<'a> {
    fn new(attributes: &'a [(String, String)], parts: &'a [PartInfo]) -> Self {
        Self { attributes, parts }
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn format(&self) -> Result<RecordFormat, ShapeFault> {
        let pairs = self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok(RecordFormat::from_attributes(pairs)?)
    }

    fn mark(&self) -> Result<&'static [u8], ShapeFault> {
        match self.value(MARK_ATTRIBUTE) {
            Some("1") => Ok(mark(self.format()?.encoding())),
            _ => Ok(b""),
        }
    }

    fn stored(&self) -> Vec<Stored> {
        let stored = self.parts.iter().map(|part| Stored {
            length: part.length,
            header: part.header,
            footer: part.footer,
        });
        stored.collect()
    }

    /// Bytes at the beginning and the end of the one file that are no records.
    fn around(&self) -> (u64, u64) {
        let (header, footer) = edges(&self.stored());
        (u64::from(header), u64::from(footer))
    }

    fn joined(&self) -> Result<Arc<Joined>, ShapeFault> {
        Ok(Arc::new(Joined::of_file(self.attributes, &self.stored())?))
    }

    fn blobs(&self, said: Option<&SplitPrefixSpec>) -> Result<SplitPrefixSpec, ShapeFault> {
        match said {
            Some(spec) => Ok(spec.clone()),
            None => spec(self.value(PREFIX_ATTRIBUTE).ok_or(ShapeFault::NoPrefix)?),
        }
    }

    fn records(
        &self,
        option: &'static str,
        files: NonZeroU32,
        joined: &Joined,
    ) -> Result<RecordCut, ShapeFault> {
        let format = self.format()?;
        if format == RecordFormat::Blob {
            return Err(ShapeFault::NoRecords { option });
        }
        let is_empty = joined.length <= self.overhead()?;
        Ok(RecordCut { format, files, longest: None, is_empty })
    }

    /// Bytes of every file that are no records.
    fn overhead(&self) -> Result<u64, ShapeFault> {
        let (header, footer) = self.around();
        Ok(header + footer + self.mark()?.len() as u64)
    }

    /// As many files as it takes for none to be longer than `size`.
    fn sized(
        &self,
        cut: RecordCut,
        size: ByteSize,
        joined: &Joined,
    ) -> Result<RecordCut, ShapeFault> {
        let around = self.overhead()?;
        let record = match &cut.format {
            RecordFormat::Fixed { record_bytes } => u64::from(record_bytes.get()),
            RecordFormat::Blocked => BLOCK_BYTES,
            format => format.max_record().map_or(0, |bytes| u64::from(bytes.get())),
        };
        let room = size.0.checked_sub(record + around).filter(|&room| room > 0);
        let room = room.ok_or(ShapeFault::TooSmall { size, record, around })?;
        let body = joined.length.saturating_sub(around);
        let files = files_for(body, room).ok_or(ShapeFault::TooMany { size })?;
        Ok(RecordCut { files, longest: Some(size), ..cut })
    }
}

fn spec(text: &str) -> Result<SplitPrefixSpec, ShapeFault> {
    SplitPrefixSpec::parse(text).map_err(ShapeFault::Prefix)
}

/// The fewest files of `body` bytes together, the last of which takes what is left over, that
/// would have `room` bytes at most if records could be split.
fn files_for(body: u64, room: u64) -> Option<NonZeroU32> {
    let least = u32::try_from(body.div_ceil(room).max(1)).ok()?;
    (least..=PARTS_MAX)
        .find(|&files| body / u64::from(files) + body % u64::from(files) <= room)
        .and_then(NonZeroU32::new)
}

#[cfg(test)]
mod tests;
