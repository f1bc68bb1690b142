//! Spray: source files to the parts of a logical file.

use super::blocking;
use super::fault::UploadFault;
use super::logical::{self, Reads, Writing};
use crate::cli::SprayArgs;
use crate::context::{CommandError, Context};
use crate::format::{self, FormatError};
use crate::journal::{CommandKey, JobHeader, JobKind, JobLog, JournalSource};
use crate::meta;
use crate::source::{Asked, Selection};
use crate::splitting::Splitting;
use skyspray_link::seam::files::Fingerprint;
use skyspray_wire::digest::Digest;
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::message::{Attributes, OpenWrite, WriteTarget, merge_attributes};
use std::num::NonZeroU32;
use tokio::time::Instant;

/// Sprays files into one logical file.
///
/// # Errors
///
/// What the user, the relay or the network is to blame for; the job stays in the journal when the
/// same command can go on with it.
pub async fn spray(ctx: &Context, args: &SprayArgs) -> Result<(), CommandError> {
    let began = Instant::now();
    let mut request = prepare(ctx, args).await?;
    if was_measured(ctx, args, &request).await? {
        request.measure().await?;
    }
    let fault = match once(ctx, args, &request, began).await? {
        Ok(()) => return Ok(()),
        Err(fault) => fault,
    };
    match &fault {
        UploadFault::Record(error) if request.splitting.was_guessed_wrong(error) => {
            ctx.reporter.warn(
                "footer-elsewhere",
                "rows end elsewhere than the end of the file suggests; they are looked for in all \
                 of it and the spray starts over",
            );
            request.measure().await?;
            once(ctx, args, &request, began).await?.map_err(CommandError::from)
        }
        _ => Err(fault.into()),
    }
}

/// Opens or goes on with the job and sees it to its end; the inner error is why it ended.
async fn once(
    ctx: &Context,
    args: &SprayArgs,
    request: &Prepared,
    began: Instant,
) -> Result<Result<(), UploadFault>, CommandError> {
    let (log, open) = begin(ctx, args, request).await?;
    let writing = Writing {
        kind: "spray",
        target: args.operands.target.to_string(),
        open,
        reads: Reads::Split {
            splitting: Box::new(request.splitting.clone()),
            points: args.layout.whole.then_some(args.parts),
        },
        compress: args.compress,
        began,
    };
    logical::write(ctx, log, &writing).await
}

/// Everything about the sources that is known before a relay is asked.
struct Prepared {
    splitting: Splitting,
    asked: Vec<Asked>,
    /// Attributes of the logical file besides those of its format.
    kept: Attributes,
}

impl Prepared {
    /// Finds where the records of every document end by reading all of it.
    async fn measure(&mut self) -> Result<(), CommandError> {
        let mut splitting = self.splitting.clone();
        self.splitting = blocking(move || splitting.measure().map(|()| splitting)).await?;
        Ok(())
    }

    /// All attributes of the logical file that are known before it is read.
    ///
    /// # Errors
    ///
    /// They would be too many, together with what is added when everything was read.
    fn attributes(&self, parts: u32) -> Result<Attributes, UploadFault> {
        let known = merge_attributes(self.splitting.attributes(), &self.kept)?;
        let parts = NonZeroU32::new(parts).unwrap_or(NonZeroU32::new(PARTS_MAX).expect("not 0"));
        merge_attributes(known.clone(), &self.splitting.late_attributes_max(parts))?;
        Ok(known)
    }

    /// What tells this command from every other, with this signature of its splitting.
    fn key(&self, args: &SprayArgs, attributes: &Attributes, signature: &[u8]) -> CommandKey {
        // A pattern that finds other files than before is the same command with other sources.
        let named: Vec<JournalSource> = self
            .asked
            .iter()
            .map(|asked| JournalSource::new(asked.zone.clone(), &asked.path, None))
            .collect();
        let (parts, overwrite) = (args.parts.to_string(), args.overwrite.to_string());
        let signature = Digest::of(signature).to_string();
        let fixed = [("parts", &*parts), ("overwrite", &*overwrite), ("splitting", &*signature)];
        let attributes = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let options = fixed.into_iter().chain(attributes);
        CommandKey::of(JobKind::Spray, &args.operands.target.to_string(), &named, options)
    }
}

/// Whether an earlier run of this command found the ends of records guessed wrong and was cut off
/// later: going by the guess again would take the target from the job it left.
async fn was_measured(
    ctx: &Context,
    args: &SprayArgs,
    request: &Prepared,
) -> Result<bool, CommandError> {
    let attributes = request.attributes(args.parts)?;
    let key = request.key(args, &attributes, &request.splitting.signature_measured());
    let journal = ctx.journal.clone();
    Ok(blocking(move || journal.find(&key)).await?.is_some())
}

async fn prepare(ctx: &Context, args: &SprayArgs) -> Result<Prepared, CommandError> {
    if args.layout.whole && args.parts == 0 {
        return Err(FormatError::NoSplitPoints.into());
    }
    let meta = match &args.format.meta {
        None => None,
        Some(path) => {
            let path = path.clone();
            Some(blocking(move || meta::read(&path)).await?)
        }
    };
    let (zones, cwd) = (ctx.zones.clone(), ctx.cwd.clone());
    let (names, options) = (args.operands.sources.clone(), args.source_options.clone());
    let selection = blocking(move || Selection::resolve(&zones, &names, &options, &cwd)).await?;
    let name = selection.first_name();
    let wanted = format::wanted(&args.format, &args.layout, meta.as_ref(), name)?;
    selection.warn(&ctx.reporter, args.format.format.is_some());
    let Selection { sources, asked, .. } = selection;
    let splitting = blocking(move || Splitting::look(sources, wanted)).await?;
    let mut kept = meta.as_ref().map(meta::kept).unwrap_or_default();
    if args.record_structure {
        let looked = splitting.clone();
        let record = blocking(move || meta::record_structure(&looked)).await?;
        kept.retain(|(name, _)| name != meta::ECL_ATTRIBUTE);
        kept.push((meta::ECL_ATTRIBUTE.to_owned(), record));
    }
    Ok(Prepared { splitting, asked, kept })
}

/// Finds the job an earlier run of this command left open, or begins one.
async fn begin(
    ctx: &Context,
    args: &SprayArgs,
    request: &Prepared,
) -> Result<(JobLog, OpenWrite), CommandError> {
    let splitting = &request.splitting;
    let sources = splitting.sources();
    let notes: Vec<JournalSource> = sources
        .iter()
        .map(|source| {
            let at = source.at();
            JournalSource::new(at.zone.clone(), &at.path, Some(*source.fingerprint()))
        })
        .collect();
    let attributes = request.attributes(args.parts)?;
    // What stands around the records decides every part, as the options do.
    let key = request.key(args, &attributes, &splitting.signature());
    let header = JobHeader {
        job: ctx.new_job(),
        kind: JobKind::Spray,
        key,
        target: args.operands.target.to_string(),
        sources: notes,
        opened_ms: ctx.now_ms(),
    };
    let log = logical::take_up(ctx, &header, sources).await?;
    let prints: Vec<Fingerprint> = sources.iter().map(|source| *source.fingerprint()).collect();
    let plan = postcard::to_stdvec(&(prints, key.0)).expect("fingerprints are plain data");
    let open = OpenWrite {
        job: log.job(),
        target: WriteTarget::LogicalFile {
            plane: args.operands.target.plane.clone(),
            name: args.operands.target.name.clone(),
            parts: if args.layout.whole { 1 } else { args.parts },
        },
        overwrite: args.overwrite,
        bytes: splitting.bytes(),
        plan: Digest::of(&plan),
        attributes,
    };
    Ok((log, open))
}
