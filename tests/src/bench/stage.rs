//! Where a run takes place: the file, a relay and an edge, the servers of the peers, and the
//! directory they deliver to. Everything is in one temporary directory and removed at the end.

use super::contender::{Contender, Side};
use super::server::{Nginx, Sshd, program};
use super::usage::Usage;
use super::{BenchError, Settings};
use crate::binary::locate;
use crate::check::stored_parts;
use crate::data;
use crate::demo::interrupt::Interrupt;
use crate::edge::Edge;
use crate::error::HarnessError;
use crate::process::Launch;
use crate::relay::{PLANE, Relay};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// What the file is called wherever it goes.
pub(super) const FILE: &str = "file.bin";

/// Its logical name.
const LOGICAL: &str = "bench::file";

/// Everything a contender needs. Fields end in this order.
pub(super) struct Stage<'a> {
    pub(super) edge: Edge,
    pub(super) relay: Relay,
    pub(super) sshd: Sshd,
    pub(super) nginx: Nginx,
    /// The file, inside the edge's landing zone.
    pub(super) source: PathBuf,
    /// The directory all but the relay deliver to.
    pub(super) target: PathBuf,
    digest: blake3::Hash,
    /// Time one command may take.
    within: Duration,
    stop: &'a Interrupt,
    root: TempDir,
}

impl<'a> Stage<'a> {
    /// Makes the file and starts all servers.
    pub(super) fn build(settings: &Settings, stop: &'a Interrupt) -> Result<Self, BenchError> {
        let place = std::env::temp_dir();
        check_durable(&place)?;
        let root = tempfile::Builder::new().prefix("skyspray-bench-").tempdir();
        let root = root.map_err(HarnessError::file(&place))?;
        let mut relay = Relay::init(root.path())?;
        relay.serve()?;
        let edge = Edge::new(root.path(), "edge")?;
        let rule = format!("push,pull,list,overwrite:{PLANE}");
        let token = relay.add_agent("bench", &["--allow", &rule])?;
        edge.enroll(&token, &[])?.done()?;
        let target = made(root.path().join("target"))?;
        let sshd = Sshd::start(&made(root.path().join("ssh"))?)?;
        let nginx = Nginx::start(&made(root.path().join("nginx"))?, &target)?;
        let source = edge.file(FILE);
        data::random_file(&source, settings.bytes(), settings.seed)
            .map_err(HarnessError::file(&source))?;
        let digest = data::digest(&source).map_err(HarnessError::file(&source))?;
        // A MiB in a quarter of a second is slower than any contender on any machine of use.
        let within = Duration::from_secs(60 + settings.mib / 4);
        Ok(Self { edge, relay, sshd, nginx, source, target, digest, within, stop, root })
    }

    /// The logical name with its plane.
    pub(super) fn name(&self) -> String {
        format!("{PLANE}:{LOGICAL}")
    }

    /// The files a contender delivers, in order.
    pub(super) fn delivered(&self, contender: Contender) -> Vec<PathBuf> {
        match contender {
            Contender::Spray => stored_parts(&self.relay.plane, LOGICAL).unwrap_or_default(),
            Contender::Despray => vec![self.edge.file("back.bin")],
            _ => vec![self.target.join(FILE)],
        }
    }

    /// Lets a contender carry the file, and looks at what it delivered if asked to.
    pub(super) fn turn(&self, contender: Contender, check: bool) -> Result<Usage, BenchError> {
        if contender != Contender::Despray {
            self.warm()?;
        }
        let (name, arguments) = contender.command(self);
        let own = name.starts_with("skyspray");
        let program = if own { locate(name)? } else { program(name)? };
        let log = self.root.path().join(format!("{name}.log"));
        let launch = Launch { prefix: Vec::new(), program, arguments, log };
        let server = self.server(contender.side());
        let usage = Usage::of(&launch, server, (self.within, &|| self.stop.asked()))?;
        if check {
            let files = self.delivered(contender);
            let found = data::digest_of(&files).map_err(HarnessError::file(&self.target))?;
            if found != self.digest {
                return Err(BenchError::Differs { contender: contender.name() });
            }
        }
        Ok(usage)
    }

    /// Removes what was delivered and waits until the disk is at rest, so that nobody pays for
    /// the one before.
    pub(super) fn clear(&self) -> Result<(), BenchError> {
        if !self.delivered(Contender::Spray).is_empty() {
            self.relay.admin(crate::args!["file", "remove", &self.name()])?.done()?;
        }
        for contender in [Contender::Despray, Contender::Copy] {
            for path in self.delivered(contender) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(BenchError::Step(HarnessError::File { path, source: error }));
                    }
                    _ => {}
                }
            }
        }
        rustix::fs::sync();
        Ok(())
    }

    /// Reads the file, so that everybody finds it in memory: an edge takes what it has read out
    /// of the page cache.
    fn warm(&self) -> Result<(), HarnessError> {
        let read = File::open(&self.source).and_then(|file| {
            io::copy(&mut BufReader::with_capacity(1 << 20, file), &mut io::sink())
        });
        read.map(drop).map_err(HarnessError::file(&self.source))
    }

    fn server(&self, side: Side) -> Option<u32> {
        match side {
            Side::Relay => Some(self.relay.process().id()),
            Side::Sshd => Some(self.sshd.id()),
            Side::Nginx => Some(self.nginx.id()),
            Side::None => None,
        }
    }
}

fn made(path: PathBuf) -> Result<PathBuf, HarnessError> {
    fs::create_dir_all(&path).map_err(HarnessError::file(&path))?;
    Ok(path)
}

/// Refuses a directory in memory.
fn check_durable(place: &Path) -> Result<(), BenchError> {
    /// `TMPFS_MAGIC` of `statfs(2)`.
    const TMPFS: u64 = 0x0102_1994;
    match rustix::fs::statfs(place) {
        Ok(found) if found.f_type as u64 == TMPFS => {
            Err(BenchError::Volatile { path: place.to_owned() })
        }
        _ => Ok(()),
    }
}
