//! The `verify` command: is a logical file on its plane what was committed, and are local sources
//! what it was made from?

use super::describe::{ask, pairs};
use crate::cli::VerifyArgs;
use crate::context::Context;
use crate::download::{DownloadFault, probe};
use crate::exit::{Exit, Explain};
use crate::size::{About, Count};
use crate::source::{OpenError, RecordError, Source, SourceError};
use serde::Serialize;
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::format::attributes::AttributeError;
use skyspray_dfu::split::{Join, Layout, Piece, SplitError, SplitOptions, Splitter};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::message::{Description, PartInfo, ReadTarget};
use std::borrow::Cow;
use std::num::NonZeroU32;
use thiserror::Error;

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Why it is not verified.
#[derive(Debug, Error)]
pub(super) enum VerifyError {
    #[error(transparent)]
    Download(#[from] DownloadFault),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Source(#[from] SourceError),
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
    let (generation, bytes, parts) = if args.sources.is_empty() {
        let (plane, name) = (target.plane.clone(), target.name.clone());
        let read = ReadTarget::LogicalFile { plane, name };
        let probed = probe(context, &read).await?;
        (probed.readable.generation, probed.readable.bytes, probed.readable.parts)
    } else {
        let sources = Source::open_all(&context.zones, &args.sources, &context.cwd)?;
        let (description, parts) = ask(context, target).await?;
        let count = description.parts;
        let (generation, bytes) = (description.generation, description.bytes);
        let compared =
            tokio::task::spawn_blocking(move || compare_sources(&sources, &description, &parts));
        compared.await.expect("comparing does not panic")?;
        (Some(generation), bytes, count)
    };
    let fields = Verified {
        plane: target.plane.to_string(),
        name: target.name.to_string(),
        generation: generation.map(|generation| generation.0),
        bytes,
        parts,
        sources: args.sources.len(),
    };
    let matched = if fields.sources == 0 { "was committed" } else { "the sources hold" };
    let stored = format_args!("{} in {}", About(bytes), Count(parts.into(), "part"));
    let text = format!("{target}: what is stored is what {matched}, {stored}");
    context.reporter.result("verified", &fields, text);
    Ok(Exit::Done)
}

/// Splits the sources as a spray would and compares every part. Blocks.
fn compare_sources(
    sources: &[Source],
    description: &Description,
    parts: &[PartInfo],
) -> Result<(), VerifyError> {
    let format = RecordFormat::from_attributes(pairs(&description.attributes))?;
    let count = NonZeroU32::new(description.parts).ok_or(VerifyError::NoParts)?;
    let layout = Layout::implied(sources.len(), count);
    let options = |join| SplitOptions { parts: count, layout, join };
    let mended = compare(sources, &format, options(Join::Mend), parts);
    match mended {
        // How sources were joined is not kept with the file; only several can be joined.
        Err(VerifyError::Differs { .. }) if sources.len() > 1 => {
            let verbatim = compare(sources, &format, options(Join::Verbatim), parts);
            verbatim.or(mended)
        }
        other => other,
    }
}

fn compare(
    sources: &[Source],
    format: &RecordFormat,
    options: SplitOptions,
    parts: &[PartInfo],
) -> Result<(), VerifyError> {
    let wrong = |error: SplitError| Source::record_error(sources, error);
    let lengths: Vec<u64> = sources.iter().map(Source::length).collect();
    let splitter = Splitter::try_new(format, &lengths, options).map_err(wrong)?;
    let mut pass = Pass { splitter, hasher: blake3::Hasher::new(), parts };
    let mut block = vec![0; BLOCK_BYTES];
    for source in sources {
        let mut offset = 0;
        while offset < source.length() {
            let left = source.length() - offset;
            let count = usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
            source.read_exact_at(&mut block[..count], offset)?;
            pass.splitter.push(&block[..count]).map_err(wrong)?;
            pass.drain(&block[..count])?;
            offset += count as u64;
        }
        pass.splitter.end_source().map_err(wrong)?;
        pass.drain(&[])?;
        source.recheck()?;
    }
    pass.splitter.finish().map_err(wrong)?;
    pass.drain(&[])
}

struct Pass<'a> {
    splitter: Splitter,
    /// Of the part being filled.
    hasher: blake3::Hasher,
    parts: &'a [PartInfo],
}

impl Pass<'_> {
    fn drain(&mut self, block: &[u8]) -> Result<(), VerifyError> {
        while let Some(piece) = self.splitter.poll() {
            match piece {
                Piece::Bytes { range, .. } => {
                    self.hasher.update(&block[range]);
                }
                Piece::Literal { bytes, .. } => {
                    self.hasher.update(&bytes);
                }
                Piece::PartEnd { part, length, .. } => self.end_part(part, length)?,
            }
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
