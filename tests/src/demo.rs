//! The demo: sets up a relay and an edge in a temporary directory, moves files there and back,
//! checks every byte and says what it did. What it made is removed, however it ends.

pub(crate) mod interrupt;
mod journey;
mod report;

use crate::data;
use crate::edge::Edge;
use crate::error::HarnessError;
use crate::relay::{PLANE, Relay};
use interrupt::Interrupt;
use journey::{Journey, Sample};
use report::{Report, size};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;
use thiserror::Error;

/// Bytes of the file the demo makes: 512 MiB.
const GENERATED_BYTES: u64 = 512 << 20;

/// Parts of a file unless `PARTS` says otherwise.
const PARTS: u32 = 4;

/// Times a moved file is on disk besides its source: on the plane and back.
const COPIES: u64 = 2;

/// Why the demo did not come to its good end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// A step failed.
    #[error(transparent)]
    Step(HarnessError),
    /// What came back is not what was sent.
    #[error("{what} is {found}, expected {expected}")]
    Mismatch {
        /// What was compared.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// `PARTS` is not a number of parts.
    #[error("PARTS is {text:?}, expected a number from 1 to 4096")]
    Parts {
        /// What it is.
        text: String,
    },
    /// `FILE` cannot be used.
    #[error("FILE is {}, expected a regular file that can be read", path.display())]
    Source {
        /// What it is.
        path: PathBuf,
    },
    /// The signals that end the demo cannot be caught.
    #[error("cannot watch for Ctrl-C")]
    Signals(#[source] io::Error),
    /// Too little room for the copies.
    #[error(
        "{} has {} free, {} are needed; name another directory with TMPDIR",
        path.display(), size(*free), size(*needed)
    )]
    Room {
        /// The directory for temporary files.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
}

impl From<HarnessError> for DemoError {
    fn from(error: HarnessError) -> Self {
        match error {
            HarnessError::Interrupted => Self::Interrupted,
            other => Self::Step(other),
        }
    }
}

/// What the user asked for through the environment.
struct Wish {
    file: Option<PathBuf>,
    parts: u32,
}

impl Wish {
    fn of_environment() -> Result<Self, DemoError> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let parts = match set("PARTS").map(|text| text.to_string_lossy().into_owned()) {
            None => PARTS,
            Some(text) => match text.trim().parse() {
                Ok(parts) if (1..=4096).contains(&parts) => parts,
                _ => return Err(DemoError::Parts { text }),
            },
        };
        let file = set("FILE").map(PathBuf::from).map(readable).transpose()?;
        Ok(Self { file, parts })
    }

    /// Bytes on disk at the same time, at most.
    fn room(&self) -> u64 {
        match &self.file {
            Some(file) => COPIES * fs::metadata(file).map_or(0, |found| found.len()),
            None => (COPIES + 1) * GENERATED_BYTES,
        }
    }
}

/// The file by the name the host knows it by, if it can be read.
fn readable(path: PathBuf) -> Result<PathBuf, DemoError> {
    let whole = path.canonicalize().ok().filter(|whole| whole.is_file());
    whole.filter(|whole| fs::File::open(whole).is_ok()).ok_or(DemoError::Source { path })
}

/// Runs the demo with what `FILE` and `PARTS` say.
///
/// # Errors
///
/// A step failed or a byte is not what it should be.
pub fn run() -> Result<(), DemoError> {
    let wish = Wish::of_environment()?;
    let stop = Interrupt::watch().map_err(DemoError::Signals)?;
    let place = env::temp_dir();
    let root = tempfile::Builder::new().prefix("skyspray-demo-").tempdir();
    let root = root.map_err(HarnessError::file(&place)).map_err(DemoError::Step)?;
    check_room(&place, wish.room())?;
    let began = Instant::now();
    let report = Report::default();
    let ended = Demo::start(&root, &wish, (&stop, &report)).and_then(|demo| demo.run(&wish));
    // Ctrl-C reaches the children too, so what failed first may be one of them.
    if stop.asked() {
        return Err(DemoError::Interrupted);
    }
    ended?;
    drop(root);
    report.end(began.elapsed());
    Ok(())
}

fn check_room(place: &Path, needed: u64) -> Result<(), DemoError> {
    let Ok(found) = rustix::fs::statvfs(place) else { return Ok(()) };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    // A twentieth more for the catalogue and what else is written meanwhile.
    let needed = needed + needed / 20;
    if free >= needed {
        return Ok(());
    }
    Err(DemoError::Room { path: place.to_owned(), free, needed })
}

/// A relay and an edge that know each other.
struct Demo<'a> {
    edge: Edge,
    relay: Relay,
    stop: &'a Interrupt,
    report: &'a Report,
    /// A zone that is only read, and its directory.
    samples: PathBuf,
}

impl<'a> Demo<'a> {
    fn start(
        root: &TempDir,
        wish: &Wish,
        (stop, report): (&'a Interrupt, &'a Report),
    ) -> Result<Self, DemoError> {
        let parent = wish.file.as_deref().and_then(Path::parent);
        let shipped = || Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let samples = parent.map_or_else(shipped, Path::to_owned);
        report.title(root.path());

        report.step("A relay, with a directory as its storage plane");
        let mut relay = Relay::init(root.path())?;
        report.command("skyspray-relay init relay --plane data=file://.../plane");
        relay.serve()?;
        report.command("skyspray-relay serve relay");
        let at = relay.listeners();
        report.say(&format!("it listens on {} and enrolls on {} (both UDP)", at.data, at.enroll));

        report.step("An edge, which only dials and never listens");
        let edge = Edge::new(root.path(), "edge")?;
        let rule = format!("push,pull,list,overwrite:{PLANE}");
        let token = relay.add_agent("demo", &["--allow", &rule])?;
        report.command(&format!("skyspray-relay agent add demo --allow {rule} > token"));
        let samples_zone = format!("samples={}:ro", samples.display());
        edge.enroll(&token, &[samples_zone])?.done()?;
        report.command("skyspray-edge enroll --token-file token --landing-zone ...");
        report.say("its keys were made here and never left; the token is used up");
        Ok(Self { edge, relay, stop, report, samples })
    }

    fn run(mut self, wish: &Wish) -> Result<(), DemoError> {
        match &wish.file {
            Some(file) => self.journey(&Sample::own(file), wish.parts)?,
            None => {
                self.journey(&Sample::shipped(&self.samples.join("austen.csv")), 3)?;
                let generated = self.generate()?;
                self.journey(&generated, wish.parts)?;
            }
        }
        self.report.step("The relay drains and ends");
        match self.relay.stop()? {
            0 => Ok(()),
            code => Err(DemoError::Mismatch {
                what: "the relay's exit code",
                expected: "0".into(),
                found: code.to_string(),
            }),
        }
    }

    fn generate(&self) -> Result<Sample, DemoError> {
        let path = self.edge.file("orders.csv");
        self.report.step("A bigger file, made on the spot");
        let began = Instant::now();
        let stop = || self.stop.asked();
        let records = data::csv_file(&path, GENERATED_BYTES, 2026, &stop).map_err(|source| {
            match source.kind() {
                io::ErrorKind::Interrupted => HarnessError::Interrupted,
                _ => HarnessError::File { path: path.clone(), source },
            }
        })?;
        let bytes = fs::metadata(&path).map_err(HarnessError::file(&path))?.len();
        self.report.say(&format!(
            "orders.csv: {} in {} records, quoted fields and line ends inside quotes, in {}",
            size(bytes),
            report::grouped(records),
            report::seconds(began.elapsed())
        ));
        Ok(Sample::generated(path, records))
    }

    fn journey(&self, sample: &Sample, parts: u32) -> Result<(), DemoError> {
        Journey { demo: self, sample, parts }.run()
    }

    /// Runs a command of the edge that must succeed.
    fn edge(&self, arguments: Vec<OsString>) -> Result<crate::output::Output, DemoError> {
        Ok(self.edge.run_unless(arguments, &|| self.stop.asked())?.done()?)
    }
}
