//! What a push would send: found as the push finds it, and nothing is asked of a relay.

use super::blocking;
use super::push::SomeFailed;
use crate::context::{CommandError, Context};
use crate::landing::LandingPath;
use crate::output::Reporter;
use crate::size::{About, Count};
use crate::source::{Found, Source, SourceError, Walk};
use serde::Serialize;
use skyspray_wire::name::PlanePath;

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
/// [`SomeFailed`] when some files could not be sent.
pub(super) async fn survey(
    ctx: &Context,
    target: String,
    roots: Vec<(LandingPath, PlanePath)>,
) -> Result<(), CommandError> {
    let (reporter, mut found) = (ctx.reporter.clone(), Survey { target, ..Survey::default() });
    let found = blocking(move || {
        for (at, below) in roots {
            Walk::new(at, below).for_each(|item| found.count(item, &reporter));
        }
        found
    })
    .await;
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

impl Survey {
    fn count(&mut self, item: Result<Found, SourceError>, reporter: &Reporter) {
        let looked = match item {
            Ok(Found::File { at, .. }) => Source::look(&at),
            Ok(Found::Skipped { at, reason }) => {
                self.files_skipped += 1;
                reporter.warn("skipped", format!("{at} is left out: {reason}"));
                return;
            }
            Err(error) => Err(error),
        };
        match looked {
            Ok(state) => {
                self.files += 1;
                self.bytes += state.size;
            }
            Err(error) => {
                self.files_failed += 1;
                reporter.file_error(&error);
            }
        }
    }
}
