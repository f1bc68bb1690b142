//! The `verify` command: is a logical file on its plane what was committed, and are local sources
//! what it was made from?

use super::describe::ask;
use crate::cli::VerifyArgs;
use crate::context::Context;
use crate::download::{DownloadFault, probe};
use crate::exit::{Details, Exit, Explain};
use crate::size::{About, Count};
use crate::source::{OpenError, RecordError, Selection, Source, SourceError};
use crate::splitting::{BLOCK_BYTES, LookError, POINTS_ATTRIBUTE, Splitting, Wanted};
use serde::Serialize;
use skyspray_dfu::format::attributes::AttributeError;
use skyspray_dfu::naming::split_part_file_name;
use skyspray_dfu::split::Piece;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::message::{Description, PartInfo, ReadTarget};
use std::borrow::Cow;
use std::num::NonZeroU32;
use thiserror::Error;

/// Why it is not verified.
#[derive(Debug, Error)]
pub(super) enum VerifyError {
    #[error(transparent)]
    Download(#[from] DownloadFault),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Look(#[from] LookError),
    // What was stored was split without an error, so these are other sources.
    #[error("sources cannot be what is stored")]
    Record(#[from] RecordError),
    #[error("the relay describes no format that sources could be split by")]
    Format(#[from] AttributeError),
    #[error("the logical file has no parts")]
    NoParts,
    #[error("part {part} was not digested when it was stored")]
    NotDigested { part: PartIndex },
    #[error(
        "part {part} differs: sources make {found_length} bytes with BLAKE3 {found}, \
         stored are {length} bytes with {stored}"
    )]
    Differs { part: PartIndex, found_length: u64, found: Digest, length: u64, stored: Digest },
}

impl VerifyError {
    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            Self::Download(error) => Some(error),
            Self::Open(error) => Some(error),
            Self::Source(error) => Some(error),
            Self::Look(error) => Some(error),
            _ => None,
        }
    }
}

impl Explain for VerifyError {
    fn exit(&self) -> Exit {
        match self {
            Self::Differs { .. } | Self::Record(_) => Exit::Mismatch,
            Self::Format(_) | Self::NoParts | Self::NotDigested { .. } => Exit::Source,
            _ => self.inner().map_or(Exit::Internal, Explain::exit),
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Differs { .. } => "part-differs".into(),
            Self::Record(_) => "sources-differ".into(),
            Self::Format(_) => "format-unknown".into(),
            Self::NoParts => "parts-missing".into(),
            Self::NotDigested { .. } => "part-not-digested".into(),
            _ => self.inner().map_or("internal".into(), Explain::code),
        }
    }

    fn details(&self) -> Details {
        match self {
            Self::Record(error) => error.details(),
            _ => self.inner().map(Explain::details).unwrap_or_default(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Differs { .. } | Self::Record(_) => {
                Some("name the sources it was sprayed from, in the same order".into())
            }
            _ => self.inner().and_then(Explain::advice),
        }
    }
}

#[derive(Debug, Serialize)]
struct Verified {
    plane: String,
    name: String,
    generation: Option<u64>,
    bytes: u64,
    parts: u32,
    sources: usize,
}

/// Compares the parts with local sources where there are any, and reads what is stored otherwise.
pub(super) async fn verify(context: &Context, args: &VerifyArgs) -> Result<Exit, VerifyError> {
    let target = &args.target;
    let compares = !args.sources.is_empty() || args.source_options.files_from.is_some();
    let mut sources_count = 0;
    let (generation, bytes, parts) = if compares {
        let sources = open_sources(context, args).await?;
        sources_count = sources.len();
        let (description, parts) = ask(context, target).await?;
        let count = description.parts;
        let (generation, bytes) = (description.generation, description.bytes);
        let compared =
            tokio::task::spawn_blocking(move || compare_sources(sources, &description, &parts));
        compared.await.expect("comparing does not panic")?;
        (Some(generation), bytes, count)
    } else {
        let (plane, name) = (target.plane.clone(), target.name.clone());
        let read = ReadTarget::LogicalFile { plane, name };
        let probed = probe(context, &read).await?;
        (probed.readable.generation, probed.readable.bytes, probed.readable.parts)
    };
    let fields = Verified {
        plane: target.plane.to_string(),
        name: target.name.to_string(),
        generation: generation.map(|generation| generation.0),
        bytes,
        parts,
        sources: sources_count,
    };
    let matched = if compares { "the sources hold" } else { "was committed" };
    let stored = format_args!("{} in {}", About(bytes), Count(parts.into(), "part"));
    let text = format!("{target}: what is stored is what {matched}, {stored}");
    context.reporter.result("verified", &fields, text);
    Ok(Exit::Done)
}

async fn open_sources(context: &Context, args: &VerifyArgs) -> Result<Vec<Source>, VerifyError> {
    let (zones, cwd) = (context.zones.clone(), context.cwd.clone());
    let (names, options) = (args.sources.clone(), args.source_options.clone());
    let find = move || Selection::resolve(&zones, &names, &options, &cwd);
    let selection = tokio::task::spawn_blocking(find).await.expect("finding does not panic")?;
    // The format is that of the logical file.
    selection.warn(&context.reporter, true);
    Ok(selection.sources)
}

/// Compares the sources with the parts as they are, and otherwise splits them as the spray did and
/// compares every part. Blocks.
fn compare_sources(
    sources: Vec<Source>,
    description: &Description,
    parts: &[PartInfo],
) -> Result<(), VerifyError> {
    if are_parts(&sources, parts)? {
        return Ok(());
    }
    let wanted = Wanted::of_stored(&description.attributes)?;
    let points = points(&description.attributes);
    let count = NonZeroU32::new(points.unwrap_or(description.parts)).ok_or(VerifyError::NoParts)?;
    let mut splitting = Splitting::look(sources, wanted)?;
    match compare(&splitting, count, parts) {
        Err(VerifyError::Record(error)) if splitting.was_guessed_wrong(&error) => {
            splitting.measure()?;
            compare(&splitting, count, parts)
        }
        other => other,
    }
}

/// Whether the sources are the stored parts themselves, in their order or by the numbers in their
/// names. Read only where the lengths agree. Blocks.
fn are_parts(sources: &[Source], parts: &[PartInfo]) -> Result<bool, SourceError> {
    let mut sources: Vec<&Source> = sources.iter().collect();
    if sources.iter().all(|source| part_number(source).is_some()) {
        sources.sort_by_key(|source| part_number(source));
    }
    let same = |source: &Source, part: &PartInfo| source.length() == part.length;
    let paired = || sources.iter().copied().zip(parts);
    if sources.len() != parts.len() || !paired().all(|(source, part)| same(source, part)) {
        return Ok(false);
    }
    for (source, part) in paired() {
        if part.digest != Some(digest(source)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn part_number(source: &Source) -> Option<PartIndex> {
    let name = source.at().path.file_name()?.to_str()?;
    split_part_file_name(name).map(|(_, part, _)| part)
}

/// BLAKE3 of all of a source.
fn digest(source: &Source) -> Result<Digest, SourceError> {
    let mut hasher = blake3::Hasher::new();
    let (mut block, mut offset) = (vec![0; BLOCK_BYTES], 0);
    while offset < source.length() {
        let left = source.length() - offset;
        let count = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        source.read_exact_at(&mut block[..count], offset)?;
        hasher.update(&block[..count]);
        offset += count as u64;
    }
    source.recheck()?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// The parts a file that is stored whole would have been split into.
fn points(attributes: &[(String, String)]) -> Option<u32> {
    let (_, parts) = attributes.iter().find(|(name, _)| name == POINTS_ATTRIBUTE)?;
    parts.parse().ok()
}

fn compare(
    splitting: &Splitting,
    count: NonZeroU32,
    parts: &[PartInfo],
) -> Result<(), VerifyError> {
    let mut pass = Pass { hasher: blake3::Hasher::new(), parts };
    splitting.walk(count, |piece, block| pass.take(piece, block))
}

struct Pass<'a> {
    /// Of the part being filled.
    hasher: blake3::Hasher,
    parts: &'a [PartInfo],
}

impl Pass<'_> {
    fn take(&mut self, piece: Piece, block: &[u8]) -> Result<(), VerifyError> {
        match piece {
            Piece::Bytes { range, .. } => {
                self.hasher.update(&block[range]);
            }
            Piece::Literal { bytes, .. } => {
                self.hasher.update(&bytes);
            }
            Piece::Origin(_) => {}
            Piece::PartEnd { part, length, .. } => self.end_part(part, length)?,
        }
        Ok(())
    }

    fn end_part(&mut self, part: PartIndex, found_length: u64) -> Result<(), VerifyError> {
        let found = Digest(*std::mem::take(&mut self.hasher).finalize().as_bytes());
        let PartInfo { length, digest, .. } = self.parts[part.0 as usize];
        let stored = digest.ok_or(VerifyError::NotDigested { part })?;
        if (found_length, found) == (length, stored) {
            return Ok(());
        }
        Err(VerifyError::Differs { part, found_length, found, length, stored })
    }
}

#[cfg(test)]
mod tests;
