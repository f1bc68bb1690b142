//! Push with metadata: the part files of a logical file become that logical file again, 1:1.

use super::blocking;
use super::copies::Copies;
use super::logical::{self, Reads, Writing};
use crate::cli::{LogicalTarget, PushArgs};
use crate::context::{CommandError, Context};
use crate::journal::{CommandKey, JobHeader, JobKind, JobLog, JournalSource};
use crate::meta;
use crate::source::Source;
use skyspray_link::seam::files::Fingerprint;
use skyspray_wire::digest::Digest;
use skyspray_wire::message::{Attributes, OpenWrite, WriteTarget, check_attributes};
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;

/// Everything that is known before a relay is asked.
struct Prepared {
    target: LogicalTarget,
    copies: Arc<Copies>,
    attributes: Attributes,
}

/// Pushes the parts that the metadata in the file `meta` describe.
///
/// # Errors
///
/// What the user, the relay or the network is to blame for; the job stays in the journal when the
/// same command can go on with it.
pub(super) async fn push(ctx: &Context, args: &PushArgs, meta: &Path) -> Result<(), CommandError> {
    let began = Instant::now();
    let prepared = prepare(ctx, args, meta).await?;
    let (log, open) = begin(ctx, args, &prepared).await?;
    let writing = Writing {
        kind: "push",
        target: prepared.target.to_string(),
        open,
        reads: Reads::Copies(prepared.copies),
        compress: args.compress,
        began,
    };
    Ok(logical::write(ctx, log, &writing).await??)
}

async fn prepare(ctx: &Context, args: &PushArgs, meta: &Path) -> Result<Prepared, CommandError> {
    let path = meta.to_owned();
    let meta = blocking(move || meta::read(&path)).await?;
    let (plane, name) = meta::target(&args.operands.target, &meta)?;
    let attributes = meta::kept_with_parts(&meta);
    check_attributes(&attributes).map_err(super::UploadFault::from)?;
    let (zones, cwd, paths) = (ctx.zones.clone(), ctx.cwd.clone(), args.operands.sources.clone());
    let parts = blocking(move || meta::find_parts(&meta, &paths, (&zones, &cwd))).await?;
    let copies = Arc::new(Copies::new(parts));
    Ok(Prepared { target: LogicalTarget { plane, name }, copies, attributes })
}

/// Finds the job an earlier run of this command left open, or begins one.
async fn begin(
    ctx: &Context,
    args: &PushArgs,
    prepared: &Prepared,
) -> Result<(JobLog, OpenWrite), CommandError> {
    let Prepared { target, copies, attributes } = prepared;
    let sources = copies.sources();
    let note = |source: &Source| {
        let at = source.at();
        JournalSource::new(at.zone.clone(), &at.path, Some(*source.fingerprint()))
    };
    let notes: Vec<JournalSource> = sources.iter().map(note).collect();
    let said = Digest::of(&copies.said()).to_string();
    let overwrite = args.overwrite.to_string();
    let fixed = [("overwrite", &*overwrite), ("metadata", &*said)];
    let options = fixed.into_iter().chain(attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let key = CommandKey::of(JobKind::Push, &target.to_string(), &notes, options);
    let header = JobHeader {
        job: ctx.new_job(),
        kind: JobKind::Push,
        key,
        target: target.to_string(),
        sources: notes,
        opened_ms: ctx.now_ms(),
    };
    let log = logical::take_up(ctx, &header, sources).await?;
    let prints: Vec<Fingerprint> = sources.iter().map(|source| *source.fingerprint()).collect();
    let plan = postcard::to_stdvec(&(prints, key.0)).expect("fingerprints are plain data");
    let open = OpenWrite {
        job: log.job(),
        target: WriteTarget::LogicalFile {
            plane: target.plane.clone(),
            name: target.name.clone(),
            parts: u32::try_from(sources.len()).expect("parts are limited"),
        },
        overwrite: args.overwrite,
        bytes: sources.iter().map(Source::length).sum(),
        plan: Digest::of(&plan),
        attributes: attributes.clone(),
    };
    Ok((log, open))
}
