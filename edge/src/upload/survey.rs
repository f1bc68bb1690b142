//! What a push would send: found as the push finds it, and nothing is asked of a relay.

use super::blocking;
use super::push::SomeFailed;
use crate::context::{CommandError, Context};
use crate::exit::{Exit, Explain};
use crate::landing::LandingPath;
use crate::output::Reporter;
use crate::size::{About, Count};
use crate::source::{Found, Source, SourceError, Walk};
use crate::stop::Stop;
use serde::Serialize;
use skyspray_wire::name::PlanePath;
use std::borrow::Cow;

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Survey {
    target: String,
    files: u64,
    bytes: u64,
    files_skipped: u64,
    files_failed: u64,
}

/// Looks at every file a push of `roots` to `target` would send.
///
/// # Errors
///
/// [`SomeFailed`] when some files could not be sent; [`Interrupted`].
pub(super) async fn survey(
    ctx: &Context,
    target: String,
    roots: Vec<(LandingPath, PlanePath)>,
) -> Result<(), CommandError> {
    let (reporter, stop) = (ctx.reporter.clone(), ctx.stop.clone());
    let empty = Survey { target, ..Survey::default() };
    let found = blocking(move || empty.look(roots, &reporter, &stop)).await?;
    let text = format!(
        "{}: would send {}, {}; {} left out, {} failed",
        found.target,
        Count(found.files, "file"),
        About(found.bytes),
        found.files_skipped,
        found.files_failed,
    );
    ctx.reporter.result("would-push", &found, text);
    match found.files_failed {
        0 => Ok(()),
        failed => Err(SomeFailed { failed, files: found.files + failed }.into()),
    }
}

/// The user interrupted the command.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

impl Explain for Interrupted {
    fn exit(&self) -> Exit {
        Exit::Interrupted
    }

    fn code(&self) -> Cow<'static, str> {
        "interrupted".into()
    }
}

impl Survey {
    /// Walks and counts until `stop` is asked. Blocks.
    fn look(
        mut self,
        roots: Vec<(LandingPath, PlanePath)>,
        reporter: &Reporter,
        stop: &Stop,
    ) -> Result<Self, Interrupted> {
        for item in roots.into_iter().flat_map(|(at, below)| Walk::new(at, below)) {
            if stop.is_requested() {
                return Err(Interrupted);
            }
            self.count(item, reporter);
        }
        Ok(self)
    }

    fn count(&mut self, item: Result<Found, SourceError>, reporter: &Reporter) {
        let looked = match item {
            // Only opening it says whether it can be read.
            Ok(Found::File { at, .. }) => Source::open(&at).map(|source| source.length()),
            Ok(Found::Skipped { at, reason }) => {
                self.files_skipped += 1;
                reporter.warn("skipped", format!("{at} is left out: {reason}"));
                return;
            }
            Err(error) => Err(error),
        };
        match looked {
            Ok(length) => {
                self.files += 1;
                self.bytes += length;
            }
            Err(error) => {
                self.files_failed += 1;
                reporter.file_error(&error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::ZoneName;
    use crate::output::{Manner, ProgressMode};
    use crate::stop;
    use skyspray_link::seam::files::{Caching, MemoryTree, RelPath, Tree};
    use std::io;
    use std::sync::Arc;

    #[test]
    fn a_survey_ends_when_it_is_interrupted() {
        let tree: Arc<dyn Tree> = Arc::new(MemoryTree::new(1 << 20));
        for name in ["a", "b"] {
            tree.create_new(&RelPath::parse(name).unwrap(), 0o600, Caching::Buffered).unwrap();
        }
        let zone = ZoneName::parse("lz").unwrap();
        let roots = || {
            let (zone, tree) = (zone.clone(), Arc::clone(&tree));
            let at = LandingPath { zone, tree, path: RelPath::default() };
            vec![(at, PlanePath::default())]
        };
        let (sender, stop) = stop::channel();
        let nowhere = (Box::new(io::sink()) as _, Box::new(io::sink()) as _);
        let reporter = Reporter::with_streams(Manner::default(), ProgressMode::None, nowhere);

        let found = Survey::default().look(roots(), &reporter, &stop).unwrap();
        assert_eq!(found.files, 2);
        sender.stop();
        let interrupted = Survey::default().look(roots(), &reporter, &stop).unwrap_err();
        assert_eq!(interrupted.exit(), Exit::Interrupted);
    }
}
