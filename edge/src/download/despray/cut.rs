//! Taking the one file that parts make apart, on this host: between records, or into the files
//! that were sprayed as blobs.

use super::super::single::Written;
use super::error::ShapeFault;
use super::outputs::{Outputs, StartError};
use super::shape::{Cut, RecordCut, numbered};
use super::staging::Staging;
use crate::download::fault::DownloadFault;
use crate::source::{RecordError, Source, SourceError};
use crate::splitting::{BLOCK_BYTES, MARK_ATTRIBUTE, Splitting, Wanted};
use crate::stop::Stop;
use skyspray_dfu::blob::{self, SplitPrefixSpec, Unblob};
use skyspray_dfu::join::mark;
use skyspray_dfu::split::{Layout, Piece};
use skyspray_link::seam::files::Cause;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::limits::PARTS_MAX;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroU32;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Stages the files of which the received one consists, durable and listed. Blocks.
///
/// # Errors
///
/// What was received is not what the shape needs, or the host's.
pub(super) fn cut(staging: &Staging, cut: &Cut, stop: &Stop) -> Result<Written, DownloadFault> {
    let received = staging.target.with_path(staging.joined());
    let source = Source::open(&received).map_err(ShapeFault::from)?;
    match cut {
        Cut::Blobs(spec) => blobs(staging, spec, &source, stop),
        Cut::Records(cut) if cut.is_empty => copies(staging, cut.files, &source),
        Cut::Records(cut) => records(staging, cut, &source, stop),
    }
}

/// Why one attempt to split failed.
enum CutFault {
    Fault(DownloadFault),
    /// The records break a rule.
    Record(RecordError),
    /// The rows end elsewhere than it seemed.
    Guessed,
    /// A file became longer than was asked for.
    TooLong,
}

impl From<DownloadFault> for CutFault {
    fn from(fault: DownloadFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<SourceError> for CutFault {
    fn from(error: SourceError) -> Self {
        Self::Fault(ShapeFault::from(error).into())
    }
}

impl From<RecordError> for CutFault {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Splits between records, into more files if one is longer than it may be.
fn records(
    staging: &Staging,
    cut: &RecordCut,
    source: &Source,
    stop: &Stop,
) -> Result<Written, DownloadFault> {
    let said = Wanted::of_stored(&cut.format.to_attributes()).map_err(ShapeFault::from)?;
    let wanted = Wanted { layout: Some(Layout::Balanced), ..said };
    let looked = Splitting::look(vec![source.clone()], wanted);
    let mut splitting = looked.map_err(ShapeFault::from)?;
    let mut cut = cut.clone();
    loop {
        match split(staging, &cut, &splitting, stop) {
            Ok(written) => return Ok(written),
            Err(CutFault::Fault(fault)) => return Err(fault),
            Err(CutFault::Record(error)) => return Err(ShapeFault::from(error).into()),
            Err(CutFault::Guessed) => splitting.measure().map_err(ShapeFault::from)?,
            Err(CutFault::TooLong) => cut.files = more_files(&cut)?,
        }
    }
}

fn more_files(cut: &RecordCut) -> Result<NonZeroU32, ShapeFault> {
    let files = cut.files.saturating_add((cut.files.get() / 8).max(1));
    match cut.longest {
        Some(size) if files.get() > PARTS_MAX => Err(ShapeFault::TooMany { size }),
        _ => Ok(files),
    }
}

fn split(
    staging: &Staging,
    cut: &RecordCut,
    splitting: &Splitting,
    stop: &Stop,
) -> Result<Written, CutFault> {
    let mut outputs = Outputs::begin(staging)?;
    // Every file has the byte order mark that the whole has.
    let marked =
        splitting.late_attributes(cut.files).iter().any(|(name, _)| name == MARK_ATTRIBUTE);
    let mark = if marked { mark(splitting.format().encoding()) } else { b"" };
    let target = staging.target.path.file_name().unwrap_or_default();
    let ensure = |outputs: &mut Outputs<'_>, part| -> Result<(), DownloadFault> {
        if outputs.is_started() {
            return Ok(());
        }
        let name = numbered(target, part, cut.files);
        outputs.start(&name).map_err(|error| error.into_fault(staging))?;
        outputs.write(mark)
    };
    let walked = splitting.walk(cut.files, |piece, block| -> Result<(), CutFault> {
        if stop.is_requested() {
            return Err(DownloadFault::Interrupted.into());
        }
        match piece {
            Piece::Origin(_) => {}
            Piece::Bytes { part, range } => {
                ensure(&mut outputs, part)?;
                outputs.write(&block[range])?;
            }
            Piece::Literal { part, bytes } => {
                ensure(&mut outputs, part)?;
                outputs.write(&bytes)?;
            }
            Piece::PartEnd { part, records, .. } => {
                ensure(&mut outputs, part)?;
                let too_long = cut.longest.is_some_and(|longest| outputs.bytes() > longest.0);
                if too_long && records > 1 {
                    return Err(CutFault::TooLong);
                }
                outputs.end()?;
            }
        }
        Ok(())
    });
    match walked {
        Err(CutFault::Record(error)) if splitting.was_guessed_wrong(&error) => {
            Err(CutFault::Guessed)
        }
        other => other.and_then(|()| Ok(outputs.finish()?)),
    }
}

/// Files that are like the whole, which has no record.
fn copies(staging: &Staging, files: NonZeroU32, source: &Source) -> Result<Written, DownloadFault> {
    let mut outputs = Outputs::begin(staging)?;
    let target = staging.target.path.file_name().unwrap_or_default();
    for part in (0..files.get()).map(PartIndex) {
        let name = numbered(target, part, files);
        outputs.start(&name).map_err(|error| error.into_fault(staging))?;
        read(source, |block, _| outputs.write(block))?;
        outputs.end()?;
    }
    outputs.finish()
}

/// Takes blobs apart.
fn blobs(
    staging: &Staging,
    spec: &SplitPrefixSpec,
    source: &Source,
    stop: &Stop,
) -> Result<Written, DownloadFault> {
    let mut outputs = Outputs::begin(staging)?;
    let mut unblob = Unblob::new(spec.clone());
    let wrong = |source| ShapeFault::Blobs { path: staging.target.to_string(), source };
    read(source, |block, offset| {
        if stop.is_requested() {
            return Err(DownloadFault::Interrupted);
        }
        let mut rest = block;
        while let Some(piece) = unblob.next_piece(&mut rest).map_err(wrong)? {
            match piece {
                blob::Piece::File { name, .. } => {
                    let at = offset + (block.len() - rest.len()) as u64;
                    let started = outputs.start(OsStr::from_bytes(&name));
                    started
                        .map_err(|error| name_fault(staging, error, (spec, source), name, at))?;
                }
                blob::Piece::Bytes(bytes) => outputs.write(bytes)?,
                blob::Piece::FileEnd => outputs.end()?,
            }
        }
        Ok(())
    })?;
    unblob.finish().map_err(wrong)?;
    outputs.finish()
}

/// Why the blob `name`, whose bytes begin at `second`, cannot be begun: often that an earlier one
/// has its name.
fn name_fault(
    staging: &Staging,
    error: StartError,
    (spec, source): (&SplitPrefixSpec, &Source),
    name: Vec<u8>,
    second: u64,
) -> DownloadFault {
    let taken = matches!(&error, StartError::File(error) if error.cause == Cause::AlreadyExists);
    let first = if taken { first_of_name(spec, source, &name) } else { Ok(None) };
    match first {
        Ok(Some(first)) => {
            ShapeFault::SameName { name: OsString::from_vec(name), first, second }.into()
        }
        Ok(None) => error.into_fault(staging),
        Err(fault) => fault,
    }
}

/// Where the bytes of the first blob of that name begin.
fn first_of_name(
    spec: &SplitPrefixSpec,
    source: &Source,
    wanted: &[u8],
) -> Result<Option<u64>, DownloadFault> {
    let mut unblob = Unblob::new(spec.clone());
    let mut found = None;
    read(source, |block, offset| {
        let mut rest = block;
        // It was read before, up to the second of that name, without an error.
        while let Ok(Some(piece)) = unblob.next_piece(&mut rest) {
            if matches!(&piece, blob::Piece::File { name, .. } if name == wanted) {
                found.get_or_insert(offset + (block.len() - rest.len()) as u64);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads all of a source, and says of each block where it is.
fn read(
    source: &Source,
    mut take: impl FnMut(&[u8], u64) -> Result<(), DownloadFault>,
) -> Result<(), DownloadFault> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut offset = 0;
    while offset < source.length() {
        let left = source.length() - offset;
        let count = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        source.read_exact_at(&mut block[..count], offset).map_err(ShapeFault::from)?;
        take(&block[..count], offset)?;
        offset += count as u64;
    }
    source.recheck().map_err(ShapeFault::from)?;
    Ok(())
}
